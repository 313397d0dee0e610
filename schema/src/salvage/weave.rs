//! Goes through the ticks in order, with what is left of each table beside one another, and writes
//! what can be believed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::catalogue::Kept as Catalogue;
use super::pages::Pages;
use super::picture::{Kept, Picture};
use super::sort::{Found, Kinds, Places};
use super::stream::Stream;
use super::{Salvaged, SalvagedSource, Stretch};
use crate::digest::{self, Digest, Seal, Stamp};
use crate::door;
use crate::reader::{self, what};
use crate::verify::stored_columns;
use crate::writer::WHAT_BITS;
use crate::{Recording, Tick};

/// The code of a sample that failed.
const FAILED: i64 = 3;

/// One source on its way into the new file.
struct Lane {
    picture: Picture,
    insert: String,
    width: usize,
    /// Over what the new file holds since its last keyframe.
    sum: Digest,
    told: SalvagedSource,
    open: Option<Stretch>,
}

/// A row of `sample`.
struct Claim {
    stamp: Stamp,
    read_us: Option<i64>,
    bytes: Option<i64>,
    reason: Option<i64>,
    stored: Option<i64>,
    seal: Option<Seal>,
}

impl Claim {
    fn of(id: i64, columns: &[Value], tick: &Tick) -> Self {
        let number = |at: usize| match columns.get(at) {
            Some(Value::Integer(number)) => Some(*number),
            _ => None,
        };
        let count = |at| number(at).filter(|count| door::COUNTS.contains(count));
        let stamp = Stamp {
            id,
            status: number(1).unwrap_or(FAILED),
            keyframe: number(2) == Some(1),
            boottime_us: tick.boottime_us,
        };
        Self {
            stamp,
            read_us: count(3),
            bytes: count(4),
            reason: number(5),
            stored: count(6),
            seal: number(7).map(|digest| Seal::open(digest, stamp)),
        }
    }
}

struct Weaver<'a> {
    db: &'a Connection,
    catalogue: &'a Catalogue,
    lanes: BTreeMap<i64, Lane>,
    stretches: Vec<Stretch>,
    /// Digests were written by now.
    sealed: bool,
}

/// Writes ticks, samples and rows.
pub(super) fn write(
    db: &Connection,
    pages: &Pages,
    mut places: Places,
    kinds: &Kinds,
    catalogue: &Catalogue,
    from: &Path,
    salvaged: &mut Salvaged,
) -> rusqlite::Result<()> {
    let believes = reads_whole(from);
    let mut of_table = |name: &str| Stream::new(name, places.of.remove(name).unwrap_or_default());
    let mut samples = of_table("sample");
    let mut scalars = of_table("scalar");
    let mut entities = Vec::new();
    let mut weaver = Weaver {
        db,
        catalogue,
        lanes: BTreeMap::new(),
        stretches: Vec::new(),
        sealed: false,
    };
    for (source, name) in &kinds.sources {
        let table = kinds.tables.get_key_value(name);
        let table = table.map_or("scalar", |(table, _)| table.as_str());
        if table != "scalar" {
            entities.push((*source, of_table(table)));
        }
        weaver
            .lanes
            .insert(*source, Lane::new(db, name, table, believes)?);
    }
    entities.sort_by_key(|(source, _)| *source);
    let mut nameless = BTreeSet::new();
    let mut before: Option<Tick> = None;
    for tick in &catalogue.ticks {
        let mut rows: BTreeMap<i64, Vec<Found>> = BTreeMap::new();
        for row in scalars.take(pages, kinds, tick.tick) {
            if let Some(source) = kinds.metrics.get(&what(row.0)) {
                rows.entry(*source).or_default().push(row);
            }
        }
        for (source, stream) in &mut entities {
            let found = stream.take(pages, kinds, tick.tick);
            for (id, _) in &found {
                if !kinds.entities.contains_key(&what(*id)) && nameless.insert(what(*id)) {
                    name_entity(db, what(*id), *source, tick, catalogue)?;
                }
            }
            rows.insert(*source, found);
        }
        let claims: HashMap<i64, Claim> = samples
            .take(pages, kinds, tick.tick)
            .into_iter()
            .filter(|(id, _)| id >> WHAT_BITS == tick.tick)
            .map(|(id, columns)| (what(id), Claim::of(id, &columns, tick)))
            .collect();
        weaver.sealed |= claims.values().any(|claim| claim.seal.is_some());
        weaver.tick(tick, before.as_ref(), &claims, rows)?;
        if let Some(before) = before.filter(|before| tick.tick - before.tick > 1) {
            salvaged.ticks_lost += u64::try_from(tick.tick - before.tick - 1).unwrap_or(0);
        }
        before = Some(*tick);
        salvaged.ticks += 1;
    }
    salvaged.checked = weaver.sealed;
    weaver.finish(salvaged);
    Ok(())
}

