//! Scores the verdicts on a folder of labelled series.
//!
//! `accuracy FOLDER [PREDICTIONS.csv] [cells] [nameless]`: `cells` goes through cells as a recording
//! does, `nameless` keeps the sources from the rule. FOLDER has `labels.csv` with the columns `id`, `part`,
//! `label`, `restarts_s` and `source`, and series files `*.csv.gz` with the columns `id,t_s,value`.

use memsoak_analyze::series_csv::{Series, read_series};
use memsoak_analyze::verdict::{Cells, Verdict, judge_lives};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Default)]
struct Score {
    hits: u32,
    missed: u32,
    false_alarms: u32,
    healthy: u32,
}

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().unwrap_or_else(|| ".".into()));
    let mut out = args.next().map(std::fs::File::create).transpose()?;
    let options: Vec<String> = args.collect();
    let chosen = |name: &str| options.iter().any(|o| o == name);
    let (through_cells, nameless) = (chosen("cells"), chosen("nameless"));
    let mut labels: HashMap<String, HashMap<String, String>> = HashMap::new();
    let mut reader = csv::Reader::from_path(folder.join("labels.csv"))?;
    for row in reader.deserialize() {
        let row: HashMap<String, String> = row?;
        labels.insert(row["id"].clone(), row);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|p| p.to_string_lossy().ends_with(".csv.gz"));
    files.sort();
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    let (mut spent, mut judged) = (Duration::ZERO, 0u32);
    let mut lines = vec!["id,label,slope_per_hour,slope_low,slope_high,p,growth,method".to_owned()];
    for file in &files {
        read_series(file, &mut |series: &Series| {
            let Some(label) = labels.get(&series.id) else {
                return;
            };
            let restarts: Vec<f64> = label["restarts_s"]
                .split_whitespace()
                .filter_map(|x| x.parse().ok())
                .collect();
            let mut series = series.clone();
            series.source = (!nameless).then(|| label["source"].clone());
            series.restarts = restarts
                .iter()
                .map(|r| series.t_s.partition_point(|t| t < r))
                .collect();
            let start = Instant::now();
            let judgement = if through_cells {
                let mut lives = Vec::new();
                let mut from = 0;
                for to in series.restarts.iter().copied().chain([series.t_s.len()]) {
                    lives.push(Cells::from_samples(
                        &series.t_s[from..to],
                        &series.value[from..to],
                    ));
                    from = to;
                }
                judge_lives(&lives, &series.traits())
            } else {
                series.judge()
            };
            spent += start.elapsed();
            judged += 1;
            lines.push(format!(
                "{},{},{},{},{},{},{},{}",
                series.id,
                judgement.verdict,
                3600.0 * judgement.slope_per_s,
                3600.0 * judgement.slope_low_per_s,
                3600.0 * judgement.slope_high_per_s,
                judgement.p_drift,
                judgement.growth,
                judgement.method
            ));
            let called = judgement.verdict == Verdict::Leak;
            let part = label["part"].as_str();
            let both = matches!(part, "kernel" | "host").then_some("kernel+host");
            for name in [part].into_iter().chain(both) {
                let score = scores.entry(name.to_owned()).or_default();
                match (label["label"].as_str(), called) {
                    ("leak", true) => score.hits += 1,
                    ("leak", false) => score.missed += 1,
                    ("not_leak", called) => {
                        score.healthy += 1;
                        score.false_alarms += u32::from(called);
                    }
                    _ => {}
                }
            }
        })?;
    }
    let mut stdout = std::io::stdout().lock();
    writeln!(
        stdout,
        "part          leaks healthy  precision recall   F1   FP/1000"
    )?;
    for (part, s) in &scores {
        let called = f64::from(s.hits + s.false_alarms).max(1.0);
        let leaks = f64::from(s.hits + s.missed).max(1.0);
        let (precision, recall) = (f64::from(s.hits) / called, f64::from(s.hits) / leaks);
        let f1 = 2.0 * f64::from(s.hits) / (called + leaks);
        let rate = 1000.0 * f64::from(s.false_alarms) / f64::from(s.healthy).max(1.0);
        writeln!(
            stdout,
            "{part:12} {leaks:6} {:7} {precision:10.3} {recall:6.3} {f1:6.3} {rate:7.1}",
            s.healthy
        )?;
    }
    writeln!(stdout, "{judged} series, {:?} each", spent / judged.max(1))?;
    if let Some(file) = &mut out {
        writeln!(file, "{}", lines.join("\n"))?;
    }
    Ok(())
}
