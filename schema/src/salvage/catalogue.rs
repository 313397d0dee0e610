//! Writes what is left of the catalogue into the new file, and makes up what the rest hangs on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use rusqlite::types::Value;
use rusqlite::{Connection, Statement, params, params_from_iter};

use super::pages::Pages;
use super::scrub::Scrub;
use super::sort::{Found, Kinds, Places};
use crate::door::{COUNTS, TICKS, TIMES_US, WHATS};
use crate::{Kind, Tick, Trend, Unit};

/// The reason of samples that are not believed.
const DAMAGED: &str = "damaged in the file that this one was salvaged from";

/// What stands for a name that is lost.
const LOST: &str = "lost";

/// The last tick stands apart from the others by more than a month only where its time was altered.
const LONGEST_GAP_US: i64 = 31 * 86_400 * 1_000_000;

/// What the rows of ticks hang on.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The ticks in order.
    pub(super) ticks: Vec<Tick>,
    /// The boot of each run.
    pub(super) boots: BTreeMap<i64, i64>,
    pub(super) reasons: BTreeSet<i64>,
    /// The reason of samples that are not believed.
    pub(super) damaged: i64,
    pub(super) made_up: u64,
    pub(super) refused: u64,
}

fn int(columns: &[Value], at: usize) -> Option<i64> {
    match columns.get(at) {
        Some(Value::Integer(number)) => Some(*number),
        _ => None,
    }
}

/// Whether a reader would take the numbers of a row.
fn is_sane(table: &str, id: i64, columns: &[Value]) -> bool {
    let within = |at: usize, bounds: &std::ops::RangeInclusive<i64>| {
        int(columns, at).is_none_or(|number| bounds.contains(&number))
    };
    match table {
        "boot" => {
            within(5, &(512..=1 << 24)) && within(6, &(1..=1_000_000)) && within(7, &(0..=1 << 24))
        }
        "run" => within(6, &TIMES_US) && within(7, &(1..=*TIMES_US.end())) && within(10, &TIMES_US),
        "tick" => {
            TICKS.contains(&id)
                && [2, 3, 5, 6].iter().all(|at| within(*at, &TIMES_US))
                && within(4, &COUNTS)
        }
        "wall_clock" => TICKS.contains(&id) && within(2, &TIMES_US),
        "source" => WHATS.contains(&id),
        // A unit that is altered would scale every number by it.
        "metric" => {
            let word = |at: usize| match columns.get(at) {
                Some(Value::Text(word)) => word.as_str(),
                _ => "",
            };
            WHATS.contains(&id)
                && Unit::from_word(word(3)).is_some()
                && Kind::from_word(word(4)).is_some()
                && Trend::from_word(word(5)).is_some()
        }
        "entity" => WHATS.contains(&id) && within(3, &TICKS),
        "event" => within(2, &TIMES_US),
        "plan" => within(0, &TICKS) && within(2, &TIMES_US),
        _ => true,
    }
}

/// What is personal in a row. The user that recorded is nobody's business either.
fn clean(scrub: &Scrub, table: &str, columns: &mut [Value]) {
    match table {
        "host" => columns[2] = Value::Text("host".to_owned()),
        "run" => {
            columns[5] = Value::Integer(-1);
            scrub.json(&mut columns[8]);
            scrub.json(&mut columns[9]);
        }
        "boot" => scrub.value(&mut columns[4]),
        "entity" => {
            scrub.value(&mut columns[4]);
            scrub.value(&mut columns[5]);
            scrub.json(&mut columns[6]);
        }
        "event" => {
            scrub.value(&mut columns[5]);
            scrub.json(&mut columns[6]);
        }
        "reason" => scrub.value(&mut columns[1]),
        _ => {}
    }
}

/// JSON that was cut off is none.
fn mend_json(table: &str, columns: &mut [Value]) {
    let (at, or): (&[usize], Value) = match table {
        "run" => (&[8, 9], Value::Text("{}".to_owned())),
        "entity" | "event" => (&[6], Value::Null),
        _ => return,
    };
    for at in at {
        if let Some(Value::Text(text)) = columns.get(*at)
            && serde_json::from_str::<serde_json::Map<_, _>>(text).is_err()
        {
            columns[*at] = or.clone();
        }
    }
}

/// Numbers that two rows claim for different things: one of them was altered, and what goes by the
/// number is not to be shown under the other's name.
fn contested(pages: &Pages, places: &Places, table: &str) -> BTreeSet<i64> {
    // What the rest of a row says may have changed from one moment of the file to another.
    let identity: &[usize] = match table {
        "source" => &[1],
        "metric" => &[1, 2],
        "entity" => &[1, 2, 5],
        _ => return BTreeSet::new(),
    };
    let mut known: HashMap<i64, u64> = HashMap::new();
    let mut contested = BTreeSet::new();
    places.catalogue(pages, table, |(id, columns)| {
        let mut hasher = DefaultHasher::new();
        for at in identity {
            format!("{:?}", columns.get(*at)).hash(&mut hasher);
        }
        let thing = hasher.finish();
        if *known.entry(id).or_insert(thing) != thing {
            contested.insert(id);
        }
    });
    contested
}

