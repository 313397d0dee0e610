//! `/proc/buddyinfo` and `/proc/pagetypeinfo`: free blocks by order.

use super::Ask;
use super::instant::{Instant, Thing};
use super::sheet::{Cell, Column, Row, Sheet, Table, left, right};

/// The most orders that are recorded: 14, on arm64 with pages of 64 KiB.
const ORDERS: usize = 14;

/// The counts of a row, up to the last order that any row has.
fn counts(thing: &Thing<'_>, orders: usize) -> impl Iterator<Item = Cell> {
    (0..orders).map(|order| thing.get(&format!("free_order{order}")).into())
}

fn orders<'a>(things: impl Iterator<Item = Thing<'a>>) -> usize {
    things
        .flat_map(|thing| {
            (0..ORDERS).rfind(|order| thing.get(&format!("free_order{order}")).is_some())
        })
        .max()
        .map_or(0, |order| order + 1)
}

fn place(thing: &Thing<'_>) -> (i64, String) {
    (
        thing.label("node").unwrap_or(0),
        thing.text("zone").unwrap_or_default().to_owned(),
    )
}

const COUNT: Column = right(6).before("").after(" ");

/// As the kernel prints it (mm/vmstat.c, `frag_show_print`).
pub(super) fn buddyinfo(instant: &Instant<'_>, _: &Ask) -> anyhow::Result<Sheet> {
    let held = instant.held("buddyinfo")?;
    let orders = orders(held.things());
    let rows = held
        .things()
        .map(|thing| {
            let (node, zone) = place(&thing);
            let name = format!("Node {node}, zone {zone:>8} ");
            Row {
                key: thing.name(),
                cells: std::iter::once(name.into())
                    .chain(counts(&thing, orders))
                    .collect(),
            }
        })
        .collect();
    let mut sheet = Sheet::default();
    sheet.table(Table {
        head: String::new(),
        columns: std::iter::once(left(0))
            .chain(std::iter::repeat_n(COUNT, orders))
            .collect(),
        rows,
        weight: None,
    });
    Ok(sheet)
}

/// As the kernel prints it (mm/vmstat.c, `pagetypeinfo_show`).
pub(super) fn pagetypeinfo(instant: &Instant<'_>, _: &Ask) -> anyhow::Result<Sheet> {
    let held = instant.held("pagetypeinfo")?;
    let orders = orders(held.things());
    let mut sheet = Sheet::default();
    if let Some(pages) = held
        .things()
        .find_map(|thing| thing.label("pages_per_block"))
        && let Some(order) = u64::try_from(pages).ok().and_then(u64::checked_ilog2)
    {
        sheet.line(format!("Page block order: {order}"));
        sheet.line(format!("Pages per block:  {pages}"));
        sheet.line("");
    }
    let heads: String = (0..orders).map(|order| format!("{order:>6} ")).collect();
    let rows = held
        .things()
        .map(|thing| {
            let (node, zone) = place(&thing);
            let kind = thing.text("migratetype").unwrap_or_default();
            let name = format!("Node {node:>4}, zone {zone:>8}, type {kind:>12} ");
            Row {
                key: thing.name(),
                cells: std::iter::once(name.into())
                    .chain(counts(&thing, orders))
                    .collect(),
            }
        })
        .collect();
    sheet.table(Table {
        head: format!(
            "{:<43} {heads}",
            "Free pages count per migrate type at order"
        ),
        columns: std::iter::once(left(0))
            .chain(std::iter::repeat_n(COUNT, orders))
            .collect(),
        rows,
        weight: None,
    });
    sheet.line("");
    sheet.table(pageblocks(held.things()));
    Ok(sheet)
}

/// The second half: a row a zone, a column a migrate type.
fn pageblocks<'a>(things: impl Iterator<Item = Thing<'a>>) -> Table {
    let mut kinds: Vec<String> = Vec::new();
    let mut rows: Vec<Row> = Vec::new();
    for thing in things {
        let (node, zone) = place(&thing);
        let kind = thing.text("migratetype").unwrap_or_default().to_owned();
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
        let name = format!("Node {node}, zone {zone:>8} ");
        if rows.last().is_none_or(|row| row.key != name) {
            rows.push(Row {
                key: name.clone(),
                cells: vec![name.into()],
            });
        }
        if let Some(row) = rows.last_mut() {
            row.cells.push(thing.get("pageblocks").into());
        }
    }
    let heads: String = kinds.iter().map(|kind| format!("{kind:>12} ")).collect();
    Table {
        head: format!("{:<23}{heads}", "Number of blocks type "),
        columns: std::iter::once(left(0))
            .chain(std::iter::repeat_n(
                right(12).before("").after(" "),
                kinds.len(),
            ))
            .collect(),
        rows,
        weight: None,
    }
}
