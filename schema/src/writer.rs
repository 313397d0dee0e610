//! The door through which the recorder writes: a tick is one transaction, and only what changed is
//! stored.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use crate::digest::{self, Digest, Stamp};
use crate::file::{self, Context, Durability};
use crate::sql::{
    Bound, face_of, insert_entity, insert_event, insert_metric, none_if_no_rows, status_code,
    update_face,
};
use crate::thin::Thinning;
use crate::undo::Undo;
use crate::{
    Error, Happening, RowRef, Rows, SampleState, Shape, Spec, Status, TickCost, TickTime, Value,
};

/// A source's rows are stored in full at every 600th of its samples, so that the picture at an
/// instant needs no more than 600 samples. At the reference load (1,125 processes) a full set is
/// 65 kB: 110 bytes a sample.
const KEYFRAME_SAMPLES: u32 = 600;

/// The wall clock is noted again when it has moved by this much against the boot clock.
const CLOCK_STEP_US: i64 = 50_000;

/// Number of bits of a key below the tick.
pub(crate) const WHAT_BITS: u32 = 24;

/// An entity or a scalar key that has been stored before.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) id: i64,
    pub(crate) last: Box<[Value]>,
    pub(crate) present: bool,
    pub(crate) round: u32,
    pub(crate) face: u64,
}

impl Slot {
    /// Samples since it was there.
    fn age(&self, round: u32) -> u32 {
        round.wrapping_sub(self.round)
    }
}

/// A thing that is gone is remembered, so that it is the same where it comes back. Where there are more
/// than this many beside those that are there, those are forgotten that are gone for long: most are of
/// processes, which never come back, and would be kept for as long as the machine runs.
const GONE_KEPT: usize = 256;

/// Samples after which a thing is gone for long: an hour of a source that is read every minute. A sample
/// or two without a thing, even without any, are no reason to call it another one.
const GONE_SAMPLES: u32 = 60;

#[derive(Debug)]
pub(crate) struct SourceState {
    pub(crate) id: i64,
    pub(crate) spec: &'static Spec,
    pub(crate) insert: String,
    pub(crate) slots: HashMap<Box<[u8]>, Slot>,
    pub(crate) round: u32,
    pub(crate) samples_to_keyframe: u32,
    /// Over the rows stored since the last keyframe; `None` before the first one.
    pub(crate) digest: Digest,
    /// [`digest::column`] of the stored columns.
    pub(crate) columns: Vec<u64>,
    /// Slots were loaded from an earlier run, and may be of things long gone.
    pub(crate) loaded: bool,
    /// A whole sample stands in this run, to which rows that hold only changes can be added.
    pub(crate) has_base: bool,
}

impl SourceState {
    pub(crate) fn has_entities(&self) -> bool {
        matches!(self.spec.shape, Shape::Entities { .. })
    }
}

/// A recording that is being written.
#[derive(Debug)]
pub struct Writer {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    pub(crate) boot: i64,
    pub(crate) run: i64,
    pub(crate) tick: i64,
    pub(crate) sources: Vec<SourceState>,
    pub(crate) reasons: HashMap<String, i64>,
    pub(crate) wall_offset_us: Option<i64>,
    pub(crate) pending: Option<TickTime>,
    pub(crate) order: Vec<(i64, usize)>,
    /// The last tick that is on disk.
    pub(crate) kept_tick: i64,
    /// What the wall clock was noted as at that tick.
    pub(crate) kept_wall_offset_us: Option<i64>,
    pub(crate) undo: Undo,
    pub(crate) thinning: Thinning,
    /// The last run when it was asked whether somebody records.
    pub(crate) seen_run: Option<i64>,
}

