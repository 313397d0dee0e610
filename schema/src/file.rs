//! The file: its identity, its migrations, and how it is opened.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::Error;
use crate::aside::{check_header, was_a_recording};
use crate::error::SALVAGE;
use crate::guard::{self, Budget};

/// `application_id` of a recording: "msok".
pub(crate) const APPLICATION_ID: i32 = 0x6d73_6f6b;

/// Numbered files, append-only: a recording of version N has had the first N of them.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_core.sql"),
    include_str!("../migrations/0002_sources.sql"),
    include_str!("../migrations/0003_attribution.sql"),
    include_str!("../migrations/0004_every_source.sql"),
];

/// The oldest file format that is read as it is: the migrations after it only add tables and
/// columns of sources, which a reader finds through the catalogue.
const OLDEST_READABLE: u32 = 2;

/// Bytes of a page. A tick touches the last page of each table, and each touched page goes to the
/// log and to the file whole: with 1 KiB a tick of the reference load writes 16 kB of log, with
/// 4 KiB 39 kB, at the same size of the file.
const PAGE_BYTES: u32 = 1024;

/// The page cache of the recorder, in KiB. It appends: what it needs again is the tail of each table.
const WRITER_CACHE_KIB: u32 = 128;

/// Pages in the log at which an import brings the main file up to it.
const IMPORT_LOG_PAGES: u32 = 4000;

/// The newest file format that this program knows.
pub fn newest_version() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Wraps SQLite's errors with the path and what was being done.
pub(crate) trait Context<T> {
    fn context(self, path: &Path, what: &'static str) -> Result<T, Error>;
}

impl<T> Context<T> for rusqlite::Result<T> {
    fn context(self, path: &Path, what: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::Sqlite {
            path: path.to_owned(),
            what,
            source,
        })
    }
}

/// What a commit promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// A committed tick outlives the machine's next moment.
    EachTick,
    /// The file is whole once it is closed; until then a crash of the machine may spoil it.
    WhenClosed,
}

/// Opens a recording to write to it: creates it (mode 0600) or migrates it.
pub(crate) fn open_to_write(path: &Path, durability: Durability) -> Result<Connection, Error> {
    let open_error = |source| Error::Open {
        path: path.to_owned(),
        source,
    };
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(open_error(error)),
    }
    check_header(path)?;
    let connected = match connect_to_write(path, durability, Sharing::WithReaders) {
        Err(error) if error.is_no_shared_memory() => {
            connect_to_write(path, durability, Sharing::Alone)
        }
        connected => connected,
    };
    connected.map_err(|error| was_a_recording(path, error))
}

/// Whether others may open the file while it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    /// The index of the log is in memory that is shared with readers and with `mark`.
    WithReaders,
    /// It is in this process: on file systems without shared mappings (9p, some network ones).
    Alone,
}

fn connect_to_write(
    path: &Path,
    durability: Durability,
    sharing: Sharing,
) -> Result<Connection, Error> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    if sharing == Sharing::Alone {
        connection
            .pragma_update_and_check(None, "locking_mode", "exclusive", |_| Ok(()))
            .context(path, "setting up the file")?;
    }
    let is_new = is_blank(&connection, path)?;
    if !is_new {
        check_identity(&connection, path)?;
    }
    set_up_writing(&connection, durability).context(path, "setting up the file")?;
    migrate(&connection, path)?;
    if is_new {
        // From now on the main file says by itself what it is.
        connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
            .context(path, "bringing the main file up to the log")?;
    }
    Ok(connection)
}

/// Bytes of the log beside a file.
pub(crate) fn log_bytes(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    fs::metadata(&log).map_or(0, |meta| meta.len())
}

/// A file that nothing was written to yet: new, or left by a recorder that was killed at once.
fn is_blank(connection: &Connection, path: &Path) -> Result<bool, Error> {
    let tables: rusqlite::Result<i64> =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0));
    match tables {
        Ok(tables) => {
            Ok(tables == 0 && version(connection).context(path, "reading the header")? == 0)
        }
        // What is no database is told by the check of its identity.
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
            Ok(false)
        }
        Err(error) => Err(error).context(path, "reading the header"),
    }
}

/// Opens a live recording beside its recorder, to put something into it. Neither creates nor migrates.
pub(crate) fn open_beside(path: &Path) -> Result<Connection, Error> {
    fs::metadata(path).map_err(|source| Error::Open {
        path: path.to_owned(),
        source,
    })?;
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    check_current(&connection, path)?;
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;")
        .context(path, "setting up the file")?;
    Ok(connection)
}

/// A recording that is open for reading.
pub(crate) struct ToRead {
    pub(crate) connection: Connection,
    pub(crate) budget: Budget,
    /// The tables of its format.
    pub(crate) tables: HashSet<String>,
}

