//! `memsoak-analyze info`: what a recording holds.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use chrono::{DateTime, SecondsFormat};
use memsoak_schema::{Recording, printable};

use crate::chart::Quantity;
use crate::load::Index;

/// What a recording holds, as text.
///
/// # Errors
/// When the file cannot be read.
pub fn describe(db: &Path) -> anyhow::Result<String> {
    let recording = Recording::open(db)?;
    let index = Index::read(&recording)?;
    let mut out = String::new();
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let size = std::fs::metadata(db)?.len() as f64;
    writeln!(
        out,
        "file     {} ({})",
        printable(db.as_os_str().as_bytes()),
        Quantity::Bytes.format(size)
    )?;
    writeln!(
        out,
        "ticks    {} taken, {} missed, in {} runs and {} boots",
        index.ticks,
        index.missed,
        index.runs.len(),
        index.boots.len()
    )?;
    let damage = recording.verify()?;
    if damage.is_any() {
        writeln!(
            out,
            "damage   {} of {} samples cannot be believed and are left out; `memsoak-analyze salvage \
             FILE OUT` may give some of them",
            damage.samples(),
            damage.checked()
        )?;
    } else if damage.checked() == 0 {
        writeln!(
            out,
            "damage   not checked: a recording of this format does not say what it should hold"
        )?;
    }
    for boot in &index.boots {
        let wall = |us: i64| {
            index
                .wall_us(boot.boot.boot, us)
                .and_then(DateTime::from_timestamp_micros)
                .map_or_else(
                    || "unknown time".to_owned(),
                    |time| time.to_rfc3339_opts(SecondsFormat::Secs, true),
                )
        };
        let host = index.host(&boot.boot);
        writeln!(out)?;
        writeln!(
            out,
            "boot     {} of {}, Linux {} {}, pages of {} bytes",
            boot.boot.boot_id,
            host.map_or("", |host| host.name.as_str()),
            boot.boot.kernel,
            host.map_or("", |host| host.arch.as_str()),
            boot.boot.page_bytes
        )?;
        writeln!(
            out,
            "         {} to {}",
            wall(boot.start_us),
            wall(boot.end_us)
        )?;
        for run in index.runs.iter().filter(|run| run.boot == boot.boot.boot) {
            writeln!(
                out,
                "run      {} by {} as uid {}, every {} ms, {}{}",
                run.run,
                run.program,
                run.uid,
                run.interval_us / 1000,
                run.end_reason.as_deref().unwrap_or("still open"),
                if run.labels.is_empty() {
                    String::new()
                } else {
                    format!(", {}", serde_json::Value::Object(run.labels.clone()))
                }
            )?;
        }
        for (from, to, reason) in &boot.gaps {
            writeln!(
                out,
                "gap      {:.1} s from +{from:.1} s: {reason}",
                to - from
            )?;
        }
    }
    writeln!(out)?;
    writeln!(
        out,
        "{:<14} {:<12} {:>15} {:>10}  reason",
        "source", "last state", "ok of planned", "read us"
    )?;
    for coverage in &index.coverage {
        writeln!(
            out,
            "{:<14} {:<12} {:>15} {:>10.0}  {}",
            coverage.source,
            coverage.status.as_str(),
            format!("{} of {}", coverage.ticks_ok, coverage.ticks_planned),
            coverage.read_us,
            coverage.reason.as_deref().unwrap_or("")
        )?;
    }
    let marks: Vec<_> = index
        .events
        .iter()
        .filter(|event| event.kind == "mark")
        .collect();
    if !marks.is_empty() {
        writeln!(out)?;
        for mark in marks {
            writeln!(out, "mark     {}", mark.text)?;
        }
    }
    Ok(out)
}
