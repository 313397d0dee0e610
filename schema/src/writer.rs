//! The door through which the recorder writes: a tick is one transaction, and only what changed is
//! stored.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params};

use crate::file::{self, Context, Durability};
use crate::{Error, Label, MetricSpec, RowRef, Rows, Shape, Spec, Status, Value};

/// A source's rows are stored in full at every 600th of its samples, so that the picture at an
/// instant needs no more than 600 samples. At the reference load (1,125 processes) a full set is
/// 65 kB: 110 bytes a sample.
const KEYFRAME_SAMPLES: u32 = 600;

/// The wall clock is noted again when it has moved by this much against the boot clock.
const CLOCK_STEP_US: i64 = 50_000;

/// Number of bits of a key below the tick.
pub(crate) const WHAT_BITS: u32 = 24;

/// The machine under test.
#[derive(Clone, Debug, Default)]
pub struct HostInfo {
    /// A hash that tells the same machine from another without naming it.
    pub machine: String,
    /// Node name.
    pub name: Vec<u8>,
    /// Machine architecture (`x86_64`).
    pub arch: String,
}

/// One lifetime of its kernel.
#[derive(Clone, Debug, Default)]
pub struct BootInfo {
    /// The kernel's boot id.
    pub boot_id: String,
    /// Kernel release.
    pub kernel: Option<String>,
    /// `/proc/version`.
    pub version: Option<String>,
    /// Bytes of a page.
    pub page_bytes: u32,
    /// Clock ticks a second in `/proc/PID/stat`.
    pub user_hz: u32,
    /// Processors.
    pub cpus: Option<u32>,
}

/// One lifetime of the recorder.
#[derive(Clone, Debug, Default)]
pub struct RunInfo {
    /// Name and version of the recorder.
    pub program: String,
    /// Its process id.
    pub pid: u32,
    /// Its start time in clock ticks.
    pub pid_start: u64,
    /// Its effective user.
    pub uid: u32,
    /// CLOCK_BOOTTIME in us.
    pub started_us: i64,
    /// Interval of the ticks in us.
    pub interval_us: i64,
    /// The options given, as JSON.
    pub settings: String,
    /// The labels given, as JSON.
    pub labels: String,
}

/// A run that did not say that it ended.
#[derive(Clone, Debug)]
pub struct OpenRun {
    /// The boot it ran in.
    pub boot_id: String,
    /// Its process id.
    pub pid: i64,
    /// Its start time in clock ticks.
    pub pid_start: i64,
}

/// The moment of a tick.
#[derive(Clone, Copy, Debug, Default)]
pub struct TickTime {
    /// CLOCK_BOOTTIME in us when it began.
    pub boottime_us: i64,
    /// Wall time minus boot time, in us.
    pub wall_offset_us: i64,
    /// How long after the planned moment it began, in us.
    pub late_us: i64,
    /// Planned moments since the last tick that passed without one.
    pub missed: i64,
}

/// What a tick had cost up to its commit.
#[derive(Clone, Copy, Debug, Default)]
pub struct TickCost {
    /// Wall time in us.
    pub took_us: i64,
    /// CPU time of the recorder in us.
    pub cpu_us: i64,
}

/// How one read of a source went.
#[derive(Clone, Debug)]
pub struct SampleState {
    /// Whether values were obtained.
    pub status: Status,
    /// Why not, or why not all.
    pub reason: Option<String>,
    /// Wall time of reading and parsing in us; `None` when it was not read.
    pub read_us: Option<i64>,
    /// Bytes read.
    pub bytes: Option<i64>,
}

/// An entity or a scalar key that has been stored before.
#[derive(Debug)]
struct Slot {
    id: i64,
    last: Box<[Value]>,
    present: bool,
    round: u32,
    face: u64,
}

#[derive(Debug)]
struct SourceState {
    id: i64,
    spec: &'static Spec,
    insert: String,
    slots: HashMap<Box<[u8]>, Slot>,
    round: u32,
    samples_to_keyframe: u32,
    /// Slots were loaded from an earlier run, and may be of things long gone.
    loaded: bool,
}

