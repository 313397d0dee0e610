//! Series from CSV files, plain or gzip, judged one after the other.
//!
//! Two layouts are known, told apart by the header:
//! - `seconds,value` (or `t_s,value`): one series, named after the file;
//! - `id,t_s,value`: many, the rows of one id together, with the optional columns `restart` (1
//!   where a new life of the process begins) and `source` (what the values are).
//!
//! Columns may stand in any order, others are ignored.  An empty value is a missing sample.  Only
//! one series is in memory at a time.

use crate::stats;
use crate::verdict::{Blocks, Judgement, Traits, Verdict, judge_block_lives};
use flate2::read::MultiGzDecoder;
use serde::Serialize;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Offending text is cut after this many characters.
const SHOWN: usize = 60;

/// Why a file of series could not be read.
#[derive(Debug, Error)]
pub enum SeriesCsvError {
    /// The file cannot be opened.
    #[error("{}: cannot open", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is damaged, or a row has another number of fields than the header.
    #[error("{}: line {line}: cannot read the row", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What the reader says.
        source: csv::Error,
    },
    /// The header lacks a column.
    #[error("{}: line 1: no column '{column}' in the header '{header}' (known: seconds,value or id,t_s,value)", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// What is missing.
        column: &'static str,
        /// The header, bounded.
        header: String,
    },
    /// A field is not a number.
    #[error("{}: line {line}: '{text}' in column {column} is not a number", path.display())]
    Number {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column.
        column: &'static str,
        /// The field, bounded.
        text: String,
    },
    /// The rows of one series do not stand together.
    #[error("{}: line {line}: rows of '{id}' are not together (sort the file by id and t_s)", path.display())]
    Scattered {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The series, bounded.
        id: String,
    },
}

/// One series of a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// Its name.
    pub id: String,
    /// What the values are, where the file says so.
    pub source: Option<String>,
    /// Times.
    pub t_s: Vec<f64>,
    /// Values, as many as times.
    pub value: Vec<f64>,
    /// Index of the first sample of each life but the first.
    pub restarts: Vec<usize>,
}

impl Series {
    /// Its lives as blocks, in order of time.
    #[must_use]
    pub fn lives(&self) -> Vec<Blocks> {
        let mut lives = Vec::with_capacity(self.restarts.len() + 1);
        let mut from = 0;
        for to in self.restarts.iter().copied().chain([self.t_s.len()]) {
            lives.push(Blocks::from_samples(
                &self.t_s[from..to],
                &self.value[from..to],
            ));
            from = to;
        }
        lives
    }

    /// What its source tells.
    #[must_use]
    pub fn traits(&self) -> Traits {
        let Some(source) = &self.source else {
            return Traits::default();
        };
        let finite: Vec<f64> = self
            .value
            .iter()
            .copied()
            .filter(|v| v.is_finite())
            .collect();
        let level = if finite.is_empty() {
            0.0
        } else {
            stats::median(&finite)
        };
        Traits::of_source(source, level)
    }

    /// Judges it.
    #[must_use]
    pub fn judge(&self) -> Judgement {
        judge_block_lives(&self.lives(), &self.traits())
    }
}

/// One line of `trends --csv --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrendLine {
    /// Name of the series.
    pub id: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Slope in units per hour.
    pub slope_per_hour: f64,
    /// Lower end of its interval.
    pub slope_low: f64,
    /// Upper end.
    pub slope_high: f64,
}

impl TrendLine {
    /// The line of a judged series.
    #[must_use]
    pub fn new(id: impl Into<String>, judgement: &Judgement) -> Self {
        Self {
            id: id.into(),
            verdict: judgement.verdict,
            slope_per_hour: 3600.0 * judgement.slope_per_s,
            slope_low: 3600.0 * judgement.slope_low_per_s,
            slope_high: 3600.0 * judgement.slope_high_per_s,
        }
    }
}

/// Judges every series of a file, in the file's order, and hands over name and judgement.
///
/// # Errors
/// Where the file cannot be read; series before the bad row were handed over already.
pub fn judge_csv(
    path: &Path,
    each: &mut impl FnMut(&str, Judgement),
) -> Result<(), SeriesCsvError> {
    read_series(path, &mut |series| each(&series.id, series.judge()))
}

