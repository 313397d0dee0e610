//! Reads a source whose files lie in folders that each machine names: devices, sizes, areas, nodes.
//!
//! The paths of its description are patterns, in which a `*` stands for any text within a name. The
//! files are opened for each read and not held: they are many and small, and an open one keeps a page
//! of the kernel's memory.

#![deny(clippy::indexing_slicing)]

use memsoak_schema::{Issue, Rows, Spec, Status, Value};
use rustix::io::Errno;

use super::files::{explain, reason_of};
use super::text::{Issues, MALFORMED, lines, parse_i64, parse_u64};
use super::{Moment, Outcome, Sampler};
use crate::root::{Root, read_opened};

/// One file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Which of [`Spec::paths`] it matches.
    pub pattern: usize,
    /// Where it lies, relative to the root.
    pub path: Vec<u8>,
    /// What stood in it.
    pub bytes: Vec<u8>,
}

/// What is wrong with a text, by its place among those that were read.
pub type TextIssue = (usize, Issue);

/// Understands all files of a source together.
pub type ParseTexts = fn(texts: &[Text], rows: &mut Rows) -> Vec<TextIssue>;

/// Files of one sample: a machine with more has something else in these folders.
const MOST_FILES: usize = 4096;

/// What the files of a source gave.
#[derive(Debug, Default)]
pub struct Texts {
    /// Those that could be read, in the order of the patterns and then of their paths.
    pub texts: Vec<Text>,
    /// The first refusal of each pattern, with the path it is about.
    pub refusals: Vec<(String, Errno)>,
}

impl Text {
    /// The last part of its path.
    pub fn file_name(&self) -> &[u8] {
        self.part(0)
    }

    /// The name of the folder that it lies in.
    pub fn folder(&self) -> &[u8] {
        self.part(1)
    }

    fn part(&self, from_the_end: usize) -> &[u8] {
        self.path
            .rsplit(|byte| *byte == b'/')
            .nth(from_the_end)
            .unwrap_or_default()
    }

    /// The number of a file that holds one, and nothing else.
    ///
    /// # Errors
    /// The issue that it is something else.
    pub fn number(&self) -> Result<Value, Issue> {
        let mut issues = Issues::default();
        let mut number = None;
        for (at, line) in lines(&self.bytes, &mut issues) {
            let value = parse_u64(line)
                .map(Value::from)
                .or_else(|| parse_i64(line).map(Value::from));
            match value {
                Some(value) if at == 1 => number = Some(value),
                _ => issues.add(at, MALFORMED, line),
            }
        }
        match (issues.finish().into_iter().next(), number) {
            (None, Some(value)) => Ok(value),
            (issue, _) => Err(issue.unwrap_or_else(|| Issue::new(0, MALFORMED, b""))),
        }
    }
}

/// Reads every file that matches a pattern of the description.
pub fn read_texts(root: &Root, spec: &Spec) -> Texts {
    let mut read = Texts::default();
    for (pattern, path) in spec.paths.iter().enumerate() {
        let mut refusal = None;
        let paths = root.matching(path).unwrap_or_else(|error| {
            refusal = Some(((*path).to_owned(), error));
            Vec::new()
        });
        let mut matched = false;
        for path in paths {
            if read.texts.len() == MOST_FILES {
                break;
            }
            matched = true;
            let mut bytes = Vec::new();
            let result = root
                .open_found(&path)
                .and_then(|fd| read_opened(&fd, &mut bytes));
            match result {
                Ok(()) => read.texts.push(Text {
                    pattern,
                    path,
                    bytes,
                }),
                Err(error) => {
                    refusal.get_or_insert_with(|| (path.escape_ascii().to_string(), error));
                }
            }
        }
        if !matched {
            refusal.get_or_insert_with(|| ((*path).to_owned(), Errno::NOENT));
        }
        read.refusals.extend(refusal);
    }
    read
}

/// Whether nothing lies where debugfs belongs.
fn lacks_debugfs(root: &Root, path: &str) -> bool {
    path.starts_with("sys/kernel/debug/")
        && root
            .matching("sys/kernel/debug/*")
            .is_ok_and(|found| found.is_empty())
}

/// Why a file was not read, and whether that matters where others were: a kernel that lacks a file
/// has nothing to tell there.
fn refusal(root: &Root, spec: &Spec, path: &str, error: Errno) -> (Status, String, bool) {
    if error == Errno::NOENT && lacks_debugfs(root, path) {
        let reason = format!("{path}: debugfs is not mounted at /sys/kernel/debug");
        return (Status::Unavailable, reason, true);
    }
    let (status, reason) = explain(error, path, spec.needs);
    // A device that went away while it was read is no more there than one that never was.
    let is_absent = matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::NODEV);
    (status, reason, !is_absent)
}

/// The files of one source.
#[derive(Debug)]
pub struct Matching {
    spec: &'static Spec,
    parse: ParseTexts,
}

impl Matching {
    /// Looks anew at each sample: what is not there now may come.
    pub fn new(spec: &'static Spec, parse: ParseTexts) -> Self {
        Self { spec, parse }
    }
}

