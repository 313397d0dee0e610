//! The descriptions of the sources: complete, in agreement with the tables, and proved by fixtures.

use memsoak_record::root::Root;
use memsoak_record::source::SOURCES;
use memsoak_record::source::matching::read_texts;
use memsoak_schema::Shape;

use super::broken::broken;
use super::{captures, fixtures, readings, repo, spec_of};

/// The columns of a table in a migration: name, and whether the database computes it.
fn columns_in(sql: &str, table: &str) -> Option<Vec<(String, bool)>> {
    let start = format!("CREATE TABLE {table} (");
    let (_, body) = sql.split_once(&start)?;
    let (body, _) = body.split_once(") STRICT;")?;
    let without_comments: String = body
        .lines()
        .filter_map(|line| line.split("--").next())
        .collect();
    let columns = without_comments.split(',').map(|column| {
        let name = column.split_whitespace().next().unwrap_or_default();
        (name.to_owned(), column.contains("GENERATED"))
    });
    // Columns that came with a later migration.
    let added = format!("ALTER TABLE {table} ADD COLUMN ");
    let added = sql.lines().filter_map(|line| {
        let name = line.strip_prefix(&added)?.split_whitespace().next()?;
        Some((name.to_owned(), false))
    });
    let own = columns.filter(|(name, _)| !["id", "tick", "entity"].contains(&name.as_str()));
    Some(own.chain(added).collect())
}

#[test]
fn every_entity_source_has_a_table_with_its_columns_in_order() {
    let sql = ["0002_sources", "0003_attribution", "0004_every_source"]
        .map(|name| repo().join(format!("schema/migrations/{name}.sql")))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .concat();
    for spec in SOURCES.iter().map(|source| source.spec) {
        let table = columns_in(&sql, spec.name);
        match spec.shape {
            Shape::Scalars { .. } => assert_eq!(table, None, "{}", spec.name),
            Shape::Entities { columns } => {
                let described = columns.iter().map(|c| (c.name.to_owned(), c.generated));
                assert_eq!(table, Some(described.collect()), "{}", spec.name);
            }
        }
    }
}

fn assert_unique(what: &str, mut names: Vec<&str>) {
    names.sort_unstable();
    let before = names.len();
    names.dedup();
    assert_eq!(names.len(), before, "{what}: a name stands twice");
}

#[test]
fn every_source_is_described_in_full() {
    assert_unique("sources", SOURCES.iter().map(|s| s.spec.name).collect());
    for spec in SOURCES.iter().map(|source| source.spec) {
        let name = spec.name;
        assert!(!spec.paths.is_empty(), "{name}");
        let tree = |p: &&str| {
            ["proc/", "sys/", "dev/"]
                .iter()
                .any(|top| p.starts_with(top))
        };
        assert!(spec.paths.iter().all(tree), "{name}");
        for text in [spec.caveats, spec.overhead] {
            assert!(!text.is_empty(), "{name}");
            assert!(!text.contains("  "), "{name}: {text}");
        }
        assert_unique(name, spec.metrics().iter().map(|m| m.name).collect());
        for metric in spec.metrics() {
            if let Some((source, key)) = metric.part_of.split_once('/') {
                let total = spec_of(source).metrics().iter().find(|m| m.name == key);
                assert!(total.is_some(), "{name}: no {}", metric.part_of);
            }
        }
    }
}

/// Sources that are read by means of their own: where lies what real kernels gave, below the
/// fixtures. The tests beside their code read it, and `broken` has a table for each.
const OWN: &[(&str, &str)] = &[
    ("process", "captures/6.12-x86_64-debian/t0/proc/1/stat"),
    (
        "cgroup",
        "cgroups/v2-6.12-x86_64/sys/fs/cgroup/lab-hog/memory.stat",
    ),
    (
        "tmpfs",
        "captures/6.18-x86_64-microvm/t0/proc/self/mountinfo",
    ),
    (
        "smaps_rollup",
        "captures/6.12-x86_64-debian/t0/proc/1/smaps_rollup",
    ),
    ("smaps", "captures/6.12-x86_64-debian/t0/proc/1/smaps"),
    ("kmsg", "logs/6.12-x86_64-debian.kmsg"),
];