/// Whether the damaged file reads as a database, so that rows of a format without digests can only
/// be missing where it is torn.
fn reads_whole(from: &Path) -> bool {
    Recording::open(from).is_ok_and(|recording| recording.is_well_formed())
}

/// Rows without a name are still worth keeping.
fn name_entity(
    db: &Connection,
    entity: i64,
    source: i64,
    tick: &Tick,
    catalogue: &Catalogue,
) -> rusqlite::Result<()> {
    let name = format!("name lost ({entity})");
    db.execute(
        "INSERT OR IGNORE INTO entity (entity, source, boot, first_tick, name, key) \
         VALUES (?, ?, ?, ?, ?, ?)",
        params![
            entity,
            source,
            catalogue.boots.get(&tick.run),
            tick.tick,
            name,
            name
        ],
    )
    .map(drop)
}

impl Lane {
    fn new(db: &Connection, name: &str, table: &str, believes: bool) -> rusqlite::Result<Self> {
        let columns = stored_columns(db, table)?;
        let insert = format!(
            "INSERT OR IGNORE INTO {table} (id, {}) VALUES (?{})",
            columns.join(", "),
            ", ?".repeat(columns.len())
        );
        let numbers = columns.iter().map(|name| digest::column(name)).collect();
        Ok(Self {
            picture: Picture::new(numbers, believes),
            insert,
            width: columns.len() + 1,
            sum: Digest::default(),
            told: SalvagedSource {
                name: name.to_owned(),
                ..SalvagedSource::default()
            },
            open: None,
        })
    }
}

