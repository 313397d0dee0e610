//! A view as a plain model: lines of text, and tables whose rows two instants can be compared by.

use std::collections::HashMap;

/// What a view shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Sheet {
    /// Its parts from top to bottom.
    pub(super) parts: Vec<Part>,
}

/// A part of a sheet.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// A line.
    Line(String),
    /// Rows of one form.
    Table(Table),
}

/// Rows of one form.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// The line above; empty where the tool has none.
    pub(super) head: String,
    /// How each cell is set.
    pub(super) columns: Vec<Column>,
    /// The rows, in the tool's order.
    pub(super) rows: Vec<Row>,
    /// The column by which a comparison is sorted, the largest change first; `None` keeps the order.
    pub(super) weight: Option<usize>,
}

/// How the cells of a column are set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// What stands before each cell.
    pub(super) before: &'static str,
    /// The least width.
    pub(super) width: usize,
    /// Whether it stands at the left of its width.
    pub(super) left: bool,
    /// Whether a cell that is too long takes from the width of the next one.
    pub(super) takes: bool,
    /// Digits behind the point; `None` is two where there is a fraction.
    pub(super) digits: Option<usize>,
    /// What stands behind each cell.
    pub(super) after: &'static str,
}

/// One row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// What it is the row of, to find it again at another instant.
    pub(super) key: String,
    /// Its cells.
    pub(super) cells: Vec<Cell>,
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// A word.
    Text(String),
    /// A number; `None` is not known.
    Number(Option<f64>),
    /// A duration in seconds, as minutes:seconds.hundredths.
    Time(Option<f64>),
}

impl From<Option<f64>> for Cell {
    fn from(value: Option<f64>) -> Self {
        Self::Number(value)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A column of whole numbers at the right of a width, a blank before it.
pub(super) const fn right(width: usize) -> Column {
    Column {
        before: " ",
        width,
        left: false,
        takes: false,
        digits: Some(0),
        after: "",
    }
}

/// A column of words at the left of a width.
pub(super) const fn left(width: usize) -> Column {
    let mut column = right(width);
    column.before = "";
    column.left = true;
    column
}

impl Column {
    /// A cell that is too long takes from the width of the next one.
    pub(super) const fn taking(mut self) -> Self {
        self.takes = true;
        self
    }

    /// With digits behind the point.
    pub(super) const fn digits(mut self, digits: usize) -> Self {
        self.digits = Some(digits);
        self
    }

    /// With two digits behind the point where there is a fraction.
    pub(super) const fn any_number(mut self) -> Self {
        self.digits = None;
        self
    }

    /// With something else before each cell.
    pub(super) const fn before(mut self, before: &'static str) -> Self {
        self.before = before;
        self
    }

    /// With something behind each cell.
    pub(super) const fn after(mut self, after: &'static str) -> Self {
        self.after = after;
        self
    }

    /// Returns by how much the cell was too long.
    fn set(&self, cell: &Cell, signed: bool, out: &mut String) -> usize {
        let digits_of = |value: f64| {
            self.digits
                .unwrap_or(if value.fract() == 0.0 { 0 } else { 2 })
        };
        let text = match cell {
            Cell::Text(text) => text.clone(),
            Cell::Number(None) | Cell::Time(None) => "-".to_owned(),
            // Nothing is added to nothing: no sign.
            Cell::Number(Some(value)) if signed && *value != 0.0 => {
                format!("{value:+.0$}", digits_of(*value))
            }
            Cell::Number(Some(value)) => format!("{value:.0$}", digits_of(*value)),
            Cell::Time(Some(seconds)) => {
                let minutes = (seconds.abs() / 60.0).floor();
                let sign = match (signed, *seconds < 0.0) {
                    (_, true) => "-",
                    (true, false) => "+",
                    (false, false) => "",
                };
                format!("{sign}{minutes:.0}:{:05.2}", seconds.abs() - minutes * 60.0)
            }
        };
        let length = text.chars().count();
        let fill = " ".repeat(self.width.saturating_sub(length));
        out.push_str(self.before);
        if self.left {
            out.push_str(&text);
            out.push_str(&fill);
        } else {
            out.push_str(&fill);
            out.push_str(&text);
        }
        out.push_str(self.after);
        length.saturating_sub(self.width)
    }
}

impl Sheet {
    /// Adds a line.
    pub(super) fn line(&mut self, text: impl Into<String>) {
        self.parts.push(Part::Line(text.into()));
    }

    /// Adds a table.
    pub(super) fn table(&mut self, table: Table) {
        self.parts.push(Part::Table(table));
    }

    /// As text, as the tool would print it.
    pub(super) fn print(&self) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Line(line) => {
                    out.push_str(line);
                    out.push('\n');
                }
                Part::Table(table) => table.print(&mut out, |row, out| {
                    table.print_row(row, false, out);
                    out.push('\n');
                }),
            }
        }
        out
    }

    /// What changed from `earlier` to this: rows that are equal are left out, numbers are
    /// differences. Lines of text are left out.
    pub(super) fn print_changes(&self, earlier: &Self) -> String {
        let mut out = String::new();
        let tables = |sheet: &Self| -> Vec<Table> {
            sheet
                .parts
                .iter()
                .filter_map(|part| match part {
                    Part::Table(table) => Some(table.clone()),
                    Part::Line(_) => None,
                })
                .collect()
        };
        let before = tables(earlier);
        for (at, table) in tables(self).iter().enumerate() {
            let nothing = Table {
                rows: Vec::new(),
                ..table.clone()
            };
            table.print_changes(before.get(at).unwrap_or(&nothing), &mut out);
        }
        if out.is_empty() {
            out.push_str("nothing changed\n");
        }
        out
    }
}

