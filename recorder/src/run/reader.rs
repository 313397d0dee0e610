//! Reads samplers on a thread of its own, so that a file that blocks costs its source and no tick.
//!
//! A read of /proc can hang in the kernel where no signal reaches it: behind a lock that a stuck
//! process holds, on the way to a mount whose server is gone, in a driver's debugfs file. A read that
//! does not come back in time is given up together with the thread; another thread reads the rest.
//! When the kernel lets the old one go it hands its sampler back and ends.
//!
//! What takes long does not hang: a source goes on as long as it opens files, uses the CPU or waits
//! for it. 32,768 processes, or a machine that thrashes, are no reason to lose a source.
//!
//! All sources of a tick are handed over at once, so that a tick costs one change of threads there
//! and one back, however many sources there are.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use memsoak_schema::{Rows, Status};
use rustix::process::Pid;
use rustix::thread::gettid;

use crate::clock::{boottime_us, thread_cpu_us};
use crate::root::Root;
use crate::source::process_text::parse_stat;
use crate::source::recorder::Figures;
use crate::source::{Moment, Outcome, Sampler};

/// Reads that may hang at once. Each keeps a thread: a stack of which some 20 kB are in use.
const MOST_STUCK: usize = 8;

/// How often it is looked in that time whether a slow read comes on.
const LOOKS: u32 = 4;

/// The samplers use under 64 KiB (a listing of /proc has a buffer of 32 KiB on it), and twice that
/// without optimisation.
const STACK_BYTES: usize = 512 * 1024;

/// One source that is to be read.
pub(super) struct Job {
    /// The source's place in the list that the run began with.
    pub(super) place: usize,
    /// What reads it.
    pub(super) sampler: Box<dyn Sampler>,
    /// Memory for its rows, and what happened that is not stored yet.
    pub(super) rows: Rows,
    /// Every row is wanted.
    pub(super) full: bool,
}

/// One source that was read.
pub(super) struct Done {
    /// What it was read with.
    pub(super) job: Job,
    /// How that went.
    pub(super) outcome: Outcome,
    /// How long it took in us.
    pub(super) took_us: i64,
    /// CPU time that it took in us.
    pub(super) cpu_us: i64,
}

/// A read that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stuck {
    /// The source's place.
    pub(super) place: usize,
    /// The file that it opened last, where it opened one.
    pub(super) path: Option<String>,
    /// When the read began, in us of CLOCK_BOOTTIME.
    pub(super) since_us: i64,
    thread: u64,
}

/// What came of a batch of jobs.
#[derive(Default)]
pub(super) struct Batch {
    /// Sources that were read, in the order of the jobs.
    pub(super) done: Vec<Done>,
    /// Reads that did not come back in time.
    pub(super) given_up: Vec<Stuck>,
    /// Jobs that nobody could read, and why.
    pub(super) unread: Option<(Vec<Job>, String)>,
}

/// The threads that read.
pub(super) struct Reader {
    shared: Arc<Shared>,
    root: Root,
    /// How long a read may stand still.
    patience: Duration,
    stuck: Vec<Stuck>,
    /// Threads started so far; the newest one reads.
    threads: u64,
    is_running: bool,
}

struct Shared {
    state: Mutex<State>,
    /// There is something to read, or this thread reads no more.
    work: Condvar,
    /// Everything was read.
    ready: Condvar,
    db: PathBuf,
}

#[derive(Default)]
struct State {
    /// The thread that reads; the others were given up.
    reader: u64,
    todo: VecDeque<Job>,
    doing: Option<Doing>,
    done: Vec<Done>,
    /// What threads that were given up brought in the end.
    returned: Vec<(u64, Job)>,
    figures: Figures,
}

struct Doing {
    place: usize,
    since_us: i64,
    root: Arc<Root>,
    thread: Pid,
}

/// How far a thread has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    steps: u64,
    cpu_ticks: u64,
    /// It runs, or would if there were a CPU for it.
    runs: bool,
}

