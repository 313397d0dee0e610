//! The kernel's log as text: its records, and the reports about memory that they add up to.
//!
//! The kernel prints a report as dozens of records; [`Fold`] puts them together again and passes
//! over all that does not concern memory or a machine that stands still.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Happening, Label};

use super::kmsg_details::learn;
use super::kmsg_phrases::{
    ALLOC, HUNG_TASK, KASAN, KFENCE, MEM_INFO, OOM, SOFT_LOCKUP, Start, UBSAN, find, is_kill,
    start_of,
};
use super::text::{parse_u64, split_once};

/// Bytes of a report that are kept; a Mem-Info dump of a small machine has 4 KiB, an OOM with its
/// list of tasks far more.
const LONGEST_REPORT: usize = 16 << 10;

/// What ends a report that has no last line, or lost it: the kernel prints one in some milliseconds,
/// and a serial console of 115,200 baud takes 20 ms a line.
const SILENCE_US: u64 = 1_000_000;

/// One record of `/dev/kmsg` (Documentation/ABI/testing/dev-kmsg).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Facility and level; 0 to 7 is the kernel itself.
    pub priority: u64,
    /// Number of the record since boot.
    pub seq: u64,
    /// When it was printed, in us of the scheduler's clock, which stands while the machine sleeps.
    pub stamp_us: u64,
    /// Which task or CPU printed it; empty without `CONFIG_PRINTK_CALLER`.
    pub caller: Vec<u8>,
    /// The text without escapes.
    pub text: Vec<u8>,
}

/// Parses the first line of a record: `4,395,57174403,-,caller=T66;text`. The lines after it, which
/// begin with a blank, are the device that it is about.
pub fn parse_record(line: &[u8]) -> Option<Record> {
    let (head, text) = split_once(line, b';')?;
    let mut fields = head.split(|byte| *byte == b',');
    let mut number = || parse_u64(fields.next()?);
    let (priority, seq, stamp_us) = (number()?, number()?, number()?);
    let caller = fields.find_map(|field| field.strip_prefix(b"caller="));
    let mut text = plain(text);
    // KFENCE ends lines twice; the second end is an escape in the record.
    text.truncate(text.trim_ascii_end().len());
    Some(Record {
        priority,
        seq,
        stamp_us,
        caller: caller.unwrap_or_default().to_vec(),
        text,
    })
}

/// Undoes the escapes `\xNN` of what is not printable.
fn plain(mut text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    while let Some((first, rest)) = text.split_first() {
        let escaped = rest
            .strip_prefix(b"x")
            .filter(|_| *first == b'\\')
            .and_then(|rest| rest.split_at_checked(2))
            .and_then(|(digits, after)| {
                let digits = std::str::from_utf8(digits).ok()?;
                Some((u8::from_str_radix(digits, 16).ok()?, after))
            });
        let (byte, after) = escaped.unwrap_or((*first, rest));
        out.push(byte);
        text = after;
    }
    out
}

/// A report with the stamp of its first record.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Kind, text and details.
    pub happening: Happening,
    /// Stamp of the first record, in us.
    pub stamp_us: u64,
}

/// A report whose records are still coming.
#[derive(Debug)]
struct Open {
    report: Report,
    caller: Vec<u8>,
    last_us: u64,
    has_mem_info: bool,
    in_tail: bool,
    is_cut: bool,
}

/// Where a line stands to the report before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Inside,
    Last,
    /// Ends it, and is of no interest.
    Rule,
    /// A report of one line in the middle of it.
    Apart,
    Outside,
}

/// Puts reports together.
#[derive(Debug, Default)]
pub struct Fold {
    open: Option<Open>,
    done: Vec<Report>,
}

