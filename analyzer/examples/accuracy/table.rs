//! Tables as Markdown that reads well on a terminal too, and their places in a document.

use anyhow::{Context, bail};
use std::fmt::Write;
use std::path::Path;

/// A table: the first columns are text, the others are numbers.
#[derive(Debug)]
pub(crate) struct Table {
    text_columns: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(text_columns: usize, header: &[&str]) -> Self {
        Self {
            text_columns,
            rows: vec![header.iter().map(|cell| (*cell).to_owned()).collect()],
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let row: Vec<String> = cells.into_iter().collect();
        assert_eq!(
            row.len(),
            self.rows[0].len(),
            "a cell for each heading: {row:?}"
        );
        self.rows.push(row);
    }

    /// The lines, columns aligned.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).max(3)).collect();
        let mut out = String::new();
        for (at, row) in self.rows.iter().enumerate() {
            let line: Vec<String> = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, width))| {
                    if column < self.text_columns {
                        format!("{cell:<width$}")
                    } else {
                        format!("{cell:>width$}")
                    }
                })
                .collect();
            let _ = writeln!(out, "| {} |", line.join(" | "));
            if at == 0 {
                let rule: Vec<String> = widths
                    .iter()
                    .enumerate()
                    .map(|(column, width)| {
                        let dashes = "-".repeat(width - 1);
                        if column < self.text_columns {
                            format!("{dashes}-")
                        } else {
                            format!("{dashes}:")
                        }
                    })
                    .collect();
                let _ = writeln!(out, "| {} |", rule.join(" | "));
            }
        }
        out
    }
}

/// A number with this many digits behind the point, a dash where there is none.
pub(crate) fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// A share in percent.
pub(crate) fn percent(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(
        || "-".to_owned(),
        |value| format!("{:.digits$} %", 100.0 * value),
    )
}

/// One block of figures: its name in the document, and its text.
pub(crate) struct Figures {
    pub(crate) name: &'static str,
    pub(crate) text: String,
}

const END: &str = "<!-- end of figures -->";

/// Puts each block between its markers in a document: `<!-- figures: NAME -->` and
/// `<!-- end of figures -->`. Blocks of the document that were not measured stay as they are.
pub(crate) fn bless(path: &Path, blocks: &[Figures]) -> anyhow::Result<()> {
    let read = std::fs::read_to_string(path);
    let mut document = read.with_context(|| format!("{}: cannot read", path.display()))?;
    for Figures { name, text } in blocks {
        let begin = format!("<!-- figures: {name} -->");
        let Some((before, rest)) = document.split_once(&begin) else {
            bail!("{}: no line '{begin}'", path.display());
        };
        let Some((_, after)) = rest.split_once(END) else {
            bail!("{}: no '{END}' after '{begin}'", path.display());
        };
        document = format!("{before}{begin}\n\n{text}\n{END}{after}");
    }
    std::fs::write(path, document).with_context(|| format!("{}: cannot write", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(1, &["who", "n"]);
        table.row(["somebody".to_owned(), "12".to_owned()]);
        assert_eq!(
            table.render(),
            "| who      |   n |\n| -------- | --: |\n| somebody |  12 |\n"
        );
    }

    #[test]
    fn only_what_was_measured_is_replaced() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("A.md");
        let block = |name: &str, text: &str| format!("<!-- figures: {name} -->{text}{END}");
        let old = format!("a\n{}\nb\n{}\nc", block("one", "x"), block("two", "y"));
        std::fs::write(&path, &old).expect("write");
        let measured = |name| Figures {
            name,
            text: "new\n".to_owned(),
        };
        for _ in 0..2 {
            // The second time finds what the first time wrote.
            bless(&path, &[measured("two")]).expect("the marker is there");
            let new = std::fs::read_to_string(&path).expect("read");
            assert_eq!(
                new,
                format!(
                    "a\n{}\nb\n{}\nc",
                    block("one", "x"),
                    block("two", "\n\nnew\n\n")
                )
            );
        }
        let error = bless(&path, &[measured("three")]).expect_err("no such marker");
        assert!(
            error
                .to_string()
                .ends_with("no line '<!-- figures: three -->'")
        );
    }
}
