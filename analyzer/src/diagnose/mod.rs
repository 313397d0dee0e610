//! Conditions that need no trend: memory that is short, scattered or fought for, and what the kernel
//! said and did about it.
//!
//! Each group of conditions watches the pictures of a few sources as they stream past, and tells at
//! most one [`Diagnosis`] for each condition and boot: its spells together, and the worst moment.
//! The thresholds stand in [`CONDITIONS`]. Nothing is ever compared across boots.

mod available;
mod blocks;
mod conditions;
mod experiments;
mod growers;
mod kernel_log;
mod kmemleak;
mod pressure;
mod recording;
mod spells;
mod swap;
mod zones;

use std::collections::HashMap;

use memsoak_schema::{Entity, Error, Recording};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::load::{BootTicks, Index, Picture, View, pictures};
use crate::verdict::{Cells, Judgement, Traits, judge};
use spells::Found;

pub use conditions::{CONDITIONS, Condition, Threshold};

/// How bad a condition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; may be meant so.
    Info,
    /// Somebody should look at it.
    Warning,
    /// Memory ran out, is about to, or is being corrupted.
    Critical,
}

impl Severity {
    /// The word used in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A condition that held in a boot.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// Its word, one of [`CONDITIONS`].
    pub id: &'static str,
    /// How bad it was at its worst.
    pub severity: Severity,
    /// Place of its boot in [`Index::boots`].
    pub boot: usize,
    /// When it began, in seconds from the start of the boot's recording.
    pub from_s: f64,
    /// When it ended last; `None` where it held up to the end.
    pub until_s: Option<f64>,
    /// For how long it held in all, in seconds, seen from sample to sample.
    pub held_s: f64,
    /// What happened, in a few sentences.
    pub text: String,
    /// The numbers behind it, and the series they are of.
    pub evidence: Map<String, Value>,
}

impl Diagnosis {
    fn of<W>(
        scene: &Scene<'_>,
        id: &'static str,
        severity: Severity,
        found: &Found<W>,
        text: String,
        mut evidence: Map<String, Value>,
    ) -> Self {
        evidence.insert("spells".to_owned(), found.spells.into());
        evidence.insert("worst_at_s".to_owned(), found.worst_at_s.into());
        Self {
            id,
            severity,
            boot: scene.boot_at,
            from_s: found.from_s,
            until_s: found.until_s,
            held_s: found.held_s,
            text,
            evidence,
        }
    }
}

/// The boot that is looked at.
struct Scene<'a> {
    recording: &'a Recording,
    index: &'a Index,
    boot_at: usize,
    boot: &'a BootTicks,
    /// The entities of the sources that have few: zones, what they are made of, and stacks of objects
    /// that nothing points to.
    entities: HashMap<i64, Entity>,
}

impl<'a> Scene<'a> {
    fn new(
        recording: &'a Recording,
        index: &'a Index,
        boot_at: usize,
        boot: &'a BootTicks,
    ) -> Result<Self, Error> {
        let mut entities = HashMap::new();
        for source in &index.sources {
            if ["zoneinfo", "buddyinfo", "pagetypeinfo", "kmemleak"].contains(&source.name.as_str())
            {
                for (number, of_boot) in recording.entity_numbers(source.source)? {
                    if of_boot == boot.boot.boot
                        && let Some(entity) = recording.entity(number)?
                    {
                        entities.insert(number, entity);
                    }
                }
            }
        }
        Ok(Self {
            recording,
            index,
            boot_at,
            boot,
            entities,
        })
    }

    /// Times of the samples of a source that gave values.
    fn times(&self, source: &str) -> &[f64] {
        self.index
            .sources
            .iter()
            .find(|known| known.name == source)
            .and_then(|known| self.boot.sources.get(&known.source))
            .map_or(&[], |ticks| &ticks.t_s)
    }

    /// The usual time between two samples of a source.
    fn interval_s(&self, source: &str) -> f64 {
        let mut steps: Vec<f64> = self
            .times(source)
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect();
        steps.sort_unstable_by(f64::total_cmp);
        steps.get(steps.len() / 2).copied().unwrap_or(f64::INFINITY)
    }

