//! How a run begins: host, boot and sources are registered, and what the file knows is taken up.

use std::collections::HashMap;

use rusqlite::params;
use rusqlite::types::ValueRef;

use crate::digest::{self, Digest};
use crate::file::Context;
use crate::sql::{Name, insert_metric, lossy, none_if_no_rows};
use crate::writer::{Slot, SourceState, Writer};
use crate::{BootInfo, Error, HostInfo, OpenRun, RunInfo, Shape, Spec, Value};

impl Writer {
    /// The last run, if it did not say that it ended: it is alive, or was killed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open_run(&mut self) -> Result<Option<OpenRun>, Error> {
        let last = self
            .connection
            .query_row("SELECT coalesce(max(run), 0) FROM run", [], |row| {
                row.get(0)
            })
            .context(&self.path, "reading the runs")?;
        self.seen_run = Some(last);
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
        let Some(seen) = self.seen_run else {
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
                pid: Some(pid),
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
        self.kept_tick = self.tick;
        self.kept_wall_offset_us = None;
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
        let mut names = vec!["value"];
        let insert = match &spec.shape {
            Shape::Scalars { .. } => "INSERT INTO scalar (id, value) VALUES (?, ?)".to_owned(),
            Shape::Entities { columns } => {
                for column in *columns {
                    insert_metric(db, id, column.name, column)?;
                }
                names = columns
                    .iter()
                    .filter(|c| !c.generated)
                    .map(|c| c.name)
                    .collect();
                format!(
                    "INSERT INTO {} (id, {}) VALUES (?{})",
                    spec.name,
                    names.join(", "),
                    ", ?".repeat(names.len())
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
            digest: Digest::default(),
            columns: names.into_iter().map(digest::column).collect(),
            loaded: false,
            has_base: false,
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
            source.digest = Digest::default();
            source.loaded = true;
            source.has_base = false;
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
}
