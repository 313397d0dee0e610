//! What a capture keeps of a source, so that what is imported later goes the same way as what is
//! recorded.

use super::{Sampler, Setup};

/// What a capture keeps of a source.
#[derive(Clone, Copy, Debug)]
pub enum Captured {
    /// The texts named by the paths of its description, as they are.
    Paths,
    /// These, where its description names folders, or it reads more than it names.
    Kept(&'static [Kept]),
    /// These, which another sampler reads than the one of a running machine.
    Copied(&'static [Kept], fn(&Setup) -> Box<dyn Sampler>),
    /// Nothing, and why: what it asks the kernel for is in no file.
    Nothing(&'static str),
}

/// Files below the root, by a pattern of path components: `PID` stands for every process, `*` for any
/// part of a name, `**` for a folder and all that lie below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Text, as it is.
    Text(&'static str),
    /// A link, without the folders before the name that it points to.
    Link(&'static str),
    /// The names in a folder, one on a line, as a text in the folder's place.
    Names(&'static str),
    /// The kernel's log up to now, with the text of its reports about memory only.
    Log(&'static str),
}

impl Kept {
    /// Its pattern.
    pub fn pattern(self) -> &'static str {
        match self {
            Self::Text(pattern)
            | Self::Link(pattern)
            | Self::Names(pattern)
            | Self::Log(pattern) => pattern,
        }
    }
}
