//! The text of `/proc/PID/{statm,status,stat}`: pure and without allocation, as it is read for
//! every process at every tick.
//!
//! What a process has not is `None`, never 0: a kernel thread has no address space, and its
//! `status` has no line about one.

#![deny(clippy::indexing_slicing)]

use super::text::{first_word, parse_u64, rsplit_once, split_once, words};

/// `statm`: the cheapest file that tells resident memory.
///
/// A kernel thread's and a zombie's are all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statm {
    /// Address space.
    pub size_pages: u64,
    /// Resident pages, shared ones included.
    pub resident_pages: u64,
    /// Resident pages of files and shared memory.
    pub shared_pages: u64,
}

/// Parses `statm`; `None` when its first numbers are not there.
pub fn parse_statm(text: &[u8]) -> Option<Statm> {
    let mut numbers = words(whole_line(text)?).map(parse_u64);
    Some(Statm {
        size_pages: numbers.next()??,
        resident_pages: numbers.next()??,
        shared_pages: numbers.next()??,
    })
}

/// `status`, as far as it is about identity and memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status<'a> {
    /// The name (`comm`) as it is written: the kernel escapes a line end as `\n` and a backslash as
    /// `\\`. Empty when the line is missing.
    pub name: &'a [u8],
    /// The state's letter.
    pub state: Option<u8>,
    /// Parent, as seen from the reader's pid namespace.
    pub ppid: Option<u32>,
    /// Real user.
    pub uid: Option<u32>,
    /// Address space.
    pub vm_size_kib: Option<u64>,
    /// Swapped out, without shared memory.
    pub vm_swap_kib: Option<u64>,
    /// Resident anonymous memory.
    pub rss_anon_kib: Option<u64>,
    /// Resident pages of files.
    pub rss_file_kib: Option<u64>,
    /// Resident shared memory: tmpfs, memfd, System V, shared anonymous mappings.
    pub rss_shmem_kib: Option<u64>,
    /// Page tables.
    pub vm_pte_kib: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

/// Parses `status`; a line that is missing, cut off or not understood is a field without a value.
pub fn parse_status(text: &[u8]) -> Status<'_> {
    let mut status = Status::default();
    // A line without an end is cut off, and its number perhaps too small.
    let whole = text.split_inclusive(|byte| *byte == b'\n');
    for line in whole.filter_map(|line| line.strip_suffix(b"\n")) {
        let Some((key, value)) = split_once(line, b':') else {
            continue;
        };
        match key {
            b"Name" => status.name = value.strip_prefix(b"\t").unwrap_or(value),
            b"State" => {
                status.state = first_word(value).and_then(|(letter, _)| letter.first().copied());
            }
            b"PPid" => status.ppid = number(value).and_then(|n| u32::try_from(n).ok()),
            b"Uid" => {
                let real = first_word(value).and_then(|(real, _)| parse_u64(real));
                status.uid = real.and_then(|n| u32::try_from(n).ok());
            }
            b"VmSize" => status.vm_size_kib = kib(value),
            b"VmSwap" => status.vm_swap_kib = kib(value),
            b"RssAnon" => status.rss_anon_kib = kib(value),
            b"RssFile" => status.rss_file_kib = kib(value),
            b"RssShmem" => status.rss_shmem_kib = kib(value),
            b"VmPTE" => status.vm_pte_kib = kib(value),
            b"Threads" => {
                status.threads = number(value);
                // Nothing that we want comes after it, but some 40 lines do.
                break;
            }
            _ => {}
        }
    }
    status
}

fn number(value: &[u8]) -> Option<u64> {
    parse_u64(value.trim_ascii())
}

fn kib(value: &[u8]) -> Option<u64> {
    number(value.strip_suffix(b"kB")?)
}

/// `stat`, as far as it is about identity, faults and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat<'a> {
    /// The name as it is: not escaped here.
    pub comm: &'a [u8],
    /// The state's letter.
    pub state: u8,
    /// Parent, as seen from the reader's pid namespace.
    pub ppid: u32,
    /// Page faults that needed no reading from disk.
    pub minor_faults: u64,
    /// Page faults that did.
    pub major_faults: u64,
    /// Time in user mode, in clock ticks.
    pub utime_ticks: u64,
    /// Time in the kernel, in clock ticks.
    pub stime_ticks: u64,
    /// Threads; 0 for a zombie.
    pub threads: u64,
    /// When it started, in clock ticks after boot: with the pid its identity.
    pub start_ticks: u64,
}

