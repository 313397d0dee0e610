//! `/proc/PID/smaps` folded by the names of mappings, as pmap shows them: of the largest processes and
//! of those that grow.

#![deny(clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashMap};

use memsoak_schema::{Label, MetricSpec, Rows, Shape, Spec, Unit, Value};
use rustix::io::Errno;

use super::smaps_text::{Folder, Mappings};
use super::turn::{Cost, Credit, Look, TAKES_TOO_LONG, Turn, thread_us};
use super::{Moment, Outcome, Sampler, Setup, files};
use crate::root::Root;

/// The description of the source.
pub static SPEC: Spec = Spec {
    name: "smaps",
    paths: &["proc/PID/smaps"],
    shape: Shape::Entities {
        columns: &[
            MetricSpec::gauge("mappings", Unit::Count),
            MetricSpec::gauge("size_kib", Unit::Kib),
            MetricSpec::gauge("rss_kib", Unit::Kib),
            MetricSpec::gauge("pss_kib", Unit::Kib),
            MetricSpec::gauge("private_clean_kib", Unit::Kib),
            MetricSpec::gauge("private_dirty_kib", Unit::Kib),
            MetricSpec::gauge("anonymous_kib", Unit::Kib),
            MetricSpec::gauge("anon_huge_kib", Unit::Kib),
            MetricSpec::gauge("swap_kib", Unit::Kib),
            MetricSpec::gauge("locked_kib", Unit::Kib),
        ],
    },
    interval_s: 120,
    needs: "CONFIG_PROC_PAGE_MONITOR; CAP_SYS_PTRACE for other users' processes",
    caveats: "Of the 4 processes with the most resident memory, and of the 4 that grew most by more \
        than a tenth since they were first seen; a process that another one has overtaken by a \
        quarter is read no more, and its rows end. What costs more than the average of a sample is read \
        in turn, so figures can be some samples old. A row is a process and a name: a path, [heap], \
        [anon:NAME], or [anon] where the kernel gives none; at most 64 names a process, those that \
        came first or are largest, and the rest as [others]. A process of which a read would take \
        over 16 ms (about 1 GiB of resident memory), or with more than 16,384 mappings, is left out.",
    overhead: "160 us for a process of 1 MiB and 15 us for each further MiB, with its mmap lock held \
        for reading six mappings at a time; 4 ms of CPU a sample on average, with 6.5 us \
        for each of the tenth of all whose turn it is to be looked at; beside it 0.7 us a process for \
        a listing.",
};

const COLUMNS: usize = 10;

/// CPU time that samples take on average.
const SAMPLE_US: f64 = 4_000.0;
/// Processes of each of the two kinds.
const MOST: usize = 4;
/// One that grew by less since it was first seen does not grow: it breathes.
const GROWN: f64 = 0.1;
/// By so much another one must be ahead to take a place, so that two alike do not take it in turn.
const AHEAD: f64 = 1.25;
/// Names of mappings that are told apart in a process.
const MOST_NAMES: usize = 64;
/// Mappings of a process that are read: four times what a large program has, and about 10 MB of text.
const MOST_MAPPINGS: usize = 16_384;
/// What is read at once: the kernel fills a page at a time.
const PIECE: usize = 16 << 10;
/// Where the names beyond [`MOST_NAMES`] are added up.
const OTHERS: &[u8] = b"[others]";

/// A process whose mappings are recorded.
struct Process {
    key: Vec<u8>,
    comm: Vec<u8>,
    names: BTreeMap<Vec<u8>, [Value; COLUMNS]>,
    read_at: u32,
}

#[derive(Default)]
struct Smaps {
    turn: Turn,
    cost: Cost,
    credit: Credit,
    samples: u32,
    largest: Vec<u32>,
    growing: Vec<u32>,
    /// What cannot be read, and why not.
    refused: HashMap<u32, Refusal>,
    read: HashMap<u32, Process>,
    piece: Vec<u8>,
}

/// Makes the sampler.
pub fn sampler(_: &Setup) -> Box<dyn Sampler> {
    Box::new(Smaps::default())
}

/// Why a process was not read; what matters more stands later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Refusal {
    Ended,
    Absent,
    TooMany,
    Denied,
}

