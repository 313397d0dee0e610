//! Makes one tick of several: of each thing the last row counts, which is the same picture, since
//! only changes are stored. What is left is sealed anew, bound to the tick before.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use crate::Status;
use crate::digest::{self, Digest, Lanes, Seal, Stamp};
use crate::sql::status_code;
use crate::verify::stored_columns;
use crate::writer::WHAT_BITS;

/// A table of rows.
#[derive(Debug)]
pub(crate) struct Table {
    name: String,
    columns: Vec<String>,
    /// Whose it is; `None` is all sources of scalars.
    source: Option<i64>,
}

/// What is left of one source's samples in a block.
#[derive(Clone, Copy, Debug)]
struct Merged {
    status: i64,
    read_us: Option<i64>,
    bytes: Option<i64>,
    reason: Option<i64>,
    /// The last whole picture in the block: what stands before it means nothing any more.
    keyframe: Option<i64>,
    /// The sum from which later samples go on; `None` in what older formats have written.
    running: Option<Lanes>,
    /// The first sample of the block that says what its rows sum up to.
    first: Option<(i64, Seal)>,
}

/// Every table of rows, with the columns that are stored; the scalars' first.
pub(crate) fn tables_of_rows(db: &Connection) -> rusqlite::Result<Vec<Table>> {
    let mut tables = vec![Table {
        name: "scalar".to_owned(),
        columns: stored_columns(db, "scalar")?,
        source: None,
    }];
    let mut sources =
        db.prepare("SELECT name, source FROM source WHERE shape = 'entities' ORDER BY source")?;
    let mut rows = sources.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        tables.push(Table {
            columns: stored_columns(db, &name)?,
            name,
            source: Some(row.get(1)?),
        });
    }
    Ok(tables)
}

/// Merges the ticks from the first up to the last into the last.
pub(crate) fn merge(db: &Connection, from: i64, to: i64, tables: &[Table]) -> rusqlite::Result<()> {
    let (low, high) = (from << WHAT_BITS, to << WHAT_BITS);
    let samples = merge_samples(db, low, to)?;
    let links = links(db, &samples, tables)?;
    for table in tables {
        for (source, merged) in &samples {
            let Some(keyframe) = merged.keyframe else {
                continue;
            };
            let bounds = [low, keyframe << WHAT_BITS];
            if table.source == Some(*source) {
                let sql = format!("DELETE FROM {} WHERE id >= ? AND id < ?", table.name);
                db.prepare_cached(&sql)?.execute(bounds)?;
            } else if table.source.is_none() {
                db.prepare_cached(
                    "DELETE FROM scalar WHERE id >= ? AND id < ? \
                     AND metric IN (SELECT metric FROM metric WHERE source = ?)",
                )?
                .execute([bounds[0], bounds[1], *source])?;
            }
        }
        // The newest row of each thing comes first and stays.
        let (name, columns) = (&table.name, table.columns.join(", "));
        db.prepare_cached(&format!(
            "INSERT OR IGNORE INTO {name} (id, {columns}) \
             SELECT ?2 | (id & 0xffffff), {columns} FROM {name} WHERE id >= ?1 AND id < ?2 ORDER BY id DESC"
        ))?
        .execute([low, high])?;
        db.prepare_cached(&format!("DELETE FROM {name} WHERE id >= ? AND id < ?"))?
            .execute([low, high])?;
    }
    seal(db, to, &samples, &links, tables)?;
    db.prepare_cached(
        "UPDATE tick SET (missed, cpu_us) = \
         (SELECT sum(missed), sum(cpu_us) FROM tick WHERE tick BETWEEN ?1 AND ?2) WHERE tick = ?2",
    )?
    .execute([from, to])?;
    db.prepare_cached("DELETE FROM tick WHERE tick >= ? AND tick < ?")?
        .execute([from, to])
        .map(drop)
}

/// What the rows of each source at a tick sum up to, and how many they are.
fn sums(
    db: &Connection,
    tick: i64,
    tables: &[Table],
) -> rusqlite::Result<BTreeMap<i64, (Lanes, i64)>> {
    let bounds = [tick << WHAT_BITS, (tick + 1) << WHAT_BITS];
    let mut found: BTreeMap<i64, (Digest, i64)> = BTreeMap::new();
    for Table {
        name,
        columns,
        source,
    } in tables
    {
        let owner = match source {
            Some(source) => source.to_string(),
            None => "(SELECT source FROM metric m WHERE m.metric = id & 0xffffff)".to_owned(),
        };
        let names: Vec<u64> = columns.iter().map(|name| digest::column(name)).collect();
        let columns = columns.join(", ");
        let mut rows = db.prepare_cached(&format!(
            "SELECT id, {owner}, {columns} FROM {name} WHERE id >= ? AND id < ?"
        ))?;
        let mut rows = rows.query(bounds)?;
        while let Some(row) = rows.next()? {
            let Some(source) = row.get::<_, Option<i64>>(1)? else {
                continue;
            };
            let (sum, count) = found.entry(source).or_default();
            let values = (2..).map(|at| row.get_ref_unwrap(at));
            sum.add(row.get(0)?, names.iter().copied().zip(values));
            *count += 1;
        }
    }
    let folded = found.into_iter();
    Ok(folded
        .map(|(source, (sum, count))| (source, (Lanes::of(sum), count)))
        .collect())
}

