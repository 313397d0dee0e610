//! The kernel's log in a capture: the text of its reports about memory, and nothing else of it.
//!
//! A log names hosts, users' devices and the kernel's command line. Every record keeps its number
//! and stamp, so that it shows whether some were overwritten, and only those of reports their text.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::Rows;
use rustix::io::Errno;

use super::captured::{Captured, Kept};
use super::kmsg::{BUFFER_BYTES, Count, SPEC};
use super::kmsg_text::{Fold, Record, parse_record};
use super::{Moment, Outcome, Sampler, Setup, files};
use crate::root::Root;

/// What a capture keeps.
pub(super) const CAPTURED: Captured = Captured::Copied(&[Kept::Log("dev/kmsg")], sampler);

/// The largest buffer that a kernel is built with (CONFIG_LOG_BUF_SHIFT, 32 MiB) is about this much
/// text; of more the end counts.
const MOST_BYTES: usize = 64 << 20;

/// Reads the log as it is now, without waiting for more.
///
/// # Errors
/// The kernel's.
pub fn read_log(root: &Root, path: &str) -> Result<Vec<u8>, Errno> {
    let file = root.open_file(path)?;
    let mut record = vec![0; BUFFER_BYTES];
    let mut log = Vec::new();
    loop {
        match rustix::io::read(&file, record.as_mut_slice()) {
            Ok(0) | Err(Errno::AGAIN) => return Ok(log),
            Ok(length) => log.extend_from_slice(record.get(..length).unwrap_or_default()),
            // It overran; the next read gives the oldest record that is left.
            Err(Errno::PIPE | Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        if log.len() > 2 * MOST_BYTES {
            log.drain(..MOST_BYTES);
        }
    }
}

/// The log without the text of what is no report about memory.
pub fn reports_only(log: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(log.len() / 2);
    let mut fold = Fold::default();
    for (line, record) in records(log) {
        fold.take(&record);
        // The record that ends a report may be the first that is not of it.
        let is_of_report = fold.drain().count() > 0 || fold.is_open();
        let head = line.iter().position(|byte| *byte == b';');
        let kept = if is_of_report && record.priority <= 7 {
            line
        } else {
            line.get(..=head.unwrap_or_default()).unwrap_or(line)
        };
        out.extend_from_slice(kept);
        out.push(b'\n');
    }
    out
}

/// The records of a log, each with its first line; what follows it is of a device.
fn records(log: &[u8]) -> impl Iterator<Item = (&[u8], Record)> {
    log.split(|byte| *byte == b'\n')
        .filter(|line| !line.starts_with(b" "))
        .filter_map(|line| Some((line, parse_record(line)?)))
}

/// Reads the logs of a series of captures; each holds what those before it held, and more.
#[derive(Default)]
struct Copied {
    fold: Fold,
    count: Count,
}

/// Makes the sampler.
fn sampler(_: &Setup) -> Box<dyn Sampler> {
    Box::new(Copied::default())
}

impl Sampler for Copied {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        let path = "dev/kmsg";
        let log = match read_log(moment.root, path) {
            Ok(log) => log,
            Err(error) => return Outcome::nothing(files::explain(error, path, SPEC.needs)),
        };
        let lost = self.count.lost;
        for (_, record) in records(&log) {
            // The capture before may have had it.
            if self.count.take(&record) {
                self.fold.take(&record);
            }
        }
        self.fold.close();
        for report in self.fold.drain() {
            // The log's clock is the best there is: it stands while the machine sleeps, and drifts.
            let mut happening = report.happening;
            happening.boottime_us = i64::try_from(report.stamp_us).ok();
            self.count.reports += 1;
            rows.happened(happening);
        }
        self.count.put(rows);
        let reason = (self.count.lost > lost)
            .then(|| "the kernel overwrote records between two captures".to_owned());
        Outcome::obtained(reason, log.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use std::fs;
    use std::path::Path;

    use memsoak_schema::{Status, Value};

    use super::super::made_up::MadeUp;
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        let logs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/logs");
        fs::read(logs.join(name)).unwrap()
    }

    fn sample(sampler: &mut dyn Sampler, log: &[u8]) -> (Outcome, Vec<Value>, Vec<(String, i64)>) {
        let machine = MadeUp::new();
        machine.file("dev/kmsg", log);
        let (rows, outcome) = machine.sample(sampler, true);
        let values = rows.iter().flat_map(|row| row.values().to_vec());
        let told = rows.happenings().0.iter();
        let told = told.map(|one| (one.kind.to_owned(), one.boottime_us.unwrap()));
        (outcome, values.collect(), told.collect())
    }

    #[test]
    fn what_is_no_report_loses_its_text_and_the_reports_stay_as_they_were() {
        for name in ["6.1-x86_64-pageowner-oom.kmsg", "6.12-x86_64-debian.kmsg"] {
            let log = [
                b"6,1,0,-;Kernel command line: secret=1\n".as_slice(),
                b"30,2,5,-;systemd[1]: Hostname set to <lab7>.\n SUBSYSTEM=secret\n",
                &fixture(name),
            ]
            .concat();
            let kept = reports_only(&log);
            let text = String::from_utf8_lossy(&kept);
            assert!(!text.contains("secret") && !text.contains("lab7"), "{text}");
            assert!(text.starts_with("6,1,0,-;\n30,2,5,-;\n"), "{text}");
            assert_eq!(records(&kept).count(), records(&log).count());
            let (_, whole, of_whole) = sample(&mut Copied::default(), &log);
            let (_, values, told) = sample(&mut Copied::default(), &kept);
            assert!(!of_whole.is_empty(), "{name}");
            assert_eq!((values, told), (whole, of_whole), "{name}");
        }
    }

    #[test]
    fn a_series_tells_each_report_once_at_its_stamp_and_counts_what_was_overwritten() {
        let kill = |seq: u64| {
            format!(
                "3,{seq},{seq}000000,-;Out of memory: Killed process 9 (hog) total-vm:8kB, anon-rss:4kB\n"
            )
        };
        let mut series = Copied::default();
        let (first, second) = ([kill(4), kill(5)].concat(), [kill(5), kill(6)].concat());
        let at = |seconds: &[i64]| -> Vec<_> {
            let one = |second: &i64| ("oom_kill".to_owned(), second * 1_000_000);
            seconds.iter().map(one).collect()
        };
        assert_eq!(sample(&mut series, first.as_bytes()).2, at(&[4, 5]));
        let (outcome, values, told) = sample(&mut series, second.as_bytes());
        assert_eq!((outcome.status, told), (Status::Ok, at(&[6])));
        assert_eq!(values, [3, 0, 3].map(Value::Int));
        let (outcome, values, told) = sample(&mut series, kill(9).as_bytes());
        assert_eq!((outcome.status, told), (Status::Partial, at(&[9])));
        assert_eq!(values, [4, 2, 4].map(Value::Int));
    }
}
