//! Series from CSV files, plain or gzip, judged one after the other.
//!
//! Two layouts are known, told apart by the header:
//! - `seconds,value` (or `t_s,value`): one series, named after the file;
//! - `id,t_s,value`: many, with the optional columns `restart` (1 where a new life of the process
//!   begins) and `source` (what the values are).
//!
//! Columns and rows may stand in any order: a file may be written series by series or tick by tick.
//! Other columns are ignored, and so are lines that begin with `#`.  An empty value is a missing
//! sample.  One file is in memory at a time, 16 bytes a sample.

use crate::stats;
use crate::verdict::{Blocks, Judgement, Traits, Verdict, judge_block_lives, unmarked_restarts};
use flate2::read::MultiGzDecoder;
use serde::Serialize;
use std::collections::{HashMap, HashSet};
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
    /// The file is damaged, or a row is not UTF-8.
    #[error("{}: line {line}: cannot read the row", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What the reader says.
        source: csv::Error,
    },
    /// A row has another number of fields than the header.
    #[error("{}: line {line}: number of fields is {found}, in the header {wanted}", path.display())]
    Fields {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What the row has.
        found: usize,
        /// What the header has.
        wanted: usize,
    },
    /// There is not even a header.
    #[error("{}: line 1: the file is empty (known headers: seconds,value or id,t_s,value)", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The header lacks a column.
    #[error("{}: line {line}: no column '{column}' in the header '{header}' (known: seconds,value or id,t_s,value)", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
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
    /// Sorts the samples by time, equal times as they stood, and leaves a restart with its sample.
    /// A restart at the first sample cuts nothing off.
    fn put_in_order(&mut self) {
        if !self.t_s.is_sorted() {
            let mut order: Vec<usize> = (0..self.t_s.len()).collect();
            order.sort_by(|&a, &b| self.t_s[a].total_cmp(&self.t_s[b]));
            let restarts: HashSet<usize> = self.restarts.iter().copied().collect();
            self.restarts = (0..order.len())
                .filter(|&place| restarts.contains(&order[place]))
                .collect();
            self.t_s = order.iter().map(|&i| self.t_s[i]).collect();
            self.value = order.iter().map(|&i| self.value[i]).collect();
        }
        self.restarts.retain(|&at| at > 0);
    }

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

    /// Judges it.  Where it names no restart and is no leak as a whole, it is also judged by the lives
    /// between falls that look like restarts (see [`unmarked_restarts`]).
    #[must_use]
    pub fn judge(&self) -> Judgement {
        let (lives, traits) = (self.lives(), self.traits());
        let judgement = judge_block_lives(&lives, &traits);
        let ([whole], true) = (lives.as_slice(), judgement.verdict != Verdict::Leak) else {
            return judgement;
        };
        let restarts = unmarked_restarts(whole, &self.t_s, &self.value);
        if restarts.is_empty() {
            return judgement;
        }
        let cut = Self {
            restarts,
            ..self.clone()
        };
        let by_lives = judge_block_lives(&cut.lives(), &traits);
        if by_lives.verdict == Verdict::Leak {
            by_lives
        } else {
            judgement
        }
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
    /// The line of a judged series.  JSON has no infinity: where differences of values overflow, the
    /// largest finite number stands for it.
    #[must_use]
    pub fn new(id: impl Into<String>, judgement: &Judgement) -> Self {
        let per_hour = |per_s: f64| {
            if per_s.is_nan() {
                0.0
            } else {
                (3600.0 * per_s).clamp(f64::MIN, f64::MAX)
            }
        };
        Self {
            id: id.into(),
            verdict: judgement.verdict,
            slope_per_hour: per_hour(judgement.slope_per_s),
            slope_low: per_hour(judgement.slope_low_per_s),
            slope_high: per_hour(judgement.slope_high_per_s),
        }
    }
}

/// Judges every series of a file, in the file's order, and hands over name and judgement.
///
/// # Errors
/// Where the file cannot be read, or a row of it; nothing was handed over then.
pub fn judge_csv(
    path: &Path,
    each: &mut impl FnMut(&str, Judgement),
) -> Result<(), SeriesCsvError> {
    read_series(path, &mut |series| each(&series.id, series.judge()))
}

