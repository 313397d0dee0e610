//! Keeps what was read: pictures wait in memory until a thread of its own has written them.
//!
//! Sampling never waits for the disk. Where the disk is full, read-only, failing, held by somebody or
//! just slow, ticks are taken on time all the same, wait in the [`Ring`], and are written in order
//! and with their own times when that can be done.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use memsoak_schema::{Error, Happening, ProbeRequest, TickCost};

use super::collector::Picture;
use super::prepare::Begun;
use super::ring::{RING_BYTES, Ring, Waiting};
use super::scribe::Scribe;
use crate::clock::{boottime_us, cpu_us};

/// How long the end of a run waits for a disk that does not take what is left.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// The stack of the writing thread; locked into memory it counts in full. 44 KiB of it were touched
/// (Rss in smaps, a debug build); SQLite's parser may need more for a migration.
const STACK_BYTES: usize = 256 << 10;

/// What the two threads share.
struct State {
    ring: Ring,
    /// Of each source whether its next sample should hold every row.
    wants: Vec<bool>,
    /// A picture that is written, for its memory.
    done: Option<Picture>,
    /// Probes that somebody asks for through the file.
    requests: Vec<ProbeRequest>,
    /// What happened after the last tick.
    last_words: Vec<Happening>,
    /// The run is over, and until when what is left is tried.
    end: Option<(String, Instant)>,
    written: u64,
    left_out: u64,
}

/// The door between the thread that samples and the one that writes.
pub(super) struct Door {
    state: Mutex<State>,
    changed: Condvar,
}

impl Door {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is done under the lock that could panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for pictures and takes the oldest; `None` when the run is over and all is written.
    pub(super) fn take(&self, most_bytes: usize) -> Option<Vec<Waiting>> {
        let mut state = self.state();
        while state.ring.is_empty() {
            if state.end.is_some() {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        Some(state.ring.take(most_bytes))
    }

    /// Pictures that wait besides those in hand, and how many were merged into them.
    pub(super) fn waiting(&self) -> (usize, i64) {
        let state = self.state();
        (state.ring.len(), state.ring.left_out())
    }

    /// Says that these are on disk, and which sources want every row next.
    pub(super) fn written(&self, pictures: Vec<Waiting>, wants: impl Fn(usize) -> bool) {
        let mut state = self.state();
        state.written += pictures.len() as u64;
        // While others wait they may hold what is wanted.
        if state.ring.is_empty() {
            for (place, wanted) in state.wants.iter_mut().enumerate() {
                *wanted = wants(place);
            }
        }
        state.done = pictures.into_iter().next_back().map(|one| one.picture);
    }

    /// Hands over what somebody asks for.
    pub(super) fn asked(&self, requests: Vec<ProbeRequest>) {
        self.state().requests.extend(requests);
    }

    /// What happened after the last tick.
    pub(super) fn last_words(&self) -> Vec<Happening> {
        std::mem::take(&mut self.state().last_words)
    }

    /// Says that every source should be read in full: a new file has been begun.
    pub(super) fn want_all(&self) {
        self.state().wants.fill(true);
    }

    /// Puts back what could not be written. Returns whether there is time to try it again.
    pub(super) fn put_back(&self, pictures: Vec<Waiting>) -> bool {
        let mut state = self.state();
        state.left_out += state.ring.put_back(pictures);
        state
            .end
            .as_ref()
            .is_none_or(|(_, until)| Instant::now() < *until)
    }

    /// Waits before the next try, not longer than the run lasts.
    pub(super) fn pause(&self, time: Duration) {
        let state = self.state();
        if state.end.is_some() {
            drop(state);
            std::thread::sleep(time.min(Duration::from_millis(100)));
            return;
        }
        let _ = self
            .changed
            .wait_timeout_while(state, time, |state| state.end.is_none());
    }

    /// Why the run is over.
    pub(super) fn why(&self) -> String {
        let state = self.state();
        state
            .end
            .as_ref()
            .map_or_else(String::new, |(why, _)| why.clone())
    }
}

/// The sampling thread's side.
pub(super) struct Keeper {
    door: Arc<Door>,
    thread: JoinHandle<Result<(), Error>>,
}

impl Keeper {
    /// Takes over a recording in which the run has begun.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn new(begun: Begun, sources: usize, scribe: Scribe) -> std::io::Result<Self> {
        let door = Arc::new(Door {
            state: Mutex::new(State {
                ring: Ring::new(RING_BYTES),
                wants: vec![true; sources],
                done: None,
                requests: Vec::new(),
                last_words: Vec::new(),
                end: None,
                written: 0,
                left_out: 0,
            }),
            changed: Condvar::new(),
        });
        let inner = Arc::clone(&door);
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || scribe.work(begun, &inner))?;
        Ok(Self { door, thread })
    }

    /// Of each source whether its next sample should hold every row.
    pub(super) fn keyframes(&self) -> Vec<bool> {
        self.door.state().wants.clone()
    }

    /// Hands a picture over to be written. Returns one that is written, whose memory can be used
    /// again.
    pub(super) fn keep(&self, picture: Picture) -> Option<Picture> {
        let cost = TickCost {
            took_us: boottime_us() - picture.time.boottime_us,
            cpu_us: cpu_us() - picture.begin_cpu_us,
        };
        let mut state = self.door.state();
        for taken in &picture.taken {
            if taken.state.status.has_values() && !taken.rows.is_incremental() {
                state.wants[taken.place] = false;
            }
        }
        let waits = !state.ring.is_empty();
        let merged = state.ring.push(Waiting::new(picture, cost, waits));
        state.left_out += merged;
        self.door.changed.notify_one();
        state.done.take()
    }

    /// Ticks that were merged into others because memory for those that wait ran out.
    pub(super) fn left_out(&self) -> u64 {
        self.door.state().left_out
    }

    /// The probes that were asked for through the file by the last tick that is on disk.
    pub(super) fn take_requests(&self) -> Vec<ProbeRequest> {
        std::mem::take(&mut self.door.state().requests)
    }

    /// Ticks that are on disk.
    pub(super) fn written(&self) -> u64 {
        self.door.state().written
    }

    /// Whether the recording cannot be written any more, for good.
    pub(super) fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the run when everything is written, and what happened after the last tick; then the file
    /// stands alone. Returns how many ticks were written.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn finish(self, why: &str, last_words: Vec<Happening>) -> Result<u64, Error> {
        let mut state = self.door.state();
        state.last_words = last_words;
        state.end = Some((why.to_owned(), Instant::now() + LAST_WAIT));
        drop(state);
        self.door.changed.notify_all();
        match self.thread.join() {
            Ok(done) => done?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok(self.door.state().written)
    }
}
