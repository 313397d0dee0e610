//! Control groups by memory.

use super::instant::{Instant, Thing};
use super::sheet::{Row, Sheet, Table, left, right};
use super::{Ask, no_key};

/// The columns in KiB, with the keys to sort by.
const COLUMNS: [(&str, &str); 9] = [
    ("CURRENT", "current_bytes"),
    ("PEAK", "peak_bytes"),
    ("LIMIT", "limit_bytes"),
    ("SWAP", "swap_bytes"),
    ("ANON", "anon_bytes"),
    ("FILE", "file_bytes"),
    ("SHMEM", "shmem_bytes"),
    ("KERNEL", "kernel_bytes"),
    ("SOCK", "sock_bytes"),
];

/// A row a group, the largest first, in KiB; `-` is no limit, or a figure that this version of
/// control groups lacks. The figures of a group hold those below it.
pub(super) fn cgroups(instant: &Instant<'_>, ask: &Ask) -> anyhow::Result<Sheet> {
    let held = instant.held("cgroup")?;
    let wanted = ask.sort.as_deref().unwrap_or("CURRENT");
    let Some((_, column)) = COLUMNS.iter().find(|(name, _)| *name == wanted) else {
        let keys: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
        return Err(no_key("cgroups", wanted, &keys.join(", ")));
    };
    let mut things: Vec<Thing<'_>> = held.things().collect();
    let size = |thing: &Thing<'_>| thing.get(column).unwrap_or(-1.0);
    things.sort_by(|a, b| size(b).total_cmp(&size(a)));
    let rows = things
        .iter()
        .map(|thing| {
            let mut cells: Vec<_> = COLUMNS
                .iter()
                .map(|(_, column)| thing.kib(column).into())
                .collect();
            cells.push(thing.get("oom_kills").into());
            cells.push(thing.name().into());
            Row {
                key: thing.number().to_string(),
                cells,
            }
        })
        .collect();
    let mut columns = vec![right(10).before("")];
    columns.extend([right(10); COLUMNS.len() - 1]);
    columns.extend([right(5), left(0).before(" ")]);
    let heads: Vec<String> = COLUMNS
        .iter()
        .map(|(name, _)| format!("{name:>10}"))
        .collect();
    let mut sheet = Sheet::default();
    sheet.table(Table {
        head: format!("{}  OOMS PATH", heads.join(" ")),
        columns,
        rows,
        weight: Some(0),
    });
    Ok(sheet)
}
