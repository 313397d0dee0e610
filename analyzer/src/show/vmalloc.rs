//! `/proc/vmallocinfo`, folded by caller.

use super::Ask;
use super::instant::Instant;
use super::sheet::{Row, Sheet, Table, left, right};

/// A row a caller, the largest address space first: what sorting and adding up the file by hand
/// gives. Single areas are not recorded.
pub(super) fn vmallocinfo(instant: &Instant<'_>, _: &Ask) -> anyhow::Result<Sheet> {
    let held = instant.held("vmallocinfo")?;
    let mut things: Vec<_> = held.things().collect();
    let size = |thing: &super::instant::Thing<'_>| thing.get("size_bytes").unwrap_or(-1.0);
    things.sort_by(|a, b| size(b).total_cmp(&size(a)));
    let rows = things
        .iter()
        .map(|thing| {
            let caller = match thing.text("module") {
                Some(module) => format!("{} [{module}]", thing.name()),
                None => thing.name(),
            };
            Row {
                key: thing.number().to_string(),
                cells: vec![
                    thing.get("size_bytes").into(),
                    thing.get("alloc_pages").into(),
                    thing.get("areas").into(),
                    caller.into(),
                ],
            }
        })
        .collect();
    let mut sheet = Sheet::default();
    sheet.table(Table {
        head: "       BYTES    PAGES  AREAS CALLER".to_owned(),
        columns: vec![
            right(12).before(""),
            right(8),
            right(6),
            left(0).before(" "),
        ],
        rows,
        weight: Some(0),
    });
    Ok(sheet)
}
