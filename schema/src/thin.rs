//! Keeps a recording within a size: of its oldest part every second tick is kept, then every fourth.
//!
//! A tick that is left out is merged into the next one that stays: of each thing the last row counts,
//! which is the same picture, since only changes are stored. The numbers of the ticks are not given
//! out anew, so that a hole between two numbers says how many were left out there, and readers can
//! tell a wider step from a gap. What is left is sealed anew, bound to the tick before.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use crate::digest::{self, Digest, Lanes, Seal, Stamp};
use crate::file::Context;
use crate::sql::{insert_event, none_if_no_rows, status_code};
use crate::verify::stored_columns;
use crate::writer::{WHAT_BITS, Writer};
use crate::{Error, Status};

/// The newest ticks are never thinned: this share of those that are kept. What happened last is what
/// people look at closely; three quarters are enough for a trend over all of it.
const NEWEST_SHARE: i64 = 4;

/// Thinning begins when less than this share of the bound is free, and ends when twice as much is:
/// it then comes by in every few hundred ticks, not with each.
const SLACK_SHARE: u64 = 64;

/// Blocks that are merged in one transaction, and transactions of one call: others get to write
/// between them, and one call frees more than the tick before it took.
const BLOCKS: u32 = 8;
const STEPS: u32 = 32;
/// Blocks that are looked at in one transaction, when most of them are one tick already.
const LOOKS: u32 = 512;

/// How far thinning has come: blocks of so many numbers become one tick each, from the oldest on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Thinning {
    width: i64,
    next: i64,
    /// The width that the recording says of itself.
    told: i64,
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

impl Writer {
    /// Leaves ticks of the oldest part out until the file has room for more within a bound in
    /// bytes, as far as that can be done at once. Returns how many.
    ///
    /// # Errors
    /// When the file cannot be written; nothing has changed then.
    pub fn keep_within(&mut self, bytes: u64) -> Result<u64, Error> {
        if self.used_bytes()? <= bytes - bytes / SLACK_SHARE {
            return Ok(0);
        }
        let newest = self.first_of_newest()?;
        let tables = self.tables_of_rows()?;
        let mut left_out = 0;
        for _ in 0..STEPS {
            if self.used_bytes()? <= bytes - bytes / SLACK_SHARE * 2 {
                break;
            }
            let mut next = self.thinning;
            self.connection
                .execute_batch("BEGIN IMMEDIATE")
                .context(&self.path, "thinning")?;
            let step = thin(&self.connection, &mut next, newest, &tables, self.boot)
                .and_then(|count| {
                    self.connection.execute_batch("COMMIT")?;
                    Ok(count)
                })
                .context(&self.path, "thinning");
            match step {
                Ok(Some(count)) => {
                    self.thinning = next;
                    left_out += count;
                }
                Ok(None) => break,
                Err(error) => {
                    let _ = self.connection.execute_batch("ROLLBACK");
                    return Err(error);
                }
            }
        }
        Ok(left_out)
    }

    /// Bytes of the main file that hold something; pages that are free are used again.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn used_bytes(&self) -> Result<u64, Error> {
        let number = |name| {
            self.connection
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
                .context(&self.path, "reading the size")
        };
        let pages = number("page_count")? - number("freelist_count")?;
        Ok((pages * number("page_size")?).unsigned_abs())
    }

    /// The first tick that is not to be thinned.
    fn first_of_newest(&self) -> Result<i64, Error> {
        self.connection
            .query_row(
                "SELECT coalesce((SELECT tick FROM tick ORDER BY tick DESC LIMIT 1 \
                 OFFSET (SELECT count(*) FROM tick) / ?), 0)",
                [NEWEST_SHARE],
                |row| row.get(0),
            )
            .context(&self.path, "thinning")
    }

    /// Every table of rows, with the columns that are stored; the scalars' first.
    fn tables_of_rows(&self) -> Result<Vec<Table>, Error> {
        (|| {
            let mut tables = vec![Table {
                name: "scalar".to_owned(),
                columns: stored_columns(&self.connection, "scalar")?,
                source: None,
            }];
            let mut sources = self.connection.prepare(
                "SELECT name, source FROM source WHERE shape = 'entities' ORDER BY source",
            )?;
            let mut rows = sources.query([])?;
            while let Some(row) = rows.next()? {
                let name: String = row.get(0)?;
                tables.push(Table {
                    columns: stored_columns(&self.connection, &name)?,
                    name,
                    source: Some(row.get(1)?),
                });
            }
            Ok(tables)
        })()
        .context(&self.path, "thinning")
    }
}

