//! Logs that were captured, and what could not be provoked as the kernel formats it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails may panic"
)]

use std::path::Path;

use super::super::kmsg_phrases::{KMEMLEAK, MODULE};
use super::*;

fn log(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/logs");
    std::fs::read(folder.join(name)).unwrap()
}

/// What dmesg printed, `[   14.261204][   T63] text`, as the records that it was.
fn records_of_dmesg(text: &[u8]) -> Vec<Record> {
    let line = |line: &[u8]| {
        let (stamp, rest) = split_once(line.strip_prefix(b"[")?, b']')?;
        let (seconds, fraction) = split_once(stamp.trim_ascii_start(), b'.')?;
        let stamp_us = parse_u64(seconds)? * 1_000_000 + parse_u64(fraction)?;
        let caller = rest
            .strip_prefix(b"[")
            .and_then(|rest| split_once(rest, b']'));
        let (caller, rest) = caller.unwrap_or((b"", rest));
        Some(Record {
            priority: 4,
            seq: stamp_us,
            stamp_us,
            caller: caller.trim_ascii().to_vec(),
            text: rest.strip_prefix(b" ").unwrap_or(rest).to_vec(),
        })
    };
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

fn folded(records: &[Record]) -> Vec<Report> {
    let mut fold = Fold::default();
    for record in records {
        fold.take(record);
    }
    fold.close();
    fold.drain().collect()
}

fn reports(name: &str) -> Vec<Report> {
    let text = log(name);
    let records = if name.ends_with(".dmesg") {
        records_of_dmesg(&text)
    } else {
        let lines = text.split(|byte| *byte == b'\n');
        lines.filter_map(parse_record).collect()
    };
    assert!(records.len() > 20);
    folded(&records)
}

fn kinds(reports: &[Report]) -> Vec<&'static str> {
    reports.iter().map(|report| report.happening.kind).collect()
}

/// The details of a report as `name=value`, without those that every one has.
fn details(report: &Report) -> String {
    let detail = report.happening.detail.iter();
    let of_its_own = detail.filter(|(name, _)| !["seq", "log_us"].contains(&name.as_str()));
    of_its_own
        .map(|(name, value)| {
            let shown = value.as_str().map(str::to_owned);
            format!("{name}={}", shown.unwrap_or_else(|| value.to_string()))
        })
        .collect::<Vec<_>>()
        .join(" ")
}

