//! Zones under their watermarks, and per-CPU lists that are not drained: `/proc/zoneinfo`.

use std::collections::BTreeMap;

use memsoak_schema::Error;
use serde_json::{Value, json};

use super::conditions::{PCP_BATCHES, PCP_SHARE, UNDER_LOW_BATCHES};
use super::pressure::{STALLS, sum_known};
use super::spells::{Counter, Found, Spells};
use super::{Diagnosis, Scene, Severity, Watch, map};
use crate::load::{Picture, View};
use crate::words::{bytes, seconds};

const VIEWS: &[View] = &[
    View {
        source: "vmstat",
        metrics: STALLS,
    },
    View {
        source: "vmstat",
        metrics: &["pgscan_direct", "pgsteal_direct", "compact_stall"],
    },
    View {
        source: "zoneinfo",
        metrics: &[
            "free_pages",
            "boost_pages",
            "min_pages",
            "low_pages",
            "high_pages",
            "managed_pages",
            "pcp_count_pages",
            "pcp_high_pages",
            "pcp_batch_pages",
        ],
    },
];

/// One zone at a sample, in bytes.
#[derive(Clone, Copy, Debug)]
struct Zone {
    free: f64,
    min: f64,
    low: f64,
    high: f64,
    managed: f64,
    on_lists: f64,
    list_high: f64,
    batches: f64,
}

impl Zone {
    /// `values` in the order of the view, on a machine with this many CPUs.
    fn of(values: &[f64], cpus: f64) -> Option<Self> {
        let &[
            free,
            boost,
            min,
            low,
            high,
            managed,
            on_lists,
            list_high,
            batch,
        ] = values
        else {
            return None;
        };
        // The marks are printed with the boost that follows a fallback to another type's blocks:
        // it passes by itself, and to be under it is no shortage.
        let boost = if boost.is_nan() { 0.0 } else { boost };
        Some(Self {
            free,
            min: min - boost,
            low: low - boost,
            high: high - boost,
            managed,
            on_lists,
            list_high,
            // The recording has the largest batch of a CPU: all of them may take one at once.
            batches: if batch.is_nan() { 0.0 } else { batch * cpus },
        })
    }
}

/// A zone under a mark, and whether its node has room in zones that may serve the same requests.
#[derive(Clone, Copy, Debug)]
struct Under {
    zone: Zone,
    elsewhere: bool,
}

/// What is watched of a zone.
struct Watched {
    under_min: Spells<Under>,
    /// Any dip under min in which somebody was proven to wait.
    proven: Spells<Under>,
    under_low: Spells<Under>,
    over_high: Spells<Zone>,
}

pub(super) struct Zones {
    gap_s: f64,
    cpus: f64,
    /// A huge page of each CPU's list counts at once when it is freed to it.
    huge: f64,
    zones: BTreeMap<i64, Watched>,
    /// Node and lowmem reserves of each zone, in the order of the file.
    reserves: BTreeMap<i64, (String, Vec<f64>)>,
    stalls: Counter,
    scanned: Counter,
    stolen: Counter,
    compactions: Counter,
    before_s: f64,
}

impl Zones {
    pub(super) fn new(scene: &Scene<'_>) -> Self {
        let page = f64::from(scene.boot.boot.page_bytes);
        let cpus = f64::from(scene.boot.boot.cpus.unwrap_or(1));
        Self {
            gap_s: scene.gap_s("zoneinfo"),
            cpus,
            huge: cpus * page * f64::from(1_u32 << scene.huge_order()),
            zones: BTreeMap::new(),
            reserves: reserves(scene),
            stalls: Counter::default(),
            scanned: Counter::default(),
            stolen: Counter::default(),
            compactions: Counter::default(),
            before_s: f64::NEG_INFINITY,
        }
    }

    /// Whether kswapd would sleep for requests up to this zone: one of the zones that may serve
    /// them is at its high mark beyond what it keeps for requests of lower zones (pgdat_balanced).
    fn is_balanced(&self, number: i64, zones: &BTreeMap<i64, Zone>) -> bool {
        let Some((node, _)) = self.reserves.get(&number) else {
            return false;
        };
        let of_node: Vec<i64> = self
            .reserves
            .iter()
            .filter(|(_, (other, _))| other == node)
            .map(|(number, _)| *number)
            .collect();
        let Some(place) = of_node.iter().position(|other| *other == number) else {
            return false;
        };
        of_node[..=place].iter().any(|other| {
            let reserve = self
                .reserves
                .get(other)
                .and_then(|(_, reserve)| reserve.get(place).copied())
                .unwrap_or(0.0);
            zones
                .get(other)
                .is_some_and(|zone| zone.managed > 0.0 && zone.free >= zone.high + reserve)
        })
    }

