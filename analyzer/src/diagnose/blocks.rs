//! Free memory without high orders, and pageblocks that cannot be emptied: `/proc/buddyinfo` and
//! `/proc/pagetypeinfo`.

use std::collections::{BTreeMap, HashMap};

use memsoak_schema::Error;
use serde_json::json;

use super::conditions::{BLOCKS_FLOOR_SHARE, COMPACTION_FAILS, PLENTIFUL, UNUSABLE, ZONE_SHARE};
use super::spells::{Counter, Found, Spells};
use super::{Diagnosis, Scene, Severity, Watch, map};
use crate::buddy::{FREE_BLOCKS, known, pages};
use crate::load::{Picture, View};
use crate::verdict::Verdict;
use crate::words::{bytes, percent, seconds};

const VIEWS: &[View] = &[
    View {
        source: "vmstat",
        metrics: &["compact_fail", "compact_success", "thp_fault_fallback"],
    },
    View {
        source: "zoneinfo",
        metrics: &["managed_pages"],
    },
    FREE_BLOCKS,
    View {
        source: "pagetypeinfo",
        metrics: &["pageblocks"],
    },
];

/// PAGE_ALLOC_COSTLY_ORDER: the kernel tries hard up to here (include/linux/mmzone.h).
const COSTLY_ORDER: u32 = 3;

/// Share of the free pages that are in blocks too small for an order: 0 none, 1 all
/// (mm/vmstat.c `unusable_free_index`). `blocks` are the free blocks of each order from 0 on.
fn unusable_free_index(blocks: &[f64], order: u32) -> f64 {
    let free = pages(blocks, 0);
    if free <= 0.0 {
        return 1.0;
    }
    (free - pages(blocks, order)) / free
}

/// Why a request of an order would fail: towards 0 for lack of memory, towards 1 for fragmentation;
/// `None` where it would not (mm/vmstat.c `__fragmentation_index`, without its rounding to 1/1000).
fn fragmentation_index(blocks: &[f64], order: u32) -> Option<f64> {
    let total: f64 = blocks.iter().sum();
    if pages(blocks, order) > 0.0 || total <= 0.0 {
        return None;
    }
    let requested = f64::from(1_u32 << order);
    Some(1.0 - (1.0 + pages(blocks, 0) / requested) / total)
}

/// The free blocks of a zone at a sample, up to the highest order that the kernel has.
#[derive(Clone, Debug)]
struct Free {
    blocks: Vec<f64>,
    managed: f64,
}

pub(super) struct Blocks {
    gap_s: f64,
    page: f64,
    huge_order: u32,
    /// Managed bytes by the zone's name.
    managed: HashMap<Vec<u8>, f64>,
    /// By order and zone.
    scattered: BTreeMap<(u32, i64), Spells<Free>>,
    fails: Counter,
    successes: Counter,
    fallbacks: Counter,
    t_s: Vec<f64>,
    pinned: Vec<f64>,
    all_blocks: f64,
}

impl Blocks {
    pub(super) fn new(scene: &Scene<'_>) -> Self {
        Self {
            gap_s: scene.gap_s("buddyinfo"),
            page: f64::from(scene.boot.boot.page_bytes),
            huge_order: scene.huge_order(),
            managed: HashMap::new(),
            scattered: BTreeMap::new(),
            fails: Counter::default(),
            successes: Counter::default(),
            fallbacks: Counter::default(),
            t_s: Vec::new(),
            pinned: Vec::new(),
            all_blocks: 0.0,
        }
    }

    fn see_zone(&mut self, scene: &Scene<'_>, t_s: f64, zone: i64, values: &[f64]) {
        let Some(managed) = scene
            .entities
            .get(&zone)
            .and_then(|entity| self.managed.get(&entity.name))
            .copied()
        else {
            return;
        };
        let all: f64 = self.managed.values().sum();
        let blocks = known(values);
        let free = pages(&blocks, 0) * self.page;
        let matters = managed >= all * ZONE_SHARE && free >= managed * PLENTIFUL;
        for order in [COSTLY_ORDER, self.huge_order] {
            let index = unusable_free_index(&blocks, order);
            let holds = matters && (order as usize) < blocks.len() && index > UNUSABLE;
            self.scattered
                .entry((order, zone))
                .or_insert_with(|| Spells::sustained(self.gap_s))
                .see(
                    t_s,
                    holds.then(|| {
                        let blocks = blocks.clone();
                        (index, Free { blocks, managed })
                    }),
                );
        }
    }
}