/// A recording that is being written.
#[derive(Debug)]
pub struct Writer {
    connection: Connection,
    path: PathBuf,
    boot: i64,
    run: i64,
    tick: i64,
    sources: Vec<SourceState>,
    reasons: HashMap<String, i64>,
    wall_offset_us: Option<i64>,
    pending: Option<TickTime>,
    order: Vec<(i64, usize)>,
    /// The last run when it was asked whether somebody records.
    seen_run: Cell<Option<i64>>,
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
            seen_run: Cell::new(None),
        })
    }

    /// The last run, if it did not say that it ended: it is alive, or was killed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open_run(&self) -> Result<Option<OpenRun>, Error> {
        let last = self
            .connection
            .query_row("SELECT coalesce(max(run), 0) FROM run", [], |row| {
                row.get(0)
            })
            .context(&self.path, "reading the runs")?;
        self.seen_run.set(Some(last));
        let mut statement = self
            .connection
            .prepare(include_str!("../queries/open_run.sql"))
            .context(&self.path, "reading the runs")?;
        let mut rows = statement
            .query_map([], |row| {
                Ok(OpenRun {
                    boot_id: row.get(0)?,
                    pid: row.get(1)?,
                    pid_start: row.get(2)?,
                })
            })
            .context(&self.path, "reading the runs")?;
        rows.next()
            .transpose()
            .context(&self.path, "reading the runs")
    }

    /// Begins a run: registers host, boot and sources, and takes up what the file knows of them.
    ///
    /// # Errors
    /// When the recording is of another machine, when somebody else began a run after
    /// [`open_run`](Writer::open_run) was asked, or when the file cannot be written.
    pub fn begin_run(
        &mut self,
        host: &HostInfo,
        boot: &BootInfo,
        run: &RunInfo,
        specs: &[&'static Spec],
    ) -> Result<(), Error> {
        self.check_machine(host)?;
        let path = self.path.clone();
        self.connection
            .execute_batch("BEGIN IMMEDIATE")
            .context(&path, "beginning a run")?;
        let done = self.check_nobody_began().and_then(|()| {
            self.register(host, boot, run, specs)
                .and_then(|()| self.connection.execute_batch("COMMIT"))
                .context(&path, "beginning a run")
        });
        if done.is_err() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        done
    }

    fn check_machine(&self, host: &HostInfo) -> Result<(), Error> {
        let known: Option<(String, String)> = self
            .connection
            .query_row(
                "SELECT machine, CAST(name AS TEXT) FROM host WHERE machine <> ? LIMIT 1",
                [&host.machine],
                |row| Ok((row.get(0)?, lossy(row.get_ref(1)?))),
            )
            .map(Some)
            .or_else(none_if_no_rows)
            .context(&self.path, "reading the host")?;
        match known {
            Some((_, host)) => Err(Error::OtherMachine {
                path: self.path.clone(),
                host,
            }),
            None => Ok(()),
        }
    }

    /// Two recorders that start at once both see a free file; the one that begins second is refused.
    fn check_nobody_began(&self) -> Result<(), Error> {
        let Some(seen) = self.seen_run.get() else {
            return Ok(());
        };
        let newer = self
            .connection
            .query_row(
                "SELECT pid FROM run WHERE run > ? ORDER BY run DESC LIMIT 1",
                [seen],
                |row| row.get(0),
            )
            .map(Some)
            .or_else(none_if_no_rows)
            .context(&self.path, "reading the runs")?;
        match newer {
            Some(pid) => Err(Error::InUse {
                path: self.path.clone(),
                pid,
            }),
            None => Ok(()),
        }
    }

    fn register(
        &mut self,
        host: &HostInfo,
        boot: &BootInfo,
        run: &RunInfo,
        specs: &[&'static Spec],
    ) -> rusqlite::Result<()> {
        let db = &self.connection;
        let host_id = match db
            .query_row(
                "SELECT host FROM host WHERE machine = ?",
                [&host.machine],
                |row| row.get(0),
            )
            .map(Some)
            .or_else(none_if_no_rows)?
        {
            Some(id) => id,
            None => {
                db.execute(
                    "INSERT INTO host (machine, name, arch) VALUES (?, ?, ?)",
                    params![host.machine, Name(&host.name), host.arch],
                )?;
                db.last_insert_rowid()
            }
        };
        self.boot = match db
            .query_row(
                "SELECT boot FROM boot WHERE host = ? AND boot_id = ?",
                params![host_id, boot.boot_id],
                |row| row.get(0),
            )
            .map(Some)
            .or_else(none_if_no_rows)?
        {
            Some(id) => id,
            None => {
                db.execute(
                    "INSERT INTO boot (host, boot_id, kernel, version, page_bytes, user_hz, cpus) \
                     VALUES (?, ?, ?, ?, ?, ?, ?)",
                    params![
                        host_id,
                        boot.boot_id,
                        boot.kernel,
                        boot.version,
                        boot.page_bytes,
                        boot.user_hz,
                        boot.cpus
                    ],
                )?;
                db.last_insert_rowid()
            }
        };
        db.execute_batch(include_str!("../queries/close_dead_runs.sql"))?;
        db.execute(
            "INSERT INTO run (boot, program, pid, pid_start, uid, started_us, interval_us, settings, labels) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                self.boot,
                run.program,
                run.pid,
                run.pid_start.cast_signed(),
                run.uid,
                run.started_us,
                run.interval_us,
                run.settings,
                run.labels
            ],
        )?;
        self.run = db.last_insert_rowid();
        self.tick = db.query_row("SELECT coalesce(max(tick), 0) FROM tick", [], |row| {
            row.get(0)
        })?;
        self.sources.clear();
        for spec in specs {
            self.register_source(spec)?;
        }
        self.reload()
    }

    fn register_source(&mut self, spec: &'static Spec) -> rusqlite::Result<()> {
        let db = &self.connection;
        let shape = match spec.shape {
            Shape::Scalars { .. } => "scalars",
            Shape::Entities { .. } => "entities",
        };
        let id = db.query_row(
            include_str!("../queries/upsert_source.sql"),
            params![
                spec.name,
                spec.paths.join(" "),
                shape,
                spec.needs,
                spec.caveats,
                spec.overhead
            ],
            |row| row.get(0),
        )?;
        let insert = match &spec.shape {
            Shape::Scalars { .. } => "INSERT INTO scalar (id, value) VALUES (?, ?)".to_owned(),
            Shape::Entities { columns } => {
                for column in *columns {
                    insert_metric(db, id, column.name, column)?;
                }
                let stored: Vec<_> = columns
                    .iter()
                    .filter(|c| !c.generated)
                    .map(|c| c.name)
                    .collect();
                format!(
                    "INSERT INTO {} (id, {}) VALUES (?{})",
                    spec.name,
                    stored.join(", "),
                    ", ?".repeat(stored.len())
                )
            }
        };
        self.sources.push(SourceState {
            id,
            spec,
            insert,
            slots: HashMap::new(),
            round: 0,
            samples_to_keyframe: 0,
            loaded: false,
        });
        Ok(())
    }

    /// Forgets what was stored last and takes up the ids from the file. The next sample of each
    /// source is a keyframe.
    fn reload(&mut self) -> rusqlite::Result<()> {
        let db = &self.connection;
        self.reasons.clear();
        self.wall_offset_us = None;
        for source in &mut self.sources {
            source.slots.clear();
            source.samples_to_keyframe = 0;
            source.loaded = true;
            let width = source.spec.width();
            let (sql, boot) = match source.spec.shape {
                Shape::Scalars { .. } => (
                    "SELECT metric, name FROM metric WHERE source = ?1 AND ?2 IS NOT NULL",
                    self.boot,
                ),
                Shape::Entities { .. } => (
                    "SELECT entity, key FROM entity WHERE source = ?1 AND boot = ?2",
                    self.boot,
                ),
            };
            let mut statement = db.prepare(sql)?;
            let mut rows = statement.query(params![source.id, boot])?;
            while let Some(row) = rows.next()? {
                let key: Box<[u8]> = match row.get_ref(1)? {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.into(),
                    _ => continue,
                };
                let slot = Slot {
                    id: row.get(0)?,
                    last: vec![Value::Null; width].into_boxed_slice(),
                    present: false,
                    round: 0,
                    face: 0,
                };
                source.slots.insert(key, slot);
            }
        }
        Ok(())
    }

    /// Begins a tick and returns its number.
    ///
    /// # Errors
    /// When the file is locked or cannot be written.
    pub fn begin_tick(&mut self, time: TickTime) -> Result<i64, Error> {
        self.connection
            .execute_batch("BEGIN IMMEDIATE")
            .context(&self.path, "beginning a tick")?;
        self.tick += 1;
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
        self.store_sample(source, state, rows)
            .context(&path, "writing a sample")
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
        let mut keyframe = false;
        if let Some(rows) = rows {
            keyframe = source.samples_to_keyframe == 0 && !rows.is_incremental();
            source.samples_to_keyframe = if keyframe {
                KEYFRAME_SAMPLES - 1
            } else {
                source.samples_to_keyframe.saturating_sub(1)
            };
        }
        self.connection
            .prepare_cached(
                "INSERT INTO sample (id, status, keyframe, read_us, bytes, reason) VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                tick_key | source.id,
                status_code(state.status),
                keyframe,
                state.read_us,
                state.bytes,
                reason
            ])?;
        match rows {
            Some(rows) => self.store_rows(index, rows, keyframe),
            None => Ok(()),
        }
    }

    fn store_rows(&mut self, index: usize, rows: &Rows, keyframe: bool) -> rusqlite::Result<()> {
        let tick_key = self.tick << WHAT_BITS;
        let source = &mut self.sources[index];
        let db = &self.connection;
        source.round = source.round.wrapping_add(1);
        let round = source.round;
        let is_entity = matches!(source.spec.shape, Shape::Entities { .. });
        let all: Vec<RowRef<'_>> = rows.iter().collect();
        self.order.clear();
        for (at, row) in all.iter().enumerate() {
            if let Some(slot) = source.slots.get_mut(row.key()) {
                if slot.round == round {
                    continue; // a key that stands twice: the first one counts
                }
                slot.round = round;
                if is_entity {
                    let face = face_of(row);
                    if face != slot.face {
                        update_face(db, self.boot, source.spec.name, slot, row, self.pending)?;
                        slot.face = face;
                    }
                }
                if keyframe || !slot.present || *slot.last != *row.values() {
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
                source.slots.insert(row.key().into(), slot);
                self.order.push((id, at));
            }
        }
        // Appending in ascending order keeps each table's tail the only page that a tick touches.
        self.order.sort_unstable();
        let mut insert = db.prepare_cached(&source.insert)?;
        for &(id, at) in &self.order {
            insert.raw_bind_parameter(1, tick_key | id)?;
            for (column, value) in all[at].values().iter().enumerate() {
                insert.raw_bind_parameter(column + 2, Bound(*value))?;
            }
            insert.raw_execute()?;
        }
        let mut store_gone = |id: i64| -> rusqlite::Result<()> {
            insert.raw_bind_parameter(1, tick_key | id)?;
            for column in 0..source.spec.width() {
                insert.raw_bind_parameter(column + 2, rusqlite::types::Null)?;
            }
            insert.raw_execute()?;
            Ok(())
        };
        for key in rows.gone_keys() {
            if let Some(slot) = source.slots.remove(key)
                && slot.present
                && slot.round != round
            {
                store_gone(slot.id)?;
            }
        }
        if !rows.is_incremental() {
            for slot in source.slots.values_mut() {
                if slot.present && slot.round != round {
                    slot.present = false;
                    slot.last.fill(Value::Null);
                    store_gone(slot.id)?;
                }
            }
            if source.loaded {
                source.loaded = false;
                if is_entity {
                    source.slots.retain(|_, slot| slot.present);
                }
            }
        }
        Ok(())
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
        )
        .context(&self.path, "writing an event")
    }

    /// Ends the tick: when this returns, it is on disk.
    ///
    /// # Errors
    /// When the file cannot be written; the tick is then to be [rolled back](Writer::rollback_tick).
    pub fn commit_tick(&mut self, cost: TickCost) -> Result<(), Error> {
        let path = self.path.clone();
        self.store_tick(cost).context(&path, "committing a tick")
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
            ])?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.pending = None;
        Ok(())
    }

    /// Gives up the tick in hand after an error, and takes up the state of the file again.
    ///
    /// # Errors
    /// When the file cannot even be read.
    pub fn rollback_tick(&mut self) -> Result<(), Error> {
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        if self.pending.take().is_some() {
            self.tick -= 1;
        }
        let path = self.path.clone();
        self.reload().context(&path, "reading the file again")
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

/// Puts a named instant into a live recording, beside its recorder.
///
/// `boottime_us` is CLOCK_BOOTTIME. Returns whether a recorder is at work on the file.
///
/// # Errors
/// When the file is no recording of this boot, or cannot be written.
pub fn mark(path: &Path, boot_id: &str, boottime_us: i64, text: &str) -> Result<bool, Error> {
    let db = file::open_beside(path)?;
    let boot: Option<i64> = db
        .query_row(
            "SELECT boot FROM boot WHERE boot_id = ?",
            [boot_id],
            |row| row.get(0),
        )
        .map(Some)
        .or_else(none_if_no_rows)
        .context(path, "reading the boot")?;
    let Some(boot) = boot else {
        return Err(Error::Missing {
            path: path.to_owned(),
            what: "run in this boot; a mark belongs into a live recording".to_owned(),
        });
    };
    insert_event(&db, boot, boottime_us, "mark", None, text.as_bytes())
        .context(path, "writing a mark")?;
    db.query_row(
        "SELECT count(*) FROM run WHERE boot = ? AND ended_us IS NULL",
        [boot],
        |row| row.get::<_, i64>(0),
    )
    .map(|live| live > 0)
    .context(path, "reading the runs")
}

/// Writes a consistent copy of a recording, live or not, to a new file (mode 0600).
///
/// # Errors
/// When the source cannot be read, or the copy exists already or cannot be written.
pub fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    use std::os::unix::fs::OpenOptionsExt;
    let db = file::open_beside(from)?;
    // SQLite fills a file that is there and empty; made here, it has the right mode from the start.
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(|source| Error::Open {
            path: to.to_owned(),
            source,
        })?;
    let Some(name) = to.to_str() else {
        return Err(Error::Open {
            path: to.to_owned(),
            source: std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                "the name of the copy must be UTF-8",
            ),
        });
    };
    let copied = db
        .execute("VACUUM INTO ?", [name])
        .map(drop)
        .context(to, "writing the copy");
    if copied.is_err() {
        let _ = std::fs::remove_file(to);
    }
    copied
}