impl Doing {
    fn progress(&self) -> Progress {
        let file = format!("/proc/self/task/{}/stat", self.thread.as_raw_nonzero());
        let line = std::fs::read(file).unwrap_or_default();
        let stat = parse_stat(&line);
        Progress {
            steps: self.root.steps(),
            cpu_ticks: stat.map_or(0, |stat| stat.utime_ticks + stat.stime_ticks),
            runs: stat.is_some_and(|stat| stat.state == b'R'),
        }
    }
}

impl Reader {
    /// The machine that is read.
    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// Reads below `root`; a read that stands still for longer than `patience` is given up.
    pub(super) fn new(root: Root, db: PathBuf, patience: Duration) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                work: Condvar::new(),
                ready: Condvar::new(),
                db,
            }),
            root,
            patience,
            stuck: Vec::new(),
            threads: 0,
            is_running: false,
        }
    }

    /// Why nothing of a source is read. The words stay the same however long it hangs, since each
    /// reason is stored once.
    /// Where it was not seen which file it is, it is one of the source's `paths`.
    pub(super) fn why_not(&self, place: usize, paths: &[&str]) -> String {
        let file = match self.paths_hung(place).pop() {
            Some(path) => path.to_owned(),
            None => paths.join(" or "),
        };
        format!(
            "a read of {file} blocks: no answer within {:?}",
            self.patience
        )
    }

    /// The files at which reads of a source hang.
    pub(super) fn paths_hung(&self, place: usize) -> Vec<&str> {
        self.stuck
            .iter()
            .filter(|stuck| stuck.place == place)
            .filter_map(|stuck| stuck.path.as_deref())
            .collect()
    }

    /// What hung and came back since the last call: where it hung, and the job as it was handed over.
    /// What happened meanwhile stands in its rows; its values are of no tick.
    pub(super) fn returned(&mut self) -> Vec<(Stuck, Job)> {
        if self.stuck.is_empty() {
            return Vec::new();
        }
        let returned = std::mem::take(&mut self.shared.lock().returned);
        returned
            .into_iter()
            .filter_map(|(thread, job)| {
                let at = self.stuck.iter().position(|one| one.thread == thread)?;
                Some((self.stuck.swap_remove(at), job))
            })
            .collect()
    }

    /// Reads all of it, but does not wait for what hangs.
    pub(super) fn read(&mut self, jobs: Vec<Job>, figures: Figures) -> Batch {
        let mut batch = Batch::default();
        let shared = Arc::clone(&self.shared);
        {
            let mut state = shared.lock();
            state.todo = jobs.into();
            state.figures = figures;
        }
        shared.work.notify_all();
        loop {
            if !self.is_running {
                let started = if self.stuck.len() >= MOST_STUCK {
                    Err(io::Error::other(format!("{MOST_STUCK} reads hang")))
                } else {
                    self.start()
                };
                if let Err(error) = started {
                    let mut state = shared.lock();
                    batch.unread = Some((
                        std::mem::take(&mut state.todo).into(),
                        format!("no thread to read with: {error}"),
                    ));
                    batch.done = std::mem::take(&mut state.done);
                    return batch;
                }
            }
            let mut state = shared.lock();
            let mut last = Progress::default();
            let mut last_at = Instant::now();
            let hangs = loop {
                if state.todo.is_empty() && state.doing.is_none() {
                    batch.done = std::mem::take(&mut state.done);
                    return batch;
                }
                let waited = shared.ready.wait_timeout(state, self.patience / LOOKS);
                let (mut guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                if timeout.timed_out()
                    && let Some(doing) = guard.doing.take()
                {
                    let now = doing.progress();
                    if now.runs || now != last {
                        (last, last_at) = (now, Instant::now());
                    } else if last_at.elapsed() >= self.patience {
                        state = guard;
                        break doing;
                    }
                    guard.doing = Some(doing);
                }
                state = guard;
            };
            state.reader = 0;
            drop(state);
            self.is_running = false;
            let stuck = Stuck {
                place: hangs.place,
                path: hangs.root.opened_last(),
                since_us: hangs.since_us,
                thread: self.threads,
            };
            self.stuck.push(stuck.clone());
            batch.given_up.push(stuck);
        }
    }

    /// Starts the thread that reads from now on.
    fn start(&mut self) -> io::Result<()> {
        let root = Arc::new(self.root.beside()?);
        let shared = Arc::clone(&self.shared);
        let number = self.threads + 1;
        shared.lock().reader = number;
        thread::Builder::new()
            .name("memsoak-reader".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || shared.read_on(number, &root))?;
        self.threads = number;
        self.is_running = true;
        Ok(())
    }
}