    fn see_zones(&mut self, t_s: f64, zones: &BTreeMap<i64, Zone>) {
        let stalled = self
            .stalls
            .rise(self.before_s, t_s)
            .filter(|_| self.before_s.is_finite())
            .is_some_and(|rise| rise > 0.0);
        for (number, zone) in zones {
            // A zone without memory is under nothing.
            if zone.managed <= 0.0 || zone.managed.is_nan() {
                continue;
            }
            let under = Under {
                zone: *zone,
                elsewhere: self.is_balanced(*number, zones),
            };
            let gap_s = self.gap_s;
            let watched = self.zones.entry(*number).or_insert_with(|| Watched {
                under_min: Spells::sustained(gap_s),
                proven: Spells::any(gap_s),
                under_low: Spells::sustained(gap_s),
                over_high: Spells::sustained(gap_s),
            });
            let by = |mark: f64, is_under: bool| is_under.then_some((mark - zone.free, under));
            let under_min = by(zone.min, zone.free < zone.min);
            watched.proven.see(t_s, under_min.filter(|_| stalled));
            watched.under_min.see(t_s, under_min);
            let reach = zone.low - zone.batches * UNDER_LOW_BATCHES;
            watched.under_low.see(t_s, by(zone.low, zone.free < reach));
            let room = zone.list_high + zone.batches * PCP_BATCHES + self.huge;
            let over = zone.on_lists - zone.list_high;
            let state = (zone.on_lists > room).then_some((over, *zone));
            watched.over_high.see(t_s, state);
        }
        self.before_s = t_s;
    }
}

/// The `protection` of each zone: how much of it is kept from requests that could be served by
/// each other zone of the node, in bytes.
fn reserves(scene: &Scene<'_>) -> BTreeMap<i64, (String, Vec<f64>)> {
    let Some(source) = scene
        .index
        .sources
        .iter()
        .find(|source| source.name == "zoneinfo")
    else {
        return BTreeMap::new();
    };
    let page = f64::from(scene.boot.boot.page_bytes);
    // The numbers ascend in the order of the file, which is that of the kernel's zones.
    let of_source = scene
        .recording
        .entity_numbers(source.source)
        .unwrap_or_default();
    of_source
        .into_iter()
        .filter(|(number, _)| scene.entities.contains_key(number))
        .map(|(number, _)| {
            let list = scene.label(number, "protection");
            let pages = list
                .split(',')
                .map(|n| n.trim().parse::<f64>().unwrap_or(0.0));
            let reserve = pages.map(|n| n * page).collect();
            (number, (scene.label(number, "node"), reserve))
        })
        .collect()
}

impl Watch for Zones {
    fn views(&self) -> &'static [View] {
        VIEWS
    }

    fn see(&mut self, _: &Scene<'_>, view: usize, picture: &Picture<'_>) {
        match view {
            0 => self.stalls.see(picture.t_s, sum_known(picture.scalars())),
            1 => {
                if let &[scanned, stolen, compactions] = picture.scalars() {
                    self.scanned.see(picture.t_s, scanned);
                    self.stolen.see(picture.t_s, stolen);
                    self.compactions.see(picture.t_s, compactions);
                }
            }
            _ => {
                let zones = picture
                    .entities()
                    .filter_map(|(number, values)| Some((number, Zone::of(values, self.cpus)?)))
                    .collect();
                self.see_zones(picture.t_s, &zones);
            }
        }
    }

    fn tell(mut self: Box<Self>, scene: &Scene<'_>) -> Result<Vec<Diagnosis>, Error> {
        let (mut min, mut low, mut pcp) = (Vec::new(), Vec::new(), Vec::new());
        for (number, watched) in std::mem::take(&mut self.zones) {
            let sustained = watched.under_min.finish();
            let dips = watched.proven.finish();
            match (sustained, dips) {
                (Some(found), _) | (None, Some(found)) => min.push((number, found)),
                (None, None) => {
                    low.extend(watched.under_low.finish().map(|found| (number, found)));
                }
            }
            pcp.extend(watched.over_high.finish().map(|found| (number, found)));
        }
        let mut told = Vec::new();
        if let Some(worst) = longest(&min) {
            told.push(self.under(scene, "zone_under_min", worst, &min));
        }
        // Where the node has room the allocator went there, and nobody waits.
        if let Some(worst) = longest(&low) {
            told.push(self.under(scene, "zone_under_low", worst, &low));
        }
        if let Some(worst) = longest(&pcp) {
            told.push(pcp_over_high(scene, worst, &pcp));
        }
        Ok(told)
    }
}