/// Reads every series of a file and hands them over one at a time.
///
/// # Errors
/// As [`judge_csv`].
pub fn read_series(path: &Path, each: &mut impl FnMut(&Series)) -> Result<(), SeriesCsvError> {
    let open = |source| SeriesCsvError::Open {
        path: path.to_owned(),
        source,
    };
    let mut file = BufReader::new(File::open(path).map_err(open)?);
    let packed = file.fill_buf().map_err(open)?.starts_with(&[0x1f, 0x8b]);
    let input: Box<dyn Read> = if packed {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    read_from(path, input, each)
}

/// Where the known columns stand.
struct Columns {
    id: Option<usize>,
    t_s: usize,
    value: usize,
    restart: Option<usize>,
    source: Option<usize>,
}

impl Columns {
    fn find(path: &Path, header: &csv::StringRecord) -> Result<Self, SeriesCsvError> {
        let at = |names: &[&str]| {
            header
                .iter()
                .position(|h| names.contains(&h.trim().trim_start_matches('\u{feff}')))
        };
        let missing = |column| SeriesCsvError::Column {
            path: path.to_owned(),
            column,
            header: bounded(&header.iter().collect::<Vec<_>>().join(",")),
        };
        Ok(Self {
            id: at(&["id"]),
            t_s: at(&["t_s", "seconds"]).ok_or_else(|| missing("t_s"))?,
            value: at(&["value"]).ok_or_else(|| missing("value"))?,
            restart: at(&["restart"]),
            source: at(&["source"]),
        })
    }
}

fn read_from(
    path: &Path,
    input: impl Read,
    each: &mut impl FnMut(&Series),
) -> Result<(), SeriesCsvError> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(input);
    let mut row = csv::StringRecord::new();
    let mut next = |row: &mut csv::StringRecord| -> Result<Option<u64>, SeriesCsvError> {
        let before = reader.position().line();
        let more = reader
            .read_record(row)
            .map_err(|source| SeriesCsvError::Row {
                path: path.to_owned(),
                line: source.position().map_or(before, csv::Position::line),
                source,
            })?;
        Ok(more.then(|| row.position().map_or(before, csv::Position::line)))
    };
    next(&mut row)?;
    let columns = Columns::find(path, &row)?;
    let mut series = Series::default();
    let mut seen = HashSet::new();
    let mut open = columns.id.is_none();
    if open {
        series.id = file_name(path);
    }
    while let Some(line) = next(&mut row)? {
        if let Some(id) = columns.id.map(|i| row[i].trim())
            && (!open || id != series.id)
        {
            if open {
                each(&series);
            }
            if !seen.insert(id.to_owned()) {
                let (path, id) = (path.to_owned(), bounded(id));
                return Err(SeriesCsvError::Scattered { path, line, id });
            }
            series = Series {
                id: id.to_owned(),
                ..Series::default()
            };
            open = true;
        }
        let number = |column: &'static str, text: &str| {
            text.trim()
                .parse::<f64>()
                .map_err(|_| SeriesCsvError::Number {
                    path: path.to_owned(),
                    line,
                    column,
                    text: bounded(text),
                })
        };
        if let Some(source) = columns.source.map(|i| row[i].trim())
            && series.source.is_none()
            && !source.is_empty()
        {
            series.source = Some(source.to_owned());
        }
        let restart = columns.restart.map_or("", |i| row[i].trim());
        if !restart.is_empty() && number("restart", restart)?.abs() > 0.0 && !series.t_s.is_empty()
        {
            series.restarts.push(series.t_s.len());
        }
        let t_s = number("t_s", &row[columns.t_s])?;
        let value = row[columns.value].trim();
        series.t_s.push(t_s);
        series.value.push(if value.is_empty() {
            f64::NAN
        } else {
            number("value", value)?
        });
    }
    if open {
        each(&series);
    }
    Ok(())
}

/// The file's name without `.gz` and one more ending.
fn file_name(path: &Path) -> String {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.rsplit_once('.')
        .map_or(name, |(stem, _)| stem)
        .to_owned()
}

