//! Swap that fills, and pages that go to and fro.

use memsoak_schema::Error;
use serde_json::json;

use super::conditions::{SWAP_BYTES_PER_S, SWAP_FLOOR_SHARE, SWAP_WAITING_SHARE};
use super::spells::{Counter, Found, Rates, Spells};
use super::{Diagnosis, Scene, Severity, Watch, map};
use crate::exhaustion::exhaustion;
use crate::load::{Picture, View};
use crate::verdict::Verdict;
use crate::words::{bytes, hours, percent, seconds};

const VIEWS: &[View] = &[
    View {
        source: "meminfo",
        metrics: &["SwapTotal", "SwapFree"],
    },
    View {
        source: "vmstat",
        metrics: &["pswpin", "pswpout"],
    },
    View {
        source: "pressure",
        metrics: &["some.total", "full.total"],
    },
];

pub(super) struct Swap {
    t_s: Vec<f64>,
    used: Vec<f64>,
    total: f64,
    moving: Rates<2>,
    both_ways: Spells<(f64, f64)>,
    some: Counter,
    full: Counter,
}

impl Swap {
    pub(super) fn new(scene: &Scene<'_>) -> Self {
        Self {
            t_s: Vec::new(),
            used: Vec::new(),
            total: 0.0,
            moving: Rates::new(),
            both_ways: Spells::sustained_rate(scene.gap_s("vmstat")),
            some: Counter::default(),
            full: Counter::default(),
        }
    }
}

impl Watch for Swap {
    fn views(&self) -> &'static [View] {
        VIEWS
    }

    fn see(&mut self, _: &Scene<'_>, view: usize, picture: &Picture<'_>) {
        let t_s = picture.t_s;
        match (view, picture.scalars()) {
            // A machine without swap keeps nothing.
            (0, &[total, free]) if total > 0.0 => {
                self.total = total;
                self.t_s.push(t_s);
                self.used.push(total - free);
            }
            (1, &[read, written]) => {
                if let Some((from, to, [read, written])) = self.moving.see(t_s, [read, written]) {
                    let least = read.min(written);
                    let state = (least >= SWAP_BYTES_PER_S).then_some((least, (read, written)));
                    self.both_ways.see_stretch(from, to, state);
                }
            }
            (2, &[some, full]) => {
                self.some.see(t_s, some);
                self.full.see(t_s, full);
            }
            _ => {}
        }
    }

    fn tell(mut self: Box<Self>, scene: &Scene<'_>) -> Result<Vec<Diagnosis>, Error> {
        let mut told = Vec::new();
        if let Some(found) = self.both_ways.finish() {
            told.extend(thrashing(scene, &found, &self.some, &self.full));
        }
        let (t_s, used) = (
            std::mem::take(&mut self.t_s),
            std::mem::take(&mut self.used),
        );
        told.extend(growing(scene, self.total, &t_s, &used));
        Ok(told)
    }
}

/// Which share of the longest spell somebody, and everybody, waited: `None` without PSI.
fn waited(counter: &Counter, found: &Found<(f64, f64)>) -> Option<f64> {
    let (from, to) = found.longest_s;
    let us = counter.is_known().then(|| counter.rise(from, to))??;
    Some(us / 1e6 / (to - from))
}

fn thrashing(
    scene: &Scene<'_>,
    found: &Found<(f64, f64)>,
    some: &Counter,
    full: &Counter,
) -> Option<Diagnosis> {
    let (some, full) = (waited(some, found), waited(full, found));
    if some.is_some_and(|share| share < SWAP_WAITING_SHARE) {
        return None;
    }
    let (read, written) = found.worst;
    let mut text = format!(
        "For {} pages were swapped in and out at once, at the worst {}/s in and {}/s out: what is at work does not fit into memory.",
        seconds(found.held_s),
        bytes(read),
        bytes(written),
    );
    match (some, full) {
        (Some(some), Some(full)) => text.push_str(&format!(
            " Meanwhile some task waited in {} of the time, and everything in {}.",
            percent(some),
            percent(full)
        )),
        _ => text.push_str(" What it cost is not known, as there is no /proc/pressure/memory."),
    }
    let severity = if full.is_some_and(|share| share >= super::conditions::PRESSURE_FULL) {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let evidence = map(json!({
        "series": ["vmstat/pswpin", "vmstat/pswpout", "pressure/full.total"],
        "worst_in_bytes_per_s": read,
        "worst_out_bytes_per_s": written,
        "threshold_bytes_per_s": SWAP_BYTES_PER_S,
        "some_share": some,
        "full_share": full,
    }));
    Some(Diagnosis::of(
        scene,
        "swap_thrashing",
        severity,
        found,
        text,
        evidence,
    ))
}

fn growing(scene: &Scene<'_>, total: f64, t_s: &[f64], used: &[f64]) -> Option<Diagnosis> {
    let judgement = scene.judge(t_s, used, total * SWAP_FLOOR_SHARE);
    let severity = match judgement.verdict {
        Verdict::Leak => Severity::Warning,
        Verdict::Suspect => Severity::Info,
        _ => return None,
    };
    let until_full = exhaustion(
        total - judgement.last,
        judgement.slope_per_s,
        judgement.slope_low_per_s,
        judgement.slope_high_per_s,
    );
    let mut text = format!(
        "Swap in use rises from {} to {} of {}, by {}/h.",
        bytes(judgement.first),
        bytes(judgement.last),
        bytes(total),
        bytes(judgement.slope_per_s * 3600.0),
    );
    if let Some(left) = until_full {
        text.push_str(&format!(" It is full in {}.", hours(left.hours)));
    }
    let from_s = judgement.since_s.unwrap_or(0.0);
    Some(Diagnosis {
        id: "swap_growing",
        severity,
        boot: scene.boot_at,
        from_s,
        until_s: None,
        held_s: t_s.last().map_or(0.0, |last| last - from_s),
        text,
        evidence: map(json!({
            "series": ["meminfo/SwapTotal", "meminfo/SwapFree"],
            "first_bytes": judgement.first,
            "last_bytes": judgement.last,
            "total_bytes": total,
            "slope_per_hour": judgement.slope_per_s * 3600.0,
            "slope_low": judgement.slope_low_per_s * 3600.0,
            "slope_high": judgement.slope_high_per_s * 3600.0,
            "verdict": judgement.verdict,
            "hours_until_full": until_full.map(|left| left.hours),
        })),
    })
}
