//! Keeps a recording within a size: of its oldest part every second tick is kept, then every fourth.
//!
//! A tick that is left out is merged into the next one that stays ([`crate::merge`]). The numbers of the
//! ticks are not given out anew, so that a hole between two numbers says how many were left out there,
//! and readers can tell a wider step from a gap.

use rusqlite::Connection;

use crate::Error;
use crate::file::Context;
use crate::merge::{Table, merge, tables_of_rows};
use crate::sql::{insert_event, none_if_no_rows};
use crate::writer::Writer;

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
        let tables = tables_of_rows(&self.connection).context(&self.path, "thinning")?;
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
