//! Experiments: something intrusive that was done to the machine between two ticks. One is an event
//! of kind `probe`; who wants one done by a live recorder leaves it a `probe_request`.

use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::catalogue::Labels;
use crate::file::{self, Context};
use crate::sql::{insert_event, none_if_no_rows};
use crate::{Error, Happening, OpenRun, Writer};

/// The kind of event that says what was done.
pub const PROBE: &str = "probe";

/// The kind of event that asks for it.
pub const PROBE_REQUEST: &str = "probe_request";

/// Something intrusive that was done, or that was to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Experiment {
    /// What (`drop-caches`).
    pub kind: String,
    /// And how (`3`).
    pub argument: Option<String>,
    /// When it began, in us of CLOCK_BOOTTIME.
    pub began_us: i64,
    /// How long it took.
    pub took_us: Option<i64>,
    /// The time of the tick before it, at which every cheap source was read, in us of
    /// CLOCK_BOOTTIME. Where ticks were merged it is that of a tick that is in the next one.
    pub before_us: Option<i64>,
    /// The time of the tick after it.
    pub after_us: Option<i64>,
    /// `done`, or why not.
    pub outcome: String,
    /// What was done one after the other, and how long each took.
    pub steps: Vec<(String, i64)>,
    /// The event that asked for it.
    pub request: Option<i64>,
}

impl Experiment {
    /// Whether it was done.
    pub fn is_done(&self) -> bool {
        self.outcome == "done"
    }

    /// What and how: `drop-caches 3`.
    pub fn name(&self) -> String {
        match &self.argument {
            Some(argument) => format!("{} {argument}", self.kind),
            None => self.kind.clone(),
        }
    }

    /// Reads the details of an event of kind `probe`; `began_us` is the time of the event.
    pub fn of_event(began_us: i64, detail: &Labels) -> Option<Self> {
        let text = |name: &str| Some(detail.get(name)?.as_str()?.to_owned());
        let number = |name: &str| detail.get(name).and_then(Value::as_i64);
        let step = |step: &Value| {
            let did = step.get("did")?.as_str()?;
            Some((did.to_owned(), step.get("took_us")?.as_i64()?))
        };
        let steps = detail.get("steps").and_then(Value::as_array);
        Some(Self {
            kind: text("kind")?,
            argument: text("argument"),
            began_us,
            took_us: number("took_us"),
            before_us: number("before_us"),
            after_us: number("after_us"),
            outcome: text("outcome")?,
            steps: steps.into_iter().flatten().filter_map(step).collect(),
            request: number("request"),
        })
    }

    /// As an event.
    pub fn happening(&self) -> Happening {
        Happening {
            kind: PROBE,
            boottime_us: Some(self.began_us),
            text: format!("{}: {}", self.name(), self.outcome).into_bytes(),
            detail: self.detail(),
        }
    }

    fn detail(&self) -> Labels {
        let detail = json!({
            "kind": self.kind,
            "argument": self.argument,
            "before_us": self.before_us,
            "after_us": self.after_us,
            "took_us": self.took_us,
            "outcome": self.outcome,
            "steps": self.steps.iter()
                .map(|(did, took_us)| json!({"did": did, "took_us": took_us}))
                .collect::<Vec<_>>(),
            "request": self.request,
        });
        match detail {
            Value::Object(detail) => detail,
            _ => Labels::new(),
        }
    }
}

/// What somebody wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRequest {
    /// Number of the event that asks.
    pub event: i64,
    /// What.
    pub kind: String,
    /// And how.
    pub argument: Option<String>,
}

/// What a recorder has seen of the requests in its file.
#[derive(Clone, Copy, Debug)]
pub struct RequestBox {
    data_version: Option<i64>,
    seen: i64,
}

