//! `/proc/PID/smaps_rollup`: what each process has for itself (USS) and its fair share of the rest (PSS).

#![deny(clippy::indexing_slicing)]

use std::collections::HashMap;

use memsoak_schema::{Label, MetricSpec, Rows, Shape, Spec, Unit, Value};
use rustix::io::Errno;

use super::smaps_text::{Figures, parse_rollup};
use super::turn::{Cost, Credit, Look, TAKES_TOO_LONG, Turn, thread_us};
use super::{Moment, Outcome, Sampler, Setup, files};
use crate::root::read_whole;

/// The description of the source.
pub static SPEC: Spec = Spec {
    name: "smaps_rollup",
    paths: &["proc/PID/smaps_rollup"],
    shape: Shape::Entities {
        columns: &[
            MetricSpec::gauge("rss_kib", Unit::Kib),
            MetricSpec::gauge("pss_kib", Unit::Kib),
            MetricSpec::gauge("pss_anon_kib", Unit::Kib),
            MetricSpec::gauge("pss_file_kib", Unit::Kib),
            MetricSpec::gauge("pss_shmem_kib", Unit::Kib),
            MetricSpec::gauge("uss_kib", Unit::Kib),
            MetricSpec::gauge("private_dirty_kib", Unit::Kib),
            MetricSpec::gauge("lazy_free_kib", Unit::Kib),
            MetricSpec::gauge("anon_huge_kib", Unit::Kib),
            MetricSpec::gauge("hugetlb_kib", Unit::Kib),
            MetricSpec::gauge("swap_kib", Unit::Kib),
            MetricSpec::gauge("swap_pss_kib", Unit::Kib),
            MetricSpec::gauge("locked_kib", Unit::Kib),
        ],
    },
    interval_s: 60,
    needs: "Linux 4.14 with CONFIG_PROC_PAGE_MONITOR; CAP_SYS_PTRACE for other users' processes",
    caveats: "Processes are read in turn, each at most once in ten samples where there are more than \
        640, and only where statm differs from what it was at the last read, or after 60 samples: what \
        a process shares can change without that, so a PSS can be as old. A process of which a \
        read would take over 16 ms (about 1 GiB of resident memory) is left out. Anonymous, file and \
        shmem parts of PSS since Linux 5.3. hugetlb_kib is in none of the others.",
    overhead: "67 us for a process of 1 MiB and 15 us for each further MiB, with its mmap lock held \
        for reading (since Linux 5.10 let go where somebody waits to write); 3 ms of CPU a sample on \
        average, or what a round of all within 60 samples takes, with 6.5 us for each of the tenth \
        whose turn it is; beside it 0.7 us a process for a listing.",
};

const COLUMNS: usize = 13;

/// CPU time that samples take on average.
const SAMPLE_US: f64 = 3_000.0;
/// A round of all takes at most this many samples, whatever it costs: `--cpu-budget` then stretches
/// their interval. A process that looks unchanged is read anew after as many.
const ROUND: u32 = 60;

/// A process that was read.
struct Process {
    key: Vec<u8>,
    comm: Vec<u8>,
    values: [Value; COLUMNS],
    read_at: u32,
}

#[derive(Default)]
struct Rollup {
    turn: Turn,
    cost: Cost,
    credit: Credit,
    read: HashMap<u32, Process>,
    samples: u32,
    /// What reads cost since the last round of all began, and the visits of it so far.
    round_us: f64,
    round_visits: usize,
    /// What one sample may cost: a part of what the last round did.
    allowed_us: f64,
    buffer: Vec<u8>,
}

/// Makes the sampler.
pub fn sampler(_: &Setup) -> Box<dyn Sampler> {
    Box::new(Rollup::default())
}

/// What went wrong with some processes of a sample.
#[derive(Default)]
struct Trouble {
    denied: bool,
    absent: bool,
    too_large: bool,
}

impl Sampler for Rollup {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        let mut gone = Vec::new();
        match self.turn.list(moment.root) {
            Ok(ended) => ended.iter().for_each(|pid| self.forget(*pid, &mut gone)),
            Err(error) => return files::no_processes(error),
        }
        self.samples += 1;
        let began = thread_us();
        self.credit.earn(self.allowed_us.max(SAMPLE_US));
        let mut trouble = Trouble::default();
        let mut fresh = Vec::new();
        let mut bytes = 0;
        let taken = self.turn.take();
        let mut all_had_their_turn = true;
        for (at, &pid) in taken.iter().enumerate() {
            if !self.credit.is_left() {
                self.turn.put_back(taken.get(at..).unwrap_or_default());
                all_had_their_turn = false;
                break;
            }
            self.round_visits += 1;
            if let Some(read) = self.visit(moment, pid, &mut trouble, &mut gone) {
                bytes += read;
                fresh.push(pid);
            }
        }
        self.credit.spend();
        self.end_round(thread_us() - began);
        self.hand_over(moment.full, &fresh, &gone, rows);
        // One that may be read may still come.
        let nothing = all_had_their_turn && self.read.is_empty();
        outcome(&trouble, nothing, bytes)
    }
}

