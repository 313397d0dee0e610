//! The kernel's phrases: which lines of its log begin a report, and how what a line says is found in it.

#![deny(clippy::indexing_slicing)]

use super::text::{parse_i64, rsplit_once};

/// The kinds of reports.
pub(super) const OOM: &str = "oom_kill";
pub(super) const ALLOC: &str = "alloc_failure";
pub(super) const KASAN: &str = "kasan";
pub(super) const KFENCE: &str = "kfence";
pub(super) const UBSAN: &str = "ubsan";
pub(super) const KMEMLEAK: &str = "kmemleak";
pub(super) const HUNG_TASK: &str = "hung_task";
pub(super) const SOFT_LOCKUP: &str = "soft_lockup";
pub(super) const MEM_INFO: &str = "mem_info";
pub(super) const MODULE: &str = "module";

/// What a line begins.
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub(super) kind: &'static str,
    /// Whether it is the whole report.
    pub(super) is_one_line: bool,
}

/// Whether a line begins a report, and which.
pub(super) fn start_of(text: &[u8]) -> Option<Start> {
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
pub(super) fn is_kill(text: &[u8]) -> bool {
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

/// Where a part stands in a text.
pub(super) fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// What stands behind a mark.
pub(super) fn after<'a>(text: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    text.get(find(text, mark)? + mark.len()..)
}

/// What stands between two marks.
pub(super) fn between<'a>(text: &'a [u8], mark: &[u8], end: &[u8]) -> Option<&'a [u8]> {
    let rest = after(text, mark)?;
    rest.get(..find(rest, end)?)
}

/// The number behind a mark.
pub(super) fn number_after(text: &[u8], mark: &[u8]) -> Option<i64> {
    leading_number(after(text, mark)?)
}

/// The number that a text begins with; it may be negative.
pub(super) fn leading_number(rest: &[u8]) -> Option<i64> {
    let end = rest
        .iter()
        .enumerate()
        .find(|(at, byte)| !byte.is_ascii_digit() && (*at > 0 || **byte != b'-'));
    parse_i64(rest.get(..end.map_or(rest.len(), |(at, _)| at))?)
}

/// A function without its offset, and its module: `f+0x1/0x2 [m]`.
pub(super) fn place_of(frame: &[u8]) -> (&[u8], Option<&[u8]>) {
    let function = rsplit_once(frame, b"+0x").map_or(frame, |(function, _)| function);
    let module = rsplit_once(frame, b" [").and_then(|(_, module)| module.strip_suffix(b"]"));
    (function, module)
}
