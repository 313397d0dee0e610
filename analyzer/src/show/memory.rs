//! `free` and `/proc/meminfo`.

use memsoak_schema::Unit;

use super::Ask;
use super::instant::Instant;
use super::sheet::{Cell, Row, Sheet, Table, left, right};

/// As free of procps 4: KiB; used is total less available (free.c, procps 4.0.1).
pub(super) fn free(instant: &Instant<'_>, _: &Ask) -> anyhow::Result<Sheet> {
    let held = instant.held("meminfo")?;
    let key = |name: &str| held.scalar(name);
    let cache = (|| Some(key("Buffers")? + key("Cached")? + key("SReclaimable").unwrap_or(0.0)))();
    let less = |total: Option<f64>, part: Option<f64>| Some((total? - part?).max(0.0));
    let row = |name: &str, values: &[Option<f64>]| Row {
        key: name.to_owned(),
        cells: std::iter::once(Cell::from(name))
            .chain(values.iter().map(|value| Cell::from(*value)))
            .collect(),
    };
    let mut columns = vec![left(8)];
    columns.extend([right(12).before(""); 6]);
    let mut sheet = Sheet::default();
    sheet.table(Table {
        head: "               total        used        free      shared  buff/cache   available"
            .to_owned(),
        columns,
        rows: vec![
            row(
                "Mem:",
                &[
                    key("MemTotal"),
                    less(key("MemTotal"), key("MemAvailable")),
                    key("MemFree"),
                    key("Shmem"),
                    cache,
                    key("MemAvailable"),
                ],
            ),
            row(
                "Swap:",
                &[
                    key("SwapTotal"),
                    less(key("SwapTotal"), key("SwapFree")),
                    key("SwapFree"),
                ],
            ),
        ],
        weight: None,
    });
    Ok(sheet)
}

/// As the kernel prints it (fs/proc/meminfo.c).
pub(super) fn meminfo(instant: &Instant<'_>, _: &Ask) -> anyhow::Result<Sheet> {
    let held = instant.held("meminfo")?;
    let rows = held
        .scalars()
        .map(|(name, unit, value)| Row {
            key: name.to_owned(),
            cells: vec![
                format!("{name}:").into(),
                value.into(),
                if unit == Unit::Kib { " kB" } else { "" }.into(),
            ],
        })
        .collect();
    let mut sheet = Sheet::default();
    sheet.table(Table {
        head: String::new(),
        columns: vec![left(16).taking(), right(8).before(""), left(0)],
        rows,
        weight: Some(1),
    });
    Ok(sheet)
}
