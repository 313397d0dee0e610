//! What the recording costs by itself.

use std::path::Path;

use memsoak_schema::{MetricSpec, Rows, Shape, Spec, Status, Trend, Unit};

use super::process_text::parse_statm;
use super::{Moment, Outcome, Sampler, Setup};

/// The description of the source.
pub static SPEC: Spec = Spec {
    name: "recorder",
    paths: &["proc/self/statm"],
    shape: Shape::Scalars {
        known: &[
            MetricSpec::counter("cpu_us", Unit::Us),
            MetricSpec::gauge("rss", Unit::Pages).judged(Trend::Memory),
            MetricSpec::gauge("file_bytes", Unit::Bytes),
            MetricSpec::gauge("log_bytes", Unit::Bytes),
            MetricSpec::gauge("held_descriptors", Unit::Count),
            MetricSpec::counter("late_ticks", Unit::Count),
            MetricSpec::counter("missed_ticks", Unit::Count),
            MetricSpec::counter("lost_ticks", Unit::Count),
        ],
        other: |_| MetricSpec::gauge("", Unit::Count),
    },
    interval_s: 10,
    needs: "",
    caveats: "cpu_us is of the recorder's process, commits included; each held descriptor keeps about 5 kB of kernel memory, which stands in slabinfo",
    overhead: "about 5 us",
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
    /// Ticks that could not be written.
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
        rows.scalar(b"file_bytes", size(moment.db));
        rows.scalar(b"log_bytes", size(Path::new(&log)));
        rows.scalar(b"held_descriptors", own.held_descriptors);
        rows.scalar(b"late_ticks", own.late_ticks);
        rows.scalar(b"missed_ticks", own.missed_ticks);
        rows.scalar(b"lost_ticks", own.lost_ticks);
        Outcome {
            status: Status::Ok,
            reason: None,
            bytes: 0,
        }
    }
}
