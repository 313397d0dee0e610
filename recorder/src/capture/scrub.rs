//! Takes the host's name out of what is captured.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What stands in the place of the host's name.
const HOST: &[u8] = b"host";

/// Where groups, which users name, are folders.
const GROUPS: &str = "sys/fs/cgroup";

/// Replaces the host's name.
pub(super) struct Scrub {
    names: Vec<Vec<u8>>,
}

impl Scrub {
    /// Of this host: its name as it is, and without its domain.
    pub(super) fn of(name: &[u8]) -> Self {
        let short = name.split(|byte| *byte == b'.').next().unwrap_or(name);
        let mut names = vec![name.to_vec(), short.to_vec()];
        // A number would be found among the figures.
        names.retain(|name| !name.iter().all(u8::is_ascii_digit));
        names.dedup();
        Self { names }
    }

    /// The text with the host's name replaced where it stands as a word.
    pub(super) fn apply(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        let mut in_word = false;
        while let Some((first, after)) = rest.split_first() {
            let name = self.names.iter().find(|name| {
                let after = rest.strip_prefix(name.as_slice());
                !in_word && after.is_some_and(|after| !after.first().is_some_and(is_of_word))
            });
            rest = if let Some(name) = name {
                out.extend_from_slice(HOST);
                in_word = true;
                rest.get(name.len()..).unwrap_or_default()
            } else {
                out.push(*first);
                in_word = is_of_word(first);
                after
            };
        }
        out
    }
}

impl Scrub {
    /// The path with the host's name taken out of the names of groups.
    pub(super) fn apply_to_path(&self, path: &Path) -> PathBuf {
        let Ok(below) = path.strip_prefix(GROUPS) else {
            return path.to_owned();
        };
        let mut out = PathBuf::from(GROUPS);
        for part in below {
            out.push(OsStr::from_bytes(&self.apply(part.as_bytes())));
        }
        out
    }
}

fn is_of_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte >= 0x80
}

/// Whether users name what stands in a file: processes, groups, files of swap, mounts. The kernel's
/// own tables are left as they are, since a host can bear the name of a cache or a zone.
pub(super) fn is_named_by_users(path: &Path) -> bool {
    let mut parts = path.iter().filter_map(|part| part.to_str());
    match (parts.next(), parts.next()) {
        (Some("proc"), Some(of)) => {
            of == "self" || of == "swaps" || of.bytes().all(|byte| byte.is_ascii_digit())
        }
        (Some("sys"), Some(of)) => of == "fs",
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_name_is_replaced_where_it_is_a_word() {
        let scrub = Scrub::of(b"db1.example.org");
        for (text, scrubbed) in [
            ("db1.example.org db1 (db1)", "host host (host)"),
            ("/db1.slice/db1-agent", "/host.slice/host-agent"),
            ("db11 mydb1 db1x", "db11 mydb1 db1x"),
            ("", ""),
        ] {
            let out = scrub.apply(text.as_bytes());
            assert_eq!(String::from_utf8_lossy(&out), scrubbed);
        }
        assert_eq!(Scrub::of(b"42").apply(b"42 (42)"), b"42 (42)");
        assert_eq!(Scrub::of(b"").apply(b"a b"), b"a b");
    }
}