    /// Samples of a source that are further apart leave a gap: one that came late does not.
    fn gap_s(&self, source: &str) -> f64 {
        self.interval_s(source) * 2.5
    }

    /// A label of a zone or of what it is made of, as text.
    fn label(&self, entity: i64, label: &str) -> String {
        match self
            .entities
            .get(&entity)
            .and_then(|entity| entity.labels.get(label))
        {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        }
    }

    /// `Normal of node 0`; the kernel's own word where there are no labels.
    fn zone(&self, entity: i64) -> String {
        let (zone, node) = (self.label(entity, "zone"), self.label(entity, "node"));
        if zone.is_empty() || node.is_empty() {
            self.name(entity)
        } else {
            format!("{zone} of node {node}")
        }
    }

    /// The kernel's word for an entity, as it stands in the names of its series.
    fn name(&self, entity: i64) -> String {
        self.entities
            .get(&entity)
            .map(|found| memsoak_schema::printable(&found.name))
            .unwrap_or_default()
    }

    /// The order of a huge page: a table of 8-byte entries fills a page.
    fn huge_order(&self) -> u32 {
        self.boot.boot.page_bytes.max(4096).ilog2() - 3
    }

    /// What the newest recorder of the boot noted when it started.
    fn setting(&self, name: &str) -> Option<&Value> {
        self.index
            .runs
            .iter()
            .rev()
            .filter(|run| run.boot == self.boot.boot.boot)
            .find_map(|run| run.settings.get(name))
    }

    /// Judges a level that was kept sample by sample; growth under `floor` is none.
    fn judge(&self, t_s: &[f64], values: &[f64], floor: f64) -> Judgement {
        let traits = Traits {
            floor,
            planned_span_s: self.boot.planned_s,
            ..Traits::default()
        };
        judge(&Cells::from_samples(t_s, values), &traits)
    }
}

/// A group of conditions.
trait Watch {
    /// What it reads.
    fn views(&self) -> &'static [View];
    /// A moment of one of its views. Those of scalars are all seen before those of entities.
    fn see(&mut self, scene: &Scene<'_>, view: usize, picture: &Picture<'_>);
    /// What was found in the end.
    fn tell(self: Box<Self>, scene: &Scene<'_>) -> Result<Vec<Diagnosis>, Error>;
}

/// Looks for every condition in every boot; the worst first.
///
/// # Errors
/// When the file is damaged.
pub fn diagnose(recording: &Recording, index: &Index) -> Result<Vec<Diagnosis>, Error> {
    let mut all = Vec::new();
    for (boot_at, boot) in index.boots.iter().enumerate() {
        let scene = Scene::new(recording, index, boot_at, boot)?;
        let mut watches: Vec<Box<dyn Watch>> = vec![
            Box::new(available::Available::new(&scene)),
            Box::new(zones::Zones::new(&scene)),
            Box::new(pressure::Pressure::new(&scene)),
            Box::new(swap::Swap::new(&scene)),
            Box::new(blocks::Blocks::new(&scene)),
            Box::new(kernel_log::KernelLog::default()),
            Box::new(kmemleak::Kmemleak::default()),
            Box::new(recording::InMemory::default()),
        ];
        let mut owner = Vec::new();
        let mut views = Vec::new();
        for (at, watch) in watches.iter().enumerate() {
            for (view, what) in watch.views().iter().enumerate() {
                owner.push((at, view));
                views.push(*what);
            }
        }
        pictures(recording, index, boot, &views, |place, picture| {
            let (at, view) = owner[place];
            watches[at].see(&scene, view, picture);
        })?;
        for watch in watches {
            all.extend(watch.tell(&scene)?);
        }
    }
    all.extend(experiments::shown(recording, index)?);
    let order = |id: &str| CONDITIONS.iter().position(|condition| condition.id == id);
    all.sort_by_key(|one| (std::cmp::Reverse(one.severity), order(one.id), one.boot));
    Ok(all)
}

/// The object of a JSON literal.
fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