/// What binds each source to its sample before these ticks.
fn links(
    db: &Connection,
    samples: &BTreeMap<i64, Merged>,
    tables: &[Table],
) -> rusqlite::Result<BTreeMap<i64, Lanes>> {
    let mut at_tick = BTreeMap::new();
    let firsts = samples.values().filter_map(|merged| merged.first);
    for tick in firsts.map(|(tick, _)| tick).collect::<BTreeSet<_>>() {
        at_tick.insert(tick, sums(db, tick, tables)?);
    }
    let mut links = BTreeMap::new();
    for (source, merged) in samples {
        let Some((tick, first)) = merged.first else {
            continue;
        };
        let rows = at_tick.get(&tick).and_then(|sums| sums.get(source));
        let (rows, _) = rows.copied().unwrap_or_default();
        let link = match first {
            _ if merged.keyframe.is_some() => Lanes::default().link(),
            Seal::Running(running) => running.wrapping_sub(rows).link(),
            Seal::Merged { own, .. } => own.wrapping_sub(rows),
        };
        links.insert(*source, link);
    }
    Ok(links)
}

/// Says of the rows that stand at a tick now what they sum up to.
fn seal(
    db: &Connection,
    tick: i64,
    samples: &BTreeMap<i64, Merged>,
    links: &BTreeMap<i64, Lanes>,
    tables: &[Table],
) -> rusqlite::Result<()> {
    let found = sums(db, tick, tables)?;
    let boottime_us = db
        .prepare_cached("SELECT boottime_us FROM tick WHERE tick = ?")?
        .query_row([tick], |row| row.get(0))?;
    for (source, merged) in samples {
        let (Some(running), Some(link)) = (merged.running, links.get(source)) else {
            continue;
        };
        let (rows, count) = found.get(source).copied().unwrap_or_default();
        let id = tick << WHAT_BITS | source;
        let stamp = Stamp {
            id,
            status: merged.status,
            keyframe: merged.keyframe.is_some(),
            boottime_us,
        };
        let seal = Seal::Merged {
            running,
            own: rows.wrapping_add(*link),
        };
        db.prepare_cached("UPDATE sample SET (stored, digest) = (?, ?) WHERE id = ?")?
            .execute([count, seal.close(stamp), id])?;
    }
    Ok(())
}

/// Of each source the last sample that gave values, or the last one.
fn merge_samples(db: &Connection, low: i64, to: i64) -> rusqlite::Result<BTreeMap<i64, Merged>> {
    let high = (to + 1) << WHAT_BITS;
    let mut samples: BTreeMap<i64, Merged> = BTreeMap::new();
    let mut statement = db.prepare_cached(
        "SELECT tick, source, status, keyframe, read_us, bytes, reason, digest, id, \
         coalesce((SELECT boottime_us FROM tick t WHERE t.tick = sample.tick), 0) \
         FROM sample WHERE id >= ? AND id < ? ORDER BY id",
    )?;
    let mut rows = statement.query([low, high])?;
    while let Some(row) = rows.next()? {
        let tick: i64 = row.get(0)?;
        let (status, is_keyframe) = (row.get(2)?, row.get(3)?);
        let digest: Option<i64> = row.get(7)?;
        let stamp = Stamp {
            id: row.get(8)?,
            status,
            keyframe: is_keyframe,
            boottime_us: row.get(9)?,
        };
        let seal = digest.map(|digest| Seal::open(digest, stamp));
        let now = Merged {
            status,
            read_us: row.get(4)?,
            bytes: row.get(5)?,
            reason: row.get(6)?,
            keyframe: is_keyframe.then_some(tick),
            running: seal.map(Seal::running),
            first: seal.map(|seal| (tick, seal)),
        };
        let held = samples.entry(row.get(1)?).or_insert(now);
        let (keyframe, first) = (now.keyframe.or(held.keyframe), held.first.or(now.first));
        if has_values(now.status) || !has_values(held.status) {
            *held = now;
        }
        (held.keyframe, held.first) = (keyframe, first);
    }
    db.prepare_cached("DELETE FROM sample WHERE id >= ? AND id < ?")?
        .execute([low, high])?;
    for (source, merged) in &samples {
        db.prepare_cached(
            "INSERT INTO sample (id, status, keyframe, read_us, bytes, reason) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            to << WHAT_BITS | source,
            merged.status,
            merged.keyframe.is_some(),
            merged.read_us,
            merged.bytes,
            merged.reason
        ])?;
    }
    Ok(samples)
}

fn has_values(status: i64) -> bool {
    [Status::Ok, Status::Partial]
        .map(status_code)
        .contains(&status)
}
