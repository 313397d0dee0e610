//! Time lost to memory: pressure stall information, and reclaim by those who allocate.

use memsoak_schema::Error;
use serde_json::json;

use super::conditions::{
    INEFFICIENCY_CRITICAL, INEFFICIENCY_MEDIUM, PRESSURE_FULL, PRESSURE_SOME, STALLS_PER_S,
};
use super::spells::{Counter, Found, Rates, Spells};
use super::{Diagnosis, Scene, Severity, Watch, map};
use crate::load::{Picture, View};
use crate::words::{percent, seconds};

const VIEWS: &[View] = &[
    View {
        source: "pressure",
        metrics: &["some.total", "full.total"],
    },
    View {
        source: "vmstat",
        metrics: STALLS,
    },
    View {
        source: "vmstat",
        metrics: &["pgscan_direct", "pgsteal_direct", "compact_stall"],
    },
];

/// Direct reclaims by the zone that was asked for; a single counter before Linux 4.8.
pub(super) const STALLS: &[&str] = &[
    "allocstall_dma",
    "allocstall_dma32",
    "allocstall_normal",
    "allocstall_high",
    "allocstall_movable",
    "allocstall_device",
    "allocstall",
];

/// The sum of what is known; NaN where nothing is.
pub(super) fn sum_known(values: &[f64]) -> f64 {
    let known: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    if known.is_empty() {
        f64::NAN
    } else {
        known.iter().sum()
    }
}

/// Microseconds in a second: the unit of PSI's totals.
const US: f64 = 1e6;

pub(super) struct Pressure {
    waiting: Rates<2>,
    some: Spells<f64>,
    full: Spells<f64>,
    stalling: Rates<1>,
    reclaim: Spells<f64>,
    scanned: Counter,
    stolen: Counter,
    compactions: Counter,
}

impl Pressure {
    pub(super) fn new(scene: &Scene<'_>) -> Self {
        let of_psi = scene.gap_s("pressure");
        Self {
            waiting: Rates::new(),
            some: Spells::sustained_rate(of_psi),
            full: Spells::sustained_rate(of_psi),
            stalling: Rates::new(),
            reclaim: Spells::sustained_rate(scene.gap_s("vmstat")),
            scanned: Counter::default(),
            stolen: Counter::default(),
            compactions: Counter::default(),
        }
    }
}

impl Watch for Pressure {
    fn views(&self) -> &'static [View] {
        VIEWS
    }

    fn see(&mut self, _: &Scene<'_>, view: usize, picture: &Picture<'_>) {
        let t_s = picture.t_s;
        match (view, picture.scalars()) {
            (0, &[some, full]) => {
                if let Some((from, to, [some, full])) = self.waiting.see(t_s, [some, full]) {
                    let (some, full) = (some / US, full / US);
                    let over = |share: f64, least: f64| (share >= least).then_some((share, share));
                    self.some.see_stretch(from, to, over(some, PRESSURE_SOME));
                    self.full.see_stretch(from, to, over(full, PRESSURE_FULL));
                }
            }
            (1, stalls) => {
                if let Some((from, to, [rate])) = self.stalling.see(t_s, [sum_known(stalls)]) {
                    let state = (rate >= STALLS_PER_S).then_some((rate, rate));
                    self.reclaim.see_stretch(from, to, state);
                }
            }
            (2, &[scanned, stolen, compactions]) => {
                self.scanned.see(t_s, scanned);
                self.stolen.see(t_s, stolen);
                self.compactions.see(t_s, compactions);
            }
            _ => {}
        }
    }

    fn tell(self: Box<Self>, scene: &Scene<'_>) -> Result<Vec<Diagnosis>, Error> {
        let mut told = Vec::new();
        let full = self.full.finish();
        if let Some(some) = self.some.finish() {
            told.push(memory_pressure(scene, &some, full.as_ref()));
        }
        if let Some(found) = self.reclaim.finish() {
            let (from, to) = found.longest_s;
            let rise = |counter: &Counter| counter.rise(from, to);
            told.push(direct_reclaim(
                scene,
                &found,
                rise(&self.scanned),
                rise(&self.stolen),
                rise(&self.compactions),
            ));
        }
        Ok(told)
    }
}

fn memory_pressure(scene: &Scene<'_>, some: &Found<f64>, full: Option<&Found<f64>>) -> Diagnosis {
    let mut text = format!(
        "At least one task waited for memory in {} or more of the time for {}, at its worst in {}.",
        percent(PRESSURE_SOME),
        seconds(some.held_s),
        percent(some.worst),
    );
    if let Some(full) = full {
        text.push_str(&format!(
            " For {} of it nothing at all ran in {} or more of the time, at its worst in {}.",
            seconds(full.held_s),
            percent(PRESSURE_FULL),
            percent(full.worst),
        ));
    }
    let evidence = map(json!({
        "series": ["pressure/some.total", "pressure/full.total"],
        "worst_some_share": some.worst,
        "worst_full_share": full.map(|full| full.worst),
        "full_seconds": full.map(|full| full.held_s),
        "threshold_share": PRESSURE_SOME,
    }));
    let severity = if full.is_some() {
        Severity::Critical
    } else {
        Severity::Warning
    };
    Diagnosis::of(scene, "memory_pressure", severity, some, text, evidence)
}

fn direct_reclaim(
    scene: &Scene<'_>,
    found: &Found<f64>,
    scanned: Option<f64>,
    stolen: Option<f64>,
    compactions: Option<f64>,
) -> Diagnosis {
    let missed = match (scanned, stolen) {
        (Some(scanned), Some(stolen)) if scanned > 0.0 => Some(1.0 - (stolen / scanned).min(1.0)),
        _ => None,
    };
    let severity = match missed {
        Some(missed) if missed >= INEFFICIENCY_CRITICAL => Severity::Critical,
        Some(missed) if missed >= INEFFICIENCY_MEDIUM => Severity::Warning,
        _ => Severity::Info,
    };
    let mut text = format!(
        "For {} allocations had to reclaim memory themselves, up to {:.1} times a second.",
        seconds(found.held_s),
        found.worst
    );
    if let Some(missed) = missed {
        text.push_str(&format!(
            " Of the pages they looked at they could not have {}.",
            percent(missed)
        ));
    }
    let evidence = map(json!({
        "series": STALLS.iter().map(|key| format!("vmstat/{key}")).collect::<Vec<_>>(),
        "worst_stalls_per_s": found.worst,
        "threshold_per_s": STALLS_PER_S,
        "pgscan_direct": scanned,
        "pgsteal_direct": stolen,
        "compact_stall": compactions,
        "inefficiency": missed,
    }));
    Diagnosis::of(scene, "direct_reclaim", severity, found, text, evidence)
}
