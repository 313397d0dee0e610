//! `/proc/sysvipc/shm`: System V shared memory segments.

#![deny(clippy::indexing_slicing)]

use std::io::Write;

use memsoak_schema::{Issue, Label, MetricSpec, Rows, Shape, Spec, Trend, Unit, Value};

use super::text::{DUPLICATE, Issues, MALFORMED, Seen, lines, parse_i64, parse_u64, words};

/// The description of this source.
pub static SPEC: Spec = Spec {
    name: "sysvshm",
    paths: &["proc/sysvipc/shm"],
    shape: Shape::Entities {
        columns: &[
            MetricSpec::gauge("size_bytes", Unit::Bytes),
            MetricSpec::gauge("rss_bytes", Unit::Bytes)
                .judged(Trend::Memory)
                .part_of("meminfo/Shmem"),
            MetricSpec::gauge("swap_bytes", Unit::Bytes)
                .judged(Trend::Memory)
                .part_of("meminfo/SwapTotal"),
            MetricSpec::gauge("attached", Unit::Count),
        ],
    },
    interval_s: 10,
    needs: "CONFIG_SYSVIPC",
    caveats: "A segment is known by its id, key and creator, and stays until it is removed, also \
        when nobody is attached. The label pid is its creator, which may have ended; last_pid \
        attached or detached last. What is attached and touched stands in rss_shmem_kib of the \
        processes too. Segments of huge pages are in meminfo's huge pages, not in Shmem. Only the \
        recorder's IPC namespace is seen: containers have their own.",
    overhead: "10-15 us a read on a held descriptor and about 1 us a segment; takes the lock of the \
        IPC ids.",
};

/// Parses the file.
pub fn parse(text: &[u8], _file: usize, rows: &mut Rows) -> Vec<Issue> {
    let mut issues = Issues::default();
    let mut seen = Seen::with_room(16);
    let mut key = Vec::new();
    let mut name = Vec::new();
    for (number, line) in lines(text, &mut issues) {
        if line.trim_ascii_start().starts_with(b"key ") {
            continue;
        }
        let Some(segment) = parse_line(line) else {
            issues.add(number, MALFORMED, line);
            continue;
        };
        if !seen.take(segment.id) {
            issues.add(number, DUPLICATE, line);
            continue;
        }
        key.clear();
        name.clear();
        let _ = write!(key, "{}.{:x}.{}", segment.id, segment.key, segment.creator);
        let _ = write!(name, "{}", segment.id);
        rows.entity(&key, &name, &segment.values);
        rows.label("pid", Label::Int(segment.creator));
        rows.label("last_pid", Label::Int(segment.last));
        rows.label("uid", Label::Int(segment.uid));
        // IPC_PRIVATE is 0; others are what ftok(3) made, shown in hexadecimal as ipcs(1) does.
        let shown = format!("0x{:08x}", segment.key);
        rows.label("key", Label::Bytes(shown.as_bytes()));
    }
    issues.finish()
}

struct Segment {
    key: u32,
    id: i64,
    creator: i64,
    last: i64,
    uid: i64,
    values: [Value; 4],
}

/// `key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime rss swap`, the last
/// two since Linux 2.6.34 (commit b79521807f26).
fn parse_line(line: &[u8]) -> Option<Segment> {
    let mut words = words(line);
    let mut signed = || parse_i64(words.next()?);
    let (key, id, _perms) = (signed()?, signed()?, signed()?);
    let size = parse_u64(words.next()?)?;
    let mut signed = || parse_i64(words.next()?);
    let (creator, last) = (signed()?, signed()?);
    let attached = parse_u64(words.next()?)?;
    let mut signed = || parse_i64(words.next()?);
    let uid = signed()?;
    for _ in ["gid", "cuid", "cgid", "atime", "dtime", "ctime"] {
        signed()?;
    }
    let mut bytes = || match words.next() {
        Some(word) => parse_u64(word).map(Some),
        None => Some(None),
    };
    let (resident, swapped) = (bytes()?, bytes()?);
    if words.next().is_some() {
        return None;
    }
    let key = i32::try_from(key).ok()?.cast_unsigned();
    Some(Segment {
        key,
        id,
        creator,
        last,
        uid,
        values: [
            size.into(),
            resident.into(),
            swapped.into(),
            attached.into(),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{capture, clean, values};
    use super::*;

    #[test]
    fn segments_are_read_with_what_is_resident() {
        let rows = clean(
            parse,
            &capture("6.18-x86_64-microvm/t0", "proc/sysvipc/shm"),
        );
        assert_eq!(
            values(&rows, "1.52e2c1.3973"),
            [8 << 20, 3 << 20, 0, 1].map(Value::Int)
        );
        // A segment that nobody touched: size without memory.
        assert_eq!(
            values(&rows, "3.feed0001.3973"),
            [4096, 0, 0, 0].map(Value::Int)
        );
        let labels: Vec<_> = rows
            .iter()
            .map(|row| row.labels().collect::<Vec<_>>())
            .collect();
        assert_eq!(
            labels.get(2).map(Vec::as_slice),
            Some(
                &[
                    ("pid", Label::Int(3973)),
                    ("last_pid", Label::Int(0)),
                    ("uid", Label::Int(0)),
                    ("key", Label::Bytes(b"0xfeed0001")),
                ][..]
            )
        );
    }

    #[test]
    fn a_kernel_without_resident_sizes_leaves_them_unknown() {
        let rows = clean(parse, b" 0 7 600 4096 11 12 1 0 0 0 0 1 2 3\n");
        assert_eq!(
            values(&rows, "7.0.11"),
            [Value::Int(4096), Value::Null, Value::Null, Value::Int(1)]
        );
    }
}
