//! What the machine looked like at one instant of a recording.

use std::collections::BTreeMap;

use anyhow::bail;
use memsoak_schema::{Entity, Recording, Source, Unit, Value, printable};

use crate::load::{BootTicks, Index};
use crate::when::{self, Moment};

/// An instant of a recording, and the door to what each source held then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instant<'a> {
    recording: &'a Recording,
    /// The recording's index.
    pub(super) index: &'a Index,
    /// The instant itself.
    pub(super) moment: Moment,
    /// The boot in which it lies.
    pub(super) boot: &'a BootTicks,
    /// The last tick up to it.
    pub(super) tick: i64,
}

/// What a source held at an instant.
#[derive(Debug)]
pub(super) struct Held<'a> {
    source: &'a Source,
    page_bytes: f64,
    rows: BTreeMap<i64, Vec<Value>>,
    entities: BTreeMap<i64, Entity>,
}

/// One entity as it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thing<'a> {
    held: &'a Held<'a>,
    entity: &'a Entity,
    values: &'a [Value],
}

impl<'a> Instant<'a> {
    /// Finds the last tick up to the moment.
    ///
    /// # Errors
    /// When the file is damaged, or the moment lies before the first tick of its boot.
    pub(super) fn new(
        recording: &'a Recording,
        index: &'a Index,
        moment: Moment,
    ) -> anyhow::Result<Self> {
        let Some(boot) = index.boots.get(moment.boot) else {
            bail!("the recording has no tick");
        };
        let found = recording
            .ticks()?
            .iter()
            .rfind(|tick| boot.range.contains(&tick.tick) && tick.boottime_us <= moment.boottime_us)
            .map(|tick| tick.tick);
        let Some(tick) = found else {
            bail!("nothing was recorded before {}", when::words(index, moment));
        };
        Ok(Self {
            recording,
            index,
            moment,
            boot,
            tick,
        })
    }

    /// The same machine so many seconds before; `None` where that is before the first tick.
    pub(super) fn before(&self, seconds: i64) -> Option<Self> {
        let moment = Moment {
            boottime_us: self.moment.boottime_us - seconds * 1_000_000,
            ..self.moment
        };
        Self::new(self.recording, self.index, moment).ok()
    }

    /// Seconds from the start of the boot's recording.
    pub(super) fn seconds(&self) -> f64 {
        self.boot.at(self.moment.boottime_us)
    }

    /// What a source held: the newest sample up to now that gave values.
    ///
    /// # Errors
    /// When there is none, with the reason.
    pub(super) fn held(&self, name: &str) -> anyhow::Result<Held<'a>> {
        let Some(source) = self.index.sources.iter().find(|source| source.name == name) else {
            bail!("{name} was not recorded");
        };
        let range = *self.boot.range.start()..=self.tick;
        let Some(picture) = self.recording.picture(source, &range)? else {
            let why = self
                .recording
                .last_sample(source, &range)?
                .and_then(|sample| sample.reason)
                .unwrap_or_else(|| "it was not read by then".to_owned());
            bail!("{name} was not obtained: {}", printable(why.as_bytes()));
        };
        let mut entities = BTreeMap::new();
        if source.has_entities {
            for number in picture.rows.keys() {
                if let Some(entity) = self.recording.entity(*number)? {
                    entities.insert(*number, entity);
                }
            }
        }
        Ok(Held {
            source,
            page_bytes: f64::from(self.boot.boot.page_bytes),
            rows: picture.rows,
            entities,
        })
    }
}

impl Held<'_> {
    /// The keys and values of a source of scalars, in the order in which they were first seen.
    pub(super) fn scalars(&self) -> impl Iterator<Item = (&str, Unit, Option<f64>)> {
        self.source.metrics.iter().filter_map(|metric| {
            let value = self.rows.get(&metric.metric)?.first()?;
            Some((metric.name.as_str(), metric.unit, value.as_f64()))
        })
    }

    /// The value of a key in its own unit.
    pub(super) fn scalar(&self, key: &str) -> Option<f64> {
        self.scalars()
            .find(|(name, ..)| *name == key)
            .and_then(|(.., value)| value)
    }

    /// The names and units of the columns.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&str, Unit)> {
        self.source
            .metrics
            .iter()
            .map(|metric| (metric.name.as_str(), metric.unit))
    }

    /// The entities, in the order in which they were first seen.
    pub(super) fn things(&self) -> impl Iterator<Item = Thing<'_>> {
        self.rows.iter().filter_map(|(number, values)| {
            Some(Thing {
                held: self,
                entity: self.entities.get(number)?,
                values,
            })
        })
    }
}

impl Thing<'_> {
    /// Its name, safe to print.
    pub(super) fn name(&self) -> String {
        printable(&self.entity.name)
    }

    /// What tells it from all others of its source.
    pub(super) fn number(&self) -> i64 {
        self.entity.entity
    }

    /// A label that is a text.
    pub(super) fn text(&self, label: &str) -> Option<&str> {
        self.entity.labels.get(label)?.as_str()
    }

    /// A label that is a number.
    pub(super) fn label(&self, label: &str) -> Option<i64> {
        self.entity.labels.get(label)?.as_i64()
    }

    /// A value in its own unit.
    pub(super) fn get(&self, column: &str) -> Option<f64> {
        let at = self
            .held
            .source
            .metrics
            .iter()
            .position(|metric| metric.name == column)?;
        self.values.get(at)?.as_f64()
    }

    /// Memory in KiB.
    pub(super) fn kib(&self, column: &str) -> Option<f64> {
        let unit = self
            .held
            .source
            .metrics
            .iter()
            .find(|metric| metric.name == column)?
            .unit;
        let value = self.get(column)?;
        Some(match unit {
            Unit::Pages => value * self.held.page_bytes / 1024.0,
            Unit::Bytes => value / 1024.0,
            _ => value,
        })
    }
}
