//! The thread that writes: a picture is a tick, and what cannot be written now is tried again.

use std::time::{Duration, Instant};

use memsoak_schema::{Error, TickCost, Writer};

use super::collector::Taken;
use super::keeper::Door;
use super::prepare::{Beginning, Begun};
use super::ring::Waiting;
use super::room::Room;
use crate::clock::{boottime_us, thread_cpu_us};
use crate::log;

/// The main file is brought up to the log at least this often, so that a copy of it alone is never
/// more than 60 s behind: a checkpoint, and the interval until the next tick.
const CHECKPOINT_US: i64 = 30_000_000;

/// Waiting pictures that go into one transaction when there are many: a sync of seconds is then
/// shared by many ticks, and what is in hand is a small part of what may wait.
const BATCH_BYTES: usize = 1 << 20;

/// The first and the longest pause before a failed write is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// After a commit that took so long the file is left alone for a moment: `mark` tries every 100 ms
/// (SQLite's busy handler), and would never find it free between two slow commits.
const SLOW_COMMIT: Duration = Duration::from_millis(500);
const TURN_OF_OTHERS: Duration = Duration::from_millis(150);

/// Why a tick is not on disk.
enum Trouble {
    /// The file could not be written.
    Store(Error),
    /// It must not be: too little room would be left.
    NoRoom(String),
    /// There is no file now.
    NoFile(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::NoRoom(why) | Self::NoFile(why) => f.write_str(why),
        }
    }
}

/// What the writing thread knows.
pub(super) struct Scribe {
    beginning: Beginning,
    room: Room,
    interval_us: i64,
    last_checkpoint_us: Option<i64>,
    /// Since when nothing could be written, and why at last.
    trouble: Option<(Instant, String)>,
    /// What the next tick is to say of the file: kind and text of an event.
    news: Vec<(&'static str, String)>,
    warnings: log::Limited,
}

impl Scribe {
    /// Makes it; it [works](Scribe::work) in a thread of its own.
    pub(super) fn new(beginning: Beginning, room: Room, interval_us: i64) -> Self {
        Self {
            beginning,
            room,
            interval_us,
            last_checkpoint_us: None,
            trouble: None,
            news: Vec::new(),
            warnings: log::Limited::default(),
        }
    }