impl Rollup {
    fn forget(&mut self, pid: u32, gone: &mut Vec<Vec<u8>>) {
        gone.extend(self.read.remove(&pid).map(|process| process.key));
    }

    /// Looks at a process and reads it where it is worth that. Returns the bytes that were read.
    fn visit(
        &mut self,
        moment: &Moment<'_>,
        pid: u32,
        trouble: &mut Trouble,
        gone: &mut Vec<Vec<u8>>,
    ) -> Option<u64> {
        let root = moment.root;
        let is_fresh = |process: &Process| self.samples - process.read_at < ROUND;
        let statm = match self.turn.look(root, pid) {
            Look::Nothing | Look::Gone => {
                self.forget(pid, gone);
                return None;
            }
            Look::Same(_) if self.read.get(&pid).is_some_and(is_fresh) => return None,
            Look::Same(statm) | Look::Changed(statm) => statm,
        };
        if self.cost.is_too_much(statm.resident_pages) {
            trouble.too_large = true;
            self.forget(pid, gone);
            return None;
        }
        let began = thread_us();
        let read = root
            .open_file(&format!("proc/{pid}/smaps_rollup"))
            .and_then(|file| read_whole(&file, &mut self.buffer));
        match read {
            Ok(()) => self.cost.note(statm.resident_pages, thread_us() - began),
            Err(error) => {
                trouble.denied |= matches!(error, Errno::ACCESS | Errno::PERM);
                trouble.absent |= error == Errno::NOENT;
                self.forget(pid, gone);
                return None;
            }
        }
        let identity = self.turn.identity(root, pid);
        let (Some(figures), Some((key, comm))) = (parse_rollup(&self.buffer), identity) else {
            self.forget(pid, gone);
            return None;
        };
        if self.read.get(&pid).is_some_and(|known| known.key != key) {
            self.forget(pid, gone); // the pid's next owner
        }
        let process = Process {
            key,
            comm,
            values: values(&figures),
            read_at: self.samples,
        };
        self.read.insert(pid, process);
        Some(self.buffer.len() as u64)
    }

    /// Counts what a round costs, and what each sample may take so that it ends in time.
    fn end_round(&mut self, took_us: f64) {
        self.round_us += took_us;
        if self.round_visits >= self.turn.known.len() {
            self.allowed_us = self.round_us / f64::from(ROUND);
            self.round_us = 0.0;
            self.round_visits = 0;
        }
    }

    fn hand_over(&self, full: bool, fresh: &[u32], gone: &[Vec<u8>], rows: &mut Rows) {
        if full {
            let mut pids: Vec<_> = self.read.keys().copied().collect();
            pids.sort_unstable();
            for pid in pids {
                self.put(pid, rows);
            }
            return;
        }
        rows.set_incremental();
        for pid in fresh {
            self.put(*pid, rows);
        }
        gone.iter().for_each(|key| rows.gone(key));
    }

    fn put(&self, pid: u32, rows: &mut Rows) {
        if let Some(process) = self.read.get(&pid) {
            rows.entity(&process.key, &process.comm, &process.values);
            rows.label("pid", Label::Int(i64::from(pid)));
        }
    }
}

fn values(figures: &Figures) -> [Value; COLUMNS] {
    [
        figures.rss,
        figures.pss,
        figures.pss_anon,
        figures.pss_file,
        figures.pss_shmem,
        figures.uss(),
        figures.private_dirty,
        figures.lazy_free,
        figures.anon_huge,
        figures.hugetlb,
        figures.swap,
        figures.swap_pss,
        figures.locked,
    ]
    .map(Value::from)
}

