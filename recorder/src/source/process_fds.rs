//! What a process's newest descriptors are: a leak of descriptors is one of sockets, of pipes ...
//!
//! Descriptors are given out from the lowest free number up, so those that a process never closes
//! stand at the end. A few of them are looked at, and only when their number has grown by half
//! since: each look leaves a name in the kernel's dentry cache.

use crate::root::Root;

/// From this many descriptors on it is worth a look.
const LEAST: u64 = 32;

/// So many of the newest are looked at.
const LOOKED_AT: usize = 16;

/// Numbers that are tried: some of them are closed again.
const TRIED: u64 = 48;

/// What the newest descriptors of a process are, and with how many it was looked at.
#[derive(Debug, Default)]
pub struct Newest {
    looked_at: u64,
    /// The kind of most of them; `None` where they are of several kinds or were not seen.
    pub kind: Option<Vec<u8>>,
}

impl Newest {
    /// Looks again where there are many more than at the last time.
    pub fn update(&mut self, root: &Root, pid: u32, fds: Option<u64>) {
        let Some(fds) = fds else { return };
        if fds < LEAST || fds < self.looked_at + self.looked_at / 2 {
            return;
        }
        self.looked_at = fds;
        let mut kinds: Vec<Vec<u8>> = Vec::with_capacity(LOOKED_AT);
        // Some lower numbers may be free, then the newest have higher ones than their count.
        let first = (fds + 16).saturating_sub(TRIED);
        for number in (first..fds + 16).rev() {
            if let Some(link) = root.read_link(&format!("proc/{pid}/fd/{number}")) {
                kinds.push(kind_of(&link));
                if kinds.len() == LOOKED_AT {
                    break;
                }
            }
        }
        kinds.sort_unstable();
        let most = kinds
            .chunk_by(|a, b| a == b)
            .max_by_key(|same| same.len())
            .filter(|same| same.len() * 4 >= kinds.len() * 3);
        self.kind = most.and_then(|same| same.first().cloned());
    }
}

/// What a descriptor's link says it is: `socket`, `pipe`, `eventfd`, `bpf-map`, `memfd`, `file`, or the
/// device's path with its numbers folded.
fn kind_of(link: &[u8]) -> Vec<u8> {
    if let Some(name) = link.strip_prefix(b"anon_inode:") {
        let name = name.strip_prefix(b"[").unwrap_or(name);
        return name.strip_suffix(b"]").unwrap_or(name).to_vec();
    }
    for special in [b"/memfd:".as_slice(), b"/dmabuf:"] {
        if link.starts_with(special) {
            return special[1..special.len() - 1].to_vec();
        }
    }
    let is_device = link.starts_with(b"/dev/") && !link.starts_with(b"/dev/shm/");
    if is_device {
        let mut path = link.to_vec();
        path.retain(|byte| !byte.is_ascii_digit());
        return path;
    }
    if link.starts_with(b"/") {
        return b"file".to_vec();
    }
    link.split(|&byte| byte == b':')
        .next()
        .unwrap_or(link)
        .to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::super::made_up::MadeUp;
    use super::*;

    #[test]
    fn links_say_what_a_descriptor_is() {
        for (link, kind) in [
            ("socket:[1234]", "socket"),
            ("pipe:[7]", "pipe"),
            ("anon_inode:[eventfd]", "eventfd"),
            ("anon_inode:inotify", "inotify"),
            ("anon_inode:bpf-map", "bpf-map"),
            ("net:[4026531840]", "net"),
            ("/memfd:jit (deleted)", "memfd"),
            ("/dmabuf:", "dmabuf"),
            ("/dev/dri/renderD128", "/dev/dri/renderD"),
            ("/dev/shm/ring", "file"),
            ("/var/log/messages", "file"),
        ] {
            assert_eq!(kind_of(link.as_bytes()), kind.as_bytes(), "{link}");
        }
    }

    #[test]
    fn the_newest_are_looked_at_when_there_are_many_more() {
        let machine = MadeUp::new();
        let open = |numbers: std::ops::Range<u64>, what: &str| {
            for number in numbers {
                machine.link(
                    &format!("proc/7/fd/{number}"),
                    &format!("{what}:[{number}]"),
                );
            }
        };
        let root = machine.root();
        let mut newest = Newest::default();
        open(0..20, "pipe");
        newest.update(&root, 7, Some(20));
        assert_eq!(newest.kind, None, "too few");
        open(20..40, "socket");
        newest.update(&root, 7, Some(40));
        assert_eq!(newest.kind.as_deref(), Some(&b"socket"[..]));
        open(40..58, "pipe");
        newest.update(&root, 7, Some(58));
        assert_eq!(
            newest.kind.as_deref(),
            Some(&b"socket"[..]),
            "not many more"
        );
        open(58..66, "socket");
        newest.update(&root, 7, Some(66));
        assert_eq!(newest.kind, None, "some are pipes, some sockets");
    }
}