impl Sampler for Matching {
    fn sample(&mut self, moment: &Moment<'_>, rows: &mut Rows) -> Outcome {
        let read = read_texts(moment.root, self.spec);
        let mut refusals = read
            .refusals
            .iter()
            .map(|(path, error)| refusal(moment.root, self.spec, path, *error));
        if read.texts.is_empty() {
            let (status, reason, _) = refusals
                .next()
                .unwrap_or_else(|| (Status::Failed, "nothing to read".to_owned(), true));
            return Outcome::nothing((status, reason));
        }
        let refused = refusals.find(|(.., matters)| *matters);
        let mut reason = refused.map(|(_, reason, _)| reason);
        if read.texts.len() == MOST_FILES {
            reason = Some(format!("more than {MOST_FILES} files: not all are read"));
        }
        let issues = (self.parse)(&read.texts, rows);
        if let Some((at, first)) = issues.first() {
            let path = read.texts.get(*at).map_or(&b""[..], |text| &text.path);
            reason = Some(reason_of(&path.escape_ascii(), first, issues.len()));
        }
        let bytes = read.texts.iter().map(|text| text.bytes.len() as u64).sum();
        Outcome::of_rows(reason, rows, bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use memsoak_schema::{MetricSpec, Shape, Unit};

    use super::super::made_up::MadeUp;
    use super::*;

    static SPEC: Spec = Spec {
        name: "areas",
        paths: &["sys/areas/area*/size", "sys/kernel/debug/areas/*/used"],
        shape: Shape::Scalars {
            known: &[],
            other: |_| MetricSpec::gauge("", Unit::Pages),
        },
        interval_s: 0,
        needs: "areas",
        caveats: "made up",
        overhead: "none",
    };

    fn parse(texts: &[Text], rows: &mut Rows) -> Vec<TextIssue> {
        let mut issues = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            match text.number() {
                Ok(number) => rows.scalar_parts(&[text.folder(), b".", text.file_name()], number),
                Err(issue) => issues.push((at, issue)),
            }
        }
        issues
    }

    fn sample(machine: &MadeUp) -> (Rows, Outcome) {
        machine.sample(&mut Matching::new(&SPEC, parse), true)
    }

    #[test]
    fn files_are_found_by_the_names_of_their_folders() {
        let machine = MadeUp::new();
        for (path, text) in [
            ("sys/areas/area1/size", "7\n"),
            ("sys/areas/area0/size", "-5\n"),
            ("sys/areas/area0/used", "1\n"),
            ("sys/areas/other/size", "2\n"),
            ("sys/kernel/debug/areas/x/used", "3\n"),
        ] {
            machine.file(path, text);
        }
        let (rows, outcome) = sample(&machine);
        assert_eq!((outcome.status, outcome.reason), (Status::Ok, None));
        assert_eq!(outcome.bytes, 7);
        let keys: Vec<_> = rows.iter().map(|row| row.key().to_vec()).collect();
        assert_eq!(
            keys,
            [&b"area0.size"[..], b"area1.size", b"x.used"].map(<[u8]>::to_vec)
        );
        assert_eq!(rows.value_of(b"area0.size"), Some(Value::Int(-5)));
    }

    /// A pipe knows no place to read from, as the files of debugfs that hold one number.
    #[test]
    fn a_file_that_cannot_be_read_from_a_place_is_read() {
        let (reader, writer) = std::io::pipe().unwrap();
        rustix::io::write(&writer, b"1953792\n").unwrap();
        drop(writer);
        let mut text = Vec::new();
        assert_eq!(
            crate::root::read_whole(&reader, &mut text),
            Err(Errno::SPIPE)
        );
        read_opened(&reader, &mut text).unwrap();
        assert_eq!(text, b"1953792\n");
    }

    #[test]
    fn a_kernel_without_some_of_the_files_is_read_in_full() {
        let machine = MadeUp::new();
        machine.file("sys/areas/area0/size", "7\n");
        machine.file("sys/kernel/debug/other", "");
        let (rows, outcome) = sample(&machine);
        assert_eq!((outcome.status, rows.len()), (Status::Ok, 1));
    }

    #[test]
    fn a_debugfs_that_is_not_mounted_is_named_as_the_reason() {
        let machine = MadeUp::new();
        machine.file("sys/areas/area0/size", "7\n");
        machine.folder("sys/kernel/debug");
        let (_, outcome) = sample(&machine);
        assert_eq!(outcome.status, Status::Partial);
        assert!(outcome.reason.unwrap().contains("debugfs is not mounted"));
    }

    #[test]
    fn a_machine_with_none_of_the_files_says_what_is_needed() {
        let machine = MadeUp::new();
        let (rows, outcome) = sample(&machine);
        assert!(rows.is_empty());
        assert_eq!(outcome.status, Status::Unavailable);
        assert_eq!(
            outcome.reason.unwrap(),
            "sys/areas/area*/size: not on this machine (needs areas)"
        );
    }

    #[test]
    fn a_file_that_is_not_understood_is_named() {
        let machine = MadeUp::new();
        machine.file("sys/areas/area0/size", "7");
        let (_, outcome) = sample(&machine);
        assert_eq!(outcome.status, Status::Failed);
        machine.file("sys/areas/area1/size", "7\n8\n");
        machine.file("sys/areas/area2/size", "9\n");
        let (rows, outcome) = sample(&machine);
        assert_eq!((outcome.status, rows.len()), (Status::Partial, 1));
        assert_eq!(
            outcome.reason.unwrap(),
            "sys/areas/area0/size: line 1: line is cut off: \"7\" and 1 more"
        );
    }
}
