//! What a parser could not make sense of.

use std::fmt;

/// One line, or one part of a file, that was left out of a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Line number in the file, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong, as a lower-case fragment.
    pub what: &'static str,
    /// The offending text, at most 60 bytes of it, made printable.
    pub text: String,
}

impl Issue {
    /// An issue with a line of text.
    pub fn new(line: usize, what: &'static str, text: &[u8]) -> Self {
        let end = text.len().min(60);
        Self {
            line,
            what,
            text: text[..end].escape_ascii().to_string(),
        }
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        f.write_str(self.what)?;
        if !self.text.is_empty() {
            write!(f, ": \"{}\"", self.text)?;
        }
        Ok(())
    }
}