impl Weaver<'_> {
    fn tick(
        &mut self,
        tick: &Tick,
        before: Option<&Tick>,
        claims: &HashMap<i64, Claim>,
        mut rows: BTreeMap<i64, Vec<Found>>,
    ) -> rusqlite::Result<()> {
        self.db
            .prepare_cached(
                "INSERT INTO tick (tick, run, boottime_us, late_us, missed, took_us, cpu_us) \
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                tick.tick,
                tick.run,
                tick.boottime_us,
                tick.late_us,
                tick.missed,
                tick.took_us,
                tick.cpu_us
            ])?;
        let boot = self.catalogue.boots.get(&tick.run).copied().unwrap_or(0);
        if let Some(before) = before
            && tick.tick - before.tick > 1
            && before.run == tick.run
        {
            let missing = tick.tick - before.tick - 1;
            self.db.execute(
                "INSERT INTO event (boot, boottime_us, kind, text) VALUES (?, ?, 'gap', ?)",
                params![
                    boot,
                    tick.boottime_us,
                    format!(
                        "{missing} ticks before this one are not in the damaged file that this one was \
                         salvaged from"
                    )
                ],
            )?;
            self.stretches.push(Stretch {
                source: None,
                boot,
                from_us: before.boottime_us,
                to_us: tick.boottime_us,
                missing: u64::try_from(missing).unwrap_or(0),
            });
        }
        let sources: Vec<i64> = self.lanes.keys().copied().collect();
        for source in sources {
            let found = rows.remove(&source).unwrap_or_default();
            self.source(source, tick, boot, claims.get(&source), found)?;
        }
        Ok(())
    }

    fn source(
        &mut self,
        source: i64,
        tick: &Tick,
        boot: i64,
        claim: Option<&Claim>,
        mut found: Vec<Found>,
    ) -> rusqlite::Result<()> {
        let Some(lane) = self.lanes.get_mut(&source) else {
            return Ok(());
        };
        let here = found.partition_point(|(id, _)| id >> WHAT_BITS < tick.tick);
        let here = found.split_off(here);
        lane.picture.stray(&found);
        let has_values = claim.is_some_and(|c| reader::status(c.stamp.status).has_values());
        let (Some(claim), true) = (claim, has_values) else {
            lane.picture.stray(&here);
            if let Some(claim) = claim {
                self.put_sample(&Claim {
                    stored: None,
                    seal: None,
                    ..*claim
                })?;
            } else if !here.is_empty() {
                self.fail(source, tick, boot, None)?;
            }
            return Ok(());
        };
        let missing = claim.stored.unwrap_or(0) - i64::try_from(here.len()).unwrap_or(0);
        lane.told.rows_lost += u64::try_from(missing).unwrap_or(0);
        let kept = lane
            .picture
            .sample(claim.stamp, claim.seal, self.sealed, &here);
        let mut stamp = claim.stamp;
        let rows: Vec<Found> = match kept {
            Kept::Nothing => return self.fail(source, tick, boot, Some(claim)),
            Kept::Rows => here,
            Kept::Picture => {
                stamp.keyframe = true;
                let key = tick.tick << WHAT_BITS;
                let held = lane.picture.held();
                held.map(|(what, columns)| (key | what, columns.clone()))
                    .collect()
            }
        };
        if stamp.keyframe {
            lane.sum = Digest::default();
        }
        let sum = lane
            .picture
            .sum_of(rows.iter().map(|(id, columns)| (*id, columns)));
        lane.sum.join(sum);
        lane.told.samples += 1;
        lane.told.rows += rows.len() as u64;
        if let Some(mut stretch) = lane.open.take() {
            stretch.to_us = tick.boottime_us;
            self.stretches.push(stretch);
        }
        let stored = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let seal = lane.sum.seal();
        {
            let mut insert = self.db.prepare_cached(&lane.insert)?;
            for (id, mut columns) in rows {
                columns.resize(lane.width, Value::Null);
                columns[0] = Value::Integer(id);
                insert.execute(params_from_iter(columns))?;
            }
        }
        let claim = Claim {
            stamp,
            seal: Some(seal),
            stored: Some(stored),
            ..*claim
        };
        self.put_sample(&claim)
    }

    /// The sample is there and says nothing.
    fn fail(
        &mut self,
        source: i64,
        tick: &Tick,
        boot: i64,
        claim: Option<&Claim>,
    ) -> rusqlite::Result<()> {
        if let Some(lane) = self.lanes.get_mut(&source) {
            lane.told.samples_lost += 1;
            let open = lane.open.get_or_insert_with(|| Stretch {
                source: Some(lane.told.name.clone()),
                boot,
                from_us: tick.boottime_us,
                to_us: tick.boottime_us,
                missing: 0,
            });
            open.missing += 1;
            open.to_us = tick.boottime_us;
        }
        let failed = Claim {
            stamp: Stamp {
                id: tick.tick << WHAT_BITS | source,
                status: FAILED,
                keyframe: false,
                boottime_us: tick.boottime_us,
            },
            read_us: claim.and_then(|claim| claim.read_us),
            bytes: claim.and_then(|claim| claim.bytes),
            reason: Some(self.catalogue.damaged),
            stored: None,
            seal: None,
        };
        self.put_sample(&failed)
    }

    fn put_sample(&self, claim: &Claim) -> rusqlite::Result<()> {
        let known = |reason: &i64| {
            *reason == self.catalogue.damaged || self.catalogue.reasons.contains(reason)
        };
        self.db
            .prepare_cached(
                "INSERT INTO sample (id, status, keyframe, read_us, bytes, reason, stored, digest) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                claim.stamp.id,
                claim.stamp.status,
                claim.stamp.keyframe,
                claim.read_us,
                claim.bytes,
                claim.reason.filter(known),
                claim.stored,
                claim.seal.map(|seal| seal.close(claim.stamp))
            ])
            .map(drop)
    }

    fn finish(mut self, salvaged: &mut Salvaged) {
        for lane in self.lanes.into_values() {
            self.stretches.extend(lane.open);
            salvaged.sources.push(lane.told);
        }
        self.stretches
            .sort_by(|a, b| (a.boot, a.from_us, &a.source).cmp(&(b.boot, b.from_us, &b.source)));
        salvaged.stretches = self.stretches;
    }
}
