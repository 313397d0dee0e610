//! `/dev/kmsg`: what the kernel's log says about memory, as events on the recording's axis.

#![deny(clippy::indexing_slicing)]

use std::os::fd::OwnedFd;

use memsoak_schema::{MetricSpec, Rows, Shape, Spec, Unit};
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::kmsg_text::{Fold, Record, parse_record};
use super::{Moment, Outcome, Sampler, Setup, files};

/// The description of the source.
pub static SPEC: Spec = Spec {
    name: "kmsg",
    paths: &["dev/kmsg"],
    shape: Shape::Scalars {
        known: &[
            MetricSpec::counter("records", Unit::Count),
            MetricSpec::counter("lost_records", Unit::Count),
            MetricSpec::counter("reports", Unit::Count),
        ],
        other: |_| MetricSpec::counter("", Unit::Count),
    },
    interval_s: 0,
    needs: "CAP_SYSLOG, or kernel.dmesg_restrict=0 and a readable /dev/kmsg",
    caveats: "Kept as events, one for each report, with at most 16 KiB of its text: oom_kill, \
        alloc_failure, kasan, kfence, ubsan, kmemleak, hung_task, soft_lockup, mem_info, and module \
        for one that taints the kernel; all else in the log is passed over, also what processes \
        wrote into it. What was logged before a recording begins is passed over; one that is \
        continued in the same boot takes up what was logged since its last tick. The log's clock \
        drifts, by seconds in a day: a time is corrected so that it lies between the two ticks \
        around it. Records that the kernel overwrote before they were read are counted as lost.",
    overhead: "6 us a tick when nothing was logged, else about 2 us a record, at most 4,096 \
        records a tick; takes no lock that printk waits for.",
};

/// Records that one sample reads; in a storm of messages the next tick goes on.
const MOST_RECORDS: usize = 4_096;
/// A record with its device is at most 8 KiB (CONSOLE_EXT_LOG_MAX), 2 KiB since Linux 6.7; a shorter
/// buffer is refused.
pub(super) const BUFFER_BYTES: usize = 16 << 10;
/// What is kept of a line that does not end: a plain file in the place of the log can be anything.
const LONGEST_LINE: usize = 64 << 10;

struct Kmsg {
    held: Option<OwnedFd>,
    /// Where a recording that is continued left off; `None` passes over what there is.
    since_us: Option<i64>,
    buffer: Vec<u8>,
    text: Vec<u8>,
    fold: Fold,
    last_read_us: Option<i64>,
    /// Nothing that is still being put together was logged before this.
    open_from_us: i64,
    is_catching_up: bool,
    count: Count,
}

/// What was read of the log, by the numbers of its records.
#[derive(Debug, Default)]
pub(super) struct Count {
    next_seq: Option<u64>,
    /// Records read.
    pub(super) records: u64,
    /// Records that the kernel overwrote before.
    pub(super) lost: u64,
    /// Reports made of them.
    pub(super) reports: u64,
}

impl Count {
    /// Counts a record, and those that are missing before it; false where it was read already.
    pub(super) fn take(&mut self, record: &Record) -> bool {
        if let Some(next) = self.next_seq {
            if record.seq < next {
                return false;
            }
            self.lost += record.seq - next;
        }
        self.next_seq = Some(record.seq.saturating_add(1));
        self.records += 1;
        true
    }

    /// The rows of the source.
    pub(super) fn put(&self, rows: &mut Rows) {
        rows.scalar(b"records", self.records);
        rows.scalar(b"lost_records", self.lost);
        rows.scalar(b"reports", self.reports);
    }
}

/// Makes the sampler.
pub fn sampler(setup: &Setup) -> Box<dyn Sampler> {
    Box::new(Kmsg::new(setup.recorded_until_us))
}

impl Sampler for Kmsg {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        let path = "dev/kmsg";
        let lost = self.count.lost;
        let fd = match self.held.take() {
            Some(fd) => Ok(fd),
            None => moment.root.open_file(path).and_then(|fd| self.place(fd)),
        };
        let read = fd.and_then(|fd| self.read(&fd, rows).map(|bytes| (fd, bytes)));
        let bytes = match read {
            Ok((fd, bytes)) => {
                self.held = Some(fd);
                bytes
            }
            Err(error) => return Outcome::nothing(files::explain(error, path, SPEC.needs)),
        };
        self.count.put(rows);
        let reason = (self.count.lost > lost)
            .then(|| "the kernel overwrote records before they were read".to_owned());
        Outcome::obtained(reason, bytes)
    }
}