fn none_if_no_rows<T>(error: rusqlite::Error) -> rusqlite::Result<Option<T>> {
    match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(None),
        error => Err(error),
    }
}

fn lossy(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        _ => String::new(),
    }
}

fn insert_metric(
    db: &Connection,
    source: i64,
    name: &str,
    metric: &MetricSpec,
) -> rusqlite::Result<i64> {
    db.prepare_cached(include_str!("../queries/upsert_metric.sql"))?
        .query_row(
            params![
                source,
                name,
                metric.unit.as_str(),
                metric.kind.as_str(),
                metric.trend.as_str(),
                metric.part_of
            ],
            |row| row.get(0),
        )
}

fn insert_entity(
    db: &Connection,
    source: i64,
    boot: i64,
    tick: i64,
    row: &RowRef<'_>,
) -> rusqlite::Result<i64> {
    db.prepare_cached(
        "INSERT INTO entity (source, boot, first_tick, name, key, labels) VALUES (?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![source, boot, tick, Name(row.name()), Name(row.key()), labels_json(row)])?;
    Ok(db.last_insert_rowid())
}

fn insert_event(
    db: &Connection,
    boot: i64,
    boottime_us: i64,
    kind: &str,
    source: Option<&str>,
    text: &[u8],
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO event (boot, boottime_us, kind, source, text) VALUES (?, ?, ?, ?, ?)",
    )?
    .execute(params![boot, boottime_us, kind, source, Name(text)])
    .map(drop)
}

