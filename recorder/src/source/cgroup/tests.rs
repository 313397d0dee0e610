//! Groups of captures, and of made-up machines that change.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use super::super::made_up::{MadeUp, sampled};
use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/cgroups")
        .join(name)
}

fn sample(cgroups: &mut Cgroups, root: &Path) -> (Outcome, Vec<(String, Vec<Value>)>) {
    let (rows, outcome) = sampled(cgroups, &Root::open(root).unwrap(), false);
    let seen = rows.iter().map(|row| {
        let name = String::from_utf8_lossy(row.name()).into_owned();
        (name, row.values().to_vec())
    });
    (outcome, seen.collect())
}

/// The columns of the only group of a machine, by name and without what is NULL.
fn only_group(root: &Path) -> Vec<(&'static str, Value)> {
    let (outcome, groups) = sample(&mut Cgroups::default(), root);
    assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.reason);
    assert_eq!(groups.len(), 1);
    let (name, values) = groups.first().unwrap();
    assert_eq!(name, "/lab-hog");
    let columns = SPEC.metrics().iter().map(|metric| metric.name);
    let pairs = columns.zip(values.iter().copied());
    pairs.filter(|(_, value)| *value != Value::Null).collect()
}

fn ints(pairs: &[(&'static str, i64)]) -> Vec<(&'static str, Value)> {
    pairs
        .iter()
        .map(|(name, int)| (*name, Value::Int(*int)))
        .collect()
}

#[test]
fn a_group_of_v2_is_read_and_the_root_is_not_one() {
    assert_eq!(
        only_group(&fixture("v2-6.12-x86_64")),
        ints(&[
            ("current_bytes", 13_107_200),
            ("peak_bytes", 13_107_200),
            ("swap_bytes", 0),
            ("anon_bytes", 12_627_968),
            ("file_bytes", 0),
            ("shmem_bytes", 0),
            ("kernel_bytes", 40_960),
            ("kernel_stack_bytes", 0),
            ("pagetables_bytes", 36_864),
            ("percpu_bytes", 0),
            ("vmalloc_bytes", 0),
            ("sock_bytes", 0),
            ("slab_reclaimable_bytes", 0),
            ("slab_unreclaimable_bytes", 0),
            ("oom_kills", 0),
            ("limit_hits", 0),
            ("high_hits", 0),
            ("oom_events", 0),
        ])
    );
    let older = only_group(&fixture("v2-6.1-x86_64"));
    assert!(older.contains(&("peak_bytes", Value::Int(13_111_296))));
}

fn v1_group() -> Vec<(&'static str, Value)> {
    ints(&[
        ("current_bytes", 8_388_608),
        ("peak_bytes", 8_388_608),
        ("limit_bytes", 33_554_432),
        ("swap_bytes", 0),
        ("anon_bytes", 8_126_464),
        ("file_bytes", 0),
        ("shmem_bytes", 0),
        ("kernel_bytes", 16_384),
        ("sock_bytes", 0),
        ("oom_kills", 0),
        ("limit_hits", 0),
    ])
}

#[test]
fn a_group_of_v1_is_read_with_what_v1_has() {
    assert_eq!(only_group(&fixture("v1-6.1-x86_64")), v1_group());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn beside_v1_a_v2_without_the_controller_is_passed_over() {
    let machine = MadeUp::new();
    copy(&fixture("v1-6.1-x86_64"), machine.path());
    machine.folder("sys/fs/cgroup/unified/user.slice");
    machine.file("sys/fs/cgroup/unified/cgroup.controllers", "hugetlb\n");
    assert_eq!(only_group(machine.path()), v1_group());
}

/// A made-up v2 hierarchy.
fn group(machine: &MadeUp, path: &str, current: &str, anon: &str) {
    machine.file("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
    machine.file(&format!("sys/fs/cgroup/{path}/memory.current"), current);
    machine.file(&format!("sys/fs/cgroup/{path}/memory.stat"), anon);
}

#[test]
fn groups_in_groups_are_read_and_those_without_the_controller_not() {
    let machine = MadeUp::new();
    group(&machine, "a.slice", "8192\n", "anon 4096\n");
    group(
        &machine,
        "a.slice/b c.scope",
        "max\n",
        "anon 18446744073709551615\nanon",
    );
    machine.folder("sys/fs/cgroup/z/deeper");
    let mut cgroups = Cgroups::default();
    let (outcome, groups) = sample(&mut cgroups, machine.path());
    assert_eq!(outcome.status, Status::Ok);
    let brief = |groups: &[(String, Vec<Value>)]| -> Vec<_> {
        let of = |(name, values): &(String, Vec<Value>)| {
            (
                name.clone(),
                values.first().copied(),
                values.get(4).copied(),
            )
        };
        groups.iter().map(of).collect()
    };
    // A kernel's bug that counts below zero is kept as a huge number, and no number as none.
    assert_eq!(
        brief(&groups),
        [
            (
                "/a.slice".to_owned(),
                Some(Value::Int(8192)),
                Some(Value::Int(4096))
            ),
            (
                "/a.slice/b c.scope".to_owned(),
                Some(Value::Null),
                Some(u64::MAX.into())
            ),
        ]
    );

    // What it uses stays the same: the rest is from before, but not for long.
    group(&machine, "a.slice", "8192\n", "anon 5000\n");
    for at in 1..FULL_EVERY {
        let (_, groups) = sample(&mut cgroups, machine.path());
        let anon = groups.first().and_then(|group| group.1.get(4).copied());
        assert_eq!(anon, Some(Value::Int(4096)), "{at}");
    }
    let (_, groups) = sample(&mut cgroups, machine.path());
    assert_eq!(
        brief(&groups).first().map(|g| g.2),
        Some(Some(Value::Int(5000)))
    );
    group(&machine, "a.slice", "9000\n", "anon 6000\n");
    let (_, groups) = sample(&mut cgroups, machine.path());
    assert_eq!(
        brief(&groups).first().map(|g| g.2),
        Some(Some(Value::Int(6000)))
    );
}

#[test]
fn what_a_group_may_have_and_how_often_it_came_to_that_is_read() {
    let machine = MadeUp::new();
    group(&machine, "a.slice", "8192\n", "anon 4096\n");
    let write = |file: &str, text: &str| {
        machine.file(&format!("sys/fs/cgroup/a.slice/{file}"), text);
    };
    write("memory.max", "12288\n");
    write("memory.high", "10000\n");
    write("memory.swap.max", "max\n");
    write(
        "memory.events",
        "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n",
    );
    let (_, groups) = sample(&mut Cgroups::default(), machine.path());
    let values = &groups.first().unwrap().1;
    let at = |name: &str| {
        let place = SPEC.metrics().iter().position(|m| m.name == name).unwrap();
        values.get(place).copied().unwrap()
    };
    for (name, value) in [
        ("limit_bytes", 12_288),
        ("high_bytes", 10_000),
        ("high_hits", 2),
        ("limit_hits", 3),
        ("oom_events", 4),
        ("oom_kills", 5),
    ] {
        assert_eq!(at(name), Value::Int(value), "{name}");
    }
    assert_eq!(at("swap_limit_bytes"), Value::Null);
}

#[test]
fn when_the_time_is_up_groups_are_as_they_were_and_new_ones_wait() {
    let machine = MadeUp::new();
    group(&machine, "a.slice", "8192\n", "anon 4096\n");
    let mut cgroups = Cgroups::default();
    sample(&mut cgroups, machine.path());
    cgroups.longest = Duration::ZERO;
    group(&machine, "a.slice", "9000\n", "anon 5000\n");
    group(&machine, "b.slice", "100\n", "anon 1\n");
    let (outcome, groups) = sample(&mut cgroups, machine.path());
    assert_eq!(outcome.status, Status::Partial);
    let [(name, values)] = groups.as_slice() else {
        panic!("{groups:?}");
    };
    assert_eq!(
        (name.as_str(), *values.first().unwrap()),
        ("/a.slice", Value::Int(8192))
    );
    cgroups.longest = LONGEST;
    let (outcome, groups) = sample(&mut cgroups, machine.path());
    assert_eq!((outcome.status, groups.len()), (Status::Ok, 2));
}

#[test]
fn a_machine_without_the_controller_is_told_of() {
    let machine = MadeUp::new();
    let (outcome, groups) = sample(&mut Cgroups::default(), machine.path());
    assert_eq!(outcome.status, Status::Unavailable);
    assert!(groups.is_empty());
    assert!(
        outcome
            .reason
            .is_some_and(|reason| reason.contains("no memory controller"))
    );
}

#[test]
fn files_of_one_number_and_of_keys_are_read_or_unknown() {
    assert_eq!(amount(b"4096\n"), Some(4096));
    for none in [
        "max\n",
        "",
        "9223372036854771712\n",
        "9223372036854710272\n",
        "-1\n",
        "4 5",
    ] {
        assert_eq!(amount(none.as_bytes()), None, "{none}");
    }
    let text = b"anon_thp 7\nanon 5\nanon 6\nfile x\nshmem\n";
    assert_eq!(value_of(text, b"anon"), Some(5));
    for none in ["file", "shmem", "absent"] {
        assert_eq!(value_of(text, none.as_bytes()), None);
    }
}