impl Watch for Blocks {
    fn views(&self) -> &'static [View] {
        VIEWS
    }

    fn see(&mut self, scene: &Scene<'_>, view: usize, picture: &Picture<'_>) {
        let t_s = picture.t_s;
        match view {
            0 => {
                if let &[fails, successes, fallbacks] = picture.scalars() {
                    self.fails.see(t_s, fails);
                    self.successes.see(t_s, successes);
                    self.fallbacks.see(t_s, fallbacks);
                }
            }
            1 => {
                // What a zone manages seldom changes, so its last size serves for all its samples.
                for (zone, values) in picture.entities() {
                    if let (Some(entity), Some(managed)) =
                        (scene.entities.get(&zone), values.first())
                        && *managed > 0.0
                    {
                        match self.managed.get_mut(&entity.name) {
                            Some(known) => *known = *managed,
                            None => {
                                self.managed.insert(entity.name.clone(), *managed);
                            }
                        }
                    }
                }
            }
            2 => {
                for (zone, values) in picture.entities() {
                    self.see_zone(scene, t_s, zone, values);
                }
            }
            _ => {
                let (mut pinned, mut all) = (0.0, 0.0);
                for (entity, values) in picture.entities() {
                    let Some(blocks) = values.first().filter(|n| !n.is_nan()) else {
                        continue;
                    };
                    all += blocks;
                    let kind = scene.label(entity, "migratetype");
                    if kind == "Unmovable" || kind == "Reclaimable" {
                        pinned += blocks;
                    }
                }
                if all > 0.0 {
                    self.all_blocks = all;
                    self.t_s.push(t_s);
                    self.pinned.push(pinned);
                }
            }
        }
    }

    fn tell(mut self: Box<Self>, scene: &Scene<'_>) -> Result<Vec<Diagnosis>, Error> {
        let found: Vec<((u32, i64), Found<Free>)> = std::mem::take(&mut self.scattered)
            .into_iter()
            .filter_map(|(key, spells)| Some((key, spells.finish()?)))
            .collect();
        let mut told = Vec::new();
        // The lowest order that lacks says most: all above it lack too.
        let worst = found.iter().min_by(|a, b| {
            let order = |one: &((u32, i64), Found<Free>)| one.0.0;
            order(a)
                .cmp(&order(b))
                .then(b.1.held_s.total_cmp(&a.1.held_s))
        });
        if let Some((key, found)) = worst {
            told.push(self.fragmentation(scene, *key, found));
        }
        told.extend(self.unmovable_blocks(scene));
        Ok(told)
    }
}

impl Blocks {
    fn fragmentation(
        &self,
        scene: &Scene<'_>,
        (order, zone): (u32, i64),
        found: &Found<Free>,
    ) -> Diagnosis {
        let Free { blocks, managed } = &found.worst;
        let free = pages(blocks, 0) * self.page;
        let unusable = unusable_free_index(blocks, order);
        let largest = (0_u32..).zip(blocks).filter(|(_, n)| **n > 0.0).last();
        let to = found.until_s.unwrap_or(f64::INFINITY);
        let rise = |counter: &Counter| counter.rise(found.from_s, to);
        let (fails, successes) = (rise(&self.fails), rise(&self.successes));
        let fallbacks = rise(&self.fallbacks);
        let failing = match (fails, successes) {
            (Some(fails), Some(successes)) if fails + successes > 0.0 => {
                Some(fails / (fails + successes))
            }
            _ => None,
        };
        let hurts = failing.is_some_and(|share| share >= COMPACTION_FAILS);
        let (name, series) = (scene.zone(zone), scene.name(zone));
        let block = |order: u32| bytes(self.page * f64::from(1_u32 << order));
        let mut text = format!(
            "Zone {name} had {} free ({} of it), and {} of that in blocks under {} (order {order}) for {}.",
            bytes(free),
            percent(free / managed),
            percent(unusable),
            block(order),
            seconds(found.held_s),
        );
        if let Some((largest, n)) = largest {
            text.push_str(&format!(
                " Its largest blocks then: {n:.0} of {} (order {largest}).",
                block(largest)
            ));
        }
        if let (Some(fails), Some(successes), Some(share)) = (fails, successes, failing) {
            text.push_str(&format!(
                " Of {:.0} direct compactions meanwhile {} failed.",
                fails + successes,
                percent(share)
            ));
        }
        let severity = if hurts || order <= COSTLY_ORDER {
            Severity::Warning
        } else {
            Severity::Info
        };
        let evidence = map(json!({
            "series": (0..blocks.len()).map(|order| format!("buddyinfo/{series}/free_order{order}")).collect::<Vec<_>>(),
            "zone": scene.label(zone, "zone"),
            "node": scene.label(zone, "node").parse::<i64>().ok(),
            "order": order,
            "unusable_free_index": unusable,
            "fragmentation_index": fragmentation_index(blocks, order),
            "unusable_free_index_by_order": (0_u32..)
                .zip(blocks)
                .map(|(order, _)| unusable_free_index(blocks, order))
                .collect::<Vec<_>>(),
            "free_bytes": free,
            "managed_bytes": managed,
            "largest_free_order": largest.map(|(order, _)| order),
            "threshold": UNUSABLE,
            "compact_fail": fails,
            "compact_success": successes,
            "thp_fault_fallback": fallbacks,
        }));
        Diagnosis::of(scene, "fragmentation", severity, found, text, evidence)
    }