/// The name or a label of an entity has changed (exec, a new parent): the newest stands in the
/// catalogue, and a change of name is an event.
fn update_face(
    db: &Connection,
    boot: i64,
    source: &str,
    slot: &Slot,
    row: &RowRef<'_>,
    time: Option<TickTime>,
) -> rusqlite::Result<()> {
    let old: Vec<u8> = db
        .prepare_cached("SELECT name FROM entity WHERE entity = ?")?
        .query_row([slot.id], |found| match found.get_ref(0)? {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(bytes.to_vec()),
            _ => Ok(Vec::new()),
        })?;
    if old != row.name() {
        let text = [old.as_slice(), b" -> ", row.name()].concat();
        insert_event(
            db,
            boot,
            time.map_or(0, |t| t.boottime_us),
            "renamed",
            Some(source),
            &text,
        )?;
    }
    db.prepare_cached("UPDATE entity SET name = ?, labels = ? WHERE entity = ?")?
        .execute(params![Name(row.name()), labels_json(row), slot.id])
        .map(drop)
}

/// A number that differs when name or labels do.
fn face_of(row: &RowRef<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    row.name().hash(&mut hasher);
    for (name, label) in row.labels() {
        name.hash(&mut hasher);
        match label {
            Label::Int(i) => i.hash(&mut hasher),
            Label::Bool(b) => b.hash(&mut hasher),
            Label::Bytes(bytes) => bytes.hash(&mut hasher),
        }
    }
    hasher.finish()
}

