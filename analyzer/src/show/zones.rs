//! `/proc/zoneinfo`: the sizes, watermarks and states of each zone.

use super::Ask;
use super::instant::{Instant, Thing};
use super::sheet::{Row, Sheet, Table, left, right};

/// The kernel's name of a column: in the first block, where it has a line of its own.
const SIZES: &[(&str, &str)] = &[
    ("pages free", "free_pages"),
    ("      boost", "boost_pages"),
    ("      min", "min_pages"),
    ("      low", "low_pages"),
    ("      high", "high_pages"),
    ("      promo", "promo_pages"),
    ("      spanned", "spanned_pages"),
    ("      present", "present_pages"),
    ("      managed", "managed_pages"),
    ("      cma", "cma_pages"),
];

const STATES: &[(&str, &str)] = &[
    ("    nr_free_pages", "free_pages"),
    ("    nr_zone_inactive_anon", "inactive_anon_pages"),
    ("    nr_zone_active_anon", "active_anon_pages"),
    ("    nr_zone_inactive_file", "inactive_file_pages"),
    ("    nr_zone_active_file", "active_file_pages"),
    ("    nr_zone_unevictable", "unevictable_pages"),
    ("    nr_zone_write_pending", "write_pending_pages"),
    ("    nr_mlock", "mlock_pages"),
    ("    nr_bounce", "bounce_pages"),
    ("    nr_zspages", "zspages_pages"),
    ("    nr_free_cma", "free_cma_pages"),
];

/// The sums over processors of what the kernel prints for each.
const PAGESETS: &[(&str, &str)] = &[
    ("            count:", "pcp_count_pages"),
    ("            high:", "pcp_high_pages"),
    ("            batch:", "pcp_batch_pages"),
];

/// As the kernel prints it (mm/vmstat.c, `zoneinfo_show_print`), but for what is recorded once for
/// all processors. The states of nodes are the source `nodestat`.
pub(super) fn zoneinfo(instant: &Instant<'_>, _: &Ask) -> anyhow::Result<Sheet> {
    let held = instant.held("zoneinfo")?;
    let mut sheet = Sheet::default();
    for thing in held.things() {
        sheet.line(format!(
            "Node {}, zone {:>8}",
            thing.label("node").unwrap_or(0),
            thing.text("zone").unwrap_or_default()
        ));
        sheet.table(block(&thing, SIZES, 14));
        if let Some(protection) = thing.text("protection") {
            sheet.line(format!("        protection: ({protection})"));
        }
        // The kernel says no more of a zone without memory.
        if thing.get("inactive_anon_pages").is_none() {
            continue;
        }
        sheet.table(block(&thing, STATES, 16));
        sheet.line("  pagesets (all CPUs; batch: the largest)");
        sheet.table(block(&thing, PAGESETS, 18));
    }
    Ok(sheet)
}

/// What this kernel lacks has no line.
fn block(thing: &Thing<'_>, lines: &[(&str, &str)], width: usize) -> Table {
    let rows = lines
        .iter()
        .filter_map(|(name, column)| {
            let value = thing.get(column)?;
            Some(Row {
                key: format!("{} {name}", thing.name()),
                cells: vec![format!("  {name:<width$}").into(), Some(value).into()],
            })
        })
        .collect();
    Table {
        head: String::new(),
        columns: vec![left(0), right(0)],
        rows,
        weight: None,
    }
}
