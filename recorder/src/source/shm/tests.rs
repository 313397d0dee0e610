//! Files in memory that are held, made up and of this machine.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails may panic"
)]

use std::fs::File;
use std::path::Path;

use memsoak_schema::Status;

use super::super::fixtures::values;
use super::super::made_up::{MadeUp, sampled};
use super::*;

fn named(link: &str) -> Option<(Kind, String)> {
    classify(link.as_bytes())
        .map(|(kind, name)| (kind, String::from_utf8_lossy(&name).into_owned()))
}

#[test]
fn links_say_what_may_be_memory() {
    let of = |kind, name: &str| Some((kind, name.to_owned()));
    assert_eq!(
        named("/memfd:jit-cache-17 (deleted)"),
        of(Kind::Memfd, "memfd:jit-cache-#")
    );
    assert_eq!(
        named("/memfd:a (deleted) (deleted)"),
        of(Kind::Memfd, "memfd:a (deleted)")
    );
    assert_eq!(named("/dmabuf:cam 0"), of(Kind::Dmabuf, "dmabuf:cam #"));
    assert_eq!(
        named("/dev/shm/ring.0042.3"),
        of(Kind::Named, "/dev/shm/ring.#.#")
    );
    assert_eq!(named("/tmp/#4711 (deleted)"), of(Kind::Deleted, "/tmp/##"));
    for other in [
        "socket:[1234]",
        "pipe:[7]",
        "anon_inode:[eventfd]",
        "/dev/null",
        "/dev/pts/3",
        "/proc/7/statm",
        "/sys/kernel/slab",
        "",
    ] {
        assert_eq!(named(other), None, "{other}");
    }
}

fn holder(start_ticks: u64, files: &[(u64, u64, &str)]) -> Holder {
    Holder {
        start_ticks,
        comm: format!("born-{start_ticks}").into_bytes(),
        names: Vec::new(),
        files: files
            .iter()
            .map(|(ino, bytes, name)| Held {
                file: (1, *ino),
                bytes: *bytes,
                group: (Kind::Memfd, name.as_bytes().to_vec()),
            })
            .collect(),
    }
}

#[test]
fn a_file_that_a_parent_and_its_child_hold_counts_once_with_the_parent() {
    let holders = BTreeMap::from([
        (
            5,
            holder(900, &[(1, 4096, "memfd:a"), (3, 8192, "memfd:a")]),
        ),
        (
            77,
            holder(
                100,
                &[(1, 4096, "memfd:a"), (2, 512, "memfd:a"), (4, 0, "memfd:b")],
            ),
        ),
    ]);
    let mut rows = Rows::default();
    put(&holders, &mut rows);
    let ints = |key| values(&rows, key);
    let shared = |ints: [i64; 3]| [&ints.map(Value::Int)[..], &[Value::Null]].concat();
    assert_eq!(ints("5.900.memfd.memfd:a"), shared([2, 8192, 12_288]));
    assert_eq!(ints("77.100.memfd.memfd:a"), shared([2, 4608, 4608]));
    assert_eq!(ints("77.100.memfd.memfd:b"), shared([1, 0, 0]));
    assert_eq!(rows.len(), 3);
    let first = rows.iter().next().unwrap();
    assert_eq!(first.name(), b"born-900");
    assert_eq!(
        first.labels().collect::<Vec<_>>(),
        [
            ("pid", Label::Int(5)),
            ("kind", Label::Bytes(b"memfd")),
            ("file", Label::Bytes(b"memfd:a")),
            ("dev", Label::Bytes(b"0:1")),
        ]
    );
}

#[test]
fn dma_buffers_are_no_part_of_shmem() {
    let mut holder = holder(7, &[(1, 8192, "dmabuf:frame")]);
    holder.files[0].group.0 = Kind::Dmabuf;
    let mut rows = Rows::default();
    put(&BTreeMap::from([(3, holder)]), &mut rows);
    let [one, size] = [1, 8192].map(Value::Int);
    assert_eq!(
        values(&rows, "3.7.dmabuf.dmabuf:frame"),
        [one, Value::Null, size, size]
    );
}

