//! Any source as it stands in the recording.

use super::instant::Instant;
use super::sheet::{Column, Row, Sheet, Table, left, right};

/// The longest name that widens its column; what is longer pushes the rest of its line aside.
const WIDEST: usize = 48;

/// Keys and values, or a row an entity with all columns, in the units of the catalogue.
pub(super) fn source(instant: &Instant<'_>, name: &str) -> anyhow::Result<Sheet> {
    let held = instant.held(name)?;
    let mut sheet = Sheet::default();
    if held.things().next().is_none() {
        let rows = held
            .scalars()
            .map(|(key, unit, value)| Row {
                key: key.to_owned(),
                cells: vec![key.into(), value.into(), unit.as_str().into()],
            })
            .collect();
        sheet.table(Table {
            head: String::new(),
            columns: vec![left(32), right(16).any_number(), left(0).before(" ")],
            rows,
            weight: Some(1),
        });
        return Ok(sheet);
    }
    let heads: Vec<String> = held
        .columns()
        .map(|(column, _)| column.to_owned())
        .collect();
    let widest = held
        .things()
        .map(|thing| thing.name().chars().count())
        .max()
        .unwrap_or(0)
        .min(WIDEST);
    let mut columns: Vec<Column> = vec![left(widest)];
    columns.extend(
        heads
            .iter()
            .map(|head| right(head.len().max(8)).any_number()),
    );
    let rows = held
        .things()
        .map(|thing| {
            let mut cells = vec![thing.name().into()];
            cells.extend(heads.iter().map(|head| thing.get(head).into()));
            Row {
                key: thing.number().to_string(),
                cells,
            }
        })
        .collect();
    let head: String = heads.iter().map(|head| format!(" {head:>8}")).collect();
    sheet.table(Table {
        head: format!("{:<widest$}{head}", "name"),
        columns,
        rows,
        weight: None,
    });
    Ok(sheet)
}
