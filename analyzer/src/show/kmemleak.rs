//! kmemleak's report, folded by stack.

use super::Ask;
use super::instant::{Instant, Thing};
use super::sheet::{Row, Sheet, Table, left, right};

/// A row a stack, the most bytes first, and under the table each stack as the kernel printed it.
pub(super) fn kmemleak(instant: &Instant<'_>, _: &Ask) -> anyhow::Result<Sheet> {
    let held = instant.held("kmemleak")?;
    let mut things: Vec<Thing<'_>> = held.things().collect();
    let bytes = |thing: &Thing<'_>| thing.get("bytes").unwrap_or(-1.0);
    things.sort_by(|a, b| bytes(b).total_cmp(&bytes(a)));
    let place = |thing: &Thing<'_>| match thing.text("module") {
        Some(module) => format!("{} [{module}]", thing.name()),
        None => thing.name(),
    };
    let rows = things
        .iter()
        .map(|thing| Row {
            key: thing.number().to_string(),
            cells: vec![
                thing.get("bytes").into(),
                thing.get("objects").into(),
                thing.text("by_comm").unwrap_or("-").into(),
                place(thing).into(),
            ],
        })
        .collect();
    let mut sheet = Sheet::default();
    sheet.table(Table {
        head: "       BYTES  OBJECTS FIRST BY         ALLOCATED IN".to_owned(),
        columns: vec![
            right(12).before(""),
            right(8),
            left(16).before(" "),
            left(0),
        ],
        rows,
        weight: Some(0),
    });
    for thing in &things {
        sheet.line("");
        sheet.line(format!("{}:", place(thing)));
        let stack = thing.text("stack").unwrap_or_default();
        for frame in stack.split("\\n") {
            sheet.line(format!("    {}", frame.trim()));
        }
    }
    Ok(sheet)
}
