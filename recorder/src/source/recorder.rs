//! What the recording costs by itself.

use std::path::Path;

use memsoak_schema::{MetricSpec, Rows, Shape, Spec, Trend, Unit};

use super::process_text::parse_statm;
use super::{Moment, Outcome, Sampler, Setup};

/// The description of the source.
pub static SPEC: Spec = Spec {
    name: "recorder",
    paths: &["proc/self/statm", "proc/self/io"],
    shape: Shape::Scalars {
        known: &[
            MetricSpec::counter("cpu_us", Unit::Us),
            MetricSpec::gauge("rss", Unit::Pages).judged(Trend::Memory),
            MetricSpec::gauge("file_bytes", Unit::Bytes),
            MetricSpec::gauge("log_bytes", Unit::Bytes),
            MetricSpec::counter("written_bytes", Unit::Bytes),
            MetricSpec::gauge("held_descriptors", Unit::Count),
            MetricSpec::counter("late_ticks", Unit::Count),
            MetricSpec::counter("missed_ticks", Unit::Count),
            MetricSpec::counter("lost_ticks", Unit::Count),
        ],
        other: |_| MetricSpec::gauge("", Unit::Count),
    },
    interval_s: 10,
    needs: "",
    caveats: "cpu_us is of the recorder's process, commits included; written_bytes is what it made the \
        kernel send to disks (write_bytes, CONFIG_TASK_IO_ACCOUNTING), 0 on tmpfs; lost_ticks were merged \
        into later ones while the file could not be written; each held descriptor keeps about 5 kB of kernel memory, which stands in slabinfo",
    overhead: "about 10 us",
};

/// Figures that the run keeps about itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// CPU time since the start, in us.
    pub cpu_us: i64,
    /// Descriptors held on processes.
    pub held_descriptors: u64,
    /// Ticks that began later than a tenth of the interval.
    pub late_ticks: u64,
    /// Planned moments that passed without a tick.
    pub missed_ticks: u64,
    /// Ticks that were merged into later ones while the file could not be written.
    pub lost_ticks: u64,
}

struct Own;

/// Makes the sampler.
pub fn sampler(_: &Setup) -> Box<dyn Sampler> {
    Box::new(Own)
}

impl Sampler for Own {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        let own = moment.own;
        let size = |path: &Path| std::fs::metadata(path).ok().map(|meta| meta.len());
        let mut log = moment.db.as_os_str().to_owned();
        log.push("-wal");
        // Its own process is the running machine's, whatever root is read.
        let rss_pages = std::fs::read("/proc/self/statm")
            .ok()
            .and_then(|text| parse_statm(&text))
            .map(|statm| statm.resident_pages);
        rows.scalar(b"cpu_us", own.cpu_us);
        rows.scalar(b"rss", rss_pages);
        let written = std::fs::read("/proc/self/io")
            .ok()
            .and_then(|text| parse_write_bytes(&text));
        rows.scalar(b"file_bytes", size(moment.db));
        rows.scalar(b"log_bytes", size(Path::new(&log)));
        rows.scalar(b"written_bytes", written);
        rows.scalar(b"held_descriptors", own.held_descriptors);
        rows.scalar(b"late_ticks", own.late_ticks);
        rows.scalar(b"missed_ticks", own.missed_ticks);
        rows.scalar(b"lost_ticks", own.lost_ticks);
        Outcome::obtained(None, 0)
    }
}

/// `write_bytes` of /proc/PID/io (Documentation/filesystems/proc.rst, 3.3).
fn parse_write_bytes(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes:"))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_found_and_what_was_called_off_is_not_taken_for_it() {
        let text =
            b"rchar: 1\nwchar: 2\nread_bytes: 3\nwrite_bytes: 4096\ncancelled_write_bytes: 5\n";
        assert_eq!(parse_write_bytes(text), Some(4096));
        assert_eq!(parse_write_bytes(b"rchar: 1\n"), None);
    }
}