impl Kmsg {
    fn new(since_us: Option<i64>) -> Self {
        Self {
            held: None,
            since_us,
            buffer: vec![0; BUFFER_BYTES],
            text: Vec::new(),
            fold: Fold::default(),
            last_read_us: None,
            open_from_us: i64::MIN,
            is_catching_up: since_us.is_some(),
            count: Count::default(),
        }
    }

    /// Goes to where reading begins: the end of the log, or its beginning when some of it was logged
    /// after the recording left off.
    fn place(&self, fd: OwnedFd) -> Result<OwnedFd, Errno> {
        if self.since_us.is_none() && self.last_read_us.is_none() {
            rustix::fs::seek(&fd, SeekFrom::End(0))?;
        }
        Ok(fd)
    }

    /// Reads what is there and hands over the reports that are whole.
    fn read(&mut self, fd: &OwnedFd, rows: &mut Rows) -> Result<u64, Errno> {
        let mut bytes = 0;
        let before = self.count.records;
        let was_open = self.fold.is_open();
        let is_catching_up = self.is_catching_up;
        for _ in 0..MOST_RECORDS {
            match rustix::io::read(fd, self.buffer.as_mut_slice()) {
                Ok(0) | Err(Errno::AGAIN) => {
                    self.is_catching_up = false;
                    break;
                }
                Ok(length) => {
                    bytes += length as u64;
                    self.text
                        .extend_from_slice(self.buffer.get(..length).unwrap_or_default());
                    self.take_lines();
                }
                // It overran; the next read gives the oldest record that is left.
                Err(Errno::PIPE | Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        // A report whose last line does not come in a whole tick has none.
        if was_open && self.count.records == before {
            self.fold.close();
        }
        let now = us_of(ClockId::Boottime);
        let offset = now - us_of(ClockId::Monotonic);
        let last_read = self.last_read_us.or(self.since_us).unwrap_or(now);
        let from = if was_open {
            self.open_from_us
        } else {
            last_read
        };
        for report in self.fold.drain() {
            let at = i64::try_from(report.stamp_us)
                .unwrap_or(i64::MAX)
                .saturating_add(offset);
            if is_catching_up && self.since_us.is_some_and(|since| at <= since) {
                continue; // it stands in the recording already
            }
            let mut happening = report.happening;
            happening.boottime_us = Some(at.clamp(from.min(now), now));
            self.count.reports += 1;
            rows.happened(happening);
        }
        if !was_open || self.count.records > before {
            self.open_from_us = last_read;
        }
        self.last_read_us = Some(now);
        Ok(bytes)
    }

    /// Takes the whole lines of what was read.
    fn take_lines(&mut self) {
        let text = std::mem::take(&mut self.text);
        let mut rest = text.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at_checked(end).unwrap_or((rest, b""));
            rest = after.strip_prefix(b"\n").unwrap_or(after);
            if line.starts_with(b" ") {
                continue;
            }
            let Some(record) = parse_record(line) else {
                continue;
            };
            // One that was read already comes where the log was opened anew.
            if self.count.take(&record) {
                self.fold.take(&record);
            }
        }
        if rest.len() <= LONGEST_LINE {
            self.text = rest.to_vec();
        }
    }
}

/// A clock in us.
fn us_of(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test that fails may panic"
    )]

    use std::fs;
    use std::io::Write as _;

    use memsoak_schema::{Happening, Status, Value};

    use super::super::made_up::MadeUp;
    use super::*;

    /// A made-up log that grows.
    struct Log(MadeUp);

    impl Log {
        fn new(text: &str) -> Self {
            let machine = MadeUp::new();
            machine.file("dev/kmsg", text);
            Self(machine)
        }

        fn add(&self, text: &str) {
            let path = self.0.path().join("dev/kmsg");
            let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn sample(&self, kmsg: &mut Kmsg) -> (Outcome, Vec<Value>, Vec<Happening>) {
            let (rows, outcome) = self.0.sample(kmsg, false);
            let values = rows.iter().map(|row| row.values()[0]).collect();
            (outcome, values, rows.happenings().0.to_vec())
        }
    }

    fn kill(seq: u64, at_us: i64) -> String {
        format!(
            "3,{seq},{at_us},-;Out of memory: Killed process {seq} (hog) total-vm:8kB, anon-rss:4kB\n"
        )
    }

