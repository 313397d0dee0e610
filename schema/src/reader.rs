//! The door through which a recording is read: its catalogue, and its rows as a stream.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::door::{
    Ascending, COUNTS, TICKS, TIMES_US, WHATS, bytes, labels, number, small, text, text_or_none,
    within, within_or_none,
};
use crate::file::{self, Context};
use crate::guard::Budget;
use crate::verify::{DAMAGED_REASON, DAMAGED_TEXT, Damage};
use crate::writer::WHAT_BITS;
use crate::{
    Boot, Entity, Error, Event, Host, Kind, Metric, Plan, Run, Sample, Source, Status, Tick, Trend,
    Unit, WallClock,
};

/// A recording that is read. Nothing in it is changed, and no transaction stays open between calls.
///
/// It may come from anywhere, and from a copy that went wrong: numbers are within the bounds below
/// or refused, text is made printable, and each call ends within a number of steps that the size of
/// the file allows.
#[derive(Debug)]
pub struct Recording {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    pub(crate) budget: Budget,
    tables: HashSet<String>,
    damage: OnceCell<Damage>,
}

impl Recording {
    /// Opens a recording, live or copied, for reading only.
    ///
    /// # Errors
    /// When the file cannot be opened, is no recording, or is of another format.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let open = file::open_to_read(path)?;
        Ok(Self {
            connection: open.connection,
            path: path.to_owned(),
            budget: open.budget,
            tables: open.tables,
            damage: OnceCell::new(),
        })
    }

    /// Checks that what the samples were made of is there and unaltered. From then on
    /// [`scan_samples`](Self::scan_samples) hands out those that are not as failed, up to the next
    /// full picture of the source, so that what is lost is a gap and not "nothing has changed".
    ///
    /// Reads every row once. A recording from before samples had a digest is taken as it is.
    ///
    /// # Errors
    /// When the file is damaged so that it cannot be read.
    pub fn verify(&self) -> Result<&Damage, Error> {
        match self.damage.get() {
            Some(damage) => Ok(damage),
            None => {
                let found = Damage::find(self)?;
                Ok(self.damage.get_or_init(|| found))
            }
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether SQLite finds its structures whole. Reads all of the file.
    pub(crate) fn is_well_formed(&self) -> bool {
        self.budget.begin();
        self.connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
            .is_ok_and(|word| word == "ok")
    }

    fn list<T>(
        &self,
        what: &'static str,
        sql: &str,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        let mut list = Vec::new();
        let mut kept = 0;
        self.scan(what, sql, |row| {
            self.budget.keep(&mut kept, row)?;
            list.push(read(row)?);
            Ok(())
        })?;
        Ok(list)
    }

    /// The machines; one, unless files were joined.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn hosts(&self) -> Result<Vec<Host>, Error> {
        self.list(
            "reading the hosts",
            "SELECT host, name, arch FROM host ORDER BY host",
            |row| {
                Ok(Host {
                    host: row.get(0)?,
                    name: text(row, 1)?,
                    arch: text(row, 2)?,
                })
            },
        )
    }

    /// The boots in order.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn boots(&self) -> Result<Vec<Boot>, Error> {
        self.list(
            "reading the boots",
            "SELECT boot, host, boot_id, kernel, page_bytes, user_hz, cpus FROM boot ORDER BY boot",
            |row| {
                Ok(Boot {
                    boot: row.get(0)?,
                    host: row.get(1)?,
                    boot_id: text(row, 2)?,
                    kernel: text(row, 3)?,
                    page_bytes: small(row, 4, 512..=1 << 24)?,
                    user_hz: small(row, 5, 1..=1_000_000)?,
                    cpus: match row.get_ref(6)? {
                        ValueRef::Null => None,
                        _ => Some(small(row, 6, 0..=1 << 24)?),
                    },
                })
            },
        )
    }

    /// The runs in order.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn runs(&self) -> Result<Vec<Run>, Error> {
        self.list(
            "reading the runs",
            "SELECT run, boot, program, pid, uid, started_us, interval_us, settings, labels, \
             ended_us, end_reason FROM run ORDER BY run",
            |row| {
                Ok(Run {
                    run: row.get(0)?,
                    boot: row.get(1)?,
                    program: text(row, 2)?,
                    pid: row.get(3)?,
                    uid: row.get(4)?,
                    started_us: within(row, 5, TIMES_US)?,
                    interval_us: within(row, 6, TIMES_US)?,
                    settings: labels(row.get_ref(7)?),
                    labels: labels(row.get_ref(8)?),
                    ended_us: within_or_none(row, 9, TIMES_US)?,
                    end_reason: text_or_none(row, 10)?,
                })
            },
        )
    }

    /// The ticks in order.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn ticks(&self) -> Result<Vec<Tick>, Error> {
        let boot_of: HashMap<i64, i64> = self
            .runs()?
            .into_iter()
            .map(|run| (run.run, run.boot))
            .collect();
        let mut ascending = Ascending::default();
        let mut latest: HashMap<i64, i64> = HashMap::new();
        self.list(
            "reading the ticks",
            "SELECT tick, run, boottime_us, late_us, missed, took_us, cpu_us FROM tick ORDER BY tick",
            |row| {
                let tick = Tick {
                    tick: within(row, 0, TICKS)?,
                    run: row.get(1)?,
                    boottime_us: within(row, 2, TIMES_US)?,
                    late_us: within(row, 3, TIMES_US)?,
                    missed: within(row, 4, COUNTS)?,
                    took_us: within(row, 5, TIMES_US)?,
                    cpu_us: within(row, 6, TIMES_US)?,
                };
                ascending.next(tick.tick)?;
                // Within a boot this clock is never set back.
                if let Some(boot) = boot_of.get(&tick.run) {
                    let latest = latest.entry(*boot).or_insert(tick.boottime_us);
                    if tick.boottime_us < *latest {
                        return Err(rusqlite::Error::IntegralValueOutOfRange(2, tick.boottime_us));
                    }
                    *latest = tick.boottime_us;
                }
                Ok(tick)
            },
        )
    }

    /// The history of the wall clock.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn wall_clock(&self) -> Result<Vec<WallClock>, Error> {
        self.list(
            "reading the wall clock",
            "SELECT tick, boot, offset_us FROM wall_clock ORDER BY tick",
            |row| {
                Ok(WallClock {
                    tick: within(row, 0, TICKS)?,
                    boot: row.get(1)?,
                    offset_us: within(row, 2, TIMES_US)?,
                })
            },
        )
    }

    /// The sources with their metrics. Words of a newer version read as "not judged".
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn sources(&self) -> Result<Vec<Source>, Error> {
        let mut sources = self.list(
            "reading the sources",
            "SELECT source, name, paths, shape, needs FROM source ORDER BY source",
            |row| {
                Ok(Source {
                    source: within(row, 0, WHATS)?,
                    name: text(row, 1)?,
                    paths: text(row, 2)?,
                    has_entities: bytes(row.get_ref(3)?) == b"entities",
                    needs: text(row, 4)?,
                    metrics: Vec::new(),
                })
            },
        )?;
        for source in &sources {
            self.identifier(&source.name)?;
            // What else a file holds under the name of a source is not read.
            if source.has_entities && !self.tables.contains(&source.name) {
                return Err(self.not_in_catalogue(&source.name));
            }
        }
        let metrics = self.list(
            "reading the metrics",
            "SELECT source, metric, name, unit, kind, trend, part_of FROM metric ORDER BY metric",
            |row| {
                let metric = Metric {
                    metric: within(row, 1, WHATS)?,
                    name: text(row, 2)?,
                    unit: Unit::from_word(&text(row, 3)?).unwrap_or(Unit::Count),
                    kind: Kind::from_word(&text(row, 4)?).unwrap_or(Kind::Gauge),
                    trend: Trend::from_word(&text(row, 5)?).unwrap_or(Trend::None),
                    part_of: text(row, 6)?,
                };
                Ok((row.get::<_, i64>(0)?, metric))
            },
        )?;
        for (source, metric) in metrics {
            if let Some(owner) = sources.iter_mut().find(|s| s.source == source) {
                owner.metrics.push(metric);
            }
        }
        Ok(sources)
    }

    /// One entity, if there is one of that number.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn entity(&self, number: i64) -> Result<Option<Entity>, Error> {
        self.budget.begin();
        let found = self
            .connection
            .prepare_cached(
                "SELECT entity, boot, first_tick, name, labels FROM entity WHERE entity = ?",
            )
            .and_then(|mut statement| statement.query_row([number], entity));
        match found {
            Ok(entity) => Ok(Some(entity)),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            Err(error) => Err(error).context(&self.path, "reading an entity"),
        }
    }

    /// Number and boot of every entity of a source.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn entity_numbers(&self, source: i64) -> Result<Vec<(i64, i64)>, Error> {
        let sql =
            format!("SELECT entity, boot FROM entity WHERE source = {source} ORDER BY entity");
        self.list("reading the entities", &sql, |row| {
            Ok((within(row, 0, WHATS)?, row.get(1)?))
        })
    }

    /// The entities of a source that were seen first in a range of ticks, in that order.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn entities_first_seen(
        &self,
        source: i64,
        ticks: &RangeInclusive<i64>,
    ) -> Result<Vec<Entity>, Error> {
        let sql = format!(
            "SELECT entity, boot, first_tick, name, labels FROM entity \
             WHERE source = {source} AND first_tick BETWEEN {} AND {} ORDER BY entity",
            ticks.start(),
            ticks.end()
        );
        self.list("reading the entities", &sql, entity)
    }

    /// Streams number, boot, name and, where it has one, process id of every entity of a source.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn scan_names(
        &self,
        source: i64,
        mut each: impl FnMut(i64, i64, &[u8], Option<i64>),
    ) -> Result<(), Error> {
        let sql = format!(
            "SELECT entity, boot, name, \
             CASE WHEN json_valid(labels) THEN labels ->> '$.pid' END \
             FROM entity WHERE source = {source} ORDER BY entity"
        );
        self.scan("reading the names of entities", &sql, |row| {
            let name = match row.get_ref(2)? {
                ValueRef::Text(name) | ValueRef::Blob(name) => name,
                _ => &[],
            };
            let pid = match row.get_ref(3)? {
                ValueRef::Integer(pid) => Some(pid),
                _ => None,
            };
            each(within(row, 0, WHATS)?, row.get(1)?, name, pid);
            Ok(())
        })
    }

    /// The reasons that samples refer to.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn reasons(&self) -> Result<Vec<(i64, String)>, Error> {
        let mut reasons = self.list(
            "reading the reasons",
            "SELECT reason, text FROM reason ORDER BY reason",
            |row| Ok((row.get(0)?, text(row, 1)?)),
        )?;
        if self.damage.get().is_some_and(Damage::is_any) {
            reasons.push((DAMAGED_REASON, DAMAGED_TEXT.to_owned()));
        }
        Ok(reasons)
    }

    /// The events in order of time.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn events(&self) -> Result<Vec<Event>, Error> {
        self.list(
            "reading the events",
            "SELECT boot, boottime_us, kind, source, text, data FROM event ORDER BY boot, boottime_us, event",
            |row| {
                Ok(Event {
                    boot: row.get(0)?,
                    boottime_us: within(row, 1, TIMES_US)?,
                    kind: text(row, 2)?,
                    source: text_or_none(row, 3)?,
                    text: text(row, 4)?,
                    detail: labels(row.get_ref(5)?),
                })
            },
        )
    }

    /// The intervals of the sources.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn plans(&self) -> Result<Vec<Plan>, Error> {
        self.list(
            "reading the plans",
            "SELECT tick, source, interval_us, reason FROM plan ORDER BY tick, source",
            |row| {
                Ok(Plan {
                    tick: within(row, 0, TICKS)?,
                    source: row.get(1)?,
                    interval_us: within(row, 2, TIMES_US)?,
                    reason: text(row, 3)?,
                })
            },
        )
    }

    /// Streams the samples of all sources in order of ticks.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn scan_samples(&self, mut each: impl FnMut(Sample)) -> Result<(), Error> {
        let mut ascending = Ascending::default();
        let none = Damage::default();
        let mut damage = self.damage.get().unwrap_or(&none).cursor();
        self.scan(
            "reading the samples",
            "SELECT id, status, keyframe, read_us, bytes, reason FROM sample ORDER BY id",
            |row| {
                let id: i64 = within(row, 0, 0..=i64::MAX)?;
                ascending.next(id)?;
                let mut sample = Sample {
                    tick: id >> WHAT_BITS,
                    source: what(id),
                    status: status(row.get(1)?),
                    keyframe: row.get(2)?,
                    read_us: within_or_none(row, 3, COUNTS)?,
                    bytes: within_or_none(row, 4, COUNTS)?,
                    reason: row.get(5)?,
                };
                if damage.has(sample.tick, sample.source) {
                    sample.status = Status::Failed;
                    sample.keyframe = false;
                    sample.reason = Some(DAMAGED_REASON);
                }
                each(sample);
                Ok(())
            },
        )
    }

    /// Streams the stored values of these metrics in a range of ticks, in order of ticks:
    /// tick, metric, value. NaN stands for NULL.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn scan_scalars(
        &self,
        metrics: &[i64],
        ticks: &RangeInclusive<i64>,
        mut each: impl FnMut(i64, i64, f64),
    ) -> Result<(), Error> {
        let sql = format!(
            "SELECT id, value FROM scalar WHERE {} AND {} ORDER BY id",
            between(ticks),
            one_of(metrics)
        );
        let mut ascending = Ascending::default();
        self.scan("reading the scalars", &sql, |row| {
            let id: i64 = row.get(0)?;
            ascending.next(id)?;
            each(id >> WHAT_BITS, what(id), number(row.get_ref(1)?));
            Ok(())
        })
    }

    /// Streams the stored rows of an entity source in a range of ticks, in order of ticks:
    /// tick, entity, the metrics asked for. NaN stands for NULL. With `entities` only theirs.
    ///
    /// # Errors
    /// When the file is damaged, or the catalogue names a column that cannot be.
    pub fn scan_entities(
        &self,
        source: &Source,
        metrics: &[&Metric],
        entities: Option<&[i64]>,
        ticks: &RangeInclusive<i64>,
        mut each: impl FnMut(i64, i64, &[f64]),
    ) -> Result<(), Error> {
        let table = self.identifier(&source.name)?;
        if !self.tables.contains(table) {
            return Err(self.not_in_catalogue(table));
        }
        let columns = metrics
            .iter()
            .map(|metric| self.identifier(&metric.name))
            .collect::<Result<Vec<_>, _>>()?;
        let sql = format!(
            "SELECT id{}{} FROM {table} WHERE {} AND {} ORDER BY id",
            if columns.is_empty() { "" } else { ", " },
            columns.join(", "),
            between(ticks),
            entities.map_or_else(|| "TRUE".to_owned(), one_of)
        );
        let mut values = vec![f64::NAN; columns.len()];
        let mut ascending = Ascending::default();
        self.scan("reading the rows of a source", &sql, |row| {
            let id: i64 = row.get(0)?;
            ascending.next(id)?;
            for (at, value) in values.iter_mut().enumerate() {
                *value = number(row.get_ref(at + 1)?);
            }
            each(id >> WHAT_BITS, what(id), &values);
            Ok(())
        })
    }

    pub(crate) fn scan(
        &self,
        what: &'static str,
        sql: &str,
        mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), Error> {
        self.budget.begin();
        (|| {
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                each(row)?;
            }
            Ok(())
        })()
        .context(&self.path, what)
    }

    /// Names of tables and columns come out of the file; they are lower-case words or refused.
    pub(crate) fn identifier<'a>(&self, name: &'a str) -> Result<&'a str, Error> {
        let is_word = !name.is_empty()
            && name.len() <= 64
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if is_word {
            Ok(name)
        } else {
            Err(self.not_in_catalogue(name))
        }
    }

    fn not_in_catalogue(&self, name: &str) -> Error {
        Error::Catalogue {
            path: self.path.clone(),
            what: crate::printable(name.as_bytes().get(..64).unwrap_or(name.as_bytes())),
        }
    }
}

