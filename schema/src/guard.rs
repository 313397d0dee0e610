//! A recording is hostile input: what SQLite may spend on one, and that its tables are ours.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::Error;
use crate::file::{self, Context};

/// The longest text or row that is read. A kernel report is kept with at most 16 KiB.
pub(crate) const LONGEST_BYTES: i32 = 4 << 20;

/// SQLite tells that it is at work once in so many steps of its machine.
const STEPS_AT_ONCE: i32 = 10_000;

/// What a statement may take in any file: a second or so.
const STEPS_ALWAYS: i64 = 50_000_000;

/// What it may take besides for each byte of the file. A row takes 9 bytes at the least, and passing
/// over one takes some 40 steps; the rest is for sorting.
const STEPS_A_BYTE: i64 = 20;

/// The text that one list may hold in any file, in bytes: many cells of a page can name the same
/// text, so that the size of the file alone does not bound it.
const TEXT_ALWAYS: u64 = 64 << 20;

/// What may be spent on one statement.
#[derive(Debug)]
pub(crate) struct Budget {
    steps: i64,
    text: u64,
    left: Arc<AtomicI64>,
}

impl Budget {
    /// Limits a connection by the size of its file.
    pub(crate) fn set(connection: &mut Connection, file_bytes: u64) -> rusqlite::Result<Self> {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_BYTES)?;
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        connection.set_limit(Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 0)?;
        let bytes = i64::try_from(file_bytes).unwrap_or(i64::MAX);
        let steps = STEPS_ALWAYS.saturating_add(bytes.saturating_mul(STEPS_A_BYTE));
        let left = Arc::new(AtomicI64::new(steps));
        let of_handler = Arc::clone(&left);
        connection.progress_handler(
            STEPS_AT_ONCE,
            Some(move || of_handler.fetch_sub(i64::from(STEPS_AT_ONCE), Ordering::Relaxed) <= 0),
        )?;
        Ok(Self {
            steps,
            text: file_bytes.saturating_mul(4).saturating_add(TEXT_ALWAYS),
            left,
        })
    }

    /// A new statement begins.
    pub(crate) fn begin(&self) {
        self.left.store(self.steps, Ordering::Relaxed);
    }

    /// Counts the text of a row that is kept; refuses what is too much for the file.
    pub(crate) fn keep(&self, kept: &mut u64, row: &Row<'_>) -> rusqlite::Result<()> {
        for at in 0..row.as_ref().column_count() {
            if let ValueRef::Text(text) | ValueRef::Blob(text) = row.get_ref(at)? {
                *kept += text.len() as u64;
            }
        }
        if *kept > self.text {
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
                Some("more text than such a file can hold".to_owned()),
            ));
        }
        Ok(())
    }
}

/// The tables and views of a format, by name: type and text.
type Objects = HashMap<String, (String, String)>;

fn objects(connection: &Connection) -> rusqlite::Result<Objects> {
    let mut statement = connection
        .prepare("SELECT name, type, sql FROM sqlite_schema WHERE sql IS NOT NULL LIMIT 10000")?;
    let found = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
    found.collect()
}

/// Names of the tables of a format, which are all that is read. What else somebody has put into a file, such as an index of his
/// own, is left alone; what bears the name of one of ours must be ours, word for word: a table that
/// is a view, or computes its columns, would run what a stranger wrote.
pub(crate) fn check_tables(
    connection: &Connection,
    path: &Path,
    version: u32,
) -> Result<HashSet<String>, Error> {
    let what = "reading the schema";
    let found = objects(connection).context(path, what)?;
    let fresh = file::in_memory(version).context(path, what)?;
    let mut known = objects(&fresh).context(path, what)?;
    let tables = known.iter().filter(|(_, (kind, _))| kind == "table");
    let tables = tables.map(|(name, _)| name.clone()).collect();
    known.retain(|name, ours| found.get(name).is_some_and(|theirs| theirs != ours));
    match known.into_keys().min() {
        None => Ok(tables),
        Some(name) => Err(Error::Damaged {
            path: path.to_owned(),
            what: format!("{name} is not as file format {version} has it"),
        }),
    }
}
