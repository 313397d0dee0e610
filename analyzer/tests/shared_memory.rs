//! What grows on tmpfs is one finding, with the process that holds it; the recording itself is none.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use memsoak_analyze::findings::Analysis;
use memsoak_schema::{Label, MetricSpec, Shape, Spec, Trend, Unit, Value};
use support::{RECORDER, analysed, entities, of_shape};

static MEMINFO: Spec = of_shape(
    "meminfo",
    Shape::Scalars {
        known: &[MetricSpec::gauge("Shmem", Unit::Kib).judged(Trend::Total)],
        other: |_| MetricSpec::gauge("", Unit::Kib),
    },
);

static TMPFS: Spec = entities(
    "tmpfs",
    &[MetricSpec::gauge("used_bytes", Unit::Bytes)
        .judged(Trend::Memory)
        .part_of("meminfo/Shmem")],
);

static SHM: Spec = entities(
    "shm",
    &[MetricSpec::gauge("bytes", Unit::Bytes)
        .judged(Trend::Memory)
        .part_of("meminfo/Shmem")],
);

const TICKS: i64 = 300;
const PAGE: i64 = 4096;

/// A mount on which the recorder and a program each have a file that grows by so many pages a tick;
/// what the program writes it may hold open.
fn record(recorders: i64, programs: i64, is_held: bool) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("soak.db");
    let recorder = i64::from(RECORDER);
    analysed(
        &path,
        &[&MEMINFO, &TMPFS, &SHM],
        TICKS,
        |tick, source, rows| {
            let files = [
                (recorder, "memsoak-record", "/tmp/soak.db", recorders, true),
                (9, "logger", "/tmp/log", programs, is_held),
            ];
            let all: i64 = files
                .iter()
                .map(|file| 4 * PAGE + file.3 * tick * PAGE)
                .sum();
            match source {
                0 => rows.scalar(b"Shmem", 10_000 + all / 1024),
                1 => {
                    rows.entity(b"0:22 /tmp", b"/tmp", &[Value::Int(all)]);
                    rows.label("dev", Label::Bytes(b"0:22"));
                }
                _ => {
                    for (pid, comm, file, pages, _) in files.iter().filter(|file| file.4) {
                        let bytes = 4 * PAGE + pages * tick * PAGE;
                        let key = format!("{pid}.1.named.{file}");
                        rows.entity(key.as_bytes(), comm.as_bytes(), &[Value::Int(bytes)]);
                        rows.label("pid", Label::Int(*pid));
                        rows.label("file", Label::Bytes(file.as_bytes()));
                        rows.label("dev", Label::Bytes(b"0:22"));
                    }
                }
            }
        },
    )
}

fn heads(analysis: &Analysis) -> Vec<&str> {
    let id = |at: usize| analysis.judged[at].name.id.as_str();
    analysis.findings.iter().map(|of| id(of.head)).collect()
}

#[test]
fn a_recording_that_grows_on_tmpfs_is_no_finding() {
    assert!(heads(&record(3, 0, true)).is_empty());
}

#[test]
fn a_file_that_grows_on_tmpfs_is_one_finding_of_the_process_that_holds_it() {
    let analysis = record(0, 3, true);
    assert_eq!(heads(&analysis), ["shm/logger[9] /tmp/log/bytes"]);
    let explained = &analysis.findings[0].explains;
    let mut explained: Vec<_> = explained
        .iter()
        .map(|at| analysis.judged[*at].name.id.as_str())
        .collect();
    explained.sort_unstable();
    assert_eq!(explained, ["meminfo/Shmem", "tmpfs//tmp/used_bytes"]);
}

#[test]
fn a_leak_on_the_mount_of_the_recording_is_still_found() {
    assert_eq!(heads(&record(1, 4, true)), ["shm/logger[9] /tmp/log/bytes"]);
    // Nobody holds it: the mount is what people know it by.
    assert_eq!(heads(&record(1, 4, false)), ["tmpfs//tmp/used_bytes"]);
}
