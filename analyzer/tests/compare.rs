//! Growth is held against a baseline: what is usual there is told milder, what outgrows it is called.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::path::{Path, PathBuf};

use memsoak_analyze::compare::{Baseline, Course, by_excess};
use memsoak_analyze::findings::{Analysis, analyse, analyse_beside};
use memsoak_schema::{Label, MetricSpec, Recording, Shape, Spec, Trend, Unit, Value};
use support::{analysed, entities, of_shape};

const TICKS: i64 = 400;

static MEMINFO: Spec = of_shape(
    "meminfo",
    Shape::Scalars {
        known: &[
            MetricSpec::gauge("Percpu", Unit::Kib).judged(Trend::Memory),
            MetricSpec::gauge("Shmem", Unit::Kib).judged(Trend::Memory),
        ],
        other: |_| MetricSpec::gauge("", Unit::Kib),
    },
);

static PROCESS: Spec = entities(
    "process",
    &[MetricSpec::gauge("rss_anon_kib", Unit::Kib).judged(Trend::Memory)],
);

/// A process: its name, its pid and what it holds at a tick in KiB.
type Process = (&'static str, i64, fn(i64) -> i64);

fn record(
    folder: &Path,
    name: &str,
    ticks: i64,
    percpu: fn(i64) -> i64,
    processes: &[Process],
) -> PathBuf {
    let path = folder.join(name);
    analysed(&path, &[&MEMINFO, &PROCESS], ticks, |tick, source, rows| {
        if source == 0 {
            rows.scalar(b"Percpu", percpu(tick));
            rows.scalar(b"Shmem", 4000_i64);
            return;
        }
        for (comm, pid, holds) in processes {
            let values = [Value::Int(holds(tick))];
            rows.entity(format!("{pid}.1").as_bytes(), comm.as_bytes(), &values);
            rows.label("pid", Label::Int(*pid));
        }
    });
    path
}

fn beside(base: &Path, new: &Path) -> Analysis {
    let base = Recording::open(base).unwrap();
    let baseline = Baseline::of(&base, &analyse(&base, |_| {}).unwrap()).unwrap();
    analyse_beside(&Recording::open(new).unwrap(), Some(&baseline), |_| {}).unwrap()
}

/// What is told of a series: its verdict, its course, and its excess in KiB a tick.
fn told(analysis: &Analysis, id: &str) -> (&'static str, Course, f64) {
    let one = analysis
        .judged
        .iter()
        .find(|one| one.name.id == id)
        .unwrap();
    let beside = one.beside.unwrap();
    let word = one.judgement.verdict.as_str();
    (word, beside.course, beside.excess * 10.0 / 1024.0)
}

fn steady(tick: i64) -> i64 {
    20_000 + 4 * ((tick * 37) % 11)
}

fn slow(tick: i64) -> i64 {
    steady(tick) + 40 * tick
}

fn fast(tick: i64) -> i64 {
    steady(tick) + 120 * tick
}

#[test]
fn a_process_is_found_again_by_its_name_and_only_what_outgrows_it_stays_a_leak() {
    let dir = tempfile::tempdir().unwrap();
    let (was, is) = (
        [
            ("creeps", 10, slow as fn(i64) -> i64),
            ("worse", 11, slow),
            ("calm", 12, steady),
        ],
        [
            ("creeps", 910, slow as fn(i64) -> i64),
            ("worse", 911, fast),
            ("calm", 912, fast),
            ("fresh", 913, fast),
        ],
    );
    let base = record(dir.path(), "base.db", TICKS, |_| 800, &was);
    let new = record(dir.path(), "new.db", TICKS, |tick| 800 + 8 * tick, &is);
    let analysis = beside(&base, &new);
    let close = |found: (&str, Course, f64), verdict, course, excess: f64| {
        assert_eq!((found.0, found.1), (verdict, course));
        assert!((found.2 - excess).abs() < 0.5, "{}", found.2);
    };
    let process = |name| told(&analysis, name);
    close(
        process("process/creeps[910]/rss_anon_bytes"),
        "suspect",
        Course::Alike,
        0.0,
    );
    close(
        process("process/worse[911]/rss_anon_bytes"),
        "leak",
        Course::Faster,
        80.0,
    );
    close(
        process("process/calm[912]/rss_anon_bytes"),
        "leak",
        Course::Faster,
        120.0,
    );
    close(
        process("process/fresh[913]/rss_anon_bytes"),
        "leak",
        Course::New,
        120.0,
    );
    // It never moved in the base, which is a slope of nothing and no thing missing.
    close(process("meminfo/Percpu"), "leak", Course::Faster, 8.0);
    // What grows faster first, the largest excess before others, and what did not move in the new one is not in the list.
    let order: Vec<&str> = by_excess(&analysis)
        .into_iter()
        .map(|at| analysis.judged[at].name.name.as_str())
        .collect();
    assert_eq!(order, ["calm", "worse", "Percpu", "fresh", "creeps"]);
}

#[test]
fn the_workers_of_a_name_are_compared_together() {
    let dir = tempfile::tempdir().unwrap();
    // One worker that grew by 40 then, two that grow by 20 each now: the name grows as fast.
    fn half(tick: i64) -> i64 {
        steady(tick) + 20 * tick
    }
    let base = record(dir.path(), "base.db", TICKS, |_| 1, &[("worker", 10, slow)]);
    let now: [Process; 2] = [("worker", 20, half), ("worker", 21, half)];
    let new = record(dir.path(), "new.db", TICKS, |_| 1, &now);
    let analysis = beside(&base, &new);
    let (_, course, excess) = told(&analysis, "process/worker/rss_anon_bytes");
    assert_eq!(course, Course::Alike);
    assert!(excess.abs() < 0.5, "{excess}");
    assert_eq!(
        told(&analysis, "process/worker[20]/rss_anon_bytes").1,
        Course::Alike
    );
}

#[test]
fn a_base_of_another_length_is_held_against_nothing_that_moved_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let processes: [Process; 2] = [("creeps", 10, slow), ("calm", 12, |_| 20_000)];
    let base = record(dir.path(), "base.db", 100, |_| 1, &processes);
    let now: [Process; 2] = [("creeps", 10, slow), ("calm", 12, slow)];
    let new = record(dir.path(), "new.db", TICKS, |_| 1, &now);
    let analysis = beside(&base, &new);
    let creeps = told(&analysis, "process/creeps[10]/rss_anon_bytes");
    assert_eq!((creeps.0, creeps.1), ("leak", Course::Undecided));
    let calm = told(&analysis, "process/calm[12]/rss_anon_bytes");
    assert_eq!((calm.0, calm.1), ("leak", Course::Faster));
}