#[test]
fn a_process_that_makes_up_names_has_a_bounded_number_of_rows() {
    let mut holder = holder(1, &[]);
    let mut name_of = |name: String| {
        let mut group = (Kind::Memfd, name.into_bytes());
        holder.put_in_group(&mut group);
        String::from_utf8(group.1).unwrap()
    };
    for length in 1..=40 {
        let name = "a".repeat(length);
        let shown = if length <= MOST_NAMES {
            &name
        } else {
            "others"
        };
        assert_eq!(name_of(name.clone()), shown);
    }
    assert_eq!(name_of("a".to_owned()), "a", "the first names stay");
}

#[test]
fn what_is_written_into_a_memfd_and_never_mapped_is_found() {
    let root = Root::open(Path::new("/")).unwrap();
    let Ok(fd) = rustix::fs::memfd_create("memsoak-test-7", rustix::fs::MemfdFlags::CLOEXEC) else {
        return; // a kernel without CONFIG_MEMFD_CREATE
    };
    let mut file = File::from(fd);
    file.write_all(&vec![7; 3 << 20]).unwrap();
    // A hole is size without memory.
    file.set_len(9 << 20).unwrap();
    let mut shm = Shm::default();
    let mut pass = Pass::default();
    let pid = std::process::id();
    shm.visit(&root, pid, &mut pass);
    let mut rows = Rows::default();
    put(&shm.holders, &mut rows);
    let row = rows
        .iter()
        .find(|row| {
            row.labels()
                .any(|label| label == ("file", Label::Bytes(b"memfd:memsoak-test-#")))
        })
        .unwrap();
    let start = shm.holders.get(&pid).unwrap().start_ticks;
    let key = format!("{pid}.{start}.memfd.memfd:memsoak-test-#");
    assert_eq!(row.key(), key.as_bytes());
    let [files, bytes] = [1, 3 << 20].map(Value::Int);
    assert_eq!(row.values(), [files, bytes, bytes, Value::Null]);
}

#[test]
fn while_shmem_stays_the_last_walk_stands_and_what_ended_is_gone() {
    let file = Path::new("/dev/shm").join(format!("memsoak-walk-{}", std::process::id()));
    if std::fs::write(&file, [7; 4096]).is_err() {
        return; // no tmpfs for this user
    }
    // A process of a made-up machine holds a file on the real tmpfs.
    let machine = MadeUp::new();
    machine.process(7, 100, "a b", 9);
    machine.link("proc/7/fd/3", file.to_str().unwrap());
    let mut shm = Shm::default();
    let mut held = |shmem_kib: u32, full: bool| {
        let meminfo = format!("MemTotal: 9 kB\nShmem:   {shmem_kib} kB\n");
        machine.file("proc/meminfo", meminfo);
        let (rows, outcome) = machine.sample(&mut shm, full);
        assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.reason);
        rows.iter().next().map(|row| row.values()[1])
    };
    let pages = |count: i64| Some(Value::Int(count * 4096));
    assert_eq!(held(1000, false), pages(1));
    std::fs::write(&file, vec![7; 8192]).unwrap();
    assert_eq!(held(1004, false), pages(1), "as at the last walk");
    assert_eq!(held(1004, true), pages(2), "a full picture is asked for");
    std::fs::write(&file, vec![7; 3 * 4096]).unwrap();
    assert_eq!(held(1260, false), pages(3), "Shmem moved by 256 KiB");
    std::fs::write(&file, vec![7; 4 * 4096]).unwrap();
    for _ in 1..WALK_EVERY {
        assert_eq!(held(1260, false), pages(3));
    }
    assert_eq!(held(1260, false), pages(4), "every fifth sample looks");
    machine.end(7);
    assert_eq!(held(1260, false), None);
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_sample_of_the_running_machine_has_values() {
    let root = Root::open(Path::new("/")).unwrap();
    let (_, outcome) = sampled(&mut Shm::default(), &root, true);
    assert!(outcome.status.has_values(), "{:?}", outcome.reason);
}
