//! The kernel's log as text: its records, and the reports about memory that they add up to.
//!
//! The kernel prints a report as dozens of records; [`Fold`] puts them together again and passes
//! over all that does not concern memory or a machine that stands still.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Happening, Label};

use super::text::{parse_i64, parse_u64, rsplit_once, split_once};

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
        open.learn(text);
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

/// The kinds of reports.
const OOM: &str = "oom_kill";
const ALLOC: &str = "alloc_failure";
const KASAN: &str = "kasan";
const KFENCE: &str = "kfence";
const UBSAN: &str = "ubsan";
const KMEMLEAK: &str = "kmemleak";
const HUNG_TASK: &str = "hung_task";
const SOFT_LOCKUP: &str = "soft_lockup";
const MEM_INFO: &str = "mem_info";
const MODULE: &str = "module";

/// What a line begins.
#[derive(Clone, Copy)]
struct Start {
    kind: &'static str,
    is_one_line: bool,
}

/// Whether a line begins a report, and which.
fn start_of(text: &[u8]) -> Option<Start> {
    let has = |part: &[u8]| find(text, part).is_some();
    let begins = |part: &[u8]| text.starts_with(part);
    let (kind, is_one_line) = if has(b" invoked oom-killer: ") {
        (OOM, false)
    } else if is_kill(text) {
        (OOM, true)
    } else if has(b": page allocation failure: ") || has(b": vmalloc error: size ") {
        (ALLOC, false)
    } else if begins(b"BUG: KASAN: ") {
        (KASAN, false)
    } else if begins(b"BUG: KFENCE: ") {
        (KFENCE, false)
    } else if begins(b"UBSAN: ") {
        (UBSAN, false)
    } else if begins(b"INFO: task ") && has(b" blocked for more than ") {
        (HUNG_TASK, false)
    } else if has(b"BUG: soft lockup - CPU#") {
        (SOFT_LOCKUP, false)
    } else if begins(b"Mem-Info:") || begins(b"sysrq: Show Memory") {
        (MEM_INFO, false)
    } else if begins(b"kmemleak: ") && is_of_kmemleak(text) {
        (KMEMLEAK, true)
    } else if has(b" taints kernel") || has(b" tainting kernel") {
        (MODULE, true)
    } else {
        return None;
    };
    Some(Start { kind, is_one_line })
}

/// The line that names the victim (mm/oom_kill.c, __oom_kill_process), or says that there is none.
fn is_kill(text: &[u8]) -> bool {
    (find(text, b"Killed process ").is_some() && find(text, b" total-vm:").is_some())
        || find(text, b"ut of memory and no killable processes").is_some()
}

/// Whether kmemleak speaks of leaks or of its own end, and not of its tests.
fn is_of_kmemleak(text: &[u8]) -> bool {
    [
        &b"new suspected memory leaks"[..],
        b"Kernel memory leak detector disabled",
        b"Cannot allocate a kmemleak_object",
    ]
    .iter()
    .any(|part| find(text, part).is_some())
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// What stands behind a mark.
fn after<'a>(text: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    text.get(find(text, mark)? + mark.len()..)
}

/// What stands between two marks.
fn between<'a>(text: &'a [u8], mark: &[u8], end: &[u8]) -> Option<&'a [u8]> {
    let rest = after(text, mark)?;
    rest.get(..find(rest, end)?)
}

/// The number behind a mark.
fn number_after(text: &[u8], mark: &[u8]) -> Option<i64> {
    leading_number(after(text, mark)?)
}

/// The number that a text begins with; it may be negative.
fn leading_number(rest: &[u8]) -> Option<i64> {
    let end = rest
        .iter()
        .enumerate()
        .find(|(at, byte)| !byte.is_ascii_digit() && (*at > 0 || **byte != b'-'));
    parse_i64(rest.get(..end.map_or(rest.len(), |(at, _)| at))?)
}

