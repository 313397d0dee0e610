//! Mem-Info, as sysrq-m and the OOM killer print it (mm/show_mem.c), rebuilt from what is recorded at
//! every tick.

use super::Ask;
use super::instant::{Held, Instant, Thing};
use super::sheet::Sheet;

/// Words of a line of the kernel's and the keys that stand behind them.
type Words = &'static [(&'static str, &'static str)];

const TOTALS: &[Words] = &[
    &[
        ("active_anon", "nr_active_anon"),
        ("inactive_anon", "nr_inactive_anon"),
        ("isolated_anon", "nr_isolated_anon"),
    ],
    &[
        ("active_file", "nr_active_file"),
        ("inactive_file", "nr_inactive_file"),
        ("isolated_file", "nr_isolated_file"),
    ],
    &[
        ("unevictable", "nr_unevictable"),
        ("dirty", "nr_dirty"),
        ("writeback", "nr_writeback"),
    ],
    &[
        ("slab_reclaimable", "nr_slab_reclaimable"),
        ("slab_unreclaimable", "nr_slab_unreclaimable"),
    ],
    &[
        ("mapped", "nr_mapped"),
        ("shmem", "nr_shmem"),
        ("pagetables", "nr_page_table_pages"),
    ],
    &[
        ("sec_pagetables", "nr_sec_page_table_pages"),
        ("bounce", "nr_bounce"),
    ],
    &[("kernel_misc_reclaimable", "nr_kernel_misc_reclaimable")],
];

const NODE: Words = &[
    ("active_anon", "nr_active_anon"),
    ("inactive_anon", "nr_inactive_anon"),
    ("active_file", "nr_active_file"),
    ("inactive_file", "nr_inactive_file"),
    ("unevictable", "nr_unevictable"),
    ("isolated(anon)", "nr_isolated_anon"),
    ("isolated(file)", "nr_isolated_file"),
    ("mapped", "nr_mapped"),
    ("dirty", "nr_dirty"),
    ("writeback", "nr_writeback"),
    ("shmem", "nr_shmem"),
    ("writeback_tmp", "nr_writeback_temp"),
    ("pagetables", "nr_page_table_pages"),
    ("sec_pagetables", "nr_sec_page_table_pages"),
];

const ZONE: Words = &[
    ("free", "free_pages"),
    ("boost", "boost_pages"),
    ("min", "min_pages"),
    ("low", "low_pages"),
    ("high", "high_pages"),
    ("active_anon", "active_anon_pages"),
    ("inactive_anon", "inactive_anon_pages"),
    ("active_file", "active_file_pages"),
    ("inactive_file", "inactive_file_pages"),
    ("unevictable", "unevictable_pages"),
    ("writepending", "write_pending_pages"),
    ("present", "present_pages"),
    ("managed", "managed_pages"),
    ("mlocked", "mlock_pages"),
    ("bounce", "bounce_pages"),
    ("free_pcp", "pcp_count_pages"),
    ("free_cma", "free_cma_pages"),
];

/// In the kernel's order and units; what is not recorded is left out.
pub(super) fn mem_info(instant: &Instant<'_>, _: &Ask) -> anyhow::Result<Sheet> {
    let vmstat = instant.held("vmstat")?;
    let zones = instant.held("zoneinfo")?;
    let page_kib = f64::from(instant.boot.boot.page_bytes) / 1024.0;
    let mut sheet = Sheet::default();
    sheet.line("Mem-Info:");
    for (at, words) in TOTALS.iter().enumerate() {
        let line = said(words, |key| vmstat.scalar(key), "");
        sheet.line(if at == 0 { line } else { format!(" {line}") });
    }
    let sum = |column: &str| -> Option<f64> {
        let mut found = zones
            .things()
            .filter_map(|zone| zone.get(column))
            .peekable();
        found.peek()?;
        Some(found.sum())
    };
    sheet.line(format!(
        " {}",
        said(
            &[
                ("free", "free_pages"),
                ("free_pcp", "pcp_count_pages"),
                ("free_cma", "free_cma_pages"),
            ],
            sum,
            ""
        )
    ));
    if let Ok(nodes) = instant.held("nodestat") {
        for node in node_numbers(&zones) {
            let line = said(
                NODE,
                |key| Some(nodes.scalar(&format!("node{node}.{key}"))? * page_kib),
                "kB",
            );
            if !line.is_empty() {
                sheet.line(format!("Node {node} {line}"));
            }
        }
    }
    for zone in zones.things().filter(has_pages) {
        sheet.line(format!(
            "{} {}",
            place(&zone),
            said(ZONE, |column| zone.kib(column), "kB")
        ));
        if let Some(protection) = zone.text("protection") {
            sheet.line(format!("lowmem_reserve[]: {}", protection.replace(',', "")));
        }
    }
    if let Ok(free) = instant.held("buddyinfo") {
        for zone in free.things() {
            sheet.line(free_blocks(&zone, page_kib));
        }
    }
    if let Ok(meminfo) = instant.held("meminfo") {
        let cached = (|| Some(meminfo.scalar("Cached")? + meminfo.scalar("Buffers")?))();
        let pages = |kib: f64| (kib / page_kib).round();
        if let Some(kib) = cached {
            sheet.line(format!("{} total pagecache pages", pages(kib)));
        }
        if let Some(kib) = meminfo.scalar("SwapCached") {
            sheet.line(format!("{} pages in swap cache", pages(kib)));
        }
        if let Some(kib) = meminfo.scalar("SwapFree") {
            sheet.line(format!("Free swap  = {kib}kB"));
        }
        if let Some(kib) = meminfo.scalar("SwapTotal") {
            sheet.line(format!("Total swap = {kib}kB"));
        }
    }
    if let (Some(present), Some(managed)) = (sum("present_pages"), sum("managed_pages")) {
        sheet.line(format!("{present} pages RAM"));
        sheet.line(format!("{} pages reserved", (present - managed).max(0.0)));
    }
    Ok(sheet)
}

/// `active_anon:1368 inactive_anon:5548`
fn said(words: Words, value: impl Fn(&str) -> Option<f64>, unit: &str) -> String {
    let parts: Vec<String> = words
        .iter()
        .filter_map(|(word, key)| Some(format!("{word}:{:.0}{unit}", value(key)?)))
        .collect();
    parts.join(" ")
}

fn node_numbers(zones: &Held<'_>) -> Vec<i64> {
    let mut numbers: Vec<i64> = zones
        .things()
        .map(|zone| zone.label("node").unwrap_or(0))
        .collect();
    numbers.dedup();
    numbers
}

/// The kernel passes over zones that manage nothing.
fn has_pages(zone: &Thing<'_>) -> bool {
    zone.get("managed_pages").is_some_and(|pages| pages > 0.0)
}

fn place(zone: &Thing<'_>) -> String {
    format!(
        "Node {} {}",
        zone.label("node").unwrap_or(0),
        zone.text("zone").unwrap_or_default()
    )
}

/// `Node 0 DMA: 0*4kB 1*8kB = 8kB`
fn free_blocks(zone: &Thing<'_>, page_kib: f64) -> String {
    let mut text = format!("{}:", place(zone));
    let mut total = 0.0;
    let mut size = page_kib;
    let mut order = 0;
    while let Some(blocks) = zone.get(&format!("free_order{order}")) {
        text.push_str(&format!(" {blocks}*{size}kB"));
        total += blocks * size;
        size *= 2.0;
        order += 1;
    }
    text.push_str(&format!(" = {total}kB"));
    text
}
