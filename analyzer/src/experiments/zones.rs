//! What compaction won: the free blocks of each zone by order, and the blocks that it cannot move.

use std::collections::BTreeMap;

use memsoak_schema::{Entity, Error, Recording};

use super::snapshot::Snapshot;
use crate::buddy::pages;
use crate::words::{bytes, percent};

/// A zone before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct ZoneBlocks {
    /// Its name and node: `Normal of node 0`.
    pub name: String,
    /// Free blocks of each order from 0 on, before.
    pub before: Vec<f64>,
    /// And after.
    pub after: Vec<f64>,
    /// Share of its pageblocks that are of unmovable or reclaimable kernel memory, where
    /// pagetypeinfo could be read.
    pub pinned_share: Option<f64>,
}

/// From this share of the free memory in blocks of a huge page on none is scattered.
const MOST_IN_HUGE: f64 = 0.9;

impl ZoneBlocks {
    /// Free bytes won in blocks of this order and above.
    #[must_use]
    pub fn won_pages(&self, order: u32) -> f64 {
        pages(&self.after, order) - pages(&self.before, order)
    }

    /// Free pages after it.
    #[must_use]
    pub fn free_pages(&self) -> f64 {
        pages(&self.after, 0)
    }

    /// Free pages after it that are in blocks of this order and above.
    #[must_use]
    pub fn pages_from(&self, order: u32) -> f64 {
        pages(&self.after, order)
    }
}

/// All zones that have memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Compaction {
    /// In the kernel's order.
    pub zones: Vec<ZoneBlocks>,
    /// The order of a huge page.
    pub huge_order: u32,
    /// Bytes of a page.
    pub page_bytes: f64,
}

fn zone_of(entity: &Entity) -> (String, String) {
    let label = |name: &str| match entity.labels.get(name) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    (label("zone"), label("node"))
}

impl Compaction {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the size of a page"
    )]
    pub(super) fn between(
        recording: &Recording,
        before: &Snapshot,
        after: &Snapshot,
        page_bytes: f64,
    ) -> Result<Option<Self>, Error> {
        // Blocks that cannot be emptied, and all, by zone.
        let mut pinned: BTreeMap<(String, String), (f64, f64)> = BTreeMap::new();
        for (number, blocks) in &after.blocks {
            if let Some(entity) = recording.entity(*number)? {
                let of_zone = pinned.entry(zone_of(&entity)).or_default();
                of_zone.1 += blocks;
                let kind = entity
                    .labels
                    .get("migratetype")
                    .and_then(|kind| kind.as_str());
                if matches!(kind, Some("Unmovable" | "Reclaimable")) {
                    of_zone.0 += blocks;
                }
            }
        }
        let mut zones = Vec::new();
        for (number, blocks) in &before.zones {
            let (Some(later), Some(entity)) = (after.zones.get(number), recording.entity(*number)?)
            else {
                continue;
            };
            let (zone, node) = zone_of(&entity);
            let share = pinned.get(&(zone.clone(), node.clone()));
            zones.push(ZoneBlocks {
                name: format!("{zone} of node {node}"),
                before: blocks.clone(),
                after: later.clone(),
                pinned_share: share
                    .filter(|(_, all)| *all > 0.0)
                    .map(|(pinned, all)| pinned / all),
            });
        }
        Ok((!zones.is_empty()).then_some(Self {
            zones,
            huge_order: (page_bytes.max(4096.0) as u32).ilog2() - 3,
            page_bytes,
        }))
    }

    /// A block of this order in words: `2.0 MiB (order 9)`.
    fn block(&self, order: u32) -> String {
        let size = bytes(self.page_bytes * f64::from(1_u32 << order));
        format!("{size} (order {order})")
    }

    pub(super) fn text(&self) -> String {
        let huge = self.huge_order;
        let sum = |of: &dyn Fn(&ZoneBlocks) -> f64| -> f64 { self.zones.iter().map(of).sum() };
        let (free, in_huge) = (
            sum(&|zone| zone.free_pages()),
            sum(&|zone| zone.pages_from(huge)),
        );
        let won = sum(&|zone| zone.won_pages(huge));
        let mut text = if won > 0.0 {
            format!(
                " and won {} of free memory in blocks of at least {}",
                bytes(won * self.page_bytes),
                self.block(huge)
            )
        } else {
            format!(" and won no free block of {} or more", self.block(huge))
        };
        if free > 0.0 {
            text.push_str(&format!(
                "; {} of {} free are in such blocks now",
                percent(in_huge / free),
                bytes(free * self.page_bytes)
            ));
        }
        text.push('.');
        let worst = self
            .zones
            .iter()
            .filter(|zone| zone.free_pages() > zone.pages_from(huge))
            .filter_map(|zone| Some((zone, zone.pinned_share?)))
            .filter(|(_, share)| *share > 0.0)
            .max_by(|a, b| {
                let scattered = |zone: &ZoneBlocks| zone.free_pages() - zone.pages_from(huge);
                scattered(a.0).total_cmp(&scattered(b.0))
            });
        // Where nearly all that is free is in such blocks there was nothing to win.
        if won <= 0.0
            && in_huge < MOST_IN_HUGE * free
            && let Some((zone, share)) = worst
        {
            text.push_str(&format!(
                " In zone {} {} of the pageblocks hold kernel memory that cannot be moved.",
                zone.name,
                percent(share)
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_won_of_an_order_is_what_merged_into_it() {
        // 8 single pages become a block of order 3.
        let zone = ZoneBlocks {
            name: "Normal of node 0".to_owned(),
            before: vec![8.0, 0.0, 0.0, 0.0],
            after: vec![0.0, 0.0, 0.0, 1.0],
            pinned_share: None,
        };
        let won = [0, 1, 3].map(|order| format!("{:.0}", zone.won_pages(order)));
        assert_eq!(won, ["0", "8", "8"]);
        assert!((zone.free_pages() - 8.0).abs() < 1e-9);
    }
}