fn outcome(trouble: &Trouble, nothing: bool, bytes: u64) -> Outcome {
    let refused = |error| {
        let why = files::explain(error, "proc/PID/smaps_rollup", SPEC.needs);
        Outcome::nothing(why).having_read(bytes)
    };
    let reason = if nothing && trouble.absent {
        return refused(Errno::NOENT);
    } else if nothing && trouble.denied {
        return refused(Errno::ACCESS);
    } else if trouble.denied {
        Some(files::SOME_DENIED)
    } else if trouble.too_large {
        Some(TAKES_TOO_LONG)
    } else {
        None
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

    use memsoak_schema::Status;

    use super::super::fixtures::values as row_values;
    use super::super::made_up::MadeUp;
    use super::*;

    fn rollup(private_dirty: u64) -> String {
        format!(
            "10-20 ---p 00000000 00:00 0 [rollup]\nRss: {} kB\nPss: {} kB\n\
             Private_Clean: 4 kB\nPrivate_Dirty: {private_dirty} kB\nSwap: 0 kB\n",
            private_dirty + 104,
            private_dirty + 54
        )
    }

    fn sample(rollup: &mut Rollup, proc: &MadeUp, full: bool) -> (Rows, Outcome) {
        proc.sample(rollup, full)
    }

    fn gone(rows: &Rows) -> Vec<&[u8]> {
        rows.gone_keys().collect()
    }

    #[test]
    fn only_what_changed_is_read_again_and_the_full_picture_has_all() {
        let proc = MadeUp::new();
        proc.process(7, 100, "grows", 300);
        proc.file("proc/7/smaps_rollup", rollup(1000));
        proc.process(8, 100, "idle", 300);
        proc.file("proc/8/smaps_rollup", rollup(500));
        proc.kernel_thread(9);
        let mut sampler = Rollup::default();
        let (rows, outcome) = sample(&mut sampler, &proc, true);
        assert_eq!((rows.len(), outcome.status), (2, Status::Ok));
        let [rss, pss] = [1104, 1054].map(Value::Int);
        assert_eq!(row_values(&rows, "7.100")[..2], [rss, pss]);
        assert_eq!(row_values(&rows, "7.100")[5], Value::Int(1004), "uss");
        assert_eq!(row_values(&rows, "7.100")[2], Value::Null, "not given");

        proc.process(7, 100, "grows", 400);
        proc.file("proc/7/smaps_rollup", rollup(1400));
        proc.file("proc/8/smaps_rollup", rollup(999));
        let (rows, _) = sample(&mut sampler, &proc, false);
        assert!(rows.is_incremental());
        assert_eq!(rows.len(), 1, "the statm of the other one is the same");
        assert_eq!(row_values(&rows, "7.100")[6], Value::Int(1400));
        let (rows, _) = sample(&mut sampler, &proc, true);
        assert_eq!(row_values(&rows, "8.100")[6], Value::Int(500));

        proc.end(8);
        let (rows, _) = sample(&mut sampler, &proc, false);
        assert_eq!(gone(&rows), vec![&b"8.100"[..]]);
    }

    #[test]
    fn what_looks_unchanged_is_read_anew_after_a_round() {
        let proc = MadeUp::new();
        proc.process(7, 100, "forks", 300);
        proc.file("proc/7/smaps_rollup", rollup(1000));
        let mut sampler = Rollup::default();
        sample(&mut sampler, &proc, true);
        proc.file("proc/7/smaps_rollup", rollup(2));
        let reads: Vec<_> = (1..=60)
            .map(|_| sample(&mut sampler, &proc, false).0.len())
            .collect();
        assert_eq!(reads.iter().sum::<usize>(), 1);
        assert_eq!(reads[59], 1);
    }

    #[test]
    fn a_huge_process_is_left_out_and_that_is_told() {
        let proc = MadeUp::new();
        proc.process(7, 100, "database", 20 << 20);
        proc.file("proc/7/smaps_rollup", rollup(1000));
        proc.process(8, 100, "small", 300);
        proc.file("proc/8/smaps_rollup", rollup(500));
        let (rows, outcome) = sample(&mut Rollup::default(), &proc, true);
        assert_eq!((rows.len(), outcome.status), (1, Status::Partial));
        assert!(outcome.reason.unwrap().contains("16 ms"));
    }

    #[test]
    fn a_kernel_without_it_is_a_state() {
        let proc = MadeUp::new();
        proc.process(7, 100, "a", 300);
        let (_, outcome) = sample(&mut Rollup::default(), &proc, true);
        assert_eq!(outcome.status, Status::Unavailable);
        assert!(outcome.reason.unwrap().contains("CONFIG_PROC_PAGE_MONITOR"));
    }

    #[test]
    fn the_next_owner_of_a_pid_is_another_process() {
        let proc = MadeUp::new();
        proc.process(7, 100, "old", 300);
        proc.file("proc/7/smaps_rollup", rollup(1000));
        let mut sampler = Rollup::default();
        sample(&mut sampler, &proc, true);
        proc.process(7, 900, "new", 310);
        let (rows, _) = sample(&mut sampler, &proc, false);
        assert_eq!(gone(&rows), vec![&b"7.100"[..]]);
        assert_eq!(rows.iter().next().unwrap().name(), b"new");
    }
}
