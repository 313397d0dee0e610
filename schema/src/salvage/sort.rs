//! Which table the rows of a page are of. The tree that would say so is the first thing to be
//! damaged, so they are known by their shape, and by what their keys name.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::types::Value;

use super::leaf::{self, Cells};
use super::pages::Pages;
use crate::file;
use crate::verify::stored_columns;
use crate::writer::WHAT_BITS;

/// The tables of the catalogue and the types of their columns: `n` the key, `i` a whole number, `t`
/// text, `a` a name of any bytes; a capital may be NULL.
const CATALOGUE: &[(&str, &str)] = &[
    ("host", "ntAT"),
    ("boot", "nitTTiiI"),
    ("run", "nitiiiiittIT"),
    ("tick", "niiiiii"),
    ("wall_clock", "nii"),
    ("source", "ntttttt"),
    ("metric", "nittttt"),
    ("entity", "niiiaaT"),
    ("plan", "iiit"),
    ("reason", "nt"),
    ("event", "niitTaT"),
];

/// The columns that a sample has had from the first format on.
const SAMPLE_COLUMNS: usize = 6;

/// A row that was found.
pub(super) type Found = (i64, Vec<Value>);

/// The pages of one table, by the keys that they hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) first: i64,
    pub(super) page: u32,
}

/// Where the rows of each table stand.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) of: HashMap<String, Vec<Place>>,
    /// Pages that hold rows of ticks, whose table is yet to be found.
    of_ticks: Vec<u32>,
    /// Rows that cannot be, or are of no table.
    pub(super) bad_rows: u64,
}

fn fits(pattern: &str, columns: &[Value]) -> bool {
    pattern.len() == columns.len()
        && pattern
            .bytes()
            .zip(columns)
            .all(|(kind, value)| match value {
                Value::Null => kind == b'n' || kind.is_ascii_uppercase(),
                Value::Integer(_) => kind.eq_ignore_ascii_case(&b'i'),
                Value::Text(_) => matches!(kind.to_ascii_lowercase(), b't' | b'a'),
                Value::Blob(_) => kind.eq_ignore_ascii_case(&b'a'),
                Value::Real(_) => false,
            })
}

/// The rows of a page that can be read.
pub(super) fn rows(pages: &Pages, number: u32, page: &mut Vec<u8>) -> (Vec<Found>, usize, bool) {
    if pages.read(number, page).is_err() {
        return (Vec::new(), 0, false);
    }
    let Some(Cells {
        of_index,
        cells,
        mut bad,
    }) = leaf::cells(page, leaf::header_at(number == 1))
    else {
        return (Vec::new(), 0, false);
    };
    let mut rows = Vec::with_capacity(cells.len());
    for cell in &cells {
        match cell.record(page, pages) {
            Some(columns) => rows.push((cell.rowid, columns)),
            None => bad += 1,
        }
    }
    (rows, bad, of_index)
}

impl Places {
    /// Looks at every page once.
    pub(super) fn find(pages: &Pages) -> Self {
        let mut places = Self::default();
        let mut page = Vec::new();
        for number in pages.numbers() {
            let (rows, bad, of_index) = rows(pages, number, &mut page);
            let Some((first, _)) = rows.first() else {
                // What is no page of rows at all is told by what the samples lack.
                continue;
            };
            if !of_index && *first >> WHAT_BITS > 0 {
                places.of_ticks.push(number);
                continue;
            }
            let best = CATALOGUE
                .iter()
                .map(|(table, pattern)| {
                    let fitting = rows.iter().filter(|(_, columns)| fits(pattern, columns));
                    (fitting.count(), *table)
                })
                .max_by_key(|(fitting, _)| *fitting);
            if let Some((fitting, table)) = best.filter(|(fitting, _)| *fitting > 0) {
                places.bad_rows += (bad + rows.len() - fitting) as u64;
                places.put(table, *first, number);
            }
        }
        places
    }

    fn put(&mut self, table: &str, first: i64, page: u32) {
        self.of
            .entry(table.to_owned())
            .or_default()
            .push(Place { first, page });
    }

    /// The rows of a table of the catalogue, page by page in the order of their keys.
    pub(super) fn catalogue(&self, pages: &Pages, table: &str, mut each: impl FnMut(Found)) {
        let Some((_, pattern)) = CATALOGUE.iter().find(|(name, _)| *name == table) else {
            return;
        };
        let mut places = self.of.get(table).cloned().unwrap_or_default();
        places.sort_unstable_by_key(|place| (place.first, place.page));
        let mut page = Vec::new();
        for place in places {
            let (rows, _, _) = rows(pages, place.page, &mut page);
            rows.into_iter()
                .filter(|(_, columns)| fits(pattern, columns))
                .for_each(&mut each);
        }
    }