/// A function without its offset, and its module: `f+0x1/0x2 [m]`.
fn place_of(frame: &[u8]) -> (&[u8], Option<&[u8]>) {
    let function = rsplit_once(frame, b"+0x").map_or(frame, |(function, _)| function);
    let module = rsplit_once(frame, b" [").and_then(|(_, module)| module.strip_suffix(b"]"));
    (function, module)
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
        self.learn(text);
    }

    /// Notes a detail; the first one of a name stays.
    fn note(&mut self, name: &str, value: Label<'_>) {
        let detail = &self.report.happening.detail;
        if !detail.contains_key(name) {
            let happening =
                std::mem::replace(&mut self.report.happening, Happening::new(MEM_INFO, b""));
            self.report.happening = happening.with(name, value);
        }
    }

    fn note_number(&mut self, name: &str, number: Option<i64>) {
        if let Some(number) = number {
            self.note(name, Label::Int(number));
        }
    }

    fn note_text(&mut self, name: &str, text: Option<&[u8]>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.note(name, Label::Bytes(text));
        }
    }

    /// Takes from a line what a program needs to know.
    fn learn(&mut self, text: &[u8]) {
        match self.kind() {
            OOM => self.learn_oom(text),
            ALLOC => self.learn_alloc(text),
            KASAN | KFENCE => self.learn_error(text),
            UBSAN => {
                if let Some((what, place)) = text
                    .strip_prefix(b"UBSAN: ")
                    .and_then(|rest| rsplit_once(rest, b" in "))
                {
                    self.note_text("error", Some(what));
                    self.note_text("place", Some(place));
                }
            }
            HUNG_TASK | SOFT_LOCKUP => self.learn_stall(text),
            KMEMLEAK => self.note_number("new_leaks", number_after(text, b"kmemleak: ")),
            MODULE => {
                let end = text.iter().position(|byte| *byte == b':');
                self.note_text("module", end.and_then(|end| text.get(..end)));
                self.note("change", Label::Bytes(b"tainted"));
            }
            _ => {}
        }
        if self.kind() != OOM {
            // `CPU: 0 UID: 0 PID: 174 Comm: sh Tainted: G ...`, or `Not tainted`.
            if let Some(rest) = after(text, b" Comm: ").filter(|_| text.starts_with(b"CPU: ")) {
                let end = find(rest, b" Tainted: ").or_else(|| find(rest, b" Not tainted "));
                self.note_number("pid", number_after(text, b" PID: "));
                self.note_text("comm", end.and_then(|end| rest.get(..end)));
            }
            // The first module that surely is on the stack.
            let frame = text.trim_ascii_start();
            if text.starts_with(b" ") && !frame.starts_with(b"? ") && find(frame, b"+0x").is_some()
            {
                self.note_text("module", place_of(frame).1);
            }
        }
    }

    /// The lines of mm/oom_kill.c (dump_header, dump_oom_victim, __oom_kill_process) and of
    /// mm/memcontrol.c (mem_cgroup_print_oom_meminfo).
    fn learn_oom(&mut self, text: &[u8]) {
        if let Some((invoker, rest)) = rsplit_once(text, b" invoked oom-killer: ") {
            self.note_text("invoker_comm", Some(invoker));
            self.learn_request(rest, b"gfp_mask=", b"order=");
        } else if is_kill(text) {
            let Some(rest) = after(text, b"Killed process ") else {
                return;
            };
            self.note_number("victim_pid", number_after(text, b"Killed process "));
            // A name may hold anything, also what comes behind it.
            if let Some((victim, sizes)) = rsplit_once(rest, b" total-vm:") {
                let name = victim.strip_suffix(b",").unwrap_or(victim);
                let name = split_once(name, b'(').and_then(|(_, name)| name.strip_suffix(b")"));
                self.note_text("victim_comm", name);
                self.note_number("total_vm_kib", leading_number(sizes));
                for (name, mark) in [
                    ("anon_rss_kib", &b"anon-rss:"[..]),
                    ("file_rss_kib", b"file-rss:"),
                    ("shmem_rss_kib", b"shmem-rss:"),
                    ("victim_uid", b"UID:"),
                    ("pgtables_kib", b"pgtables:"),
                    ("oom_score_adj", b"oom_score_adj:"),
                ] {
                    self.note_number(name, number_after(sizes, mark));
                }
            }
        } else if let Some(rest) = text.strip_prefix(b"oom-kill:") {
            for name in ["constraint", "oom_memcg", "task_memcg"] {
                let mark = format!("{name}=");
                let value = between(rest, mark.as_bytes(), b",");
                self.note_text(name, value);
            }
        } else if text.starts_with(b"memory: usage ") {
            self.note_number("memcg_usage_kib", number_after(text, b"usage "));
            self.note_number("memcg_limit_kib", number_after(text, b"limit "));
        } else if text.starts_with(b"CPU: ") && find(text, b" Comm: ").is_some() {
            self.note_number("invoker_pid", number_after(text, b" PID: "));
        }
    }

    /// `sh: page allocation failure: order:4, mode:0x820(GFP_ATOMIC), nodemask=...` and
    /// `sh: vmalloc error: size 8192, exceeds total pages, mode:...` (mm/page_alloc.c, warn_alloc).
    fn learn_alloc(&mut self, text: &[u8]) {
        for mark in [&b": page allocation failure: "[..], b": vmalloc error: "] {
            if let Some((comm, rest)) = rsplit_once(text, mark) {
                self.note_text("comm", Some(comm));
                self.note_number("size_bytes", number_after(rest, b"size "));
                self.learn_request(rest, b"mode:", b"order:");
            }
        }
    }

    /// What was asked of the page allocator.
    fn learn_request(&mut self, text: &[u8], mode: &[u8], order: &[u8]) {
        self.note_number("order", number_after(text, order));
        if let Some(flags) = after(text, mode) {
            self.note_text("gfp_mask", split_once(flags, b'(').map(|(mask, _)| mask));
            self.note_text("gfp", between(flags, b"(", b")"));
        }
    }

    /// The headers of mm/kasan/report.c and mm/kfence/report.c, and the line that names the cache.
    fn learn_error(&mut self, text: &[u8]) {
        let header = [&b"BUG: KASAN: "[..], b"BUG: KFENCE: "]
            .iter()
            .find_map(|mark| text.strip_prefix(*mark));
        if let Some((error, place)) = header.and_then(|header| rsplit_once(header, b" in ")) {
            let (function, module) = place_of(place);
            self.note_text("error", Some(error));
            self.note_text("function", Some(function));
            self.note_text("module", module);
        } else if text.starts_with(b"Read of size ") || text.starts_with(b"Write of size ") {
            let access = if text.starts_with(b"R") {
                b"read".as_slice()
            } else {
                b"write"
            };
            self.note("access", Label::Bytes(access));
            self.note_number("size_bytes", number_after(text, b" of size "));
        } else if let Some(cache) = between(text, b" belongs to the cache ", b" of size ") {
            self.note_text("cache", Some(cache));
        } else if text.starts_with(b"kfence-#") {
            self.note_text("cache", after(text, b", cache="));
        }
    }

    /// `INFO: task kworker/1:2:10762 blocked for more than 120 seconds.` (kernel/hung_task.c) and
    /// `watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [cc1plus:171665]` (kernel/watchdog.c).
    fn learn_stall(&mut self, text: &[u8]) {
        let task = between(text, b"INFO: task ", b" blocked for more than ").or_else(|| {
            text.strip_suffix(b"]")
                .and_then(|rest| after(rest, b"s! ["))
        });
        if let Some((comm, pid)) = task.and_then(|task| rsplit_once(task, b":")) {
            self.note_text("comm", Some(comm));
            self.note_number("pid", parse_i64(pid));
            self.note_number("cpu", number_after(text, b" CPU#"));
            for mark in [&b" more than "[..], b" stuck for "] {
                self.note_number("seconds", number_after(text, mark));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test that fails may panic"
    )]

    use std::path::Path;

    use super::*;

    fn log(name: &str) -> Vec<u8> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/logs");
        std::fs::read(folder.join(name)).unwrap()
    }

    /// What dmesg printed, `[   14.261204][   T63] text`, as the records that it was.
    fn records_of_dmesg(text: &[u8]) -> Vec<Record> {
        let line = |line: &[u8]| {
            let (stamp, rest) = split_once(line.strip_prefix(b"[")?, b']')?;
            let (seconds, fraction) = split_once(stamp.trim_ascii_start(), b'.')?;
            let stamp_us = parse_u64(seconds)? * 1_000_000 + parse_u64(fraction)?;
            let caller = rest
                .strip_prefix(b"[")
                .and_then(|rest| split_once(rest, b']'));
            let (caller, rest) = caller.unwrap_or((b"", rest));
            Some(Record {
                priority: 4,
                seq: stamp_us,
                stamp_us,
                caller: caller.trim_ascii().to_vec(),
                text: rest.strip_prefix(b" ").unwrap_or(rest).to_vec(),
            })
        };
        text.split(|byte| *byte == b'\n').filter_map(line).collect()
    }

    fn folded(records: &[Record]) -> Vec<Report> {
        let mut fold = Fold::default();
        for record in records {
            fold.take(record);
        }
        fold.close();
        fold.drain().collect()
    }

    fn reports(name: &str) -> Vec<Report> {
        let text = log(name);
        let records = if name.ends_with(".dmesg") {
            records_of_dmesg(&text)
        } else {
            let lines = text.split(|byte| *byte == b'\n');
            lines.filter_map(parse_record).collect()
        };
        assert!(records.len() > 20);
        folded(&records)
    }

    fn kinds(reports: &[Report]) -> Vec<&'static str> {
        reports.iter().map(|report| report.happening.kind).collect()
    }

    /// The details of a report as `name=value`, without those that every one has.
    fn details(report: &Report) -> String {
        let detail = report.happening.detail.iter();
        let of_its_own = detail.filter(|(name, _)| !["seq", "log_us"].contains(&name.as_str()));
        of_its_own
            .map(|(name, value)| {
                let shown = value.as_str().map(str::to_owned);
                format!("{name}={}", shown.unwrap_or_else(|| value.to_string()))
            })
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn last_line(report: &Report) -> String {
        let text = String::from_utf8_lossy(&report.happening.text).into_owned();
        text.lines().last().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_record_is_read_with_its_caller_and_without_its_escapes() {
        let record =
            parse_record(b"4,395,57174403,-,caller=T66;a:1\\x0a b;c\\x5cx\\xzz\\").unwrap();
        assert_eq!(
            record,
            Record {
                priority: 4,
                seq: 395,
                stamp_us: 57_174_403,
                caller: b"T66".to_vec(),
                text: b"a:1\n b;c\\x\\xzz\\".to_vec(),
            }
        );
        for broken in [
            "",
            "4,395",
            "4,395;x",
            "a,1,2,-;x",
            " DEVICE=c1:3",
            "4,1,-2,-;x",
        ] {
            assert_eq!(parse_record(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn a_days_provocations_are_told_apart_with_what_each_was_about() {
        let reports = reports("6.12-x86_64-debian.kmsg");
        assert_eq!(kinds(&reports), [ALLOC, ALLOC, ALLOC, OOM, OOM]);
        let told: Vec<_> = reports.iter().map(details).collect();
        assert_eq!(
            told,
            [
                "comm=sh gfp=GFP_ATOMIC gfp_mask=0x820 module=trigger order=4 pid=174",
                "comm=sh gfp=GFP_KERNEL|__GFP_NORETRY gfp_mask=0x10cc0 module=trigger order=10 pid=174",
                "comm=sh gfp=GFP_KERNEL gfp_mask=0xcc0 module=trigger pid=174 size_bytes=1669529600",
                "anon_rss_kib=16000 constraint=CONSTRAINT_MEMCG file_rss_kib=0 gfp=GFP_KERNEL \
                 gfp_mask=0xcc0 invoker_comm=hog invoker_pid=254 memcg_limit_kib=16384 \
                 memcg_usage_kib=16228 oom_memcg=/lab-small oom_score_adj=0 order=0 \
                 pgtables_kib=68 shmem_rss_kib=648 task_memcg=/lab-small total_vm_kib=17508 \
                 victim_comm=hog victim_pid=254 victim_uid=0",
                "anon_rss_kib=323200 constraint=CONSTRAINT_NONE file_rss_kib=0 \
                 gfp=GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_ZERO gfp_mask=0x140dca \
                 invoker_comm=hog invoker_pid=260 oom_score_adj=1000 order=0 pgtables_kib=748 \
                 shmem_rss_kib=648 task_memcg=/ total_vm_kib=361572 victim_comm=hog \
                 victim_pid=260 victim_uid=0",
            ]
        );
        for report in reports.iter().take(3) {
            assert_eq!(last_line(report), "0 pages hwpoisoned");
        }
        assert_eq!(reports[4].stamp_us, 147_815_837);
        assert!(
            reports[4]
                .happening
                .text
                .starts_with(b"hog invoked oom-killer")
        );
        assert!(last_line(&reports[4]).starts_with("Out of memory: Killed process 260"));
    }

    #[test]
    fn dumps_on_request_modules_and_leaks_are_told() {
        let reports = reports("6.1-x86_64-pageowner-kmemleak.kmsg");
        assert_eq!(
            kinds(&reports),
            [MEM_INFO, MODULE, KMEMLEAK, KMEMLEAK, MEM_INFO]
        );
        assert_eq!(details(&reports[1]), "change=tainted module=leak_kmalloc");
        assert_eq!(details(&reports[2]), "new_leaks=15117");
        for at in [0, 4] {
            assert!(
                reports[at]
                    .happening
                    .text
                    .starts_with(b"sysrq: Show Memory\nMem-Info:\n")
            );
            assert_eq!(last_line(&reports[at]), "4096 pages cma reserved");
        }
        let after = self::reports("6.1-x86_64-pageowner-oom.kmsg");
        assert_eq!(kinds(&after), [ALLOC, ALLOC, ALLOC, OOM, OOM]);
    }

    #[test]
    fn the_table_of_allocation_profiling_belongs_to_the_dump() {
        let reports = reports("6.12-x86_64-pageowner-sysrq-m.dmesg");
        assert_eq!(kinds(&reports), [MEM_INFO]);
        assert!(last_line(&reports[0]).ends_with("func:stack_depot_save_flags"));
    }

    #[test]
    fn kasan_names_the_function_the_module_and_the_cache() {
        for (name, expected) in [
            (
                "uaf",
                "access=read cache=kmalloc-192 comm=sh error=slab-use-after-free \
                 function=trigger_uaf module=trigger pid=63 size_bytes=1",
            ),
            (
                "double-free",
                "cache=kmalloc-64 comm=sh error=double-free function=trigger_double_free \
                 module=trigger pid=63",
            ),
            (
                "vmalloc-oob",
                "access=read comm=sh error=vmalloc-out-of-bounds function=trigger_vmalloc_oob \
                 module=trigger pid=63 size_bytes=1",
            ),
        ] {
            let reports = reports(&format!("6.12-x86_64-kasan-{name}.dmesg"));
            assert_eq!(kinds(&reports), [KASAN], "{name}");
            assert_eq!(details(&reports[0]), expected);
        }
    }

    #[test]
    fn kfence_names_the_cache_and_the_function_that_read_what_was_freed() {
        let found = reports("6.12-x86_64-kfence.dmesg");
        assert_eq!(kinds(&found), [KFENCE]);
        assert_eq!(
            details(&found[0]),
            "cache=kmalloc-32 comm=sh error=use-after-free read function=provoke_kfence \
             module=provoke pid=70"
        );
        assert!(last_line(&found[0]).starts_with("Hardware name: QEMU"));
        // The record itself ends in an escaped line end.
        let record = parse_record(b"1,7,9,-;kfence-#1: 0x1-0x2, size=32, cache=kmalloc-32\\x0a");
        assert!(record.unwrap().text.ends_with(b"cache=kmalloc-32"));
    }

    #[test]
    fn a_task_that_hangs_and_a_cpu_that_does_are_told_apart_though_they_report_in_turn() {
        let found = reports("6.1-x86_64-stalls.dmesg");
        assert_eq!(
            kinds(&found),
            [HUNG_TASK, SOFT_LOCKUP, HUNG_TASK, HUNG_TASK]
        );
        assert_eq!(
            details(&found[0]),
            "comm=provoke-hang module=provoke pid=135 seconds=6"
        );
        assert_eq!(
            details(&found[1]),
            "comm=sh cpu=0 module=provoke pid=129 seconds=3"
        );
        assert_eq!(last_line(&found[1]).trim(), "</TASK>");
        assert!(found[1].happening.text.windows(4).any(|w| w == b"RIP:"));
    }

    #[test]
    fn what_could_not_be_provoked_is_understood_as_the_kernel_formats_it() {
        let reports = reports("made-up.dmesg");
        let told: Vec<_> = reports
            .iter()
            .map(|report| (report.happening.kind, details(report)))
            .collect();
        let expected = [
            (
                KFENCE,
                "cache=kmalloc-32 comm=my (test): 7 error=use-after-free read function=lab_read \
                 module=lab_dev pid=484",
            ),
            (
                UBSAN,
                "comm=(udev-worker) error=array-index-out-of-bounds module=lab pid=816 \
                 place=drivers/net/lab.c:1031:22",
            ),
            (HUNG_TASK, "comm=kworker/1:2 pid=10762 seconds=120"),
            (HUNG_TASK, "comm=ntpd pid=11794 seconds=120"),
            (SOFT_LOCKUP, "comm=cc1plus cpu=1 pid=171665 seconds=22"),
            (
                OOM,
                "anon_rss_kib=2048 file_rss_kib=4 oom_score_adj=-5 pgtables_kib=44 \
                 shmem_rss_kib=8 total_vm_kib=4096 victim_comm=odd) total-vm victim_pid=31 \
                 victim_uid=1000",
            ),
            (OOM, ""),
            (KMEMLEAK, ""),
            (MEM_INFO, ""),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(kind, details)| (*kind, (*details).to_owned()))
            .collect();
        assert_eq!(told, expected);
        assert_eq!(last_line(&reports[8]), "0 pages reserved");
        assert_eq!(last_line(&reports[1]), "---[ end trace ]---");
    }

    #[test]
    fn what_processes_write_into_the_log_is_not_taken_for_the_kernels() {
        let line = b"Out of memory: Killed process 1 (init) total-vm:1kB, anon-rss:1kB";
        let mut record = records_of_dmesg(&[b"[    1.000000] ", &line[..]].concat()).remove(0);
        assert_eq!(folded(&[record.clone()]).len(), 1);
        record.priority = 12;
        assert_eq!(folded(&[record]).len(), 0);
    }

    #[test]
    fn a_long_report_is_cut_and_keeps_its_victim() {
        let mut text = "[    1.000000] a invoked oom-killer: gfp_mask=0x1(X), order=0\n".to_owned();
        for _ in 0..2_000 {
            text.push_str("[    1.000100] [    171]     0   171      565      308 task\n");
        }
        text.push_str("[    1.000200] Out of memory: Killed process 9 (b) total-vm:1kB\n");
        let reports = folded(&records_of_dmesg(text.as_bytes()));
        assert_eq!(kinds(&reports), [OOM]);
        assert!(reports[0].happening.text.len() < LONGEST_REPORT + 200);
        let end = String::from_utf8_lossy(&reports[0].happening.text).into_owned();
        assert!(end.ends_with("\n[...]\nOut of memory: Killed process 9 (b) total-vm:1kB"));
    }

    #[test]
    fn two_cpus_that_report_at_once_do_not_mix() {
        let records = records_of_dmesg(
            b"[    1.000000][    T7] BUG: KASAN: use-after-free in f+0x1/0x2\n\
              [    1.000010][    T8] usb 1-1: noise\n\
              [    1.000020][    T8] kmemleak: 3 new suspected memory leaks\n\
              [    1.000030][    T7] Read of size 4 at addr 0 by task a/7\n\
              [    1.000040][    T7] ======\n",
        );
        let reports = folded(&records);
        assert_eq!(kinds(&reports), [KMEMLEAK, KASAN]);
        assert_eq!(
            reports[1].happening.text,
            b"BUG: KASAN: use-after-free in f+0x1/0x2\nRead of size 4 at addr 0 by task a/7"
        );
    }
}
