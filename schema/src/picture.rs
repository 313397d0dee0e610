//! What one source held at one tick: the dense form of the changes that are stored, for one moment.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rusqlite::types::ValueRef;

use crate::reader::{between, one_of, status, what};
use crate::verify::DAMAGED_TEXT;
use crate::writer::WHAT_BITS;
use crate::{Error, Recording, Source, Status, Value};

/// A source at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// The tick of the sample that gave the values.
    pub tick: i64,
    /// By number of the entity, or of the metric where the source has scalars: the values of the
    /// source's metrics in the order of the catalogue, or the one value.
    pub rows: BTreeMap<i64, Vec<Value>>,
}

/// The newest attempt to read a source up to a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSample {
    /// Its tick.
    pub tick: i64,
    /// How it went.
    pub status: Status,
    /// Why not, or why not all.
    pub reason: Option<String>,
}

impl Recording {
    /// How the newest sample of a source in a range of ticks went.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn last_sample(
        &self,
        source: &Source,
        ticks: &RangeInclusive<i64>,
    ) -> Result<Option<LastSample>, Error> {
        let damage = self.verify()?;
        let found = self.newest(source, ticks, "TRUE")?;
        Ok(
            found.map(|sample| match damage.stretch(source.source, sample.tick) {
                Some(_) => LastSample {
                    status: Status::Failed,
                    reason: Some(DAMAGED_TEXT.to_owned()),
                    ..sample
                },
                None => sample,
            }),
        )
    }

    /// What a source held at the end of a range of ticks, which is to begin with the boot's first:
    /// what the newest sample with values gave. `None` where none did.
    ///
    /// # Errors
    /// When the file is damaged, or the catalogue names a column that cannot be.
    pub fn picture(
        &self,
        source: &Source,
        ticks: &RangeInclusive<i64>,
    ) -> Result<Option<Picture>, Error> {
        let damage = self.verify()?;
        let mut believed = ticks.clone();
        let sample = loop {
            let Some(sample) = self.newest(source, &believed, "status IN (0, 1)")? else {
                return Ok(None);
            };
            match damage.stretch(source.source, sample.tick) {
                Some(stretch) => believed = *ticks.start()..=stretch.start().saturating_sub(1),
                None => break sample,
            }
        };
        let until = *ticks.start()..=sample.tick;
        let from = self
            .newest(source, &until, "keyframe = 1")?
            .map_or(*ticks.start(), |keyframe| keyframe.tick);
        let mut rows = BTreeMap::new();
        self.scan_rows(source, &(from..=sample.tick), |number, values| {
            if values.iter().all(|value| *value == Value::Null) {
                rows.remove(&number);
            } else {
                rows.insert(number, values);
            }
        })?;
        Ok(Some(Picture {
            tick: sample.tick,
            rows,
        }))
    }

    fn newest(
        &self,
        source: &Source,
        ticks: &RangeInclusive<i64>,
        which: &str,
    ) -> Result<Option<LastSample>, Error> {
        let sql = format!(
            "SELECT id, status, (SELECT text FROM reason r WHERE r.reason = s.reason) \
             FROM sample s WHERE {} AND {} AND {which} ORDER BY id DESC LIMIT 1",
            between(ticks),
            one_of(&[source.source])
        );
        let mut found = None;
        self.scan("reading the samples", &sql, |row| {
            found = Some(LastSample {
                tick: row.get::<_, i64>(0)? >> WHAT_BITS,
                status: status(row.get(1)?),
                reason: row.get(2)?,
            });
            Ok(())
        })?;
        Ok(found)
    }

    fn scan_rows(
        &self,
        source: &Source,
        ticks: &RangeInclusive<i64>,
        mut each: impl FnMut(i64, Vec<Value>),
    ) -> Result<(), Error> {
        let (width, sql) = if source.has_entities {
            let columns = source
                .metrics
                .iter()
                .map(|metric| self.identifier(&metric.name))
                .collect::<Result<Vec<_>, _>>()?;
            let table = self.identifier(&source.name)?;
            let columns_sql: String = columns.iter().map(|name| format!(", {name}")).collect();
            let sql = format!(
                "SELECT id{columns_sql} FROM {table} WHERE {} ORDER BY id",
                between(ticks)
            );
            (columns.len(), sql)
        } else {
            let metrics: Vec<i64> = source.metrics.iter().map(|metric| metric.metric).collect();
            let sql = format!(
                "SELECT id, value FROM scalar WHERE {} AND {} ORDER BY id",
                between(ticks),
                one_of(&metrics)
            );
            (1, sql)
        };
        self.scan("reading the rows of a source", &sql, |row| {
            let values = (1..=width)
                .map(|at| row.get_ref(at).map(exact))
                .collect::<rusqlite::Result<_>>()?;
            each(what(row.get(0)?), values);
            Ok(())
        })
    }
}

fn exact(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Integer(whole) => Value::Int(whole),
        ValueRef::Real(real) => Value::Real(real),
        _ => Value::Null,
    }
}
