//! A recording of a test whose load is ramped up: what follows the load is told so and is no finding,
//! and leaks beside it are.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::path::Path;

use memsoak_analyze::findings::{Analysis, Judged};
use memsoak_analyze::report;
use memsoak_analyze::verdict::{Part, Verdict};
use memsoak_schema::{MetricSpec, Shape, Spec, Trend, Unit, Value};
use support::{analysed, entities, of_shape};

static STAT: Spec = of_shape(
    "stat",
    Shape::Scalars {
        known: &[],
        other: |_| MetricSpec::counter("", Unit::Count),
    },
);

static GROUPS: Spec = entities(
    "cgroup",
    &[MetricSpec::gauge("anon_bytes", Unit::Bytes).judged(Trend::Memory)],
);

const MIB: f64 = 1_048_576.0;
/// Four hours.
const TICKS: i64 = 1440;

/// Not random, but with no rhythm either.
fn jitter(tick: i64, salt: i64) -> f64 {
    ((tick * 7919 + salt * 104_729) % 1009 - 504) as f64 / 504.0
}

/// CPUs in use: from one to three over the run, with another load every seven minutes.
fn load(tick: i64) -> f64 {
    1.0 + 2.0 * tick as f64 / TICKS as f64 + 0.6 * jitter(tick / 42, 1)
}

/// Seconds of CPU time so far.
fn cpu_s(tick: i64) -> f64 {
    (0..tick).map(|tick| 10.0 * load(tick)).sum()
}

fn whole(value: f64) -> i64 {
    let pages = (value / 4096.0).round();
    #[expect(clippy::cast_possible_truncation, reason = "bytes of a test")]
    let bytes = (4096.0 * pages) as i64;
    bytes
}

fn recorded(path: &Path, sources: &[&'static Spec]) -> Analysis {
    let cpu_s: Vec<f64> = (0..TICKS).map(cpu_s).collect();
    analysed(path, sources, TICKS, |tick, source, rows| {
        let at = usize::try_from(tick).unwrap();
        if source == 1 {
            let ticks = |share: f64| whole(4096.0 * 100.0 * share * cpu_s[at]) / 4096;
            rows.scalar(b"cpu.user", 5_000 + ticks(0.7));
            rows.scalar(b"cpu.system", 3_000 + ticks(0.3));
            rows.scalar(b"ctxt", 77_000 + tick * 1000);
            return;
        }
        let hours = tick as f64 / 360.0;
        // The load changes somewhere between two ticks.
        let now = f64::midpoint(load((tick - 1).max(0)), load(tick));
        let groups = [
            ("cache", 40.0 * now),
            ("leaks", 3.0 * hours),
            ("leaks-in-use", 40.0 * now + 3.0 * hours),
            ("keeps", cpu_s[at] / 1000.0),
            ("idle", 0.0),
        ];
        for (salt, (name, mib)) in (2_i64..).zip(groups) {
            let bytes = MIB * (64.0 + mib + 0.5 * jitter(tick, salt));
            rows.entity(
                name.as_bytes(),
                name.as_bytes(),
                &[Value::Int(whole(bytes))],
            );
        }
    })
}

fn one<'a>(analysis: &'a Analysis, name: &str) -> &'a Judged {
    let found = analysis.judged.iter().find(|one| one.name.name == name);
    found.unwrap_or_else(|| panic!("{name} is judged"))
}

fn verdicts(analysis: &Analysis) -> Vec<(&str, Verdict)> {
    let verdict = |one: &'static str| one;
    ["cache", "leaks", "leaks-in-use", "keeps", "idle"]
        .map(|name| (verdict(name), one(analysis, name).judgement.verdict))
        .to_vec()
}

#[test]
fn a_cache_under_a_ramped_load_is_excused_and_leaks_beside_it_are_called_at_their_rate() {
    let folder = tempfile::tempdir().unwrap();
    let blind = recorded(&folder.path().join("blind.db"), &[&GROUPS]);
    let seeing = recorded(&folder.path().join("soak.db"), &[&GROUPS, &STAT]);
    let leak = Verdict::Leak;
    // Without the load all that grows is a leak.
    assert_eq!(
        verdicts(&blind),
        [
            ("cache", leak),
            ("leaks", leak),
            ("leaks-in-use", leak),
            ("keeps", leak),
            ("idle", Verdict::Steady)
        ]
    );
    assert_eq!(
        verdicts(&seeing),
        [
            ("cache", Verdict::Steady),
            ("leaks", leak),
            ("leaks-in-use", leak),
            ("keeps", leak),
            ("idle", Verdict::Steady)
        ]
    );
    let part = |name: &str| {
        one(&seeing, name)
            .judgement
            .load
            .map(|load| (load.part, load.work))
    };
    assert_eq!(part("cache"), Some((Part::Growth, "CPU time")));
    assert_eq!(part("leaks"), None);
    assert_eq!(part("leaks-in-use"), Some((Part::Level, "CPU time")));
    assert_eq!(part("keeps"), Some((Part::Rate, "CPU time")));
    // Two CPUs more at 40 MiB each are 20 MiB an hour that are no leak.
    let rate = |analysis: &Analysis, name: &str| one(analysis, name).slope_per_hour() / MIB;
    assert!(
        rate(&blind, "leaks-in-use") > 15.0,
        "{}",
        rate(&blind, "leaks-in-use")
    );
    assert!(
        (rate(&seeing, "leaks-in-use") / 3.0 - 1.0).abs() < 0.05,
        "{}",
        rate(&seeing, "leaks-in-use")
    );
    assert!((rate(&seeing, "leaks") / rate(&blind, "leaks") - 1.0).abs() < 1e-12);
    let cache = one(&seeing, "cache").judgement.load.unwrap();
    assert!(
        (cache.per_unit / (40.0 * MIB) - 1.0).abs() < 0.03,
        "{cache:?}"
    );
    assert!(
        (cache.load_last - cache.load_first - 1.8).abs() < 0.2,
        "{cache:?}"
    );
    assert!((cache.share - 1.0).abs() < 0.05, "{cache:?}");
    let keeps = one(&seeing, "keeps").judgement.load.unwrap();
    assert!(
        (keeps.per_unit / (MIB / 1000.0) - 1.0).abs() < 0.1,
        "{keeps:?}"
    );
}

