//! The kernel's log: what it said about memory up to an instant.

use super::Ask;
use super::instant::Instant;
use super::sheet::{Row, Sheet, Table, left};

/// As dmesg: seconds since boot, and the text. Only what the recorder keeps of the log is there:
/// reports about memory, hangs and modules.
pub(super) fn kmsg(instant: &Instant<'_>, _: &Ask) -> anyhow::Result<Sheet> {
    let rows = instant
        .index
        .events
        .iter()
        .enumerate()
        .filter(|(_, event)| {
            event.boot == instant.boot.boot.boot
                && event.source.as_deref() == Some("kmsg")
                && event.boottime_us <= instant.moment.boottime_us
        })
        .map(|(at, event)| {
            let time = format!(
                "[{:>5}.{:06}]",
                event.boottime_us / 1_000_000,
                event.boottime_us % 1_000_000
            );
            let fill = format!("\n{} ", " ".repeat(time.len()));
            Row {
                key: at.to_string(),
                // The reader escapes what would steer a terminal; the breaks of lines are wanted.
                cells: vec![time.into(), event.text.replace("\\n", &fill).into()],
            }
        })
        .collect();
    let mut sheet = Sheet::default();
    sheet.table(Table {
        head: String::new(),
        columns: vec![left(0), left(0).before(" ")],
        rows,
        weight: None,
    });
    Ok(sheet)
}