/// Reads every series of a file and hands them over one at a time, in the order in which they first
/// appear.
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
    fn find(path: &Path, line: u64, header: &csv::StringRecord) -> Result<Self, SeriesCsvError> {
        let at = |names: &[&str]| {
            let is_one = |h: &str| names.iter().any(|n| h.eq_ignore_ascii_case(n));
            header.iter().position(|h| is_one(h.trim()))
        };
        let missing = |column| SeriesCsvError::Column {
            path: path.to_owned(),
            line,
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
    // With only this end of a line, a row ends on the line before the one that is read next; carriage
    // returns are trimmed with the blanks, and the chained line closes the last row.
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .terminator(csv::Terminator::Any(b'\n'))
        .from_reader(input.chain(b"\n".as_slice()));
    let mut row = csv::StringRecord::new();
    let mut next = |row: &mut csv::StringRecord| -> Result<Option<u64>, SeriesCsvError> {
        loop {
            let read = reader.read_record(row);
            let line = reader.position().line();
            let more = read.map_err(|source| SeriesCsvError::Row {
                path: path.to_owned(),
                line: if source.is_io_error() { line } else { line - 1 },
                source,
            })?;
            if !more || row.len() > 1 || !row[0].trim().is_empty() {
                return Ok(more.then_some(line - 1));
            }
        }
    };
    let Some(line) = next(&mut row)? else {
        let path = path.to_owned();
        return Err(SeriesCsvError::Empty { path });
    };
    let columns = Columns::find(path, line, &row)?;
    let mut all: Vec<Series> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    // The series of the row before: mostly also that of this row.
    let mut at = 0;
    if columns.id.is_none() {
        all.push(Series {
            id: file_name(path),
            ..Series::default()
        });
    }
    let wanted = row.len();
    while let Some(line) = next(&mut row)? {
        if row.len() != wanted {
            return Err(SeriesCsvError::Fields {
                path: path.to_owned(),
                line,
                found: row.len(),
                wanted,
            });
        }
        if let Some(id) = columns.id.map(|i| row[i].trim())
            && all.get(at).is_none_or(|series| series.id != id)
        {
            at = places.get(id).copied().unwrap_or_else(|| {
                places.insert(id.to_owned(), all.len());
                all.push(Series {
                    id: id.to_owned(),
                    ..Series::default()
                });
                all.len() - 1
            });
        }
        let series = &mut all[at];
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
        if series.source.is_none()
            && let Some(source) = columns.source.map(|i| row[i].trim())
            && !source.is_empty()
        {
            series.source = Some(source.to_owned());
        }
        let restart = columns.restart.map_or("", |i| row[i].trim());
        if !restart.is_empty() && number("restart", restart)?.abs() > 0.0 {
            series.restarts.push(series.t_s.len());
        }
        series.t_s.push(number("t_s", &row[columns.t_s])?);
        let value = row[columns.value].trim();
        series.value.push(if value.is_empty() {
            f64::NAN
        } else {
            number("value", value)?
        });
    }
    for mut series in all {
        series.put_in_order();
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
            message("f.csv", "# made by hand\n\nid,value\n"),
            "f.csv: line 3: no column 't_s' in the header 'id,value' (known: seconds,value or id,t_s,value)"
        );
        assert_eq!(
            message("f.csv", ""),
            "f.csv: line 1: the file is empty (known headers: seconds,value or id,t_s,value)"
        );
        assert_eq!(
            message("f.csv", "id,t_s,value,restart\na,0,1,yes\n"),
            "f.csv: line 2: 'yes' in column restart is not a number"
        );
        assert_eq!(
            message("f.csv", "seconds,value\r\n0,1\r\n\r\n# so far\r\n0\r\n1,2"),
            "f.csv: line 5: number of fields is 1, in the header 2"
        );
        assert_eq!(
            message("f.csv", "seconds,value\r\n0,1\r\n1,x"),
            "f.csv: line 3: 'x' in column value is not a number"
        );
        let long = message("f.csv", &format!("seconds,value\n0,{}\n", "x".repeat(500)));
        assert!(long.len() < 150, "{long}");
    }

    #[test]
    fn rows_in_any_order_are_the_same_series() {
        let by_series = "id,t_s,value,restart\na,0,1,\na,1,2,1\na,2,3,\nb,0,9,1\nb,5,8,\n";
        let by_tick = "id,t_s,value,restart\na,0,1,\nb,0,9,1\na,1,2,1\na,2,3,\nb,5,8,\n";
        let backwards = "id,t_s,value,restart\na,2,3,\na,1,2,1\na,0,1,\nb,5,8,\nb,0,9,1\n";
        let expected = read("f.csv", by_series).expect("good");
        assert_eq!(expected[0].restarts, [1]);
        assert_eq!(expected[1].restarts, [0_usize; 0]);
        assert_eq!(read("f.csv", by_tick).expect("good"), expected);
        assert_eq!(read("f.csv", backwards).expect("good"), expected);
    }

    #[test]
    fn what_spreadsheets_and_scripts_add_is_understood() {
        let plain = read("f.csv", "id,t_s,value\na b,0,1\na b,1,2.5\n").expect("good");
        for text in [
            "id,t_s,value\r\na b,0,1\r\na b,1,2.5\r\n",
            "\u{feff}id,t_s,value\na b,0,1\na b,1,2.5\n",
            "\u{feff}\"id\",\"t_s\",\"value\"\r\n\"a b\",\"0\",\"1\"\r\n\"a b\",\"1\",\"2.5\"",
            "# a comment\nid,t_s,value\n# another, with commas\na b,0,1\n\na b,1,2.5\n\n",
            "ID,T_s,Value,remark\n a b , 0 , 1 ,x\na b,1e0,25e-1,\n",
        ] {
            assert_eq!(read("f.csv", text).expect("good"), plain, "{text}");
        }
        let odd = read("f.csv", "id,t_s,value\n\"a,\"\"b\"\"\",0,1\n\"# c\",0,1\n").expect("good");
        assert_eq!((odd[0].id.as_str(), odd[1].id.as_str()), ("a,\"b\"", "# c"));
    }

    #[test]
    fn numbers_without_measure_give_a_line_of_numbers() {
        let mut text = "id,t_s,value\n".to_owned();
        for i in 0..100 {
            for (id, value) in [
                (
                    "largest",
                    format!("{}1.7e308", if i % 2 == 0 { "-" } else { "" }),
                ),
                ("rises", format!("{:e}", 1e306 * f64::from(i))),
                ("smallest", format!("{}e-320", i + 1)),
                ("infinite", "inf".to_owned()),
                ("one", if i == 50 { "NaN" } else { "-inf" }.to_owned()),
            ] {
                writeln!(text, "{id},{i},{value}").expect("to a string");
            }
        }
        for series in read("f.csv", &text).expect("good") {
            let line = TrendLine::new(&series.id, &series.judge());
            let json = serde_json::to_string(&line).expect("plain numbers");
            assert!(!json.contains("null"), "{json}");
        }
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
