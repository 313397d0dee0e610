//! Numbers as people say them.

/// A length of time given in hours.
pub(crate) fn hours(hours: f64) -> String {
    if hours < 1.0 / 60.0 {
        format!("{:.0} s", hours * 3600.0)
    } else if hours < 1.0 {
        format!("{:.0} min", hours * 60.0)
    } else if hours < 72.0 {
        format!("{hours:.1} h")
    } else if hours < 24.0 * 365.0 {
        format!("{:.1} days", hours / 24.0)
    } else {
        format!("{:.0} years", hours / 24.0 / 365.0)
    }
}

/// A length of time given in seconds.
pub(crate) fn seconds(seconds: f64) -> String {
    hours(seconds / 3600.0)
}

/// A length of time given in seconds that may be very short.
pub(crate) fn took(time: f64) -> String {
    if time < 1e-3 {
        format!("{:.0} us", time * 1e6)
    } else if time < 1.0 {
        format!("{:.0} ms", time * 1e3)
    } else {
        seconds(time)
    }
}

/// A share between 0 and 1 in per cent, with a digit more where it is small.
pub(crate) fn percent(share: f64) -> String {
    if share.abs() < 0.0995 {
        format!("{:.1} %", share * 100.0)
    } else {
        format!("{:.0} %", share * 100.0)
    }
}

/// Bytes with their unit.
pub(crate) fn bytes(bytes: f64) -> String {
    crate::chart::Quantity::Bytes.format(bytes)
}

/// A number of things with its word: `1 leak`, `3 leaks`.
pub(crate) fn count(n: usize, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

/// The line of a text of the kernel that says most: the first one that holds `word`, or the first
/// at all. Line ends stand as `\\n` in a printable text.
pub(crate) fn headline(text: &str, word: &str) -> String {
    let mut lines = text.split("\\n").filter(|line| !line.trim().is_empty());
    let first = lines.clone().next().unwrap_or_default();
    let line = lines.find(|line| line.contains(word)).unwrap_or(first);
    let mut short: String = line.trim().chars().take(LINE_CHARS).collect();
    if short.len() < line.trim().len() {
        short.push_str("...");
    }
    short
}

/// A line in the report is cut here; the recording has it whole.
const LINE_CHARS: usize = 300;