fn last_line(report: &Report) -> String {
    let text = String::from_utf8_lossy(&report.happening.text).into_owned();
    text.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_record_is_read_with_its_caller_and_without_its_escapes() {
    let record = parse_record(b"4,395,57174403,-,caller=T66;a:1\\x0a b;c\\x5cx\\xzz\\").unwrap();
    assert_eq!(
        record,
        Record {
            priority: 4,
            seq: 395,
            stamp_us: 57_174_403,
            caller: b"T66".to_vec(),
            text: b"a:1\n b;c\\x\\xzz\\".to_vec(),
        }
    );
    for broken in [
        "",
        "4,395",
        "4,395;x",
        "a,1,2,-;x",
        " DEVICE=c1:3",
        "4,1,-2,-;x",
    ] {
        assert_eq!(parse_record(broken.as_bytes()), None, "{broken}");
    }
}

#[test]
fn a_days_provocations_are_told_apart_with_what_each_was_about() {
    let reports = reports("6.12-x86_64-debian.kmsg");
    assert_eq!(kinds(&reports), [ALLOC, ALLOC, ALLOC, OOM, OOM]);
    let told: Vec<_> = reports.iter().map(details).collect();
    assert_eq!(
        told,
        [
            "comm=sh gfp=GFP_ATOMIC gfp_mask=0x820 module=trigger order=4 pid=174",
            "comm=sh gfp=GFP_KERNEL|__GFP_NORETRY gfp_mask=0x10cc0 module=trigger order=10 pid=174",
            "comm=sh gfp=GFP_KERNEL gfp_mask=0xcc0 module=trigger pid=174 size_bytes=1669529600",
            "anon_rss_kib=16000 constraint=CONSTRAINT_MEMCG file_rss_kib=0 gfp=GFP_KERNEL \
             gfp_mask=0xcc0 invoker_comm=hog invoker_pid=254 memcg_limit_kib=16384 \
             memcg_usage_kib=16228 oom_memcg=/lab-small oom_score_adj=0 order=0 \
             pgtables_kib=68 shmem_rss_kib=648 task_memcg=/lab-small total_vm_kib=17508 \
             victim_comm=hog victim_pid=254 victim_uid=0",
            "anon_rss_kib=323200 constraint=CONSTRAINT_NONE file_rss_kib=0 \
             gfp=GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_ZERO gfp_mask=0x140dca \
             invoker_comm=hog invoker_pid=260 oom_score_adj=1000 order=0 pgtables_kib=748 \
             shmem_rss_kib=648 task_memcg=/ total_vm_kib=361572 victim_comm=hog \
             victim_pid=260 victim_uid=0",
        ]
    );
    for report in reports.iter().take(3) {
        assert_eq!(last_line(report), "0 pages hwpoisoned");
    }
    assert_eq!(reports[4].stamp_us, 147_815_837);
    assert!(
        reports[4]
            .happening
            .text
            .starts_with(b"hog invoked oom-killer")
    );
    assert!(last_line(&reports[4]).starts_with("Out of memory: Killed process 260"));
}

#[test]
fn dumps_on_request_modules_and_leaks_are_told() {
    let reports = reports("6.1-x86_64-pageowner-kmemleak.kmsg");
    assert_eq!(
        kinds(&reports),
        [MEM_INFO, MODULE, KMEMLEAK, KMEMLEAK, MEM_INFO]
    );
    assert_eq!(details(&reports[1]), "change=tainted module=leak_kmalloc");
    assert_eq!(details(&reports[2]), "new_leaks=15117");
    for at in [0, 4] {
        assert!(
            reports[at]
                .happening
                .text
                .starts_with(b"sysrq: Show Memory\nMem-Info:\n")
        );
        assert_eq!(last_line(&reports[at]), "4096 pages cma reserved");
    }
    let after = self::reports("6.1-x86_64-pageowner-oom.kmsg");
    assert_eq!(kinds(&after), [ALLOC, ALLOC, ALLOC, OOM, OOM]);
}

#[test]
fn the_table_of_allocation_profiling_belongs_to_the_dump() {
    let reports = reports("6.12-x86_64-pageowner-sysrq-m.dmesg");
    assert_eq!(kinds(&reports), [MEM_INFO]);
    assert!(last_line(&reports[0]).ends_with("func:stack_depot_save_flags"));
}

#[test]
fn kasan_names_the_function_the_module_and_the_cache() {
    for (name, expected) in [
        (
            "uaf",
            "access=read cache=kmalloc-192 comm=sh error=slab-use-after-free \
             function=trigger_uaf module=trigger pid=63 size_bytes=1",
        ),
        (
            "double-free",
            "cache=kmalloc-64 comm=sh error=double-free function=trigger_double_free \
             module=trigger pid=63",
        ),
        (
            "vmalloc-oob",
            "access=read comm=sh error=vmalloc-out-of-bounds function=trigger_vmalloc_oob \
             module=trigger pid=63 size_bytes=1",
        ),
    ] {
        let reports = reports(&format!("6.12-x86_64-kasan-{name}.dmesg"));
        assert_eq!(kinds(&reports), [KASAN], "{name}");
        assert_eq!(details(&reports[0]), expected);
    }
}

#[test]
fn kfence_names_the_cache_and_the_function_that_read_what_was_freed() {
    let found = reports("6.12-x86_64-kfence.dmesg");
    assert_eq!(kinds(&found), [KFENCE]);
    assert_eq!(
        details(&found[0]),
        "cache=kmalloc-32 comm=sh error=use-after-free read function=provoke_kfence \
         module=provoke pid=70"
    );
    assert!(last_line(&found[0]).starts_with("Hardware name: QEMU"));
    // The record itself ends in an escaped line end.
    let record = parse_record(b"1,7,9,-;kfence-#1: 0x1-0x2, size=32, cache=kmalloc-32\\x0a");
    assert!(record.unwrap().text.ends_with(b"cache=kmalloc-32"));
}

#[test]
fn a_task_that_hangs_and_a_cpu_that_does_are_told_apart_though_they_report_in_turn() {
    let found = reports("6.1-x86_64-stalls.dmesg");
    assert_eq!(
        kinds(&found),
        [HUNG_TASK, SOFT_LOCKUP, HUNG_TASK, HUNG_TASK]
    );
    assert_eq!(
        details(&found[0]),
        "comm=provoke-hang module=provoke pid=135 seconds=6"
    );
    assert_eq!(
        details(&found[1]),
        "comm=sh cpu=0 module=provoke pid=129 seconds=3"
    );
    assert_eq!(last_line(&found[1]).trim(), "</TASK>");
    assert!(found[1].happening.text.windows(4).any(|w| w == b"RIP:"));
}

#[test]
fn what_could_not_be_provoked_is_understood_as_the_kernel_formats_it() {
    let reports = reports("made-up.dmesg");
    let told: Vec<_> = reports
        .iter()
        .map(|report| (report.happening.kind, details(report)))
        .collect();
    let expected = [
        (
            KFENCE,
            "cache=kmalloc-32 comm=my (test): 7 error=use-after-free read function=lab_read \
             module=lab_dev pid=484",
        ),
        (
            UBSAN,
            "comm=(udev-worker) error=array-index-out-of-bounds module=lab pid=816 \
             place=drivers/net/lab.c:1031:22",
        ),
        (HUNG_TASK, "comm=kworker/1:2 pid=10762 seconds=120"),
        (HUNG_TASK, "comm=ntpd pid=11794 seconds=120"),
        (SOFT_LOCKUP, "comm=cc1plus cpu=1 pid=171665 seconds=22"),
        (
            OOM,
            "anon_rss_kib=2048 file_rss_kib=4 oom_score_adj=-5 pgtables_kib=44 \
             shmem_rss_kib=8 total_vm_kib=4096 victim_comm=odd) total-vm victim_pid=31 \
             victim_uid=1000",
        ),
        (OOM, ""),
        (KMEMLEAK, ""),
        (MEM_INFO, ""),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(kind, details)| (*kind, (*details).to_owned()))
        .collect();
    assert_eq!(told, expected);
    assert_eq!(last_line(&reports[8]), "0 pages reserved");
    assert_eq!(last_line(&reports[1]), "---[ end trace ]---");
}

#[test]
fn what_processes_write_into_the_log_is_not_taken_for_the_kernels() {
    let line = b"Out of memory: Killed process 1 (init) total-vm:1kB, anon-rss:1kB";
    let mut record = records_of_dmesg(&[b"[    1.000000] ", &line[..]].concat()).remove(0);
    assert_eq!(folded(&[record.clone()]).len(), 1);
    record.priority = 12;
    assert_eq!(folded(&[record]).len(), 0);
}

#[test]
fn a_long_report_is_cut_and_keeps_its_victim() {
    let mut text = "[    1.000000] a invoked oom-killer: gfp_mask=0x1(X), order=0\n".to_owned();
    for _ in 0..2_000 {
        text.push_str("[    1.000100] [    171]     0   171      565      308 task\n");
    }
    text.push_str("[    1.000200] Out of memory: Killed process 9 (b) total-vm:1kB\n");
    let reports = folded(&records_of_dmesg(text.as_bytes()));
    assert_eq!(kinds(&reports), [OOM]);
    assert!(reports[0].happening.text.len() < LONGEST_REPORT + 200);
    let end = String::from_utf8_lossy(&reports[0].happening.text).into_owned();
    assert!(end.ends_with("\n[...]\nOut of memory: Killed process 9 (b) total-vm:1kB"));
}

#[test]
fn two_cpus_that_report_at_once_do_not_mix() {
    let records = records_of_dmesg(
        b"[    1.000000][    T7] BUG: KASAN: use-after-free in f+0x1/0x2\n\
          [    1.000010][    T8] usb 1-1: noise\n\
          [    1.000020][    T8] kmemleak: 3 new suspected memory leaks\n\
          [    1.000030][    T7] Read of size 4 at addr 0 by task a/7\n\
          [    1.000040][    T7] ======\n",
    );
    let reports = folded(&records);
    assert_eq!(kinds(&reports), [KMEMLEAK, KASAN]);
    assert_eq!(
        reports[1].happening.text,
        b"BUG: KASAN: use-after-free in f+0x1/0x2\nRead of size 4 at addr 0 by task a/7"
    );
}
