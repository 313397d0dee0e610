//! The small statements of the catalogue, and how values are bound.

use std::hash::{DefaultHasher, Hash, Hasher};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params};

use crate::rows::json_of;
use crate::{Label, MetricSpec, RowRef, Status, TickTime, Value};

pub(crate) fn none_if_no_rows<T>(error: rusqlite::Error) -> rusqlite::Result<Option<T>> {
    match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(None),
        error => Err(error),
    }
}

pub(crate) fn lossy(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        _ => String::new(),
    }
}

pub(crate) fn insert_metric(
    db: &Connection,
    source: i64,
    name: &str,
    metric: &MetricSpec,
) -> rusqlite::Result<i64> {
    db.prepare_cached(include_str!("../queries/upsert_metric.sql"))?
        .query_row(
            params![
                source,
                name,
                metric.unit.as_str(),
                metric.kind.as_str(),
                metric.trend.as_str(),
                metric.part_of
            ],
            |row| row.get(0),
        )
}

pub(crate) fn insert_entity(
    db: &Connection,
    source: i64,
    boot: i64,
    tick: i64,
    row: &RowRef<'_>,
) -> rusqlite::Result<i64> {
    db.prepare_cached(
        "INSERT INTO entity (source, boot, first_tick, name, key, labels) VALUES (?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![source, boot, tick, Name(row.name()), Name(row.key()), labels_json(row)])?;
    Ok(db.last_insert_rowid())
}

pub(crate) fn insert_event(
    db: &Connection,
    boot: i64,
    boottime_us: i64,
    kind: &str,
    source: Option<&str>,
    text: &[u8],
    data: Option<&str>,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO event (boot, boottime_us, kind, source, text, data) VALUES (?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![boot, boottime_us, kind, source, Name(text), data])
    .map(drop)
}

/// The name or a label of an entity has changed (exec, a new parent): the newest stands in the
/// catalogue, and a change of name is an event.
pub(crate) fn update_face(
    db: &Connection,
    boot: i64,
    source: &str,
    entity: i64,
    row: &RowRef<'_>,
    time: Option<TickTime>,
) -> rusqlite::Result<()> {
    let old: Vec<u8> = db
        .prepare_cached("SELECT name FROM entity WHERE entity = ?")?
        .query_row([entity], |found| match found.get_ref(0)? {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(bytes.to_vec()),
            _ => Ok(Vec::new()),
        })?;
    if old != row.name() {
        let text = [old.as_slice(), b" -> ", row.name()].concat();
        insert_event(
            db,
            boot,
            time.map_or(0, |t| t.boottime_us),
            "renamed",
            Some(source),
            &text,
            None,
        )?;
    }
    db.prepare_cached("UPDATE entity SET name = ?, labels = ? WHERE entity = ?")?
        .execute(params![Name(row.name()), labels_json(row), entity])
        .map(drop)
}

/// A number that differs when name or labels do.
pub(crate) fn face_of(row: &RowRef<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    row.name().hash(&mut hasher);
    for (name, label) in row.labels() {
        name.hash(&mut hasher);
        match label {
            Label::Int(i) => i.hash(&mut hasher),
            Label::Bool(b) => b.hash(&mut hasher),
            Label::Bytes(bytes) => bytes.hash(&mut hasher),
        }
    }
    hasher.finish()
}

pub(crate) fn labels_json(row: &RowRef<'_>) -> Option<String> {
    let labels: serde_json::Map<_, _> = row
        .labels()
        .map(|(name, label)| (name.to_owned(), json_of(label)))
        .collect();
    (!labels.is_empty()).then(|| serde_json::Value::Object(labels).to_string())
}

pub(crate) fn status_code(status: Status) -> i64 {
    match status {
        Status::Ok => 0,
        Status::Partial => 1,
        Status::Unavailable => 2,
        Status::Failed => 3,
        Status::Skipped => 4,
    }
}

/// A name as the kernel gave it: TEXT where it is UTF-8, BLOB where it is not.
pub(crate) struct Name<'a>(pub(crate) &'a [u8]);

impl ToSql for Name<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match std::str::from_utf8(self.0) {
            // A NUL would end the text for many readers.
            Ok(text) if !self.0.contains(&0) => ValueRef::Text(text.as_bytes()),
            _ => ValueRef::Blob(self.0),
        }))
    }
}

pub(crate) struct Bound(pub(crate) Value);

impl ToSql for Bound {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(match self.0 {
            Value::Null => rusqlite::types::Value::Null,
            Value::Int(i) => rusqlite::types::Value::Integer(i),
            Value::Real(r) => rusqlite::types::Value::Real(r),
        }))
    }
}