    /// Writes what comes through the door until the run is over.
    ///
    /// # Errors
    /// Only those that no later try can mend.
    pub(super) fn work(mut self, begun: Begun, door: &Door) -> Result<(), Error> {
        let mut file = Some(self.take_up(begun));
        let mut pause = FIRST_PAUSE;
        while let Some(batch) = door.take(self.batch_bytes(door)) {
            match self.write(&mut file, &batch, door) {
                Ok(took) => {
                    pause = FIRST_PAUSE;
                    if let Some(Begun {
                        writer, requests, ..
                    }) = &mut file
                    {
                        door.written(batch, |place| writer.wants_keyframe(place));
                        // What cannot be read now is read after the next tick.
                        door.asked(requests.take(writer).unwrap_or_default());
                        self.tend(writer);
                    }
                    if took > SLOW_COMMIT {
                        door.pause(TURN_OF_OTHERS);
                    }
                }
                Err(Trouble::Store(error)) if !error.is_passing() && !error.is_damage() => {
                    return Err(error);
                }
                Err(trouble) => {
                    self.suffer(&trouble);
                    if let Trouble::Store(error) = &trouble
                        && error.is_damage()
                    {
                        self.put_aside(&mut file, error);
                        door.want_all();
                    }
                    let waiting = batch.len();
                    if !door.put_back(batch) {
                        self.give_up(waiting + door.waiting().0);
                        break;
                    }
                    door.pause(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        match file {
            Some(Begun {
                mut writer, claim, ..
            }) => {
                for happening in door.last_words() {
                    writer.write_noticed(&happening)?;
                }
                let ended = writer.end_run(boottime_us(), &door.why());
                drop(claim);
                ended
            }
            None => Ok(()),
        }
    }

    /// One picture, or many when many wait.
    fn batch_bytes(&self, door: &Door) -> usize {
        if self.trouble.is_some() || door.waiting().0 > 1 {
            BATCH_BYTES
        } else {
            0
        }
    }

    /// Makes what was set aside news.
    fn take_up(&mut self, mut begun: Begun) -> Begun {
        self.news
            .extend(begun.aside.take().map(|what| ("set_aside", what)));
        begun
    }

    /// Commits pictures as ticks. Returns how long the commit took.
    fn write(
        &mut self,
        file: &mut Option<Begun>,
        batch: &[Waiting],
        door: &Door,
    ) -> Result<Duration, Trouble> {
        self.room.check().map_err(Trouble::NoRoom)?;
        let writer = match file {
            Some(begun) => &mut begun.writer,
            None => {
                let begun = self
                    .beginning
                    .begin()
                    .map_err(|error| Trouble::NoFile(format!("{error:#}")))?;
                &mut file.insert(self.take_up(begun)).writer
            }
        };
        let (behind, behind_left_out) = door.waiting();
        let left_out = behind_left_out + batch.iter().map(|one| one.left_out).sum::<i64>();
        let told = self.account(batch.len() + behind, left_out, batch);
        let written = write_batch(writer, batch, self.news.iter().chain(&told));
        match written {
            Ok(took) => {
                self.news.clear();
                if let Some((since, why)) = self.trouble.take() {
                    log::info(&[
                        ("event", "recording again"),
                        ("waiting_ticks", &(batch.len() + behind).to_string()),
                        ("left_out_ticks", &left_out.to_string()),
                        ("after_s", &since.elapsed().as_secs().to_string()),
                        ("why", &why),
                    ]);
                }
                Ok(took)
            }
            Err(error) => {
                writer.rollback_tick();
                Err(Trouble::Store(error))
            }
        }
    }

    /// What the recording says of ticks that had to wait.
    fn account(
        &self,
        waiting: usize,
        left_out: i64,
        batch: &[Waiting],
    ) -> Option<(&'static str, String)> {
        let in_hand = batch.iter().any(|one| one.left_out > 0);
        let why = match &self.trouble {
            Some((_, why)) => why.as_str(),
            None if in_hand => "writing takes longer than sampling",
            None => return None,
        };
        if left_out == 0 {
            return Some(("held", format!("{waiting} ticks waited in memory: {why}")));
        }
        let all = i64::try_from(waiting).unwrap_or(i64::MAX) + left_out;
        Some((
            "gap",
            format!(
                "{left_out} of {all} ticks were merged into later ones, as memory for ticks that wait is bounded: {why}"
            ),
        ))
    }

    fn suffer(&mut self, trouble: &Trouble) {
        let text = trouble.to_string();
        if self.warnings.allow() {
            log::warn(&[("event", "a tick could not be written"), ("error", &text)]);
        }
        let since = self
            .trouble
            .as_ref()
            .map_or_else(Instant::now, |(since, _)| *since);
        self.trouble = Some((since, text));
    }

    fn give_up(&self, ticks: usize) {
        let why = self.trouble.as_ref().map_or("", |(_, why)| why);
        log::warn(&[
            ("event", "the last ticks could not be written"),
            ("ticks", &ticks.to_string()),
            ("why", why),
        ]);
    }

    /// The file is damaged: it is let go of, and the next try begins a new one.
    fn put_aside(&mut self, file: &mut Option<Begun>, error: &Error) {
        if let Some(Begun { writer, claim, .. }) = file.take() {
            let _ = writer.abandon();
            drop(claim);
        }
        match self.beginning.set_aside(&error.to_string()) {
            Ok(what) => self.news.push(("set_aside", what)),
            // The next try looks at it again.
            Err(error) => self.suffer(&Trouble::NoFile(format!("{error:#}"))),
        }
    }

    /// Between the ticks: the main file is brought up to the log, and kept within its size. After
    /// the first tick too: a copy of the main file alone is a recording from then on.
    fn tend(&mut self, writer: &mut Writer) {
        let thinned = match self.room.file_bytes() {
            Some(bytes) => writer.keep_within(bytes).map(drop),
            None => Ok(()),
        };
        let now_us = boottime_us();
        let due = |last: i64| now_us - last + self.interval_us > CHECKPOINT_US;
        let tended = if self.last_checkpoint_us.is_none_or(due) || self.room.is_log_long() {
            self.last_checkpoint_us = Some(now_us);
            thinned.and(writer.checkpoint())
        } else {
            thinned
        };
        if let Err(error) = tended
            && self.warnings.allow()
        {
            log::warn(&[("event", "no checkpoint"), ("error", &error.to_string())]);
        }
    }
}

fn write_batch<'a>(
    writer: &mut Writer,
    batch: &[Waiting],
    events: impl Iterator<Item = &'a (&'static str, String)>,
) -> Result<Duration, Error> {
    let mut events = Some(events);
    for waiting in batch {
        let (begin_us, begin_cpu_us) = (boottime_us(), thread_cpu_us());
        writer.begin_tick_after(waiting.left_out, waiting.picture.time)?;
        for (kind, text) in events.take().into_iter().flatten() {
            writer.write_event(kind, None, text)?;
        }
        for noticed in &waiting.picture.noticed {
            writer.write_noticed(noticed)?;
        }
        for Taken {
            place,
            state,
            rows,
            plan,
        } in &waiting.picture.taken
        {
            let values = state.status.has_values().then_some(rows);
            writer.write_sample(*place, state, values)?;
            writer.write_happenings(*place, rows)?;
            if let Some((interval_us, reason)) = plan {
                writer.write_plan(*place, *interval_us, reason)?;
            }
        }
        writer.finish_tick(TickCost {
            took_us: waiting.cost.took_us + boottime_us() - begin_us,
            cpu_us: waiting.cost.cpu_us + thread_cpu_us() - begin_cpu_us,
        })?;
    }
    let commit = Instant::now();
    writer.commit()?;
    Ok(commit.elapsed())
}