#[test]
fn the_report_tells_what_grew_with_the_load_and_how_it_knows() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("soak.db");
    recorded(&db, &[&GROUPS, &STAT]);
    let out = folder.path().join("report");
    report::write(&db, None, &out, |_| {}).unwrap();
    let text = std::fs::read_to_string(out.join("report.md")).unwrap();
    let section = text.split("## Grows with the load").nth(1).unwrap();
    let row = section
        .lines()
        .find(|line| line.contains("`cgroup/cache/anon_bytes`"))
        .unwrap();
    assert!(
        row.contains("| steady |") && row.contains("CPU time, 1."),
        "{row}"
    );
    assert!(
        !section.split("\n## ").next().unwrap().contains("leaks"),
        "{section}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(out.join("report.json")).unwrap()).unwrap();
    let follows = json["follows_load"].as_array().unwrap();
    assert_eq!(follows.len(), 1);
    assert_eq!(follows[0]["load"]["part"], "growth");
    assert_eq!(follows[0]["load"]["for_each"], "CPU in use");
    let findings = json["findings"].as_array().unwrap();
    let of = |name: &str| findings.iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(of("leaks-in-use")["load"]["part"], "level");
    assert_eq!(of("keeps")["load"]["for_each"], "CPU second");
    assert!(of("leaks")["load"].is_null());
}

static PROCESSES: Spec = entities(
    "process",
    &[
        MetricSpec::gauge("rss_anon_kib", Unit::Kib).judged(Trend::Memory),
        MetricSpec::counter("cpu_ticks", Unit::ClockTicks),
    ],
);

#[test]
fn a_process_is_laid_beside_its_own_cpu_time_where_that_of_the_machine_is_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let cpu_s: Vec<f64> = (0..TICKS).map(cpu_s).collect();
    let others: Vec<f64> = (0..TICKS)
        .scan(0.0, |sum, tick| {
            *sum += 10.0 * (20.0 + 10.0 * jitter(tick / 42, 9));
            Some(*sum)
        })
        .collect();
    let analysis = analysed(
        &folder.path().join("soak.db"),
        &[&STAT, &PROCESSES],
        TICKS,
        |tick, source, rows| {
            let at = usize::try_from(tick).unwrap();
            let ticks = |seconds: f64| whole(4096.0 * 100.0 * seconds) / 4096;
            if source == 0 {
                rows.scalar(b"cpu.user", ticks(cpu_s[at] + others[at]));
                return;
            }
            let now = f64::midpoint(load((tick - 1).max(0)), load(tick));
            let processes = [
                ("cached", 40.0 * now),
                ("leaky", 3.0 * tick as f64 / 360.0),
                ("hoarder", cpu_s[at] / 1000.0),
            ];
            for (salt, (name, mib)) in (2_i64..).zip(processes) {
                let kib = whole(MIB * (64.0 + mib + 0.5 * jitter(tick, salt))) / 1024;
                let values = [Value::Int(kib), Value::Int(ticks(cpu_s[at]))];
                rows.entity(name.as_bytes(), name.as_bytes(), &values);
            }
        },
    );
    let found = |name: &str| {
        let judgement = &one(&analysis, name).judgement;
        let load = judgement.load.map(|load| (load.part, load.work));
        (judgement.verdict, load)
    };
    let own = "its own CPU time";
    assert_eq!(
        found("cached"),
        (Verdict::Steady, Some((Part::Growth, own)))
    );
    assert_eq!(found("leaky"), (Verdict::Leak, None));
    assert_eq!(found("hoarder"), (Verdict::Leak, Some((Part::Rate, own))));
    let leaks: Vec<&str> = analysis
        .findings
        .iter()
        .map(|finding| analysis.judged[finding.head].name.name.as_str())
        .collect();
    assert!(leaks.len() == 2 && !leaks.contains(&"cached"), "{leaks:?}");
}