    fn victims(happenings: &[Happening]) -> Vec<i64> {
        happenings
            .iter()
            .map(|one| one.detail["victim_pid"].as_i64().unwrap())
            .collect()
    }

    #[test]
    fn a_new_recording_passes_over_what_was_logged_before_it() {
        let log = Log::new(&kill(7, 1_000));
        let mut kmsg = Kmsg::new(None);
        let (outcome, values, happenings) = log.sample(&mut kmsg);
        assert_eq!(outcome.status, Status::Ok);
        assert_eq!(values, [0, 0, 0].map(Value::Int));
        assert_eq!(happenings, vec![]);
        log.add(&kill(8, 2_000));
        let (_, values, happenings) = log.sample(&mut kmsg);
        assert_eq!(values, [1, 0, 1].map(Value::Int));
        assert_eq!(victims(&happenings), [8]);
    }

    #[test]
    fn a_recording_that_goes_on_takes_up_what_was_logged_since_its_last_tick() {
        let offset = us_of(ClockId::Boottime) - us_of(ClockId::Monotonic);
        let now = us_of(ClockId::Monotonic);
        let log = Log::new(&[kill(7, now - 9_000_000), kill(8, now - 3_000_000)].concat());
        let mut kmsg = Kmsg::new(Some(offset + now - 5_000_000));
        let (_, _, happenings) = log.sample(&mut kmsg);
        assert_eq!(victims(&happenings), [8]);
        let at = happenings[0].boottime_us.unwrap();
        assert!((at - (offset + now - 3_000_000)).abs() < 1_000, "{at}");
    }

    #[test]
    fn a_time_lies_between_the_reads_around_it_however_far_the_logs_clock_has_drifted() {
        let log = Log::new("");
        let mut kmsg = Kmsg::new(None);
        let before = us_of(ClockId::Boottime);
        log.sample(&mut kmsg);
        log.add(&kill(1, 5));
        log.add(&kill(2, i64::MAX / 2));
        let (_, _, happenings) = log.sample(&mut kmsg);
        let after = us_of(ClockId::Boottime);
        for one in &happenings {
            let at = one.boottime_us.unwrap();
            assert!((before..=after).contains(&at), "{at}");
        }
        assert_eq!(victims(&happenings), [1, 2]);
        assert!(happenings[0].boottime_us < happenings[1].boottime_us);
        assert_eq!(happenings[0].detail["log_us"], 5);
    }

    #[test]
    fn a_report_that_is_printed_across_ticks_is_one_and_one_without_an_end_ends_with_silence() {
        let log = Log::new("");
        let mut kmsg = Kmsg::new(None);
        log.sample(&mut kmsg);
        log.add(
            "4,1,1000,-;a invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0\n4,2,1001,-;M",
        );
        let (_, values, happenings) = log.sample(&mut kmsg);
        assert_eq!((values[0], happenings.len()), (Value::Int(1), 0));
        log.add("em-Info:\n");
        assert_eq!(log.sample(&mut kmsg).2.len(), 0);
        log.add(&kill(3, 1_002));
        let (_, values, happenings) = log.sample(&mut kmsg);
        assert_eq!(values, [3, 0, 1].map(Value::Int));
        assert_eq!(victims(&happenings), [3]);
        assert!(happenings[0].text.windows(9).any(|w| w == b"Mem-Info:"));

        log.add("1,4,9000000,-;BUG: KASAN: slab-use-after-free in f+0x1/0x2\n");
        assert_eq!(log.sample(&mut kmsg).2.len(), 0);
        let (_, _, happenings) = log.sample(&mut kmsg);
        assert_eq!(happenings[0].kind, "kasan");
    }

    #[test]
    fn records_that_were_overwritten_are_counted_and_told() {
        let log = Log::new("");
        let mut kmsg = Kmsg::new(None);
        log.sample(&mut kmsg);
        log.add("6,10,1,-;usb\n SUBSYSTEM=usb\n6,11,2,-;usb\nnonsense\n6,15,3,-;usb\n");
        let (outcome, values, _) = log.sample(&mut kmsg);
        assert_eq!(values, [3, 3, 0].map(Value::Int));
        assert_eq!(outcome.status, Status::Partial);
        assert_eq!(log.sample(&mut kmsg).0.status, Status::Ok);
    }
}