impl Drop for Reader {
    /// Lets the thread that waits end. One that hangs cannot be helped.
    fn drop(&mut self) {
        self.shared.lock().reader = 0;
        self.shared.work.notify_all();
    }
}

impl Shared {
    /// No thread panics while it holds the lock, and nothing is left half done under it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a thread: reads what is to be read until another one does.
    fn read_on(&self, number: u64, root: &Arc<Root>) {
        let thread = gettid();
        let mut state = self.lock();
        while state.reader == number {
            let Some(mut job) = state.todo.pop_front() else {
                state = self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let since_us = boottime_us();
            state.doing = Some(Doing {
                place: job.place,
                since_us,
                root: Arc::clone(root),
                thread,
            });
            let figures = state.figures;
            drop(state);
            root.opened_nothing();
            let before_us = thread_cpu_us();
            let outcome = self.sample(&mut job, root, &figures);
            let cpu_us = thread_cpu_us() - before_us;
            let took_us = boottime_us() - since_us;
            state = self.lock();
            if state.reader != number {
                state.returned.push((number, job));
                return;
            }
            state.doing = None;
            state.done.push(Done {
                job,
                outcome,
                took_us,
                cpu_us,
            });
            if state.todo.is_empty() {
                self.ready.notify_one();
            }
        }
    }

    /// One read. A mistake in one source must not end the recording of the others.
    fn sample(&self, job: &mut Job, root: &Root, figures: &Figures) -> Outcome {
        let moment = Moment {
            root,
            full: job.full,
            db: &self.db,
            own: figures,
        };
        let (sampler, rows) = (&mut job.sampler, &mut job.rows);
        rows.clear();
        catch_unwind(AssertUnwindSafe(|| sampler.sample(&moment, rows))).unwrap_or_else(|_| {
            let reason = "a mistake in the program; what it says is on stderr".to_owned();
            Outcome::nothing((Status::Failed, reason))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc;

    use super::*;

    /// Opens a file and then waits until it is let go.
    struct Hanging {
        path: &'static str,
        let_go: mpsc::Receiver<()>,
    }

    /// Takes several times as long as a read may stand still, file by file.
    struct Slow;

    impl Sampler for Slow {
        fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
            for _ in 0..30 {
                let _ = moment.root.open_file("proc/version");
                thread::sleep(Duration::from_millis(10));
            }
            rows.scalar(b"n", 1_i64);
            ok()
        }
    }

    /// Gives a number.
    struct Quick(i64);

    struct Broken;

    fn ok() -> Outcome {
        Outcome::obtained(None, 1)
    }

    impl Sampler for Hanging {
        fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
            let _ = moment.root.open_file(self.path);
            let _ = self.let_go.recv();
            rows.scalar(b"hung", 1_i64);
            ok()
        }
    }

    impl Sampler for Quick {
        fn sample(&mut self, _: &Moment<'_>, rows: &mut Rows) -> Outcome {
            rows.scalar(b"n", self.0);
            ok()
        }
    }

    impl Sampler for Broken {
        fn sample(&mut self, _: &Moment<'_>, _: &mut Rows) -> Outcome {
            panic!("this is a test")
        }
    }

    fn reader(patience_ms: u64) -> Reader {
        let root = Root::open(Path::new("/")).expect("a running machine has a root");
        let patience = Duration::from_millis(patience_ms);
        Reader::new(root, PathBuf::from("soak.db"), patience)
    }

    fn job(place: usize, sampler: impl Sampler + 'static) -> Job {
        Job {
            place,
            sampler: Box::new(sampler),
            rows: Rows::default(),
            full: false,
        }
    }

    fn hanging(path: &'static str) -> (mpsc::Sender<()>, Hanging) {
        let (send, let_go) = mpsc::channel();
        (send, Hanging { path, let_go })
    }

    fn places(batch: &Batch) -> Vec<usize> {
        batch.done.iter().map(|done| done.job.place).collect()
    }

    /// What comes back from threads is waited for, without a bound on the machine's load.
    fn wait_for_one(reader: &mut Reader) -> (Stuck, Job) {
        loop {
            if let Some(one) = reader.returned().pop() {
                return one;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_read_that_hangs_is_named_and_costs_no_other_source() {
        let mut reader = reader(50);
        let (let_go, sampler) = hanging("proc/version");
        let jobs = vec![job(0, Quick(1)), job(1, sampler), job(2, Quick(2))];
        let batch = reader.read(jobs, Figures::default());
        assert_eq!(places(&batch), [0, 2]);
        assert_eq!(batch.given_up.len(), 1);
        assert_eq!(batch.given_up[0].place, 1);
        assert_eq!(batch.given_up[0].path.as_deref(), Some("proc/version"));
        assert_eq!(reader.paths_hung(1), ["proc/version"]);
        assert_eq!(
            reader.why_not(1, &[]),
            "a read of proc/version blocks: no answer within 50ms"
        );

        // The next ticks are read as if it were not there.
        let batch = reader.read(vec![job(2, Quick(3))], Figures::default());
        assert_eq!(places(&batch), [2]);
        assert!(reader.returned().is_empty());

        let_go.send(()).expect("it waits for this");
        let (stuck, back) = wait_for_one(&mut reader);
        assert_eq!((stuck.place, back.place), (1, 1));
        assert_eq!(reader.paths_hung(1), [""; 0]);
        let batch = reader.read(vec![job(0, Quick(4))], Figures::default());
        assert_eq!(places(&batch), [0]);
    }

    #[test]
    fn what_takes_long_but_comes_on_is_waited_for() {
        let mut reader = reader(100);
        let batch = reader.read(vec![job(0, Slow)], Figures::default());
        assert_eq!(places(&batch), [0]);
        assert!(batch.given_up.is_empty());
    }

    #[test]
    fn no_more_than_so_many_reads_may_hang_and_reading_goes_on_when_one_comes_back() {
        let mut reader = reader(50);
        let mut senders = Vec::new();
        for place in 0..MOST_STUCK {
            let (let_go, sampler) = hanging("proc/version");
            senders.push(let_go);
            let batch = reader.read(vec![job(place, sampler)], Figures::default());
            assert_eq!(batch.given_up.len(), 1);
        }
        let batch = reader.read(vec![job(9, Quick(1))], Figures::default());
        assert_eq!(places(&batch), [0; 0]);
        let (jobs, why) = batch.unread.expect("nobody reads it");
        assert_eq!(jobs.len(), 1);
        assert_eq!(why, "no thread to read with: 8 reads hang");

        senders[3].send(()).expect("it waits for this");
        assert_eq!(wait_for_one(&mut reader).0.place, 3);
        let batch = reader.read(jobs, Figures::default());
        assert_eq!(places(&batch), [9]);
    }

    #[test]
    fn a_source_with_a_mistake_in_it_fails_and_the_others_are_read() {
        let mut reader = reader(60_000);
        let jobs = vec![job(0, Broken), job(1, Quick(1))];
        let batch = reader.read(jobs, Figures::default());
        assert_eq!(places(&batch), [0, 1]);
        assert_eq!(batch.done[0].outcome.status, Status::Failed);
        assert_eq!(batch.done[1].outcome.status, Status::Ok);
    }
}
