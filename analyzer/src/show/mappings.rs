//! pmap: the mappings of a process, by what is mapped.

use anyhow::bail;

use super::Ask;
use super::instant::Instant;
use super::sheet::{Row, Sheet, Table, left, right};

/// The columns in KiB.
const COLUMNS: [(&str, &str); 6] = [
    ("Kbytes", "size_kib"),
    ("RSS", "rss_kib"),
    ("PSS", "pss_kib"),
    ("Dirty", "private_dirty_kib"),
    ("Anon", "anonymous_kib"),
    ("Swap", "swap_kib"),
];

/// As `pmap -x`, the largest resident first; mappings of one file stand together, so that in the
/// place of address and mode is their number.
pub(super) fn pmap(instant: &Instant<'_>, ask: &Ask) -> anyhow::Result<Sheet> {
    let Some(pid) = ask.pid else {
        bail!("of which process? say pmap PID");
    };
    let held = instant.held("smaps")?;
    let mut things: Vec<_> = held
        .things()
        .filter(|thing| thing.label("pid") == Some(pid))
        .collect();
    let Some(comm) = things.first().map(super::instant::Thing::name) else {
        bail!(
            "no mappings of process {pid} were recorded by then: those of the largest processes and of those that grow are (show FILE smaps)"
        );
    };
    let resident = |thing: &super::instant::Thing<'_>| thing.kib("rss_kib").unwrap_or(-1.0);
    things.sort_by(|a, b| resident(b).total_cmp(&resident(a)));
    let mut rows: Vec<Row> = things
        .iter()
        .map(|thing| {
            let mut cells: Vec<_> = COLUMNS
                .iter()
                .map(|(_, column)| thing.kib(column).into())
                .collect();
            cells.push(thing.get("mappings").into());
            cells.push(thing.text("file").unwrap_or_default().into());
            Row {
                key: thing.number().to_string(),
                cells,
            }
        })
        .collect();
    let sum = |column: &str, of: fn(&super::instant::Thing<'_>, &str) -> Option<f64>| {
        things
            .iter()
            .map(|thing| of(thing, column))
            .sum::<Option<f64>>()
    };
    let mut total: Vec<_> = COLUMNS
        .iter()
        .map(|(_, column)| sum(column, |thing, column| thing.kib(column)).into())
        .collect();
    total.push(sum("mappings", |thing, column| thing.get(column)).into());
    total.push("total kB".into());
    rows.push(Row {
        key: "total".to_owned(),
        cells: total,
    });
    let heads: String = COLUMNS
        .iter()
        .map(|(head, _)| format!("{head:>8} "))
        .collect();
    let mut columns = vec![right(8).before(""); 1];
    columns.extend([right(8); COLUMNS.len() - 1]);
    columns.extend([right(5), left(0).before(" ")]);
    let mut sheet = Sheet::default();
    sheet.line(format!("{pid}:   {comm}"));
    sheet.table(Table {
        head: format!("{heads} Maps Mapping"),
        columns,
        rows,
        weight: Some(1),
    });
    Ok(sheet)
}
