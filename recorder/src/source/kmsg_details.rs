//! What a program needs to know of a report of the kernel, taken from its lines as they come.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Happening, Label};

use super::kmsg_phrases::{
    ALLOC, HUNG_TASK, KASAN, KFENCE, KMEMLEAK, MEM_INFO, MODULE, OOM, SOFT_LOCKUP, UBSAN, after,
    between, find, is_kill, leading_number, number_after, place_of,
};
use super::text::{parse_i64, rsplit_once, split_once};

/// Takes from a line of a report what it tells.
pub(super) fn learn(happening: &mut Happening, text: &[u8]) {
    Details(happening).learn(text);
}

/// The details of a report.
struct Details<'a>(&'a mut Happening);

impl Details<'_> {
    /// Notes a detail; the first one of a name stays.
    fn note(&mut self, name: &str, value: Label<'_>) {
        if !self.0.detail.contains_key(name) {
            let happening = std::mem::replace(self.0, Happening::new(MEM_INFO, b""));
            *self.0 = happening.with(name, value);
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
        match self.0.kind {
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
        if self.0.kind != OOM {
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
