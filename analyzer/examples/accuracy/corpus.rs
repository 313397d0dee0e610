//! Reads a folder of labelled series.
//!
//! `labels.csv` has the columns `id`, `part`, `kind` and `label` (`leak`, `not_leak` or `unscored`),
//! and may have `restarts_s` (times of restarts, blank separated), `source` and
//! `leak_bytes_per_hour`; `*.csv` and `*.csv.gz` beside it hold the series as `id,t_s,value`.

use crate::case::{Case, Truth};
use anyhow::{Context, bail};
use memsoak_analyze::series_csv::{Series, read_series};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const LABELS: &str = "labels.csv";

/// Hands over every labelled series of the folder, file by file, and returns how many labels have
/// no series.
///
/// # Errors
/// Where a file cannot be read, a label is not known or a series has none.
pub(crate) fn read(folder: &Path, mut each: impl FnMut(Case)) -> anyhow::Result<usize> {
    let mut labels = labels(&folder.join(LABELS))?;
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name != LABELS && (name.ends_with(".csv") || name.ends_with(".csv.gz"))
    });
    files.sort();
    let mut unlabelled = None;
    for file in &files {
        read_series(file, &mut |series: &Series| {
            match labels.remove(&series.id) {
                Some(label) => each(label.case(series)),
                None => unlabelled = Some((file.clone(), series.id.clone())),
            };
        })?;
    }
    if let Some((file, id)) = unlabelled {
        bail!(
            "{}: '{id}' has no row in {LABELS}, or two series have this id",
            file.display()
        );
    }
    Ok(labels.len())
}

struct Label {
    part: String,
    kind: String,
    truth: Truth,
    rate_per_hour: Option<f64>,
    restarts_s: Vec<f64>,
    source: Option<String>,
}

impl Label {
    fn case(self, series: &Series) -> Case {
        let mut series = series.clone();
        if let Some(source) = self.source {
            series.source = Some(source);
        }
        for at in self.restarts_s {
            let first = series.t_s.partition_point(|t| *t < at);
            if (1..series.t_s.len()).contains(&first) && !series.restarts.contains(&first) {
                series.restarts.push(first);
            }
        }
        series.restarts.sort_unstable();
        Case {
            part: self.part,
            kind: self.kind,
            truth: self.truth,
            rate_per_hour: self.rate_per_hour,
            series,
        }
    }
}

fn labels(path: &Path) -> anyhow::Result<HashMap<String, Label>> {
    let shown = path.display();
    let mut reader =
        csv::Reader::from_path(path).with_context(|| format!("{shown}: cannot read"))?;
    let mut labels = HashMap::new();
    for row in reader.deserialize::<HashMap<String, String>>() {
        let row = row.with_context(|| format!("{shown}: cannot read a row"))?;
        let optional = |column: &str| row.get(column).map_or("", |text| text.trim());
        let column = |column: &str| {
            let found = row.get(column).map(|text| text.trim().to_owned());
            found.with_context(|| format!("{shown}: no column '{column}'"))
        };
        let number = |text: &str| -> anyhow::Result<f64> {
            let parsed = text.parse::<f64>();
            parsed.with_context(|| format!("{shown}: '{text}' is not a number"))
        };
        let truth = match column("label")?.as_str() {
            "leak" => Truth::Leak,
            "not_leak" => Truth::Healthy,
            "unscored" => Truth::Unscored,
            other => bail!("{shown}: the label '{other}' is not known"),
        };
        let rate = optional("leak_bytes_per_hour");
        let source = optional("source");
        let restarts_s = optional("restarts_s").split_whitespace().map(number);
        let label = Label {
            part: column("part")?,
            kind: column("kind")?,
            truth,
            rate_per_hour: (!rate.is_empty()).then(|| number(rate)).transpose()?,
            restarts_s: restarts_s.collect::<Result<_, _>>()?,
            source: (!source.is_empty()).then(|| source.to_owned()),
        };
        labels.insert(column("id")?, label);
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(labels: &str, series: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join(LABELS), labels).expect("write");
        std::fs::write(dir.path().join("some.csv"), series).expect("write");
        dir
    }

    #[test]
    fn a_label_brings_truth_source_rate_and_restarts() {
        let dir = folder(
            "id,part,label,kind,leak_bytes_per_hour,restarts_s,source\n\
             a,host,leak,linear,36.5,0 15 99,proc.x.VmRSS\n\
             b,host,unscored,ramp,,,\n\
             c,host,not_leak,flat,,,\n",
            "id,t_s,value\na,0,1\na,10,2\na,20,3\nb,0,1\n",
        );
        let mut cases = Vec::new();
        let missing = read(dir.path(), |case| cases.push(case)).expect("good");
        assert_eq!((cases.len(), missing), (2, 1));
        let a = &cases[0];
        assert_eq!((a.truth, a.rate_per_hour), (Truth::Leak, Some(36.5)));
        assert_eq!(a.series.source.as_deref(), Some("proc.x.VmRSS"));
        // The restarts before the first sample and after the last cut nothing.
        assert_eq!(a.series.restarts, [2]);
        assert_eq!(
            (cases[1].truth, cases[1].rate_per_hour),
            (Truth::Unscored, None)
        );
        let nameless = a.nameless();
        assert_eq!(
            (nameless.series.source, nameless.series.restarts),
            (None, vec![])
        );
    }

    #[test]
    fn what_is_wrong_with_a_folder_is_said() {
        let says = |labels: &str| {
            let dir = folder(labels, "id,t_s,value\na,0,1\n");
            let error = read(dir.path(), |_| ()).expect_err("the folder is bad");
            format!("{error:#}").replace(&dir.path().display().to_string(), "F")
        };
        assert_eq!(
            says("id,part,label,kind\n"),
            "F/some.csv: 'a' has no row in labels.csv, or two series have this id"
        );
        assert_eq!(
            says("id,part,label,kind\na,host,maybe,x\n"),
            "F/labels.csv: the label 'maybe' is not known"
        );
        assert_eq!(
            says("id,label,kind\na,leak,x\n"),
            "F/labels.csv: no column 'part'"
        );
        assert_eq!(
            says("id,part,label,kind,leak_bytes_per_hour\na,host,leak,x,much\n"),
            "F/labels.csv: 'much' is not a number: invalid float literal"
        );
    }
}