#[derive(Debug)]
struct Table {
    name: String,
    columns: Vec<String>,
    /// Whose it is; `None` is all sources of scalars.
    source: Option<i64>,
}

/// Merges some blocks. Returns how many ticks were left out; `None` when there is nothing left to
/// leave out.
fn thin(
    db: &Connection,
    at: &mut Thinning,
    newest: i64,
    tables: &[Table],
    boot: i64,
) -> rusqlite::Result<Option<u64>> {
    let mut left_out = 0;
    let mut merged = 0;
    if at.width == 0 {
        at.width = width_of_oldest(db)?;
    }
    for _ in 0..LOOKS {
        if merged == BLOCKS {
            break;
        }
        let first: Option<i64> = db
            .prepare_cached(
                "SELECT tick FROM tick WHERE tick >= ? AND tick < ? ORDER BY tick LIMIT 1",
            )?
            .query_row([at.next, newest], |row| row.get(0))
            .map(Some)
            .or_else(none_if_no_rows)?;
        let end = first.map(|first| (first + at.width - 1) / at.width * at.width);
        let Some(end) = end.filter(|end| *end < newest) else {
            if at.width >= newest {
                return Ok((left_out > 0).then_some(left_out));
            }
            at.width *= 2;
            at.next = 0;
            continue;
        };
        let count = merge_block(db, end - at.width, end, tables)?;
        if count > 0 && at.told != at.width {
            at.told = at.width;
            tell(db, boot, newest, at.width)?;
        }
        merged += u32::from(count > 0);
        left_out += count;
        at.next = end + 1;
    }
    Ok(Some(left_out))
}

/// How wide the oldest part is already: a power of two, from 2 up.
fn width_of_oldest(db: &Connection) -> rusqlite::Result<i64> {
    // The first tick of all stays, and the second ends the block that it is in.
    let step: i64 = db.query_row(
        "SELECT coalesce(max(tick) - min(tick), 0) \
         FROM (SELECT tick FROM tick ORDER BY tick LIMIT 2 OFFSET 1)",
        [],
        |row| row.get(0),
    )?;
    Ok(step.max(2).unsigned_abs().next_power_of_two().cast_signed())
}

/// Says in the recording what becomes of its oldest part.
fn tell(db: &Connection, boot: i64, newest: i64, width: i64) -> rusqlite::Result<()> {
    let text = format!(
        "to stay within the size, one of {width} ticks is kept of those before tick {newest}, the oldest first"
    );
    let now = db.query_row(
        "SELECT coalesce((SELECT boottime_us FROM tick ORDER BY tick DESC LIMIT 1), 0)",
        [],
        |row| row.get(0),
    )?;
    insert_event(db, boot, now, "thinned", None, text.as_bytes(), None)
}

/// Makes one tick of those with numbers above `after` up to `end`; of each run its first one stays
/// as it is, since a run begins there, and nothing is merged across runs.
fn merge_block(db: &Connection, after: i64, end: i64, tables: &[Table]) -> rusqlite::Result<u64> {
    let mut statement =
        db.prepare_cached("SELECT tick, run FROM tick WHERE tick > ? AND tick <= ? ORDER BY tick")?;
    let ticks: Vec<(i64, i64)> = statement
        .query_map([after, end], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut count = 0;
    for group in ticks.chunk_by(|a, b| a.1 == b.1) {
        let Some(&(first, run)) = group.first() else {
            continue;
        };
        let before: Option<i64> = db
            .prepare_cached("SELECT run FROM tick WHERE tick < ? ORDER BY tick DESC LIMIT 1")?
            .query_row([first], |row| row.get(0))
            .map(Some)
            .or_else(none_if_no_rows)?;
        let begins = usize::from(before != Some(run));
        if let Some([(from, _), .., (to, _)]) = group.get(begins..) {
            merge(db, *from, *to, tables)?;
            count += (group.len() - begins - 1) as u64;
        }
    }
    Ok(count)
}

/// Merges the ticks from the first up to the last into the last.
fn merge(db: &Connection, from: i64, to: i64, tables: &[Table]) -> rusqlite::Result<()> {
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
         (SELECT boottime_us FROM tick t WHERE t.tick = sample.tick) \
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