    /// Finds the tables of the rows that belong to ticks, by what the catalogue says of their keys.
    pub(super) fn find_of_ticks(&mut self, pages: &Pages, kinds: &Kinds) {
        let mut page = Vec::new();
        for number in std::mem::take(&mut self.of_ticks) {
            let (rows, bad, _) = rows(pages, number, &mut page);
            let mut votes: HashMap<&str, usize> = HashMap::new();
            for (rowid, columns) in &rows {
                kinds.of_row(*rowid, columns, |table, certain| {
                    *votes.entry(table).or_default() += if certain { 8 } else { 1 };
                });
            }
            // Numbers of sources are numbers of entities too, and samples are as wide as rows of some
            // tables: where both fit all rows it is samples, of which more is asked.
            let best = votes
                .into_iter()
                .max_by_key(|(table, votes)| (*votes, *table == "sample", *table));
            let Some((table, _)) = best else {
                self.bad_rows += (bad + rows.len()) as u64;
                continue;
            };
            let fitting = rows
                .iter()
                .filter(|(rowid, columns)| kinds.can_be(table, *rowid, columns));
            let first = fitting.clone().map(|(rowid, _)| *rowid).min().unwrap_or(0);
            self.bad_rows += (bad + rows.len() - fitting.count()) as u64;
            let table = table.to_owned();
            self.put(&table, first, number);
        }
        for places in self.of.values_mut() {
            places.sort_unstable_by_key(|place| (place.first, place.page));
        }
    }
}

/// What is known of the tables of ticks: by the catalogue of the damaged file, and the new file.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    /// Tables of entities with the numbers of columns that they have had, the key among them.
    pub(super) tables: BTreeMap<String, BTreeSet<usize>>,
    /// Their columns, also those that are computed.
    columns: BTreeSet<(String, String)>,
    /// Names of the sources by number.
    pub(super) sources: HashMap<i64, String>,
    /// The source of each metric.
    pub(super) metrics: HashMap<i64, i64>,
    /// The source of each entity.
    pub(super) entities: HashMap<i64, i64>,
}

impl Kinds {
    /// The tables of every format there has been: a column that was added stands in later rows only.
    pub(super) fn of_formats() -> rusqlite::Result<Self> {
        let mut kinds = Self::default();
        for version in 1..=file::newest_version() {
            let connection = file::in_memory(version)?;
            let mut statement =
                connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
            let names: Vec<String> = statement
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for name in names {
                let of_ticks = !CATALOGUE.iter().any(|(table, _)| *table == name)
                    && name != "sample"
                    && name != "scalar";
                if of_ticks {
                    let columns = stored_columns(&connection, &name)?.len() + 1;
                    let mut all = connection.prepare("SELECT name FROM pragma_table_xinfo(?)")?;
                    for column in all.query_map([&name], |row| row.get(0))? {
                        kinds.columns.insert((name.clone(), column?));
                    }
                    kinds.tables.entry(name).or_default().insert(columns);
                }
            }
        }
        Ok(kinds)
    }

    /// Whether a row of `metric` names a column that is there, where its source has a table. A row of
    /// another table always is what it is.
    pub(super) fn has_metric(&self, table: &str, columns: &[Value]) -> bool {
        let (Some(Value::Integer(source)), Some(Value::Text(name))) =
            (columns.get(1), columns.get(2))
        else {
            return true;
        };
        let of_source = self.sources.get(source);
        table != "metric"
            || of_source.is_none_or(|table| {
                !self.tables.contains_key(table)
                    || self.columns.contains(&(table.clone(), name.clone()))
            })
    }

    fn table_of_entity(&self, entity: i64) -> Option<&str> {
        let source = self.entities.get(&entity)?;
        self.sources.get(source).map(String::as_str)
    }

    fn of_row<'s>(&'s self, rowid: i64, columns: &[Value], mut each: impl FnMut(&'s str, bool)) {
        let what = crate::reader::what(rowid);
        for table in ["sample", "scalar"] {
            if self.can_be(table, rowid, columns) {
                let certain = match table {
                    "sample" => self.sources.contains_key(&what),
                    _ => true,
                };
                each(table, certain);
            }
        }
        let named = self.table_of_entity(what);
        for table in self.tables.keys() {
            if self.can_be(table, rowid, columns) {
                each(table, named == Some(table));
            }
        }
    }

    /// Whether a row can be of a table of ticks.
    pub(super) fn can_be(&self, table: &str, rowid: i64, columns: &[Value]) -> bool {
        let what = crate::reader::what(rowid);
        let numbers = |columns: &[Value]| {
            columns
                .iter()
                .all(|value| matches!(value, Value::Integer(_) | Value::Null))
        };
        if rowid >> WHAT_BITS <= 0 || columns.first() != Some(&Value::Null) {
            return false;
        }
        match table {
            "sample" => {
                columns.len() >= SAMPLE_COLUMNS
                    && matches!(columns[1], Value::Integer(0..=4))
                    && matches!(columns[2], Value::Integer(0 | 1))
                    && numbers(columns)
            }
            "scalar" => {
                columns.len() == 2
                    && self.metrics.contains_key(&what)
                    && matches!(columns[1], Value::Integer(_) | Value::Real(_) | Value::Null)
            }
            _ => {
                let named = self.table_of_entity(what);
                let widths = self.tables.get(table);
                let shaped = widths.is_some_and(|widths| widths.contains(&columns.len()))
                    && named.is_none_or(|named| named == table);
                shaped && numbers(columns)
            }
        }
    }
}