impl Writer {
    /// Opens a recording to continue it, or creates it with mode 0600.
    ///
    /// # Errors
    /// When the file cannot be opened, is no recording, or is of a newer format.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, Durability::EachTick)
    }

    /// Opens a recording that can be made again: ticks that were recorded elsewhere, or made up.
    ///
    /// Nothing is synced, so that a week of ticks takes seconds, not the hour that syncing each of
    /// them would; when the machine crashes before [`end_run`](Writer::end_run) the file may be
    /// spoilt. A recorder opens with [`open`](Writer::open).
    ///
    /// # Errors
    /// As [`open`](Writer::open).
    pub fn open_for_import(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, Durability::WhenClosed)
    }

    fn open_with(path: &Path, durability: Durability) -> Result<Self, Error> {
        Ok(Self {
            connection: file::open_to_write(path, durability)?,
            path: path.to_owned(),
            boot: 0,
            run: 0,
            tick: 0,
            sources: Vec::new(),
            reasons: HashMap::new(),
            wall_offset_us: None,
            pending: None,
            order: Vec::new(),
            kept_tick: 0,
            kept_wall_offset_us: None,
            undo: Undo::default(),
            thinning: Thinning::default(),
            seen_run: None,
        })
    }

    /// Begins a tick and returns its number.
    ///
    /// # Errors
    /// When the file is locked or cannot be written.
    pub fn begin_tick(&mut self, time: TickTime) -> Result<i64, Error> {
        self.begin_tick_after(0, time)
    }

    /// Begins a tick after so many that were taken and left out, and returns its number: numbers
    /// that the recording does not have are theirs. A tick that is begun before the last one was
    /// [committed](Writer::commit) is in one transaction with it.
    ///
    /// # Errors
    /// When the file is locked or cannot be written.
    pub fn begin_tick_after(&mut self, left_out: i64, time: TickTime) -> Result<i64, Error> {
        if self.connection.is_autocommit() {
            self.connection
                .execute_batch("BEGIN IMMEDIATE")
                .context(&self.path, "beginning a tick")?;
        }
        self.tick += left_out + 1;
        self.pending = Some(time);
        Ok(self.tick)
    }

    /// Whether the next sample of the source should hold every row. `source` is its place in the
    /// specs given to [`begin_run`](Writer::begin_run).
    pub fn wants_keyframe(&self, source: usize) -> bool {
        self.sources[source].samples_to_keyframe == 0
    }

    /// Stores how the read of a source went, and of its rows what changed.
    ///
    /// # Errors
    /// When the file cannot be written; the tick is then to be [rolled back](Writer::rollback_tick).
    pub fn write_sample(
        &mut self,
        source: usize,
        state: &SampleState,
        rows: Option<&Rows>,
    ) -> Result<(), Error> {
        let path = self.path.clone();
        let without_base = rows.is_some_and(Rows::is_incremental) && !self.sources[source].has_base;
        let stored = if without_base {
            // A file that was begun in the middle of a run.
            let waits = SampleState {
                status: Status::Skipped,
                reason: Some(
                    "only changes were read, and the file was begun after what they change"
                        .to_owned(),
                ),
                ..state.clone()
            };
            self.store_sample(source, &waits, None)
        } else {
            self.store_sample(source, state, rows)
        };
        stored.context(&path, "writing a sample")
    }

    fn store_sample(
        &mut self,
        index: usize,
        state: &SampleState,
        rows: Option<&Rows>,
    ) -> rusqlite::Result<()> {
        let reason = match &state.reason {
            Some(text) => Some(self.reason_id(text)?),
            None => None,
        };
        let tick_key = self.tick << WHAT_BITS;
        let source = &mut self.sources[index];
        self.undo.note_pace(index, source);
        let mut keyframe = false;
        if let Some(rows) = rows {
            source.has_base |= !rows.is_incremental();
            keyframe = source.samples_to_keyframe == 0 && !rows.is_incremental();
            source.samples_to_keyframe = if keyframe {
                KEYFRAME_SAMPLES - 1
            } else {
                source.samples_to_keyframe.saturating_sub(1)
            };
        }
        let mut stored = None;
        if let Some(rows) = rows {
            if keyframe {
                source.digest = Digest::default();
            }
            stored = Some(self.store_rows(index, rows, keyframe)?);
        }
        let source = &self.sources[index];
        let id = tick_key | source.id;
        let status = status_code(state.status);
        let stamp = Stamp {
            id,
            status,
            keyframe,
            boottime_us: self.pending.map_or(0, |time| time.boottime_us),
        };
        // Without rows there is nothing to check.
        let seal = stored.map(|_| source.digest.seal());
        self.connection
            .prepare_cached(
                "INSERT INTO sample (id, status, keyframe, read_us, bytes, reason, stored, digest) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                id,
                status,
                keyframe,
                state.read_us,
                state.bytes,
                reason,
                stored,
                seal.map(|seal| seal.close(stamp))
            ])
            .map(drop)
    }

    /// Stores what changed and returns the number of rows that it took.
    fn store_rows(&mut self, index: usize, rows: &Rows, keyframe: bool) -> rusqlite::Result<i64> {
        let tick_key = self.tick << WHAT_BITS;
        let source = &mut self.sources[index];
        let undo = &mut self.undo;
        let db = &self.connection;
        source.round = source.round.wrapping_add(1);
        let round = source.round;
        let is_entity = source.has_entities();
        let all: Vec<RowRef<'_>> = rows.iter().collect();
        self.order.clear();
        for (at, row) in all.iter().enumerate() {
            if let Some(slot) = source.slots.get_mut(row.key()) {
                if slot.round == round {
                    continue; // a key that stands twice: the first one counts
                }
                slot.round = round;
                let face = if is_entity { face_of(row) } else { 0 };
                let differs = !slot.present || *slot.last != *row.values();
                if differs || face != slot.face {
                    undo.note_slot(index, row.key(), Some(slot.clone()));
                }
                if face != slot.face {
                    update_face(db, self.boot, source.spec.name, slot.id, row, self.pending)?;
                    slot.face = face;
                }
                if keyframe || differs {
                    slot.last.copy_from_slice(row.values());
                    slot.present = true;
                    self.order.push((slot.id, at));
                }
            } else {
                let id = match &source.spec.shape {
                    Shape::Entities { .. } => {
                        insert_entity(db, source.id, self.boot, self.tick, row)?
                    }
                    Shape::Scalars { known, other } => {
                        let name = String::from_utf8_lossy(row.key());
                        let metric = known
                            .iter()
                            .find(|m| m.name.as_bytes() == row.key())
                            .copied()
                            .unwrap_or_else(|| other(row.key()));
                        insert_metric(db, source.id, &name, &metric)?
                    }
                };
                let slot = Slot {
                    id,
                    last: row.values().into(),
                    present: true,
                    round,
                    face: if is_entity { face_of(row) } else { 0 },
                };
                undo.note_slot(index, row.key(), None);
                source.slots.insert(row.key().into(), slot);
                self.order.push((id, at));
            }
        }
        // Appending in ascending order keeps each table's tail the only page that a tick touches.
        self.order.sort_unstable();
        let mut insert = db.prepare_cached(&source.insert)?;
        let mut stored = 0;
        let mut sum = Digest::default();
        for &(id, at) in &self.order {
            stored += 1;
            let values = all[at].values().iter().map(digest::stored);
            sum.add(tick_key | id, source.columns.iter().copied().zip(values));
            insert.raw_bind_parameter(1, tick_key | id)?;
            for (column, value) in all[at].values().iter().enumerate() {
                insert.raw_bind_parameter(column + 2, Bound(*value))?;
            }
            insert.raw_execute()?;
        }
        let mut store_gone = |id: i64| -> rusqlite::Result<()> {
            stored += 1;
            sum.add(tick_key | id, std::iter::empty());
            insert.raw_bind_parameter(1, tick_key | id)?;
            for column in 0..source.spec.width() {
                insert.raw_bind_parameter(column + 2, rusqlite::types::Null)?;
            }
            insert.raw_execute()?;
            Ok(())
        };
        for key in rows.gone_keys() {
            if let Some(slot) = source.slots.remove(key) {
                if slot.present && slot.round != round {
                    store_gone(slot.id)?;
                }
                undo.note_slot(index, key, Some(slot));
            }
        }
        if !rows.is_incremental() {
            for (key, slot) in &mut source.slots {
                if slot.present && slot.round != round {
                    undo.note_slot(index, key, Some(slot.clone()));
                    slot.present = false;
                    slot.last.fill(Value::Null);
                    store_gone(slot.id)?;
                }
            }
            source.loaded = false;
            if is_entity && source.slots.len() > 2 * all.len() + GONE_KEPT {
                source.slots.retain(|key, slot| {
                    let stays = slot.present || slot.age(round) <= GONE_SAMPLES;
                    if !stays {
                        undo.note_slot(index, key, Some(slot.clone()));
                    }
                    stays
                });
            }
        }
        source.digest.join(sum);
        Ok(stored)
    }

    fn reason_id(&mut self, text: &str) -> rusqlite::Result<i64> {
        if let Some(&id) = self.reasons.get(text) {
            return Ok(id);
        }
        let id = self.connection.query_row(
            "INSERT INTO reason (text) VALUES (?) \
             ON CONFLICT (text) DO UPDATE SET text = excluded.text RETURNING reason",
            [text],
            |row| row.get(0),
        )?;
        // Reasons are few sentences; should a source make up new ones for ever, forget the old.
        if self.reasons.len() >= 256 {
            self.reasons.clear();
        }
        self.reasons.insert(text.to_owned(), id);
        Ok(id)
    }

    /// Says at which interval a source is read from this tick on, and why.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_plan(
        &mut self,
        source: usize,
        interval_us: i64,
        reason: &str,
    ) -> Result<(), Error> {
        self.connection
            .execute(
                "INSERT OR REPLACE INTO plan (tick, source, interval_us, reason) VALUES (?, ?, ?, ?)",
                params![self.tick, self.sources[source].id, interval_us, reason],
            )
            .map(drop)
            .context(&self.path, "writing a plan")
    }

    /// Stores an event at the time of the tick in hand.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_event(
        &mut self,
        kind: &str,
        source: Option<&str>,
        text: &str,
    ) -> Result<(), Error> {
        let at = self.pending.map_or(0, |time| time.boottime_us);
        insert_event(
            &self.connection,
            self.boot,
            at,
            kind,
            source,
            text.as_bytes(),
            None,
        )
        .context(&self.path, "writing an event")
    }

    /// Stores what a source saw happening.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_happenings(&mut self, source: usize, rows: &Rows) -> Result<(), Error> {
        let (happenings, passed_over) = rows.happenings();
        let name = self.sources[source].spec.name;
        for happening in happenings {
            self.store_happening(happening, Some(name))?;
        }
        if passed_over > 0 {
            let text = format!("{passed_over} further events came at once and are not kept");
            self.write_event("gap", Some(name), &text)?;
        }
        Ok(())
    }

    /// Stores what the recorder itself noticed: a clock that was set, a file that blocks.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_noticed(&mut self, happening: &Happening) -> Result<(), Error> {
        self.store_happening(happening, None)
    }

    fn store_happening(&self, happening: &Happening, source: Option<&str>) -> Result<(), Error> {
        let now = self.pending.map_or(0, |time| time.boottime_us);
        let detail = (!happening.detail.is_empty())
            .then(|| serde_json::Value::Object(happening.detail.clone()).to_string());
        insert_event(
            &self.connection,
            self.boot,
            happening.boottime_us.unwrap_or(now),
            happening.kind,
            source,
            &happening.text,
            detail.as_deref(),
        )
        .context(&self.path, "writing an event")
    }

    /// The time of the last tick in this boot, in us of CLOCK_BOOTTIME; `None` when the recording
    /// has none.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn recorded_until_us(&self) -> Result<Option<i64>, Error> {
        self.connection
            .query_row(
                "SELECT t.boottime_us FROM tick t JOIN run r USING (run) \
                 WHERE t.tick = (SELECT max(tick) FROM tick) AND r.boot = ?",
                [self.boot],
                |row| row.get(0),
            )
            .map(Some)
            .or_else(none_if_no_rows)
            .context(&self.path, "reading the last tick")
    }

    /// Ends the tick: when this returns, it is on disk.
    ///
    /// # Errors
    /// When the file cannot be written; the tick is then to be [rolled back](Writer::rollback_tick).
    pub fn commit_tick(&mut self, cost: TickCost) -> Result<(), Error> {
        self.finish_tick(cost)?;
        self.commit()
    }

    /// Ends the tick, but leaves it to be [committed](Writer::commit) with the ones after it: a slow
    /// disk takes many at once in hardly more time than one.
    ///
    /// # Errors
    /// As [`commit_tick`](Writer::commit_tick).
    pub fn finish_tick(&mut self, cost: TickCost) -> Result<(), Error> {
        let path = self.path.clone();
        self.store_tick(cost).context(&path, "writing a tick")
    }

    /// Puts the ticks in hand on disk.
    ///
    /// # Errors
    /// As [`commit_tick`](Writer::commit_tick).
    pub fn commit(&mut self) -> Result<(), Error> {
        self.connection
            .prepare_cached("COMMIT")
            .and_then(|mut commit| commit.execute([]))
            .context(&self.path, "committing a tick")?;
        self.pending = None;
        self.kept_tick = self.tick;
        self.kept_wall_offset_us = self.wall_offset_us;
        self.undo.keep(&mut self.sources);
        Ok(())
    }

    fn store_tick(&mut self, cost: TickCost) -> rusqlite::Result<()> {
        let time = self.pending.unwrap_or_default();
        if self
            .wall_offset_us
            .is_none_or(|known| (known - time.wall_offset_us).abs() >= CLOCK_STEP_US)
        {
            self.connection.execute(
                "INSERT INTO wall_clock (tick, boot, offset_us) VALUES (?, ?, ?)",
                params![self.tick, self.boot, time.wall_offset_us],
            )?;
            self.wall_offset_us = Some(time.wall_offset_us);
        }
        self.connection
            .prepare_cached(
                "INSERT INTO tick (tick, run, boottime_us, late_us, missed, took_us, cpu_us) \
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                self.tick,
                self.run,
                time.boottime_us,
                time.late_us,
                time.missed,
                cost.took_us,
                cost.cpu_us
            ])
            .map(drop)
    }

    /// Gives up the ticks in hand after an error: file and writer are as after the last commit, and
    /// the same ticks can be written again.
    pub fn rollback_tick(&mut self) {
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.pending = None;
        self.tick = self.kept_tick;
        self.wall_offset_us = self.kept_wall_offset_us;
        self.reasons.clear();
        self.undo.put_back(&mut self.sources);
    }

    /// Brings the main file up to the log, so that a copy of it alone is good up to here.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn checkpoint(&mut self) -> Result<(), Error> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
            .context(&self.path, "bringing the main file up to the log")
    }

    /// Says that the run ended, and why; then the file stands alone.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn end_run(self, ended_us: i64, reason: &str) -> Result<(), Error> {
        self.connection
            .execute(
                "UPDATE run SET ended_us = ?, end_reason = ? WHERE run = ?",
                params![ended_us, reason, self.run],
            )
            .context(&self.path, "ending the run")?;
        let path = self.path;
        self.connection
            .close()
            .map_err(|(_, source)| source)
            .context(&path, "closing the file")
    }
}
