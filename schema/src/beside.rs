//! What others than the recorder do with a live recording: put a mark into it, copy it.

use std::path::Path;

use crate::Error;
use crate::file::{self, Context};
use crate::sql::{insert_event, none_if_no_rows};

/// Puts a named instant into a live recording, beside its recorder.
///
/// `boottime_us` is CLOCK_BOOTTIME. Returns whether a recorder is at work on the file.
///
/// # Errors
/// When the file is no recording of this boot, or cannot be written.
pub fn mark(path: &Path, boot_id: &str, boottime_us: i64, text: &str) -> Result<bool, Error> {
    let db = file::open_beside(path)?;
    let boot: Option<i64> = db
        .query_row(
            "SELECT boot FROM boot WHERE boot_id = ?",
            [boot_id],
            |row| row.get(0),
        )
        .map(Some)
        .or_else(none_if_no_rows)
        .context(path, "reading the boot")?;
    let Some(boot) = boot else {
        return Err(Error::Missing {
            path: path.to_owned(),
            what: "run in this boot; a mark belongs into a live recording".to_owned(),
        });
    };
    insert_event(&db, boot, boottime_us, "mark", None, text.as_bytes(), None)
        .context(path, "writing a mark")?;
    db.query_row(
        "SELECT count(*) FROM run WHERE boot = ? AND ended_us IS NULL",
        [boot],
        |row| row.get::<_, i64>(0),
    )
    .map(|live| live > 0)
    .context(path, "reading the runs")
}

/// Writes a consistent copy of a recording, live or not, to a new file (mode 0600).
///
/// # Errors
/// When the source cannot be read, or the copy exists already or cannot be written.
pub fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    use std::os::unix::fs::OpenOptionsExt;
    let db = file::open_beside(from)?;
    // SQLite fills a file that is there and empty; made here, it has the right mode from the start.
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(|source| Error::Open {
            path: to.to_owned(),
            source,
        })?;
    let Some(name) = to.to_str() else {
        return Err(Error::Open {
            path: to.to_owned(),
            source: std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                "the name of the copy must be UTF-8",
            ),
        });
    };
    let copied = db
        .execute("VACUUM INTO ?", [name])
        .map(drop)
        .context(to, "writing the copy");
    if copied.is_err() {
        let _ = std::fs::remove_file(to);
    }
    copied
}