    fn unmovable_blocks(&self, scene: &Scene<'_>) -> Option<Diagnosis> {
        let judgement = scene.judge(
            &self.t_s,
            &self.pinned,
            self.all_blocks * BLOCKS_FLOOR_SHARE,
        );
        let severity = match judgement.verdict {
            Verdict::Leak => Severity::Warning,
            Verdict::Suspect => Severity::Info,
            _ => return None,
        };
        let share = judgement.last / self.all_blocks;
        let text = format!(
            "Pageblocks of unmovable and reclaimable kernel memory rise from {:.0} to {:.0} of {:.0} ({}), by {:.1}/h: compaction cannot empty them, so high orders and huge pages get scarce even where memory is free.",
            judgement.first,
            judgement.last,
            self.all_blocks,
            percent(share),
            judgement.slope_per_s * 3600.0,
        );
        let from_s = judgement.since_s.unwrap_or(0.0);
        Some(Diagnosis {
            id: "unmovable_blocks",
            severity,
            boot: scene.boot_at,
            from_s,
            until_s: None,
            held_s: self.t_s.last().map_or(0.0, |last| last - from_s),
            text,
            evidence: map(json!({
                "series": ["pagetypeinfo/*/pageblocks"],
                "first_blocks": judgement.first,
                "last_blocks": judgement.last,
                "all_blocks": self.all_blocks,
                "share": share,
                "slope_per_hour": judgement.slope_per_s * 3600.0,
                "slope_low": judgement.slope_low_per_s * 3600.0,
                "slope_high": judgement.slope_high_per_s * 3600.0,
                "verdict": judgement.verdict,
            })),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;

    #[test]
    fn the_indices_are_those_of_the_kernel() {
        // 100 + 2*50 + 4*25 = 300 pages in 175 blocks, none of order 3.
        let blocks = [100.0, 50.0, 25.0, 0.0];
        assert!((unusable_free_index(&blocks, 0)).abs() < 1e-12);
        assert!((unusable_free_index(&blocks, 1) - 100.0 / 300.0).abs() < 1e-12);
        assert!((unusable_free_index(&blocks, 3) - 1.0).abs() < 1e-12);
        // 1000 - (1000 + 300 * 1000 / 8) / 175 = 780 thousandths.
        assert!((fragmentation_index(&blocks, 3).unwrap() - 0.780).abs() < 1e-3);
        assert_eq!(fragmentation_index(&blocks, 2), None);
    }

    #[test]
    fn a_zone_without_a_free_page_is_short_not_scattered() {
        let blocks = [1.0, 0.0, 0.0, 0.0];
        // One page free, eight asked for: 1 - (1 + 1/8) / 1 is below 0, for lack of memory.
        assert!(fragmentation_index(&blocks, 3).unwrap() < 0.0);
        assert_eq!(fragmentation_index(&[0.0; 4], 3), None);
        assert!((unusable_free_index(&[0.0; 4], 3) - 1.0).abs() < 1e-12);
    }
}