/// Parses `stat`; `None` when a field is missing or the line is cut off.
///
/// A process may call itself `a) R 1 (`, with line ends as well: the name ends at the last
/// parenthesis, behind which there are only numbers.
pub fn parse_stat(text: &[u8]) -> Option<Stat<'_>> {
    let line = text.strip_suffix(b"\n")?;
    let (before, after) = rsplit_once(line, b")")?;
    let (_pid, comm) = split_once(before, b'(')?;
    let mut fields = words(after);
    let (state, rest) = fields.next()?.split_first()?;
    if !rest.is_empty() {
        return None;
    }
    // Fields are numbered as in proc(5); the next one is 4.
    let mut numbers = fields.map(parse_u64);
    let ppid = u32::try_from(numbers.next()??).ok()?;
    let minor_faults = numbers.nth(10 - 5)??;
    let major_faults = numbers.nth(12 - 11)??;
    let utime_ticks = numbers.nth(14 - 13)??;
    let stime_ticks = numbers.next()??;
    let threads = numbers.nth(20 - 16)??;
    let start_ticks = numbers.nth(22 - 21)??;
    // The line has 30 fields more. Without the next one the start time may be cut.
    numbers.next()?;
    Some(Stat {
        comm,
        state: *state,
        ppid,
        minor_faults,
        major_faults,
        utime_ticks,
        stime_ticks,
        threads,
        start_ticks,
    })
}

/// A file of one line, when the line has an end.
fn whole_line(text: &[u8]) -> Option<&[u8]> {
    text.strip_suffix(b"\n")
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::capture;
    use super::*;

    const ROOT: &str = "6.12-x86_64-debian/t0";

    #[test]
    fn a_user_process_is_read() {
        let text = capture(ROOT, "proc/1/statm");
        assert_eq!(
            parse_statm(&text),
            Some(Statm {
                size_pages: 565,
                resident_pages: 452,
                shared_pages: 433
            })
        );
        let text = capture(ROOT, "proc/1/status");
        assert_eq!(
            parse_status(&text),
            Status {
                name: b"init",
                state: Some(b'S'),
                ppid: Some(0),
                uid: Some(0),
                vm_size_kib: Some(2260),
                vm_swap_kib: Some(0),
                rss_anon_kib: Some(76),
                rss_file_kib: Some(4),
                rss_shmem_kib: Some(1728),
                vm_pte_kib: Some(40),
                threads: Some(1),
            }
        );
        let text = capture(ROOT, "proc/1/stat");
        assert_eq!(
            parse_stat(&text),
            Some(Stat {
                comm: b"init",
                state: b'S',
                ppid: 0,
                minor_faults: 325,
                major_faults: 0,
                utime_ticks: 12,
                stime_ticks: 364,
                threads: 1,
                start_ticks: 24,
            })
        );
    }

    #[test]
    fn a_kernel_thread_has_no_memory_rather_than_none_of_it() {
        let text = capture(ROOT, "proc/2/status");
        let status = parse_status(&text);
        assert_eq!(status.name, b"kthreadd");
        assert_eq!(status.threads, Some(1));
        assert_eq!(status.rss_anon_kib, None);
        assert_eq!(status.vm_size_kib, None);
        assert_eq!(status.vm_swap_kib, None);
        let statm = parse_statm(&capture(ROOT, "proc/2/statm"));
        assert_eq!(statm.map(|statm| statm.resident_pages), Some(0));
    }

    #[test]
    fn a_name_can_look_like_the_rest_of_the_line() {
        let text = b"7 (a) R 1 (\n (b)) Z 3 7 7 0 -1 4 50 6 70 8 9 10 11 12 20 0 1 0 1234 0 0\n";
        let stat = parse_stat(text);
        assert_eq!(stat.map(|stat| stat.comm), Some(&b"a) R 1 (\n (b)"[..]));
        assert_eq!(
            stat.map(|stat| (stat.state, stat.ppid, stat.start_ticks)),
            Some((b'Z', 3, 1234))
        );
        assert_eq!(
            stat.map(|stat| (stat.minor_faults, stat.major_faults)),
            Some((50, 70))
        );
        assert_eq!(
            stat.map(|stat| (stat.utime_ticks, stat.stime_ticks, stat.threads)),
            Some((9, 10, 1))
        );
    }

    #[test]
    fn a_name_in_status_stays_escaped() {
        let text = b"Name:\ta\\nRssAnon:\t5 kB\nThreads:\t2\n";
        let status = parse_status(text);
        assert_eq!(status.name, b"a\\nRssAnon:\t5 kB");
        assert_eq!(status.rss_anon_kib, None);
        assert_eq!(status.threads, Some(2));
    }

    #[test]
    fn what_is_cut_off_is_missing_not_smaller() {
        assert_eq!(parse_statm(b"565 452 43"), None);
        assert_eq!(parse_statm(b""), None);
        assert_eq!(parse_stat(b"1 (init) S 0 0 0 0 -1 4194560 3"), None);
        let status = parse_status(b"Name:\tx\nRssAnon:\t      7 kB\nRssFile:\t 1");
        assert_eq!(status.rss_anon_kib, Some(7));
        assert_eq!(status.rss_file_kib, None);
    }
}
