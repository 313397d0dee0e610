//! `memsoak-analyze salvage`: what a damaged copy still gives, in words.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use chrono::{DateTime, SecondsFormat};
use memsoak_schema::{Recording, Salvaged, Stretch, printable};

use crate::load::Index;
use crate::words::hours;

/// Stretches of time that are listed; the others are counted.
const MOST_STRETCHES: usize = 20;

/// Writes what a damaged recording gives into a new one, and says how much that is.
///
/// # Errors
/// When there is nothing of a recording in it, or the new file cannot be written.
pub fn salvage(file: &Path, out: &Path, scrub: bool) -> anyhow::Result<String> {
    let salvaged = memsoak_schema::salvage(file, out, scrub)?;
    let recording = Recording::open(out)?;
    let index = Index::read(&recording)?;
    let mut text = String::new();
    tell(&mut text, &salvaged, &index)?;
    writeln!(text, "\nwrote {}", printable(out.as_os_str().as_bytes()))?;
    Ok(text)
}

fn tell(text: &mut String, salvaged: &Salvaged, index: &Index) -> std::fmt::Result {
    let (pages, claimed) = salvaged.pages;
    let of = match claimed {
        Some(claimed) if claimed > pages => format!(" of {claimed}"),
        _ => String::new(),
    };
    writeln!(
        text,
        "ticks    {} kept, {} missing between them",
        salvaged.ticks, salvaged.ticks_lost
    )?;
    writeln!(
        text,
        "file     {pages}{of} pages, {} rows in them unreadable, {} rows of the catalogue made up",
        salvaged.rows_unreadable, salvaged.made_up
    )?;
    if !salvaged.checked {
        writeln!(
            text,
            "checks   none: a recording of this format does not say what it should hold, so altered \
             numbers stand as they are"
        )?;
    }
    writeln!(
        text,
        "\n{:<14} {:>12} {:>12} {:>12} {:>12}",
        "source", "samples", "lost", "rows", "lost"
    )?;
    for source in &salvaged.sources {
        writeln!(
            text,
            "{:<14} {:>12} {:>12} {:>12} {:>12}",
            printable(source.name.as_bytes()),
            source.samples,
            source.samples_lost,
            source.rows,
            source.rows_lost
        )?;
    }
    if !salvaged.stretches.is_empty() {
        writeln!(text)?;
    }
    for stretch in salvaged.stretches.iter().take(MOST_STRETCHES) {
        writeln!(text, "{}", words(stretch, index))?;
    }
    let more = salvaged.stretches.len().saturating_sub(MOST_STRETCHES);
    if more > 0 {
        writeln!(text, "missing  {more} more stretches")?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
fn words(stretch: &Stretch, index: &Index) -> String {
    let wall = |us| {
        index
            .wall_us(stretch.boot, us)
            .and_then(DateTime::from_timestamp_micros)
            .map_or_else(
                || "an unknown time".to_owned(),
                |time| time.to_rfc3339_opts(SecondsFormat::Secs, true),
            )
    };
    let span = stretch.to_us.saturating_sub(stretch.from_us) as f64 / 3.6e9;
    let (what, of) = match &stretch.source {
        Some(source) => ("samples", format!(" of {}", printable(source.as_bytes()))),
        None => ("ticks", String::new()),
    };
    format!(
        "missing  {} {what}{of} in {} from {}",
        stretch.missing,
        hours(span),
        wall(stretch.from_us)
    )
}
