//! Instants as people name them: a wall time, so long after the start, before the end, or a mark.

use std::time::Duration;

use anyhow::{bail, ensure};
use chrono::{DateTime, SecondsFormat};

use crate::load::Index;

/// An instant of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The boot's place in [`Index::boots`].
    pub boot: usize,
    /// CLOCK_BOOTTIME in us.
    pub boottime_us: i64,
}

/// Understands RFC 3339 (`2026-03-01T04:05:06Z`), `+2h30m` from the start of the recording, `-10m`
/// from its end, and the text of a mark. An instant between two boots is the last one of the
/// earlier.
///
/// # Errors
/// When it is none of these, or lies before the recording or behind it.
pub fn find(index: &Index, text: &str) -> anyhow::Result<Moment> {
    let (Some(first), Some(last)) = (index.boots.first(), index.boots.last()) else {
        bail!("the recording has no tick");
    };
    let start = wall_us(index, 0, first.start_us);
    let end = wall_us(index, index.boots.len() - 1, last.end_us);
    if let Some(after) = text.strip_prefix('+') {
        return at_wall(index, start.saturating_add(micros(after)?));
    }
    if let Some(before) = text.strip_prefix('-') {
        return at_wall(index, end.saturating_sub(micros(before)?));
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return at_wall(index, time.timestamp_micros());
    }
    let mut marks = index
        .events
        .iter()
        .filter(|event| event.kind == "mark" && event.text == text);
    let Some(mark) = marks.next() else {
        bail!(
            "\"{}\" is no time: give RFC 3339, +2h30m from the start, -10m from the end, or the text of a mark",
            memsoak_schema::printable(text.as_bytes())
        );
    };
    ensure!(
        marks.next().is_none(),
        "several marks say \"{}\": give the time of the one that is meant (memsoak-analyze info)",
        memsoak_schema::printable(text.as_bytes())
    );
    let Some(boot) = index
        .boots
        .iter()
        .position(|boot| boot.boot.boot == mark.boot)
    else {
        bail!("no tick was recorded in the boot of that mark");
    };
    Ok(Moment {
        boot,
        boottime_us: mark.boottime_us,
    })
}

/// The last instant of the recording.
///
/// # Errors
/// When it has no tick.
pub fn end(index: &Index) -> anyhow::Result<Moment> {
    let Some(last) = index.boots.last() else {
        bail!("the recording has no tick");
    };
    Ok(Moment {
        boot: index.boots.len() - 1,
        boottime_us: last.end_us,
    })
}

/// How an instant is called in messages: wall time, and how far into the boot's recording.
pub fn words(index: &Index, moment: Moment) -> String {
    let Some(boot) = index.boots.get(moment.boot) else {
        return String::new();
    };
    let whole = u64::try_from((moment.boottime_us - boot.start_us) / 1_000_000).unwrap_or(0);
    format!(
        "{} (+{})",
        wall_words(wall_us(index, moment.boot, moment.boottime_us)),
        humantime::format_duration(Duration::from_secs(whole))
    )
}

fn wall_words(us: i64) -> String {
    DateTime::from_timestamp_micros(us).map_or_else(
        || "an unknown time".to_owned(),
        |time| time.to_rfc3339_opts(SecondsFormat::Secs, true),
    )
}

fn micros(text: &str) -> anyhow::Result<i64> {
    let duration = humantime::parse_duration(text)?;
    Ok(i64::try_from(duration.as_micros())?)
}

/// A boot without a wall clock is taken to begin in 1970, as its machine would say.
fn wall_us(index: &Index, boot: usize, boottime_us: i64) -> i64 {
    index
        .boots
        .get(boot)
        .and_then(|boot| index.wall_us(boot.boot.boot, boottime_us))
        .unwrap_or(boottime_us)
}

fn at_wall(index: &Index, wall: i64) -> anyhow::Result<Moment> {
    let began = |place: usize| index.boots.get(place).map_or(0, |boot| boot.start_us);
    let found = (0..index.boots.len())
        .rev()
        .find(|place| wall_us(index, *place, began(*place)) <= wall);
    let last = index.boots.len().saturating_sub(1);
    let end = index
        .boots
        .last()
        .map_or(0, |boot| wall_us(index, last, boot.end_us));
    let (Some(place), true) = (found, wall <= end) else {
        bail!(
            "{} is not in the recording, which goes from {} to {}",
            wall_words(wall),
            wall_words(wall_us(index, 0, began(0))),
            wall_words(end)
        );
    };
    let offset = wall_us(index, place, 0);
    Ok(Moment {
        boot: place,
        boottime_us: wall.saturating_sub(offset),
    })
}
