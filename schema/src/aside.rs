//! A recording that is damaged: how it is told from a sound one and from a file of somebody else, and
//! how it is put out of the way.
//!
//! Nothing is appended behind damage: what would be written there might never be found again.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use crate::Error;
use crate::file::{self, APPLICATION_ID, Context};
use crate::writer::Writer;

/// The first bytes of every SQLite file, and where its application_id stands, big-endian
/// (<https://www.sqlite.org/fileformat.html>, 1.3).
const MAGIC: &[u8] = b"SQLite format 3\0";
const APPLICATION_ID_AT: usize = 68;

/// Words of the first migration, which SQLite keeps as text in the first pages of the file: several,
/// since a text can be parted where a page ends.
const OWN_WORDS: [&[u8]; 3] = [
    b"boottime_us INTEGER NOT NULL",
    b"pid_start INTEGER NOT NULL",
    b"CREATE TABLE wall_clock (",
];
/// How far into a file those pages are looked for; they end before 64 KiB.
const OWN_WORDS_WITHIN: u64 = 256 << 10;

/// Refuses a file of which the first page is spoilt, when its other pages show that it was a
/// recording. What is sound, empty, or somebody else's passes; the latter is refused by its identity.
///
/// The first page may stand in the log alone: a checkpoint leaves a page out whose newest version came
/// after what a reader beside it still reads. Then the identity says more ([`was_a_recording`]).
pub(crate) fn check_header(path: &Path) -> Result<(), Error> {
    let start = first_pages(path)?;
    let id = start.get(APPLICATION_ID_AT..APPLICATION_ID_AT + 4);
    let has_id = id.is_some_and(|id| id == APPLICATION_ID.to_be_bytes());
    let may_be_in_log = id.is_some_and(|id| id == [0; 4]) && file::log_bytes(path) > 0;
    let is_sound = start.starts_with(MAGIC) && (has_id || may_be_in_log);
    if is_sound || !(has_id || has_own_words(&start)) {
        return Ok(());
    }
    Err(spoilt(path))
}

/// The error of a file whose identity is not a recording's: damage, where its other pages show that
/// it was one.
pub(crate) fn was_a_recording(path: &Path, error: Error) -> Error {
    match (&error, first_pages(path)) {
        (Error::NotARecording { .. }, Ok(start)) if has_own_words(&start) => spoilt(path),
        _ => error,
    }
}

fn first_pages(path: &Path) -> Result<Vec<u8>, Error> {
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(OWN_WORDS_WITHIN).read_to_end(&mut start))
        .map_err(|source| Error::Open {
            path: path.to_owned(),
            source,
        })?;
    Ok(start)
}

fn has_own_words(start: &[u8]) -> bool {
    let has = |own: &[u8]| start.windows(own.len()).any(|words| words == own);
    OWN_WORDS.into_iter().any(has)
}

fn spoilt(path: &Path) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        what: "its first page is spoilt".to_owned(),
    }
}

/// Puts a damaged recording out of the way: FILE becomes `FILE.damaged-DATE-N.db`, with its log.
/// Returns the new name.
///
/// # Errors
/// When it cannot be renamed.
pub fn set_aside(path: &Path, date: &str) -> Result<PathBuf, Error> {
    let with = |end: &str| {
        let mut name = OsString::from(path);
        name.push(end);
        PathBuf::from(name)
    };
    let mut number = 1;
    let name = loop {
        let name = format!(".damaged-{date}-{number}.db");
        if !fs::exists(with(&name)).unwrap_or(false) {
            break name;
        }
        number += 1;
    };
    // The log goes first: a new file must never meet the log of another one.
    for part in ["-wal", "-shm", ""] {
        match fs::rename(with(part), with(&format!("{name}{part}"))) {
            Err(source) if part.is_empty() || source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::Open {
                    path: path.to_owned(),
                    source,
                });
            }
            _ => {}
        }
    }
    Ok(with(&name))
}

/// The stack of the thread that watches the time. The C library keeps it for the next thread, and
/// the recorder locks its memory.
const WATCH_STACK_BYTES: usize = 64 << 10;

impl Writer {
    /// Looks for damage: at the ends of all tables, where ticks are appended, and, as far as the
    /// time goes, everywhere.
    ///
    /// # Errors
    /// [`Error::Damaged`], or another when the file cannot be read.
    pub fn check(&self, patience: Duration) -> Result<(), Error> {
        self.check_ends()
            .context(&self.path, "looking for damage")?;
        if patience.is_zero() {
            return Ok(());
        }
        let (done, is_done) = mpsc::channel::<()>();
        let interrupt = self.connection.get_interrupt_handle();
        let found = std::thread::scope(|scope| {
            let watch = std::thread::Builder::new().stack_size(WATCH_STACK_BYTES);
            let watching = watch.spawn_scoped(scope, move || {
                if is_done.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
                    interrupt.interrupt();
                }
            });
            // Without a thread nothing would end the look.
            let found = watching.map_or(Ok(None), |_| quick_check(&self.connection));
            drop(done);
            found
        });
        match found {
            Ok(None) => Ok(()),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                Ok(())
            }
            Ok(Some(what)) => Err(Error::Damaged {
                path: self.path.clone(),
                what,
            }),
            Err(error) => Err(error).context(&self.path, "looking for damage"),
        }
    }

    fn check_ends(&self) -> rusqlite::Result<()> {
        let mut tables = self.connection.prepare(
            "SELECT name FROM pragma_table_list \
             WHERE schema = 'main' AND type = 'table' AND wr = 0 AND name NOT GLOB 'sqlite_*'",
        )?;
        let mut rows = tables.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            let sql = format!("SELECT * FROM {name} ORDER BY rowid DESC LIMIT 100");
            let mut last = self.connection.prepare(&sql)?;
            let mut last = last.query([])?;
            while last.next()?.is_some() {}
        }
        Ok(())
    }

    /// Lets go of the file as it is: what stands in the log is not brought into the main file.
    ///
    /// # Errors
    /// When SQLite does not let go.
    pub fn abandon(self) -> Result<(), Error> {
        use rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        let path = self.path;
        self.connection
            .set_db_config(SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .context(&path, "closing the file")?;
        self.connection
            .close()
            .map_err(|(_, source)| source)
            .context(&path, "closing the file")
    }
}

/// The first thing that is wrong.
fn quick_check(db: &Connection) -> rusqlite::Result<Option<String>> {
    let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((found != "ok").then_some(found))
}