impl Sampler for Smaps {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        let root = moment.root;
        let ended = match self.turn.list(root) {
            Ok(ended) => ended,
            Err(error) => return files::no_processes(error),
        };
        self.samples += 1;
        self.credit.earn(SAMPLE_US);
        for pid in ended {
            self.refused.remove(&pid);
        }
        for pid in self.turn.take() {
            if let Look::Changed(_) = self.turn.look(root, pid) {
                self.refused.remove(&pid);
            }
        }
        for pid in self.read.keys() {
            self.turn.look(root, *pid);
        }
        let is_left_out = self.choose();
        let mut chosen: Vec<u32> = self.largest.iter().chain(&self.growing).copied().collect();
        chosen.sort_unstable();
        chosen.dedup();
        self.read.retain(|pid, _| chosen.contains(pid));
        // Those that have waited longest; the others keep what was read before.
        chosen.sort_by_key(|pid| self.read.get(pid).map_or(0, |process| process.read_at));
        let mut bytes = 0;
        for pid in chosen {
            if !self.credit.is_left() {
                break;
            }
            match self.read_one(root, pid) {
                Ok((process, length)) => {
                    bytes += length;
                    self.read.insert(pid, process);
                }
                Err(Refusal::Ended) => {
                    self.read.remove(&pid);
                }
                Err(why) => {
                    self.read.remove(&pid);
                    self.refused.insert(pid, why);
                }
            }
        }
        self.credit.spend();
        put(&self.read, rows);
        let refusal = self.refused.values().max().copied();
        outcome(refusal, is_left_out, rows.is_empty(), bytes)
    }
}

impl Smaps {
    /// Settles whose mappings are read; says whether a process is too large for that.
    fn choose(&mut self) -> bool {
        let mut is_left_out = false;
        let mut sizes: HashMap<u32, u64> = HashMap::new();
        let mut growths: HashMap<u32, u64> = HashMap::new();
        for (pid, known) in &self.turn.known {
            let Some(statm) = known.statm.filter(|statm| statm.size_pages > 0) else {
                continue;
            };
            if self.cost.is_too_much(statm.resident_pages) {
                is_left_out = true;
                continue;
            }
            if self.refused.contains_key(pid) {
                continue;
            }
            sizes.insert(*pid, statm.resident_pages);
            let growth = statm.resident_pages.saturating_sub(known.first_pages);
            #[expect(clippy::cast_precision_loss, reason = "numbers of pages")]
            if growth as f64 > GROWN * known.first_pages as f64 {
                growths.insert(*pid, growth);
            }
        }
        keep_best(&mut self.largest, &sizes);
        keep_best(&mut self.growing, &growths);
        is_left_out
    }

    fn read_one(&mut self, root: &Root, pid: u32) -> Result<(Process, u64), Refusal> {
        let began = thread_us();
        let (folder, bytes) = self.fold(root, pid)?;
        if let Some(statm) = self.turn.known.get(&pid).and_then(|known| known.statm) {
            self.cost.note(statm.resident_pages, thread_us() - began);
        }
        let (key, comm) = self.turn.identity(root, pid).ok_or(Refusal::Ended)?;
        if folder.folded.is_empty() {
            return Err(Refusal::Ended);
        }
        let before = self.read.get(&pid).filter(|before| before.key == key);
        let names = bounded(folder, before);
        let process = Process {
            key,
            comm,
            names,
            read_at: self.samples,
        };
        Ok((process, bytes))
    }

