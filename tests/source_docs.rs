//! docs/SOURCES.md is rendered from the sources' own descriptions.
//!
//! `MEMSOAK_BLESS=1 cargo test --test source_docs` writes it anew.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use memsoak_record::source::SOURCES;
use memsoak_schema::{MetricSpec, Shape, Spec};

const HEAD: &str = "\
# Sources

What `memsoak-record` reads, and what it stores of it. This page is rendered from the descriptions
in `recorder/src/source/`; every recording carries the same descriptions in its tables `source` and
`metric`.

A source is read at its interval or at that of the ticks, whichever is longer; `--every SOURCE=TIME`
sets another one, and a source that costs more than its share of `--cpu-budget` is read less often.
What is not on a machine, or not readable for the user, is recorded as unavailable with the reason.

";

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn interval(spec: &Spec) -> String {
    match spec.interval_s {
        0 => "every tick".to_owned(),
        seconds => format!("{seconds} s"),
    }
}

fn render() -> String {
    let mut out = HEAD.to_owned();
    out.push_str("| source | files | interval | needs |\n|---|---|---|---|\n");
    for source in SOURCES {
        let spec = source.spec;
        let files: Vec<_> = spec.paths.iter().map(|path| format!("`/{path}`")).collect();
        let needs = if spec.needs.is_empty() {
            "nothing"
        } else {
            spec.needs
        };
        writeln!(
            out,
            "| [`{name}`](#{name}) | {} | {} | {} |",
            files.join(" "),
            interval(spec),
            cell(needs),
            name = spec.name
        )
        .unwrap();
    }
    for source in SOURCES {
        render_source(&mut out, source.spec).unwrap();
    }
    out
}

fn render_source(out: &mut String, spec: &Spec) -> std::fmt::Result {
    writeln!(out, "\n## {}\n", spec.name)?;
    if !spec.caveats.is_empty() {
        writeln!(out, "- Caveats: {}.", spec.caveats.trim_end_matches('.'))?;
    }
    writeln!(out, "- Overhead: {}.", spec.overhead.trim_end_matches('.'))?;
    let stored = match &spec.shape {
        Shape::Scalars { known: [], .. } => {
            "Stored: every key that the kernel gives, in the table `scalar`.".to_owned()
        }
        Shape::Scalars { .. } => {
            "Stored: every key that the kernel gives, in the table `scalar`; known are:".to_owned()
        }
        Shape::Entities { .. } => format!("Stored: a row for each, in the table `{}`.", spec.name),
    };
    writeln!(out, "- {stored}")?;
    if spec.metrics().is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n| metric | unit | kind | judged as | part of |\n|---|---|---|---|---|"
    )?;
    for metric in spec.metrics() {
        let MetricSpec {
            name,
            unit,
            kind,
            trend,
            part_of,
            generated,
        } = metric;
        let computed = if *generated { " (computed)" } else { "" };
        let part_of = match *part_of {
            "" => String::new(),
            total => format!("`{total}`"),
        };
        writeln!(
            out,
            "| `{name}`{computed} | {unit} | {kind} | {trend} | {part_of} |"
        )?;
    }
    Ok(())
}

#[test]
fn the_page_of_the_sources_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SOURCES.md");
    let rendered = render();
    if std::env::var_os("MEMSOAK_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &rendered).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let differs = kept
        .lines()
        .zip(rendered.lines())
        .position(|(kept, rendered)| kept != rendered);
    assert!(
        kept == rendered,
        "docs/SOURCES.md is out of date from line {}: \
         MEMSOAK_BLESS=1 cargo test --test source_docs",
        differs.map_or(kept.lines().count(), |line| line) + 1
    );
}

#[test]
fn every_source_says_what_it_costs() {
    for source in SOURCES {
        let spec = source.spec;
        assert!(!spec.overhead.is_empty(), "{}", spec.name);
        assert!(!spec.caveats.is_empty(), "{}", spec.name);
        assert!(!spec.paths.is_empty(), "{}", spec.name);
        for path in spec.paths {
            assert!(!path.starts_with('/'), "{path} is relative to the root");
        }
    }
}