impl RequestBox {
    /// Passes over what is there, which was meant for another recorder. To be made before the run
    /// begins: from then on somebody may see it and ask.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn new(writer: &Writer) -> Result<Self, Error> {
        Ok(Self {
            data_version: None,
            seen: newest_event(&writer.connection)
                .context(&writer.path, "reading what was asked for")?,
        })
    }

    /// The requests that came since it was asked last.
    ///
    /// Where nobody else has written into the file this is one PRAGMA and reads no page.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn take(&mut self, writer: &Writer) -> Result<Vec<ProbeRequest>, Error> {
        self.take_from(&writer.connection)
            .context(&writer.path, "reading what was asked for")
    }

    fn take_from(&mut self, db: &Connection) -> rusqlite::Result<Vec<ProbeRequest>> {
        let version = db
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))?;
        if self.data_version == Some(version) {
            return Ok(Vec::new());
        }
        let newest = newest_event(db)?;
        let mut found = Vec::new();
        let mut statement = db.prepare_cached(
            "SELECT event, data FROM event WHERE event > ? AND event <= ? AND kind = ? ORDER BY event",
        )?;
        let mut rows = statement.query(params![self.seen, newest, PROBE_REQUEST])?;
        while let Some(row) = rows.next()? {
            let detail = object(row.get_ref(1)?);
            let text = |name: &str| Some(detail.get(name)?.as_str()?.to_owned());
            if let Some(kind) = text("kind") {
                found.push(ProbeRequest {
                    event: row.get(0)?,
                    kind,
                    argument: text("argument"),
                });
            }
        }
        self.data_version = Some(version);
        self.seen = newest;
        Ok(found)
    }
}

fn newest_event(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT coalesce(max(event), 0) FROM event")?
        .query_row([], |row| row.get(0))
}

fn object(value: ValueRef<'_>) -> Labels {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            serde_json::from_slice(bytes).unwrap_or_default()
        }
        _ => Labels::new(),
    }
}

/// A live recording, beside its recorder, to have something done by it.
#[derive(Debug)]
pub struct Beside {
    connection: Connection,
    path: PathBuf,
}

impl Beside {
    /// Opens it.
    ///
    /// # Errors
    /// When the file is no recording of this version, or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            connection: file::open_beside(path)?,
            path: path.to_owned(),
        })
    }

    /// The last run, if it did not say that it ended: it is alive, or was killed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open_run(&self) -> Result<Option<OpenRun>, Error> {
        self.connection
            .query_row(include_str!("../queries/open_run.sql"), [], |row| {
                Ok(OpenRun {
                    boot_id: row.get(0)?,
                    pid: row.get(1)?,
                    pid_start: row.get(2)?,
                })
            })
            .map(Some)
            .or_else(none_if_no_rows)
            .context(&self.path, "reading the runs")
    }

    /// Leaves a request for the recorder, which sees it at its next tick. Returns its number.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn request_probe(
        &self,
        boottime_us: i64,
        kind: &str,
        argument: Option<&str>,
    ) -> Result<i64, Error> {
        let detail = json!({"kind": kind, "argument": argument}).to_string();
        let name = argument.map_or_else(|| kind.to_owned(), |how| format!("{kind} {how}"));
        (|| {
            let boot: i64 = self.connection.query_row(
                "SELECT boot FROM run ORDER BY run DESC LIMIT 1",
                [],
                |row| row.get(0),
            )?;
            insert_event(
                &self.connection,
                boot,
                boottime_us,
                PROBE_REQUEST,
                None,
                name.as_bytes(),
                Some(&detail),
            )?;
            Ok(self.connection.last_insert_rowid())
        })()
        .context(&self.path, "asking for a probe")
    }

    /// What became of a request; `None` while the recorder is at it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn answer(&self, request: i64) -> Result<Option<Experiment>, Error> {
        (|| {
            let mut statement = self.connection.prepare_cached(
                "SELECT boottime_us, data FROM event WHERE event > ? AND kind = ? ORDER BY event",
            )?;
            let mut rows = statement.query(params![request, PROBE])?;
            while let Some(row) = rows.next()? {
                let found = Experiment::of_event(row.get(0)?, &object(row.get_ref(1)?));
                if let Some(found) = found.filter(|found| found.request == Some(request)) {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        })()
        .context(&self.path, "waiting for a probe")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_experiment_is_read_as_it_was_written_and_a_part_of_one_is_none() {
        let written = Experiment {
            kind: "drop-caches".to_owned(),
            argument: Some("3".to_owned()),
            began_us: 7,
            took_us: Some(35_000),
            before_us: Some(11),
            after_us: None,
            outcome: "done".to_owned(),
            steps: vec![("sync".to_owned(), 12), ("3 to a file".to_owned(), 34)],
            request: Some(5),
        };
        let mut detail = written.happening().detail;
        assert_eq!(Experiment::of_event(7, &detail), Some(written));
        detail.remove("outcome");
        assert_eq!(Experiment::of_event(7, &detail), None);
    }
}