    /// Reads the mappings piece by piece: the kernel lets go of the process in between.
    fn fold(&mut self, root: &Root, pid: u32) -> Result<(Folder, u64), Refusal> {
        let refused = |error| match error {
            Errno::ACCESS | Errno::PERM => Refusal::Denied,
            Errno::NOENT if root.stat(&format!("proc/{pid}/statm")).is_some() => Refusal::Absent,
            _ => Refusal::Ended,
        };
        let file = root
            .open_file(&format!("proc/{pid}/smaps"))
            .map_err(refused)?;
        self.piece.resize(PIECE, 0);
        let mut folder = Folder::default();
        let mut bytes = 0;
        loop {
            match rustix::io::read(&file, self.piece.as_mut_slice()) {
                Ok(0) => break,
                Ok(length) => {
                    bytes += length as u64;
                    folder.take(self.piece.get(..length).unwrap_or_default());
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(refused(error)),
            }
            if folder.count > MOST_MAPPINGS {
                return Err(Refusal::TooMany);
            }
        }
        folder.finish();
        Ok((folder, bytes))
    }
}

/// Keeps those that are there and lets others in that are clearly ahead.
fn keep_best(held: &mut Vec<u32>, values: &HashMap<u32, u64>) {
    held.retain(|pid| values.contains_key(pid));
    let of = |pid: &u32| values.get(pid).copied().unwrap_or(0);
    let mut others: Vec<u32> = values
        .keys()
        .filter(|pid| !held.contains(pid))
        .copied()
        .collect();
    others.sort_unstable_by_key(|pid| (std::cmp::Reverse(of(pid)), *pid));
    for other in others {
        if held.len() < MOST {
            held.push(other);
            continue;
        }
        let least = held.iter_mut().min_by_key(|pid| of(pid));
        #[expect(clippy::cast_precision_loss, reason = "numbers of pages")]
        match least {
            Some(least) if of(&other) as f64 > AHEAD * of(least) as f64 => *least = other,
            _ => break,
        }
    }
}

/// The names of a process that have a row: those that had one, then the largest.
fn bounded(folder: Folder, before: Option<&Process>) -> BTreeMap<Vec<u8>, [Value; COLUMNS]> {
    let was_there = |name: &[u8]| before.is_some_and(|before| before.names.contains_key(name));
    let mut folded = folder.folded;
    folded.sort_by_key(|(name, mappings)| (!was_there(name), std::cmp::Reverse(mappings.sums.rss)));
    let mut names = BTreeMap::new();
    let mut others = Mappings::default();
    for (at, (name, mappings)) in folded.into_iter().enumerate() {
        if at < MOST_NAMES {
            names.insert(name, values(&mappings));
        } else {
            others.add(&mappings);
        }
    }
    if others.count > 0 {
        names.insert(OTHERS.to_vec(), values(&others));
    }
    names
}

fn values(mappings: &Mappings) -> [Value; COLUMNS] {
    let sums = &mappings.sums;
    [
        Some(mappings.count),
        sums.size,
        sums.rss,
        sums.pss,
        sums.private_clean,
        sums.private_dirty,
        sums.anonymous,
        sums.anon_huge,
        sums.swap,
        sums.locked,
    ]
    .map(Value::from)
}

fn put(read: &HashMap<u32, Process>, rows: &mut Rows) {
    let mut pids: Vec<_> = read.keys().copied().collect();
    pids.sort_unstable();
    let mut key = Vec::new();
    for pid in pids {
        let Some(process) = read.get(&pid) else {
            continue;
        };
        for (name, values) in &process.names {
            key.clear();
            key.extend_from_slice(&process.key);
            key.push(b'.');
            key.extend_from_slice(name);
            rows.entity(&key, &process.comm, values);
            rows.label("pid", Label::Int(i64::from(pid)));
            rows.label("file", Label::Bytes(name));
        }
    }
}

fn outcome(refusal: Option<Refusal>, is_left_out: bool, nothing: bool, bytes: u64) -> Outcome {
    let refused = |error| {
        let why = files::explain(error, "proc/PID/smaps", SPEC.needs);
        Outcome::nothing(why).having_read(bytes)
    };
    let reason = match refusal {
        Some(Refusal::Absent) if nothing => return refused(Errno::NOENT),
        Some(Refusal::Denied) if nothing => return refused(Errno::ACCESS),
        Some(Refusal::Denied) => Some(files::SOME_DENIED),
        Some(Refusal::TooMany) => Some("a process with more than 16,384 mappings is left out"),
        _ if is_left_out => Some(TAKES_TOO_LONG),
        _ => None,
    };
    Outcome::obtained(reason.map(str::to_owned), bytes)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test that fails may panic"
    )]

    use std::fmt::Write;

    use memsoak_schema::Status;

    use super::super::fixtures::values as row_values;
    use super::super::made_up::MadeUp;
    use super::*;

    fn smaps(mappings: &[(&str, u64)]) -> String {
        let mut text = String::new();
        for (name, rss) in mappings {
            writeln!(text, "7f00-7f10 rw-p 00000000 00:00 0    {name}").unwrap();
            writeln!(text, "Size: 900 kB\nRss: {rss} kB\nPrivate_Dirty: {rss} kB").unwrap();
            writeln!(text, "VmFlags: rd wr mr").unwrap();
        }
        text
    }

    fn sample(smaps: &mut Smaps, proc: &MadeUp) -> (Rows, Outcome) {
        proc.sample(smaps, false)
    }

    fn pids(rows: &Rows) -> Vec<i64> {
        let mut pids = Vec::new();
        for row in rows.iter() {
            for (name, value) in row.labels() {
                if let ("pid", Label::Int(pid)) = (name, value) {
                    pids.push(pid);
                }
            }
        }
        pids.dedup();
        pids
    }

    #[test]
    fn mappings_of_one_name_are_one_row() {
        let proc = MadeUp::new();
        proc.process(7, 100, "server", 300);
        let text = smaps(&[("[heap]", 40), ("", 8), ("", 4), ("/lib/libc.so.6", 100)]);
        proc.file("proc/7/smaps", &text);
        let (rows, outcome) = sample(&mut Smaps::default(), &proc);
        assert_eq!((rows.len(), outcome.status), (3, Status::Ok));
        let anon = row_values(&rows, "7.100.[anon]");
        assert_eq!(anon[..3], [2, 1800, 12].map(Value::Int));
        assert_eq!(anon[8], Value::Null, "a swap that the kernel did not give");
    }

    #[test]
    fn the_largest_are_read_and_the_one_that_grows_beside_them() {
        let proc = MadeUp::new();
        for pid in 1..=9 {
            proc.process(pid, 100, "p", 1000 * u64::from(pid));
            proc.file(&format!("proc/{pid}/smaps"), smaps(&[("[heap]", 4)]));
        }
        let mut sampler = Smaps::default();
        assert_eq!(pids(&sample(&mut sampler, &proc).0), vec![6, 7, 8, 9]);
        proc.process(2, 100, "p", 2150);
        proc.process(3, 100, "p", 3400);
        assert_eq!(pids(&sample(&mut sampler, &proc).0), vec![3, 6, 7, 8, 9]);
        // One that gets ahead by little does not take the place of another.
        proc.process(5, 100, "p", 6400);
        proc.process(3, 100, "p", 3000);
        assert_eq!(pids(&sample(&mut sampler, &proc).0), vec![5, 6, 7, 8, 9]);
        assert_eq!(sampler.growing, vec![5]);
        proc.process(4, 100, "p", 8000);
        assert_eq!(pids(&sample(&mut sampler, &proc).0), vec![4, 5, 7, 8, 9]);
    }

    #[test]
    fn while_reads_are_being_paid_for_what_was_read_stays() {
        let proc = MadeUp::new();
        proc.process(7, 100, "p", 1000);
        proc.file("proc/7/smaps", smaps(&[("[heap]", 4)]));
        let mut sampler = Smaps::default();
        let heap = |sampler: &mut Smaps| {
            let rows = sample(sampler, &proc).0;
            row_values(&rows, "7.100.[heap]")[2]
        };
        assert_eq!(heap(&mut sampler), Value::Int(4));
        proc.file("proc/7/smaps", smaps(&[("[heap]", 8)]));
        sampler.credit = Credit::owing(5.5 * SAMPLE_US);
        for _ in 0..5 {
            assert_eq!(heap(&mut sampler), Value::Int(4));
        }
        let later: Vec<_> = (0..100).map(|_| heap(&mut sampler)).collect();
        assert!(later.contains(&Value::Int(8)));
    }

    #[test]
    fn names_are_bounded_and_the_rest_is_added_up() {
        let proc = MadeUp::new();
        proc.process(7, 100, "maps", 300);
        let names: Vec<String> = (0..100).map(|n| format!("/tmp/{n}")).collect();
        let text: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(1..).collect();
        proc.file("proc/7/smaps", smaps(&text));
        let mut sampler = Smaps::default();
        let (rows, _) = sample(&mut sampler, &proc);
        assert_eq!(rows.len(), 65);
        // 1 + 2 + ... + 36.
        let others = row_values(&rows, "7.100.[others]");
        assert_eq!(others[0], Value::Int(36));
        assert_eq!(others[2], Value::Int(666));
        // What has a row keeps it.
        let text: Vec<(&str, u64)> = names.iter().rev().map(String::as_str).zip(1..).collect();
        proc.file("proc/7/smaps", smaps(&text));
        let (rows, _) = sample(&mut sampler, &proc);
        assert_eq!(row_values(&rows, "7.100./tmp/99")[2], Value::Int(1));
    }

    #[test]
    fn what_has_too_many_mappings_is_left_out_and_not_tried_again_at_once() {
        let proc = MadeUp::new();
        proc.process(7, 100, "maps", 300);
        proc.file("proc/7/smaps", smaps(&vec![("/a", 4); 17_000]));
        let mut sampler = Smaps::default();
        let (rows, outcome) = sample(&mut sampler, &proc);
        assert_eq!((rows.len(), outcome.status), (0, Status::Partial));
        assert!(outcome.reason.unwrap().contains("16,384 mappings"));
        assert!(sampler.refused.contains_key(&7));
    }
}
