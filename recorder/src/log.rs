//! Words on stderr: `key=value`, at a limited rate.

use std::io::Write;
use std::time::{Duration, Instant};

/// Says something that is as it should be.
pub fn info(pairs: &[(&str, &str)]) {
    line("info", pairs);
}

/// Says something that somebody should look at.
pub fn warn(pairs: &[(&str, &str)]) {
    line("warn", pairs);
}

fn line(level: &str, pairs: &[(&str, &str)]) {
    let mut text = format!("memsoak-record level={level}");
    for (key, value) in pairs {
        text.push(' ');
        text.push_str(key);
        text.push('=');
        if value.contains([' ', '"', '=']) || value.chars().any(char::is_control) {
            text.push_str(&format!("{value:?}"));
        } else {
            text.push_str(value);
        }
    }
    text.push('\n');
    // Nobody may be listening any more; that is no reason to stop recording.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Lets a message through at most once a minute.
#[derive(Debug, Default)]
pub struct Limited {
    last: Option<Instant>,
}

impl Limited {
    /// Whether it may be said now.
    pub fn allow(&mut self) -> bool {
        let allowed = self
            .last
            .is_none_or(|last| last.elapsed() >= Duration::from_secs(60));
        if allowed {
            self.last = Some(Instant::now());
        }
        allowed
    }
}

/// Says why the program ends. Names of files stand in it, and those can hold anything.
pub fn error(error: &anyhow::Error) {
    let text = memsoak_schema::printable(format!("{error:#}").as_bytes());
    let _ = writeln!(std::io::stderr(), "memsoak-record: {text}");
}