impl Table {
    fn print(&self, out: &mut String, mut each: impl FnMut(&Row, &mut String)) {
        if !self.head.is_empty() {
            out.push_str(&self.head);
            out.push('\n');
        }
        for row in &self.rows {
            each(row, out);
        }
    }

    fn print_row(&self, row: &Row, signed: bool, out: &mut String) {
        let mut taken = 0;
        for (column, cell) in self.columns.iter().zip(&row.cells) {
            let mut room = *column;
            room.width = column.width.saturating_sub(taken);
            let over = room.set(cell, signed, out);
            taken = if column.takes { over } else { 0 };
        }
    }

    fn print_changes(&self, earlier: &Self, out: &mut String) {
        let before: HashMap<&str, &Row> = earlier
            .rows
            .iter()
            .map(|row| (row.key.as_str(), row))
            .collect();
        let now: HashMap<&str, &Row> = self
            .rows
            .iter()
            .map(|row| (row.key.as_str(), row))
            .collect();
        let mut changed: Vec<(Row, &str)> = self
            .rows
            .iter()
            .filter_map(|row| match before.get(row.key.as_str()) {
                Some(was) => {
                    let change = row.minus(Some(was));
                    change.is_change().then_some((change, ""))
                }
                None => Some((row.minus(None), "  new")),
            })
            .collect();
        changed.extend(
            earlier
                .rows
                .iter()
                .filter(|row| !now.contains_key(row.key.as_str()))
                .map(|row| (row.minus(None).negated(), "  gone")),
        );
        if let Some(weight) = self.weight {
            let size = |row: &Row| match row.cells.get(weight) {
                Some(Cell::Number(Some(value)) | Cell::Time(Some(value))) => value.abs(),
                _ => 0.0,
            };
            changed.sort_by(|(a, _), (b, _)| size(b).total_cmp(&size(a)));
        }
        if changed.is_empty() {
            return;
        }
        if !self.head.is_empty() {
            out.push_str(&self.head);
            out.push('\n');
        }
        for (row, word) in &changed {
            self.print_row(row, true, out);
            out.push_str(word);
            out.push('\n');
        }
    }
}

impl Row {
    /// The numbers less those of an earlier row; what was not there then had nothing.
    fn minus(&self, earlier: Option<&Self>) -> Self {
        let difference = |at: usize, now: &Option<f64>| match earlier.map(|row| row.cells.get(at)) {
            None => *now,
            Some(Some(Cell::Number(was) | Cell::Time(was))) => Some((*now)? - (*was)?),
            Some(_) => None,
        };
        Self {
            key: self.key.clone(),
            cells: self
                .cells
                .iter()
                .enumerate()
                .map(|(at, cell)| match cell {
                    Cell::Text(text) => Cell::Text(text.clone()),
                    Cell::Number(now) => Cell::Number(difference(at, now)),
                    Cell::Time(now) => Cell::Time(difference(at, now)),
                })
                .collect(),
        }
    }

    fn negated(mut self) -> Self {
        for cell in &mut self.cells {
            if let Cell::Number(Some(value)) | Cell::Time(Some(value)) = cell {
                *value = 0.0 - *value;
            }
        }
        self
    }

    fn is_change(&self) -> bool {
        self.cells.iter().any(|cell| {
            matches!(cell, Cell::Number(Some(value)) | Cell::Time(Some(value)) if *value != 0.0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(&str, Option<f64>)]) -> Sheet {
        let mut sheet = Sheet::default();
        sheet.line("a title");
        sheet.table(Table {
            head: "name        kB".to_owned(),
            columns: vec![left(6), right(7)],
            rows: rows
                .iter()
                .map(|(name, value)| Row {
                    key: (*name).to_owned(),
                    cells: vec![(*name).into(), (*value).into()],
                })
                .collect(),
            weight: Some(1),
        });
        sheet
    }

    #[test]
    fn a_sheet_is_set_in_columns_and_what_is_not_known_is_a_dash() {
        let sheet = table(&[("a", Some(12.0)), ("long name", None)]);
        assert_eq!(
            sheet.print(),
            "a title\nname        kB\na           12\nlong name       -\n"
        );
    }

    #[test]
    fn changes_are_signed_and_sorted_and_what_stayed_is_left_out() {
        let before = table(&[("same", Some(5.0)), ("a", Some(1.0)), ("old", Some(9.0))]);
        let after = table(&[("same", Some(5.0)), ("a", Some(4.0)), ("new", Some(20.0))]);
        assert_eq!(
            after.print_changes(&before),
            "name        kB\nnew        +20  new\nold         -9  gone\na           +3\n"
        );
        assert_eq!(after.print_changes(&after), "nothing changed\n");
    }

    #[test]
    fn times_are_minutes_seconds_and_hundredths() {
        let mut out = String::new();
        right(9).set(&Cell::Time(Some(75.25)), false, &mut out);
        right(9).set(&Cell::Time(Some(-0.5)), true, &mut out);
        assert_eq!(out, "   1:15.25  -0:00.50");
    }
}
