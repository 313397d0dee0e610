//! vmstat: what the machine did in the minute before.

use super::Ask;
use super::instant::{Held, Instant};
use super::sheet::{Row, Sheet, Table, right};

/// Longer than the interval of the source `stat`, so that there are two samples of it.
const SPAN_S: i64 = 60;

/// As the second line of `vmstat 60` (vmstat.c): KiB and KiB a second, CPU in per cent.
pub(super) fn vmstat(instant: &Instant<'_>, _: &Ask) -> anyhow::Result<Sheet> {
    let meminfo = instant.held("meminfo")?;
    let stat = instant.held("stat").ok();
    let events = instant.held("vmstat").ok();
    let before = instant.before(SPAN_S);
    let earlier = |name: &str| before.as_ref().and_then(|before| before.held(name).ok());
    let stat_before = earlier("stat");
    let events_before = earlier("vmstat");
    let seconds = before.map(|before| instant.seconds() - before.seconds());
    let page_kib = f64::from(instant.boot.boot.page_bytes) / 1024.0;

    let kib = |key: &str| meminfo.scalar(key);
    let rate = |now: Option<&Held<'_>>, then: Option<&Held<'_>>, key: &str| {
        Some((now?.scalar(key)? - then?.scalar(key)?) / seconds?)
    };
    let event = |key: &str| rate(events.as_ref(), events_before.as_ref(), key);
    let happened = |key: &str| rate(stat.as_ref(), stat_before.as_ref(), key);
    let cpu: Vec<(&str, Option<f64>)> = [
        "cpu.user",
        "cpu.nice",
        "cpu.system",
        "cpu.irq",
        "cpu.softirq",
        "cpu.idle",
        "cpu.iowait",
        "cpu.steal",
    ]
    .into_iter()
    .map(|key| (key, happened(key)))
    .collect();
    let all: Option<f64> = cpu.iter().map(|(_, rate)| *rate).sum();
    let share = |keys: &[&str]| -> Option<f64> {
        let part: Option<f64> = cpu
            .iter()
            .filter(|(key, _)| keys.contains(key))
            .map(|(_, rate)| *rate)
            .sum();
        Some(part? / all.filter(|all| *all > 0.0)? * 100.0)
    };
    let now = |key: &str| stat.as_ref().and_then(|held| held.scalar(key));
    let cells = [
        now("procs_running"),
        now("procs_blocked"),
        (|| Some(kib("SwapTotal")? - kib("SwapFree")?))(),
        kib("MemFree"),
        kib("Buffers"),
        (|| Some(kib("Cached")? + kib("SReclaimable")?))(),
        event("pswpin").map(|pages| pages * page_kib),
        event("pswpout").map(|pages| pages * page_kib),
        event("pgpgin"),
        event("pgpgout"),
        happened("intr"),
        happened("ctxt"),
        share(&["cpu.user", "cpu.nice"]),
        share(&["cpu.system", "cpu.irq", "cpu.softirq"]),
        share(&["cpu.idle"]),
        share(&["cpu.iowait"]),
        share(&["cpu.steal"]),
    ];
    let widths = [2, 2, 6, 6, 6, 6, 4, 4, 5, 5, 4, 4, 2, 2, 2, 2, 2];
    let mut columns: Vec<_> = widths.into_iter().map(right).collect();
    if let Some(first) = columns.first_mut() {
        *first = first.before("");
    }
    let mut sheet = Sheet::default();
    sheet.line("procs -----------memory---------- ---swap-- -----io---- -system-- ------cpu-----");
    sheet.table(Table {
        head: " r  b   swpd   free   buff  cache   si   so    bi    bo   in   cs us sy id wa st"
            .to_owned(),
        columns,
        rows: vec![Row {
            key: "machine".to_owned(),
            cells: cells.into_iter().map(Into::into).collect(),
        }],
        weight: None,
    });
    Ok(sheet)
}