/// Opens a recording to read it. A copy of the .db alone is opened as it is, so that nothing is
/// created beside it; with its log beside it the log is read too.
pub(crate) fn open_to_read(path: &Path) -> Result<ToRead, Error> {
    let open_error = |source| Error::Open {
        path: path.to_owned(),
        source,
    };
    // SQLite's own word for a missing or unreadable file does not say why.
    let file = fs::File::open(path).map_err(open_error)?;
    let file_bytes = file.metadata().map_err(open_error)?.len();
    if file_bytes == 0 {
        return Err(Error::NotARecording {
            path: path.to_owned(),
            what: "it is empty".to_owned(),
        });
    }
    drop(file);
    let connection = if log_bytes(path) > 0 {
        open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?
    } else {
        let absolute = fs::canonicalize(path).map_err(open_error)?;
        open(
            Path::new(&immutable_uri(&absolute)),
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
        )?
    };
    let version = check_current(&connection, path)?;
    let mut connection = connection;
    // A recording may come from anywhere: nothing in it is trusted to run, or to end.
    let budget = (|| {
        connection.execute_batch(
            "PRAGMA query_only = 1; PRAGMA cell_size_check = 1; PRAGMA cache_size = -16384;",
        )?;
        Budget::set(&mut connection, file_bytes)
    })()
    .context(path, "setting up the file")?;
    let tables = guard::check_tables(&connection, path, version)?;
    Ok(ToRead {
        connection,
        budget,
        tables,
    })
}

/// An empty recording of a format.
pub(crate) fn in_memory(version: u32) -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    let count = usize::try_from(version).unwrap_or(usize::MAX);
    for sql in MIGRATIONS.iter().take(count) {
        connection.execute_batch(sql)?;
    }
    Ok(connection)
}

/// `file:` URI of an absolute path, with the bytes escaped that mean something in one.
fn immutable_uri(path: &Path) -> String {
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri.push_str("?immutable=1");
    uri
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .context(path, "opening the file")?;
    connection
        .busy_timeout(Duration::from_secs(5))
        .context(path, "opening the file")?;
    Ok(connection)
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Refuses what is no recording, or a newer one. Returns its version.
fn check_identity(connection: &Connection, path: &Path) -> Result<u32, Error> {
    let not_one = |what: String| Error::NotARecording {
        path: path.to_owned(),
        what,
    };
    let id: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(|source| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => not_one(format!(
                "it is no SQLite file; of a damaged recording {SALVAGE}"
            )),
            _ => Error::Sqlite {
                path: path.to_owned(),
                what: "reading the header",
                source,
            },
        })?;
    if id != APPLICATION_ID {
        return Err(not_one(if id == 0 && is_blank(connection, path)? {
            "nothing was written to it yet".to_owned()
        } else {
            format!("its application_id is {id:#x}")
        }));
    }
    let found = version(connection).context(path, "reading the header")?;
    if found > newest_version() {
        return Err(Error::Newer {
            path: path.to_owned(),
            found,
            known: newest_version(),
        });
    }
    Ok(found)
}

fn check_current(connection: &Connection, path: &Path) -> Result<u32, Error> {
    let found = check_identity(connection, path)?;
    if found < OLDEST_READABLE {
        return Err(Error::Older {
            path: path.to_owned(),
            found,
            known: newest_version(),
        });
    }
    Ok(found)
}

fn set_up_writing(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    // The page size takes effect only on a file that is still empty.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    match durability {
        Durability::EachTick => {
            // In WAL mode only FULL syncs the log at each commit: a tick is on disk before the next.
            connection.pragma_update(None, "synchronous", "full")?;
            // The recorder checkpoints by the clock, not by the size of the log.
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        }
        Durability::WhenClosed => {
            connection.pragma_update(None, "synchronous", "off")?;
            connection.pragma_update(None, "wal_autocheckpoint", IMPORT_LOG_PAGES)?;
        }
    }
    connection.pragma_update_and_check(None, "journal_size_limit", 1 << 20, |_| Ok(()))?;
    // What thinning sorts is small, and a full disk has no room for it.
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "cache_size", -i64::from(WRITER_CACHE_KIB))
}

/// Applies what is missing; each migration with its version in one transaction. Two programs may
/// create one file at once: what is missing is looked at when nobody else can write.
fn migrate(connection: &Connection, path: &Path) -> Result<(), Error> {
    let what = "bringing the file to the newest format";
    while version(connection).context(path, "reading the header")? < newest_version() {
        connection
            .execute_batch("BEGIN IMMEDIATE")
            .context(path, what)?;
        let done = version(connection).and_then(|at| {
            let migration = usize::try_from(at).ok().and_then(|at| MIGRATIONS.get(at));
            let sql = migration.copied().unwrap_or_default();
            let next = at + u32::from(migration.is_some());
            connection.execute_batch(&format!("{sql} PRAGMA user_version = {next}; COMMIT;"))
        });
        if done.is_err() {
            let _ = connection.execute_batch("ROLLBACK");
        }
        done.context(path, what)?;
    }
    Ok(())
}