fn entity(row: &Row<'_>) -> rusqlite::Result<Entity> {
    Ok(Entity {
        entity: within(row, 0, WHATS)?,
        boot: row.get(1)?,
        first_tick: within(row, 2, TICKS)?,
        name: bytes(row.get_ref(3)?),
        labels: labels(row.get_ref(4)?),
    })
}

pub(crate) fn between(ticks: &RangeInclusive<i64>) -> String {
    let top = i64::MAX >> WHAT_BITS;
    let start = (*ticks.start()).clamp(0, top);
    let end = (*ticks.end()).clamp(0, top);
    let last = (end << WHAT_BITS) | ((1 << WHAT_BITS) - 1);
    format!("id BETWEEN {} AND {last}", start << WHAT_BITS)
}

/// Left to SQLite: a row that is passed over there costs a fifth of one that is handed out.
pub(crate) fn one_of(whats: &[i64]) -> String {
    let list: Vec<_> = whats.iter().map(i64::to_string).collect();
    format!("id & {} IN ({})", (1 << WHAT_BITS) - 1, list.join(", "))
}

pub(crate) fn what(id: i64) -> i64 {
    id & ((1 << WHAT_BITS) - 1)
}

pub(crate) fn status(code: i64) -> Status {
    match code {
        0 => Status::Ok,
        1 => Status::Partial,
        2 => Status::Unavailable,
        4 => Status::Skipped,
        _ => Status::Failed,
    }
}