/// Sources of which no file can be kept, and why.
const NO_FILE: &[(&str, &str)] = &[
    (
        "shm",
        "links to open files and what stat says of them: made anew by its tests",
    ),
    (
        "drm",
        "no captured machine has a graphics device: made up by its tests after proc_pid_fdinfo(5)",
    ),
    ("recorder", "the figures of the recorder itself"),
];

/// Files that none of the captured kernels has, and why; the tests of the parser make them up after
/// the kernel's documentation.
const NOT_CAPTURED: &[(&str, &str)] = &[
    (
        "sys/block/zram*/bd_stat",
        "CONFIG_ZRAM_WRITEBACK is off in all",
    ),
    (
        "sys/kernel/mm/cma/*/total_pages",
        "Linux 6.15, where CMA is off",
    ),
    (
        "sys/kernel/mm/cma/*/available_pages",
        "Linux 6.15, where CMA is off",
    ),
    (
        "sys/kernel/debug/cma/*/count",
        "CONFIG_CMA_DEBUGFS is off in all",
    ),
    (
        "sys/kernel/debug/cma/*/used",
        "CONFIG_CMA_DEBUGFS is off in all",
    ),
    (
        "sys/kernel/debug/cma/*/maxchunk",
        "CONFIG_CMA_DEBUGFS is off in all",
    ),
];

fn listed<T>(list: &[(&str, T)], name: &str) -> bool {
    list.iter().any(|(listed, _)| *listed == name)
}

#[test]
fn every_source_has_captures_and_broken_files() {
    let captures = captures();
    let table = broken();
    for spec in SOURCES.iter().map(|source| source.spec) {
        if listed(NO_FILE, spec.name) {
            continue;
        }
        if readings().any(|(text, _)| text.name == spec.name) {
            for (pattern, path) in spec.paths.iter().enumerate() {
                let held = captures.iter().any(|capture| {
                    let read = read_texts(&Root::open(&capture.root).unwrap(), spec);
                    read.texts.iter().any(|text| text.pattern == pattern)
                });
                assert_ne!(held, listed(NOT_CAPTURED, path), "captures of {path}");
            }
            let first = captures.iter().any(|capture| {
                let read = read_texts(&Root::open(&capture.root).unwrap(), spec);
                !read.texts.is_empty()
            });
            assert!(first, "no capture has any file of {}", spec.name);
        } else {
            let file = OWN.iter().find(|(name, _)| *name == spec.name);
            let (_, file) = file.unwrap_or_else(|| panic!("{} has no fixture", spec.name));
            assert!(fixtures().join(file).is_file(), "{file}");
        }
        let broken = table.iter().find(|b| b.source == spec.name);
        let broken = broken.unwrap_or_else(|| panic!("no broken files of {}", spec.name));
        for what in [
            "empty",
            "truncated_mid_line",
            "not_utf8",
            "u64_max",
            "duplicate_name",
        ] {
            let there = broken.edits.iter().any(|(edit, ..)| edit.name() == what);
            assert!(there, "{}: no {what}", spec.name);
        }
    }
    for (name, _) in OWN.iter().chain(NO_FILE) {
        assert!(
            SOURCES.iter().any(|source| source.spec.name == *name),
            "{name}"
        );
    }
}

/// The page of the sources is generated from the descriptions; here it is enough that each stands there.
#[test]
fn every_source_has_a_row_in_the_docs() {
    let page = std::fs::read_to_string(repo().join("docs/SOURCES.md")).unwrap();
    for spec in SOURCES.iter().map(|source| source.spec) {
        let name = spec.name;
        assert!(page.contains(&format!("| [`{name}`](#{name}) |")), "{name}");
        assert!(page.contains(&format!("\n## {name}\n")), "{name}");
    }
}
