//! Writes what was read: a picture is a tick, and a tick that cannot be written now is a gap.

use memsoak_schema::{Error, TickCost, TickTime, Writer};

use super::collector::{Picture, Taken};
use crate::clock::{boottime_us, cpu_us};
use crate::log;

/// The main file is brought up to the log at least this often, so that a copy of it alone is never
/// more than 60 s behind: a checkpoint, and the interval until the next tick.
const CHECKPOINT_US: i64 = 30_000_000;

/// The recording, and what could not be written to it.
pub(super) struct Keeper {
    writer: Writer,
    /// How many sources the run has.
    sources: usize,
    interval_us: i64,
    last_checkpoint_us: Option<i64>,
    /// Ticks that could not be written since the last good one, and why.
    lost: Option<(i64, String)>,
    warnings: log::Limited,
}

impl Keeper {
    /// Takes over a recording in which a run of so many sources has begun.
    pub(super) fn new(writer: Writer, sources: usize, interval_us: i64) -> Self {
        Self {
            writer,
            sources,
            interval_us,
            last_checkpoint_us: None,
            lost: None,
            warnings: log::Limited::default(),
        }
    }

    /// Of each source whether its next sample should hold every row.
    pub(super) fn keyframes(&self) -> Vec<bool> {
        (0..self.sources)
            .map(|place| self.writer.wants_keyframe(place))
            .collect()
    }

    /// The file, for what is written between ticks.
    pub(super) fn writer(&self) -> &Writer {
        &self.writer
    }

    /// The same to write to.
    pub(super) fn writer_mut(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// Commits a picture as a tick. Returns whether it is on disk.
    ///
    /// # Errors
    /// Only those that no later tick can mend.
    pub(super) fn keep(&mut self, picture: &Picture) -> Result<bool, Error> {
        let kept = match self.write(picture) {
            Ok(()) => {
                if let Some((count, why)) = self.lost.take() {
                    log::info(&[
                        ("event", "recording again"),
                        ("lost_ticks", &count.to_string()),
                        ("after", &why),
                    ]);
                }
                true
            }
            Err(error) if error.is_passing() => {
                let text = error.to_string();
                if self.warnings.allow() {
                    log::warn(&[("event", "a tick could not be written"), ("error", &text)]);
                }
                self.lost = Some((self.lost_ticks() + picture.time.missed + 1, text));
                if let Err(error) = self.writer.rollback_tick()
                    && !error.is_passing()
                {
                    return Err(error);
                }
                false
            }
            Err(error) => return Err(error),
        };
        self.checkpoint(picture.time.boottime_us);
        Ok(kept)
    }

    fn lost_ticks(&self) -> i64 {
        self.lost.as_ref().map_or(0, |(count, _)| *count)
    }

    fn write(&mut self, picture: &Picture) -> Result<(), Error> {
        self.writer.begin_tick(TickTime {
            missed: picture.time.missed + self.lost_ticks(),
            ..picture.time
        })?;
        if let Some((count, why)) = &self.lost {
            let text = format!("{count} ticks could not be written: {why}");
            self.writer.write_event("gap", None, &text)?;
        }
        for noticed in &picture.noticed {
            self.writer.write_noticed(noticed)?;
        }
        for Taken {
            place,
            state,
            rows,
            plan,
        } in &picture.taken
        {
            let values = state.status.has_values().then_some(rows);
            self.writer.write_sample(*place, state, values)?;
            self.writer.write_happenings(*place, rows)?;
            if let Some((interval_us, reason)) = plan {
                self.writer.write_plan(*place, *interval_us, reason)?;
            }
        }
        self.writer.commit_tick(TickCost {
            took_us: boottime_us() - picture.time.boottime_us,
            cpu_us: cpu_us() - picture.begin_cpu_us,
        })
    }

    /// After the first tick too: a copy of the main file alone is a recording from then on.
    fn checkpoint(&mut self, now_us: i64) {
        let due = |last: i64| now_us - last + self.interval_us > CHECKPOINT_US;
        if !self.last_checkpoint_us.is_none_or(due) {
            return;
        }
        self.last_checkpoint_us = Some(now_us);
        if let Err(error) = self.writer.checkpoint()
            && self.warnings.allow()
        {
            log::warn(&[("event", "no checkpoint"), ("error", &error.to_string())]);
        }
    }

    /// Ends the run; then the file stands alone.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn finish(self, why: &str) -> Result<(), Error> {
        self.writer.end_run(boottime_us(), why)
    }
}
