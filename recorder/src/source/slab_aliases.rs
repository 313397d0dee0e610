//! Which caches the kernel merged into one, from the links in `/sys/kernel/slab`.
//!
//! SLUB merges caches of like objects; slabinfo shows the name of the first one only, and a leak may
//! be of any of them.

#![deny(clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashMap};
use std::mem::MaybeUninit;

use memsoak_schema::{Label, Rows};
use rustix::fs::{FileType, RawDir};

use super::captured::{Captured, Kept};
use super::files::Files;
use super::{Moment, Outcome, Sampler, Setup, slabinfo};
use crate::root::Root;

/// Names that are told of one cache; on large machines hundreds are merged.
const MOST_NAMES: usize = 24;

/// What a capture keeps.
pub(super) const CAPTURED: Captured =
    Captured::Kept(&[Kept::Text("proc/slabinfo"), Kept::Link("sys/kernel/slab/*")]);

/// Reads slabinfo and labels its caches.
struct Slabs {
    files: Files,
    read: Rows,
    aliases: HashMap<Vec<u8>, Vec<u8>>,
    /// How many caches there were when the links were read: a new one may have been merged.
    caches: usize,
}

/// Makes the sampler.
pub fn sampler(_: &Setup) -> Box<dyn Sampler> {
    Box::new(Slabs {
        files: Files::new(&slabinfo::SPEC, slabinfo::parse),
        read: Rows::default(),
        aliases: HashMap::new(),
        caches: 0,
    })
}

impl Sampler for Slabs {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        self.read.clear();
        let outcome = self.files.sample(moment, &mut self.read);
        if moment.full || self.read.len() != self.caches {
            self.caches = self.read.len();
            self.aliases = others(&links(moment.root));
        }
        for row in self.read.iter() {
            rows.entity(row.key(), row.name(), row.values());
            for (name, label) in row.labels() {
                rows.label(name, label);
            }
            if let Some(aliases) = self.aliases.get(row.name()) {
                rows.label("aliases", Label::Bytes(aliases));
            }
        }
        outcome
    }
}

/// The links in the folder: name and what it points to.
fn links(root: &Root) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let Ok(folder) = root.open_dir("sys/kernel/slab") else {
        return found; // SLAB, or a kernel that merges nothing
    };
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut entries = RawDir::new(&folder, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        if entry.file_type() == FileType::Symlink
            && let Ok(target) = rustix::fs::readlinkat(&folder, entry.file_name(), Vec::new())
        {
            found.push((entry.file_name().to_bytes().to_vec(), target.into_bytes()));
        }
    }
    found
}

/// For each name the others that share its cache, in order, with blanks between them.
fn others(links: &[(Vec<u8>, Vec<u8>)]) -> HashMap<Vec<u8>, Vec<u8>> {
    let mut sets: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
    for (name, target) in links {
        sets.entry(target).or_default().push(name);
    }
    let mut all = HashMap::new();
    for set in sets.values_mut().filter(|set| set.len() > 1) {
        set.sort_unstable();
        for name in set.iter() {
            let mut rest = set.iter().filter(|other| *other != name);
            let mut told: Vec<&[u8]> = rest.by_ref().take(MOST_NAMES).copied().collect();
            if rest.next().is_some() {
                told.push(b"...");
            }
            all.insert(name.to_vec(), told.join(&b' '));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::super::made_up::{MadeUp, SETUP};
    use super::*;

    fn told(aliases: &HashMap<Vec<u8>, Vec<u8>>, name: &str) -> Option<String> {
        let others = aliases.get(name.as_bytes())?;
        Some(String::from_utf8_lossy(others).into_owned())
    }

    #[test]
    fn names_that_point_to_one_cache_are_told_of_each_other() {
        let link = |name: &str, target: &str| (name.into(), target.into());
        let aliases = others(&[
            link("jbd2_inode", ":0000064"),
            link("iommu_iova", ":0000064"),
            link("ksm_rmap_item", ":0000064"),
            link("task_struct", ":0009000"),
        ]);
        assert_eq!(
            told(&aliases, "jbd2_inode").as_deref(),
            Some("iommu_iova ksm_rmap_item")
        );
        assert_eq!(told(&aliases, "task_struct"), None);
    }

    #[test]
    fn many_names_are_cut() {
        let links: Vec<_> = (10..60)
            .map(|at| (format!("c{at}").into_bytes(), b":0000008".to_vec()))
            .collect();
        let told = told(&others(&links), "c10").unwrap();
        assert_eq!(told.split(' ').count(), MOST_NAMES + 1);
        assert!(
            told.starts_with("c11 c12 ") && told.ends_with(" c34 ..."),
            "{told}"
        );
    }

    #[test]
    fn the_caches_of_a_machine_are_labelled_and_otherwise_as_they_were() {
        let capture = "6.18-x86_64-microvm/t0";
        let text = super::super::fixtures::capture(capture, "proc/slabinfo");
        let machine = MadeUp::new();
        machine.file("proc/slabinfo", &text);
        machine.folder("sys/kernel/slab/:0000192");
        for name in ["dentry", "my_objects"] {
            machine.link(&format!("sys/kernel/slab/{name}"), ":0000192");
        }
        let (rows, _) = machine.sample(sampler(&SETUP).as_mut(), true);
        let mut plain = Rows::default();
        slabinfo::parse(&text, 0, &mut plain);
        assert_eq!(rows.len(), plain.len());
        for (labelled, plain) in rows.iter().zip(plain.iter()) {
            assert_eq!(labelled.key(), plain.key());
            assert_eq!(labelled.values(), plain.values());
            let mut expected: Vec<_> = plain.labels().collect();
            if plain.name() == b"dentry" {
                expected.push(("aliases", Label::Bytes(b"my_objects")));
            }
            assert_eq!(labelled.labels().collect::<Vec<_>>(), expected);
        }
    }
}