impl Fold {
    /// Takes the next record.
    pub fn take(&mut self, record: &Record) {
        // What processes write into the log is theirs to say, not the kernel's.
        if record.priority > 7 {
            return;
        }
        let text = record.text.as_slice();
        let start = start_of(text);
        if let Some(open) = &self.open
            && (record.stamp_us.saturating_sub(open.last_us) > SILENCE_US
                || (open.in_tail && start.is_some()))
        {
            self.close();
        }
        if let Some(open) = self.open.as_mut().filter(|open| open.is_by(record)) {
            let place = match start {
                Some(start) if !open.holds(start) && start.is_one_line => Place::Apart,
                Some(start) if !open.holds(start) => Place::Outside,
                _ => open.place(text),
            };
            match place {
                Place::Inside | Place::Last => open.add(record),
                Place::Apart | Place::Rule | Place::Outside => {}
            }
            if matches!(place, Place::Last | Place::Rule | Place::Outside) {
                self.close();
            }
            if !matches!(place, Place::Apart | Place::Outside) {
                return;
            }
        }
        let Some(start) = start else {
            return;
        };
        let mut open = Open::new(start.kind, record);
        learn(&mut open.report.happening, text);
        if start.is_one_line {
            self.done.push(open.report);
        } else {
            self.close();
            self.open = Some(open);
        }
    }

    /// Ends a report whose last line did not come.
    pub fn close(&mut self) {
        self.done.extend(self.open.take().map(|open| open.report));
    }

    /// Whether a report is being put together.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The reports that are whole.
    pub fn drain(&mut self) -> impl Iterator<Item = Report> + '_ {
        self.done.drain(..)
    }
}

impl Open {
    fn new(kind: &'static str, record: &Record) -> Self {
        let seq = i64::try_from(record.seq).unwrap_or(i64::MAX);
        let stamp = i64::try_from(record.stamp_us).unwrap_or(i64::MAX);
        Self {
            report: Report {
                happening: Happening::new(kind, &record.text)
                    .with("seq", Label::Int(seq))
                    .with("log_us", Label::Int(stamp)),
                stamp_us: record.stamp_us,
            },
            caller: record.caller.clone(),
            last_us: record.stamp_us,
            has_mem_info: record.text.starts_with(b"Mem-Info:"),
            in_tail: false,
            is_cut: false,
        }
    }

    fn kind(&self) -> &'static str {
        self.report.happening.kind
    }

    /// Whether a record may be of this report: by the same caller, where the log tells callers.
    fn is_by(&self, record: &Record) -> bool {
        self.caller.is_empty() || record.caller.is_empty() || self.caller == record.caller
    }

    /// Whether a line that can begin a report is part of this one.
    fn holds(&self, start: Start) -> bool {
        match start.kind {
            MEM_INFO => matches!(self.kind(), OOM | ALLOC | MEM_INFO) && !self.has_mem_info,
            OOM => self.kind() == OOM && start.is_one_line,
            _ => false,
        }
    }

    fn place(&mut self, text: &[u8]) -> Place {
        let last = |is_last: bool| if is_last { Place::Last } else { Place::Inside };
        match self.kind() {
            OOM => last(is_kill(text)),
            KASAN | KFENCE if text.starts_with(b"=====") => Place::Rule,
            UBSAN => last(text.starts_with(b"---[ end trace") || text.starts_with(b"=====")),
            HUNG_TASK | SOFT_LOCKUP => last(text.trim_ascii() == b"</TASK>"),
            ALLOC | MEM_INFO => {
                // The last lines of mm/show_mem.c, of which a kernel may lack all but the first.
                let is_tail = text.ends_with(b" pages reserved")
                    || text.ends_with(b" pages cma reserved")
                    || text.ends_with(b" pages hwpoisoned")
                    || text.starts_with(b"Memory allocations:")
                    || (self.in_tail && find(text, b" func:").is_some());
                let is_over = self.in_tail && !is_tail;
                self.in_tail |= is_tail;
                if is_over {
                    Place::Outside
                } else {
                    Place::Inside
                }
            }
            _ => Place::Inside,
        }
    }

    fn add(&mut self, record: &Record) {
        let text = record.text.as_slice();
        self.last_us = record.stamp_us;
        self.has_mem_info |= text.starts_with(b"Mem-Info:");
        let kept = &mut self.report.happening.text;
        // The line that names the victim of an OOM comes last and matters most.
        if kept.len() + text.len() < LONGEST_REPORT || is_kill(text) {
            kept.push(b'\n');
            kept.extend_from_slice(text);
        } else if !self.is_cut {
            self.is_cut = true;
            kept.extend_from_slice(b"\n[...]");
        }
        learn(&mut self.report.happening, text);
    }
}

#[cfg(test)]
mod tests;