fn labels_json(row: &RowRef<'_>) -> Option<String> {
    let labels: serde_json::Map<_, _> = row
        .labels()
        .map(|(name, label)| {
            let value = match label {
                Label::Int(i) => i.into(),
                Label::Bool(b) => b.into(),
                Label::Bytes(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) => text.into(),
                    // JSON has no bytes; the escaped form says which ones they were.
                    Err(_) => bytes.escape_ascii().to_string().into(),
                },
            };
            (name.to_owned(), value)
        })
        .collect();
    (!labels.is_empty()).then(|| serde_json::Value::Object(labels).to_string())
}

fn status_code(status: Status) -> i64 {
    match status {
        Status::Ok => 0,
        Status::Partial => 1,
        Status::Unavailable => 2,
        Status::Failed => 3,
        Status::Skipped => 4,
    }
}

/// A name as the kernel gave it: TEXT where it is UTF-8, BLOB where it is not.
struct Name<'a>(&'a [u8]);

impl ToSql for Name<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match std::str::from_utf8(self.0) {
            // A NUL would end the text for many readers.
            Ok(text) if !self.0.contains(&0) => ValueRef::Text(text.as_bytes()),
            _ => ValueRef::Blob(self.0),
        }))
    }
}

struct Bound(Value);

impl ToSql for Bound {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(match self.0 {
            Value::Null => rusqlite::types::Value::Null,
            Value::Int(i) => rusqlite::types::Value::Integer(i),
            Value::Real(r) => rusqlite::types::Value::Real(r),
        }))
    }
}
