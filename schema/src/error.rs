//! What can go wrong with a recording, in words that say what to do.

use std::path::PathBuf;

/// What to do with a file that is damaged.
pub(crate) const SALVAGE: &str = "`memsoak-analyze salvage FILE OUT` gives what is left";

/// An error of the recording's file.
///
/// What lies beneath stands in the text and is no `source()`, so that a printed chain does not say
/// it twice: a field named `r#source` is not taken for one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened or created.
    #[error("cannot open {}: {source}{}", path.display(), open_hint(source))]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        r#source: std::io::Error,
    },
    /// The file is something else.
    #[error("{} is no memsoak recording ({what}); name another file", path.display())]
    NotARecording {
        /// The file.
        path: PathBuf,
        /// How that was seen.
        what: String,
    },
    /// The file is of a newer version.
    #[error(
        "{} has file format {found}, this program knows up to {known}; use a newer memsoak",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// The file is of a version that must be migrated first, and is open for reading only.
    #[error(
        "{} has the older file format {found}, this program reads {known}; continue it with memsoak-record once, or use the older memsoak-analyze",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that is read here.
        known: u32,
    },
    /// The recording is of another machine.
    #[error("{} is a recording of another machine ({host}); name another file", path.display())]
    OtherMachine {
        /// The file.
        path: PathBuf,
        /// The node name in it.
        host: String,
    },
    /// Somebody else records into it.
    #[error("{} is being recorded by {}; stop it first or name another file", path.display(), process(*pid))]
    InUse {
        /// The file.
        path: PathBuf,
        /// The recorder at work, where it has said already who it is.
        pid: Option<i64>,
    },
    /// There is nothing to read in it.
    #[error("{} has no {what}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: String,
    },
    /// The catalogue in the file names what cannot be.
    #[error("{}: the catalogue names {what}; the file is damaged or was tampered with: {SALVAGE}", path.display())]
    Catalogue {
        /// The file.
        path: PathBuf,
        /// The offending name, bounded.
        what: String,
    },
    /// The file holds what no recorder has written.
    #[error("{}: {what}; the file is damaged or was tampered with: {SALVAGE}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that was seen.
        what: String,
    },
    /// SQLite refused.
    #[error("{}: {what}: {source}{}", path.display(), hint(source))]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What was being done.
        what: &'static str,
        /// SQLite's word.
        r#source: rusqlite::Error,
    },
}

const DAMAGED: &str = " (the copy is torn or damaged: copy it again with `memsoak-record copy`, or \
    `memsoak-analyze salvage FILE OUT` gives what is left)";

fn process(pid: Option<i64>) -> String {
    pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

fn open_hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => " (check the permissions of file and folder)",
        _ => "",
    }
}

fn hint(error: &rusqlite::Error) -> &'static str {
    use rusqlite::ErrorCode as Code;
    let Some(code) = error.sqlite_error_code() else {
        // A value that no recorder writes: of another type, out of its range.
        return DAMAGED;
    };
    match Some(code) {
        Some(Code::DiskFull) => " (free some room; what is recorded is kept)",
        // Too many steps, too long a text, a table that is not there: no recorder writes such a file.
        Some(
            Code::DatabaseCorrupt
            | Code::NotADatabase
            | Code::OperationInterrupted
            | Code::TooBig
            | Code::Unknown,
        ) => DAMAGED,
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => {
            " (another program holds it: try again, or close it)"
        }
        Some(Code::ReadOnly | Code::CannotOpen) => " (check the permissions of file and folder)",
        _ => "",
    }
}

impl Error {
    /// Whether the file system cannot give the memory that SQLite shares between processes.
    pub(crate) fn is_no_shared_memory(&self) -> bool {
        use rusqlite::ffi::{SQLITE_IOERR_SHMMAP, SQLITE_IOERR_SHMOPEN, SQLITE_IOERR_SHMSIZE};
        let Self::Sqlite { source, .. } = self else {
            return false;
        };
        source.sqlite_error().is_some_and(|error| {
            matches!(
                error.extended_code,
                SQLITE_IOERR_SHMMAP | SQLITE_IOERR_SHMOPEN | SQLITE_IOERR_SHMSIZE
            )
        })
    }

    /// Whether the file is damaged: it is to be [set aside](crate::set_aside).
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode as Code;
        match self {
            Self::Damaged { .. } => true,
            Self::Sqlite { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(Code::DatabaseCorrupt | Code::NotADatabase)
            ),
            _ => false,
        }
    }

    /// Whether trying again later can help (a full disk, a locked file, an I/O error).
    pub fn is_passing(&self) -> bool {
        use rusqlite::ErrorCode as Code;
        match self {
            Self::Sqlite { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(
                    Code::DiskFull
                        | Code::DatabaseBusy
                        | Code::DatabaseLocked
                        | Code::SystemIoFailure
                        | Code::ReadOnly
                        | Code::CannotOpen
                )
            ),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn what_lies_beneath_is_said_once_and_with_a_hint() {
        let denied = Error::Open {
            path: PathBuf::from("soak.db"),
            source: std::io::ErrorKind::PermissionDenied.into(),
        };
        assert_eq!(
            denied.to_string(),
            "cannot open soak.db: permission denied (check the permissions of file and folder)"
        );
        assert!(denied.source().is_none(), "a chain would say it again");
    }
}