fn bounded(text: &str) -> String {
    let mut out: String = text.chars().take(SHOWN).collect();
    if out.len() < text.len() {
        out.push_str("...");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::fmt::Write as _;
    use std::io::Write as _;

    fn read(name: &str, text: &str) -> Result<Vec<Series>, SeriesCsvError> {
        let mut all = Vec::new();
        read_from(Path::new(name), text.as_bytes(), &mut |s| {
            all.push(s.clone())
        })?;
        Ok(all)
    }

    fn message(name: &str, text: &str) -> String {
        read(name, text).expect_err("the text is bad").to_string()
    }

    #[test]
    fn a_file_of_two_columns_is_one_series_named_after_it() {
        let all = read("dir/A.csv.gz", "seconds,value\n0,1\n10,\n20,3\n").expect("good");
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].id, "A");
        assert_eq!(all[0].t_s, [0.0, 10.0, 20.0]);
        assert!(all[0].value[1].is_nan());
    }

    #[test]
    fn long_rows_are_grouped_with_restarts_and_source() {
        let text = "source,id,t_s,value,restart\nx,a,0,1,0\nx,a,1,2,1\nx,a,2,2,\n,b,0,9,1\n";
        let all = read("f.csv", text).expect("good");
        assert_eq!(all.len(), 2);
        assert_eq!(
            (all[0].restarts.as_slice(), all[0].source.as_deref()),
            (&[1][..], Some("x"))
        );
        // A restart at the first sample cuts nothing.
        assert_eq!((all[1].restarts.len(), all[1].source.as_deref()), (0, None));
        assert_eq!(
            all[0].lives().iter().map(|l| l.n).collect::<Vec<_>>(),
            [1, 2]
        );
    }

    #[test]
    fn errors_name_file_line_and_text() {
        assert_eq!(
            message("f.csv", "seconds,value\n0,1\n5,many\n"),
            "f.csv: line 3: 'many' in column value is not a number"
        );
        assert_eq!(
            message("f.csv", "a,b\n0,1\n"),
            "f.csv: line 1: no column 't_s' in the header 'a,b' (known: seconds,value or id,t_s,value)"
        );
        assert_eq!(
            message("f.csv", "id,t_s,value\na,0,1\nb,0,1\na,1,1\n"),
            "f.csv: line 4: rows of 'a' are not together (sort the file by id and t_s)"
        );
        assert_eq!(
            message("f.csv", "seconds,value\n0\n"),
            "f.csv: line 2: cannot read the row"
        );
        let long = message("f.csv", &format!("seconds,value\n0,{}\n", "x".repeat(500)));
        assert!(long.len() < 150, "{long}");
    }

    #[test]
    fn gzip_is_known_by_its_content_and_a_leak_is_called() {
        let mut text = "seconds,value\n".to_owned();
        for i in 0..200u32 {
            let churn = (i * 7919) % 13;
            writeln!(text, "{},{}", 60 * i, 4096 * (1000 + i + churn)).expect("to a string");
        }
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("grows.csv.gz");
        let mut gz = GzEncoder::new(File::create(&path).expect("create"), Compression::fast());
        gz.write_all(text.as_bytes()).expect("write");
        gz.finish().expect("finish");
        let mut lines = Vec::new();
        judge_csv(&path, &mut |id, j| lines.push(TrendLine::new(id, &j))).expect("good");
        assert_eq!(lines.len(), 1);
        assert_eq!(
            (lines[0].id.as_str(), lines[0].verdict),
            ("grows", Verdict::Leak)
        );
        // 4096 bytes a minute.
        assert!((lines[0].slope_per_hour / 245_760.0 - 1.0).abs() < 0.02);
        assert!(lines[0].slope_low <= 245_760.0 && 245_760.0 <= lines[0].slope_high);
        let json = serde_json::to_string(&lines[0]).expect("plain numbers");
        assert!(
            json.starts_with(r#"{"id":"grows","verdict":"leak","slope_per_hour":"#),
            "{json}"
        );
    }

    #[test]
    fn a_missing_file_and_broken_gzip_are_errors() {
        assert!(matches!(
            judge_csv(Path::new("no/such.csv"), &mut |_, _| {}),
            Err(SeriesCsvError::Open { .. })
        ));
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("torn.csv.gz");
        std::fs::write(&path, [0x1f, 0x8b, 8, 0, 0, 0]).expect("write");
        assert!(matches!(
            judge_csv(&path, &mut |_, _| {}),
            Err(SeriesCsvError::Row { .. })
        ));
    }

    #[test]
    fn a_series_without_numbers_is_unjudgeable() {
        let all = read("f.csv", "id,t_s,value\na,0,NaN\na,1,\n").expect("good");
        assert_eq!(all[0].judge().verdict, Verdict::Unjudgeable);
        let empty = read("f.csv", "seconds,value\n").expect("good");
        assert_eq!(empty[0].judge().verdict, Verdict::Unjudgeable);
    }
}