struct Table<'c> {
    insert: Statement<'c>,
    width: usize,
    has_key: bool,
}

impl<'c> Table<'c> {
    fn new(db: &'c Connection, name: &str) -> rusqlite::Result<Self> {
        let columns: Vec<(String, i64)> = db
            .prepare("SELECT name, pk FROM pragma_table_xinfo(?) WHERE hidden = 0 ORDER BY cid")?
            .query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let sql = format!(
            "INSERT OR IGNORE INTO {name} ({}) VALUES (?{})",
            names.join(", "),
            ", ?".repeat(names.len() - 1)
        );
        Ok(Self {
            insert: db.prepare(&sql)?,
            width: columns.len(),
            has_key: columns.iter().filter(|(_, pk)| *pk > 0).count() == 1,
        })
    }

    /// Whether the row is now there.
    fn put(&mut self, (id, mut columns): Found) -> rusqlite::Result<bool> {
        columns.resize(self.width, Value::Null);
        if self.has_key {
            columns[0] = Value::Integer(id);
        }
        match self.insert.execute(params_from_iter(columns)) {
            Ok(rows) => Ok(rows > 0),
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// Writes hosts, boots, runs, sources, metrics, entities, reasons, events, the wall clock and plans.
pub(super) fn write(
    db: &Connection,
    pages: &Pages,
    places: &Places,
    kinds: &mut Kinds,
    scrub: bool,
) -> rusqlite::Result<Kept> {
    let mut kept = Kept::default();
    let scrub = scrub.then(|| {
        let mut hosts = Vec::new();
        places.catalogue(pages, "host", |(_, columns)| {
            if let Some(Value::Text(name)) = columns.get(2)
                && name.len() > 2
            {
                hosts.push(name.clone());
            }
        });
        hosts.sort_by_key(|name| std::cmp::Reverse(name.len()));
        Scrub { hosts }
    });
    let mut boots: BTreeMap<i64, i64> = BTreeMap::new();
    let mut hosts = BTreeSet::new();
    let tables = [
        "host",
        "boot",
        "run",
        "source",
        "metric",
        "entity",
        "reason",
        "event",
        "wall_clock",
        "plan",
    ];
    for name in tables {
        let mut table = Table::new(db, name)?;
        let mut failed = None;
        let contested = contested(pages, places, name);
        places.catalogue(pages, name, |(id, mut columns)| {
            if failed.is_some() {
                return;
            }
            let is_good = is_sane(name, id, &columns) && kinds.has_metric(name, &columns);
            if !is_good || contested.contains(&id) {
                kept.refused += 1;
                return;
            }
            mend_json(name, &mut columns);
            if let Some(scrub) = &scrub {
                clean(scrub, name, &mut columns);
            }
            let first = int(&columns, 1).unwrap_or(0);
            let word = match columns.get(1) {
                Some(Value::Text(word)) => Some(word.clone()),
                _ => None,
            };
            match table.put((id, columns)) {
                Ok(false) => {}
                Ok(true) => match (name, word) {
                    ("host", _) => drop(hosts.insert(id)),
                    ("boot", _) => drop(boots.insert(id, first)),
                    ("run", _) => drop(kept.boots.insert(id, first)),
                    ("reason", _) => drop(kept.reasons.insert(id)),
                    ("source", Some(word)) => drop(kinds.sources.insert(id, word)),
                    ("metric", _) => drop(kinds.metrics.insert(id, first)),
                    ("entity", _) => drop(kinds.entities.insert(id, first)),
                    _ => {}
                },
                Err(error) => failed = Some(error),
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
    }
    db.execute(
        "INSERT INTO reason (text) VALUES (?) ON CONFLICT (text) DO UPDATE SET text = excluded.text",
        [DAMAGED],
    )?;
    kept.damaged = db.query_row(
        "SELECT reason FROM reason WHERE text = ?",
        [DAMAGED],
        |row| row.get(0),
    )?;
    places.catalogue(pages, "tick", |(id, columns)| {
        let number = |at| int(&columns, at).unwrap_or(0);
        if is_sane("tick", id, &columns) {
            kept.ticks.push(Tick {
                tick: id,
                run: number(1),
                boottime_us: number(2),
                late_us: number(3),
                missed: number(4),
                took_us: number(5),
                cpu_us: number(6),
            });
        } else {
            kept.refused += 1;
        }
    });
    make_up(db, &mut kept, &mut boots, &hosts)?;
    order(&mut kept);
    Ok(kept)
}

/// A tick belongs to a run, a run to a boot and a boot to a machine: what is missing of those is
/// made up, as one row for each.
fn make_up(
    db: &Connection,
    kept: &mut Kept,
    boots: &mut BTreeMap<i64, i64>,
    hosts: &BTreeSet<i64>,
) -> rusqlite::Result<()> {
    kept.ticks.sort_by_key(|tick| tick.tick);
    kept.ticks.dedup_by_key(|tick| tick.tick);
    // A run that few ticks name beside one that is there is an altered number.
    let mut named: BTreeMap<i64, usize> = BTreeMap::new();
    for tick in &kept.ticks {
        *named.entry(tick.run).or_default() += 1;
    }
    let mut last = None;
    for tick in &mut kept.ticks {
        let alone = named.get(&tick.run).is_none_or(|ticks| *ticks < 3);
        if !kept.boots.contains_key(&tick.run) && alone {
            tick.run = last
                .or(kept.boots.keys().next().copied())
                .unwrap_or(tick.run);
        }
        last = Some(tick.run);
    }
    let runs: BTreeSet<i64> = kept.ticks.iter().map(|tick| tick.run).collect();
    for run in runs {
        if kept.boots.contains_key(&run) {
            continue;
        }
        let boot = boots.keys().next_back().copied().unwrap_or(1);
        let mut steps: Vec<i64> = kept
            .ticks
            .windows(2)
            .filter(|pair| pair[0].run == run && pair[1].run == run)
            .map(|pair| pair[1].boottime_us - pair[0].boottime_us)
            .filter(|step| *step > 0)
            .collect();
        steps.sort_unstable();
        let interval = steps.get(steps.len() / 2).copied().unwrap_or(10_000_000);
        let started = kept.ticks.iter().find(|tick| tick.run == run);
        db.execute(
            "INSERT OR REPLACE INTO run (run, boot, program, pid, pid_start, uid, started_us, interval_us, \
             settings, labels, end_reason) VALUES (?, ?, ?, 0, 0, -1, ?, ?, '{}', '{}', ?)",
            params![run, boot, LOST, started.map_or(0, |tick| tick.boottime_us), interval, LOST],
        )?;
        kept.boots.insert(run, boot);
        kept.made_up += 1;
    }
    for (run, boot) in &mut kept.boots {
        if boots.contains_key(boot) {
            continue;
        }
        // The number may be what is altered; with one boot there is no other it can be.
        if let (1, Some(only)) = (boots.len(), boots.keys().next()) {
            *boot = *only;
            db.execute("UPDATE run SET boot = ? WHERE run = ?", params![*boot, run])?;
            continue;
        }
        let host = hosts.first().copied().unwrap_or(1);
        // Most machines have pages of 4 KiB and count in hundredths of a second.
        db.execute(
            "INSERT INTO boot (boot, host, boot_id, page_bytes, user_hz) VALUES (?, ?, ?, 4096, 100)",
            params![*boot, host, LOST],
        )?;
        boots.insert(*boot, host);
        kept.made_up += 1;
    }
    for host in boots.values().copied().collect::<BTreeSet<_>>() {
        if !hosts.contains(&host) {
            db.execute(
                "INSERT INTO host (host, machine, name) VALUES (?, ?, ?)",
                params![host, LOST, LOST],
            )?;
            kept.made_up += 1;
        }
    }
    Ok(())
}

/// Within a boot the clock goes forward: a tick that stands outside its neighbours was altered.
fn order(kept: &mut Kept) {
    let boots = &kept.boots;
    let mut of_boot: BTreeMap<i64, Vec<Tick>> = BTreeMap::new();
    for tick in std::mem::take(&mut kept.ticks) {
        if let Some(boot) = boots.get(&tick.run) {
            of_boot.entry(*boot).or_default().push(tick);
        }
    }
    let before = |ticks: &[Tick]| ticks.last().map(|tick| tick.boottime_us);
    for ticks in of_boot.into_values() {
        let mut good: Vec<Tick> = Vec::with_capacity(ticks.len());
        for (at, tick) in ticks.iter().enumerate() {
            let time = tick.boottime_us;
            let last = before(&good);
            let next = ticks.get(at + 1).map(|tick| tick.boottime_us);
            let after_next = ticks.get(at + 2).map(|tick| tick.boottime_us);
            let leaps = match (last, next, after_next) {
                (_, Some(next), Some(after)) => time > next && time > after,
                (_, Some(next), None) => time > next,
                (Some(last), None, _) => time - last > LONGEST_GAP_US,
                (None, None, _) => false,
            };
            if leaps || last.is_some_and(|last| time < last) {
                kept.refused += 1;
            } else {
                good.push(*tick);
            }
        }
        kept.ticks.extend(good);
    }
    kept.ticks.sort_by_key(|tick| tick.tick);
}
