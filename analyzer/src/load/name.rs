//! What a series is called, and in which unit it is shown.

use memsoak_schema::{Entity, Error, Labels, Metric, Recording, Source, Trend, Unit, printable};

use super::index::{BootTicks, Index};
use super::kin::{Group, members_metric};

/// What the numbers of a series are, after conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Memory in bytes.
    Bytes,
    /// Things.
    Count,
}

impl Quantity {
    /// The unit in report.json.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Count => "count",
        }
    }
}

/// A series of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesKey {
    /// Place of its boot in [`Index::boots`].
    pub boot: usize,
    /// The source.
    pub source: i64,
    /// The entity; 0 for a scalar.
    pub entity: i64,
    /// The metric.
    pub metric: i64,
}

impl SeriesKey {
    /// The pages of a boot that no counter owns: computed, not read.
    pub fn unaccounted(boot: usize) -> Self {
        Self {
            boot,
            source: -1,
            entity: 0,
            metric: 0,
        }
    }
}

/// What a series is called.
#[derive(Clone, Debug)]
pub struct SeriesName {
    /// `source/entity/metric`, or `source/key`.
    pub id: String,
    /// The source.
    pub source: String,
    /// The entity as it stands in `id`; empty for a scalar.
    pub entity: String,
    /// The bare kernel word: the cache, the caller, the process, the key.
    pub name: String,
    /// The metric, with the unit that the series has after conversion.
    pub metric: String,
    /// Unit after conversion.
    pub quantity: Quantity,
    /// The entity's labels.
    pub labels: Labels,
    /// As what it is judged.
    pub trend: Trend,
    /// The total that it is a part of, as `source/key`; empty when none.
    pub part_of: String,
    /// The kernel gives it back under pressure.
    pub reclaimable: bool,
}

/// Factor from the stored unit to bytes or a count.
#[expect(clippy::cast_precision_loss, reason = "page sizes and 1024")]
pub(super) fn conversion(unit: Unit, boot: &BootTicks) -> (f64, Quantity) {
    match unit.bytes(u64::from(boot.boot.page_bytes)) {
        Some(bytes) => (bytes as f64, Quantity::Bytes),
        None => (1.0, Quantity::Count),
    }
}

/// `slab_pages` is shown in bytes, so it is named `slab_bytes`; a kernel's key stays as it is.
fn shown_name(metric: &Metric, source: &Source) -> String {
    if source.has_entities {
        for suffix in ["_pages", "_kib"] {
            if let Some(stem) = metric.name.strip_suffix(suffix) {
                return format!("{stem}_bytes");
            }
        }
    }
    printable(metric.name.as_bytes())
}

impl SeriesName {
    /// Finds out what a series is called.
    ///
    /// # Errors
    /// When the file is damaged, or the series is not of this recording.
    pub fn of(recording: &Recording, index: &Index, key: SeriesKey) -> Result<Self, Error> {
        let missing = || Error::Missing {
            path: recording.path().to_owned(),
            what: "series of that name".to_owned(),
        };
        let boot = index.boots.get(key.boot).ok_or_else(missing)?;
        let source = index
            .sources
            .iter()
            .find(|source| source.source == key.source)
            .ok_or_else(missing)?;
        if let Some(group) = index.kin.group(key.entity) {
            let metric = source.metrics.iter().find(|m| m.metric == key.metric);
            return Ok(Self::of_group(boot, source, metric, group));
        }
        let metric = source
            .metrics
            .iter()
            .find(|metric| metric.metric == key.metric)
            .ok_or_else(missing)?;
        let entity = if source.has_entities {
            Some(recording.entity(key.entity)?.ok_or_else(missing)?)
        } else {
            None
        };
        Ok(Self::build(boot, source, metric, entity.as_ref()))
    }

    /// A series that is not read but computed: `source/key`.
    pub fn scalar(source: &str, key: &str, quantity: Quantity, trend: Trend) -> Self {
        Self {
            id: format!("{source}/{key}"),
            source: source.to_owned(),
            entity: String::new(),
            name: key.to_owned(),
            metric: key.to_owned(),
            quantity,
            labels: Labels::default(),
            trend,
            part_of: String::new(),
            reclaimable: false,
        }
    }

    /// A sum over things of one name: as the things themselves, without what tells them apart.
    fn of_group(boot: &BootTicks, source: &Source, metric: Option<&Metric>, group: &Group) -> Self {
        let name = printable(&group.name);
        let entity = match group.pid {
            Some(pid) => format!("{name}[{pid}]"),
            None => name.clone(),
        };
        let mut labels = Labels::from_iter([("members".to_owned(), group.members.into())]);
        labels.extend(group.pid.map(|pid| ("pid".to_owned(), pid.into())));
        let shown = metric.map_or_else(
            || members_metric(&source.name).to_owned(),
            |metric| shown_name(metric, source),
        );
        Self {
            id: format!("{}/{entity}/{shown}", source.name),
            source: source.name.clone(),
            entity,
            name,
            metric: shown,
            quantity: metric.map_or(Quantity::Count, |metric| conversion(metric.unit, boot).1),
            labels,
            trend: metric.map_or(Trend::Count, |metric| metric.trend),
            part_of: metric.map_or_else(String::new, |metric| metric.part_of.clone()),
            reclaimable: false,
        }
    }

    fn build(boot: &BootTicks, source: &Source, metric: &Metric, entity: Option<&Entity>) -> Self {
        let (_, quantity) = conversion(metric.unit, boot);
        let shown = shown_name(metric, source);
        let labels = entity
            .map(|entity| entity.labels.clone())
            .unwrap_or_default();
        let text = |label: &str| {
            labels.get(label).map(|value| match value.as_str() {
                Some(text) => printable(text.as_bytes()),
                None => value.to_string(),
            })
        };
        let (name, entity) = match entity {
            Some(entity) => {
                let name = printable(&entity.name);
                // What tells two of the same name apart stands behind it.
                let full = match (text("pid"), text("file"), text("module")) {
                    (Some(pid), Some(file), _) => format!("{name}[{pid}] {file}"),
                    (Some(pid), None, _) => format!("{name}[{pid}]"),
                    (None, None, Some(module)) => format!("{name} [{module}]"),
                    (None, Some(file), Some(module)) => format!("{name} [{module}] {file}"),
                    (None, Some(file), None) => format!("{name} {file}"),
                    (None, None, None) => name.clone(),
                };
                (name, full)
            }
            None => (shown.clone(), String::new()),
        };
        let id = if entity.is_empty() {
            format!("{}/{shown}", source.name)
        } else {
            format!("{}/{entity}/{shown}", source.name)
        };
        let marked = labels
            .get("reclaimable")
            .and_then(serde_json::Value::as_bool);
        Self {
            id,
            source: source.name.clone(),
            entity,
            name,
            metric: shown,
            quantity,
            trend: metric.trend,
            part_of: metric.part_of.clone(),
            reclaimable: marked == Some(true) || metric.trend == Trend::Reclaimable,
            labels,
        }
    }
}