type OfZone<W> = (i64, Found<W>);

/// The zone in which it held longest.
fn longest<W>(zones: &[OfZone<W>]) -> Option<&OfZone<W>> {
    zones
        .iter()
        .max_by(|a, b| a.1.held_s.total_cmp(&b.1.held_s))
}

impl Zones {
    fn under(
        &self,
        scene: &Scene<'_>,
        id: &'static str,
        (number, found): &OfZone<Under>,
        all: &[OfZone<Under>],
    ) -> Diagnosis {
        let Under { zone, elsewhere } = found.worst;
        let to = found.until_s.unwrap_or(f64::INFINITY);
        let rise = |counter: &Counter| counter.rise(found.from_s, to);
        let (stalls, scanned) = (rise(&self.stalls), rise(&self.scanned));
        let (stolen, compactions) = (rise(&self.stolen), rise(&self.compactions));
        let is_min = id == "zone_under_min";
        let (word, mark) = if is_min {
            ("min", zone.min)
        } else {
            ("low", zone.low)
        };
        let (name, series) = (scene.zone(*number), scene.name(*number));
        let mut text = format!(
            "Zone {name} was under its {word} watermark ({}) for {} in {}; at the worst {} were free of {}.",
            bytes(mark),
            seconds(found.held_s),
            crate::words::count(found.spells, "spell"),
            bytes(zone.free),
            bytes(zone.managed),
        );
        let waited = stalls.is_some_and(|stalls| stalls > 0.0);
        match stalls {
            Some(stalls) if stalls > 0.0 => text.push_str(&format!(
                " Between its begin and end {stalls:.0} allocations waited for reclaim (allocstall of vmstat)."
            )),
            Some(_) => text.push_str(" No allocation had to wait for reclaim meanwhile."),
            None => {}
        }
        if elsewhere && !waited {
            text.push_str(
                " Other zones of the node had room: only requests bound to this zone or those below it were short.",
            );
        }
        let severity = match (is_min, waited, elsewhere) {
            (true, true, _) => Severity::Critical,
            (false, _, true) => Severity::Info,
            _ => Severity::Warning,
        };
        let evidence = map(json!({
            "series": [format!("zoneinfo/{series}/free_bytes"), format!("zoneinfo/{series}/{word}_bytes")],
            "zone": scene.label(*number, "zone"),
            "node": scene.label(*number, "node").parse::<i64>().ok(),
            "least_free_bytes": zone.free,
            "watermark_bytes": mark,
            "min_bytes": zone.min,
            "low_bytes": zone.low,
            "high_bytes": zone.high,
            "managed_bytes": zone.managed,
            "protection": scene.label(*number, "protection"),
            "room_in_other_zones": elsewhere,
            "allocstall": stalls,
            "pgscan_direct": scanned,
            "pgsteal_direct": stolen,
            "compact_stall": compactions,
            "zones": all.iter().map(|zone| of_zone(scene, zone)).collect::<Vec<_>>(),
        }));
        Diagnosis::of(scene, id, severity, found, text, evidence)
    }
}

fn of_zone<W>(scene: &Scene<'_>, (number, found): &OfZone<W>) -> Value {
    json!({"zone": scene.zone(*number), "seconds": found.held_s})
}

fn pcp_over_high(
    scene: &Scene<'_>,
    (number, found): &OfZone<Zone>,
    all: &[OfZone<Zone>],
) -> Diagnosis {
    let zone = found.worst;
    let (name, series) = (scene.zone(*number), scene.name(*number));
    let severity = if zone.on_lists - zone.list_high >= zone.managed * PCP_SHARE {
        Severity::Warning
    } else {
        Severity::Info
    };
    let text = format!(
        "The per-CPU lists of zone {name} held {} with a high mark of {} for {}: pages that were freed there are in no free list of the zone.",
        bytes(zone.on_lists),
        bytes(zone.list_high),
        seconds(found.held_s),
    );
    let evidence = map(json!({
        "series": [format!("zoneinfo/{series}/pcp_count_bytes"), format!("zoneinfo/{series}/pcp_high_bytes")],
        "most_on_lists_bytes": zone.on_lists,
        "high_bytes": zone.list_high,
        "batches_bytes": zone.batches,
        "zones": all.iter().map(|zone| of_zone(scene, zone)).collect::<Vec<_>>(),
    }));
    Diagnosis::of(scene, "pcp_over_high", severity, found, text, evidence)
}
