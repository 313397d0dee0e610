//! What comes out of a file: bounded where it is a number, printable where it is text.

use std::ops::RangeInclusive;

use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::Labels;
use crate::writer::WHAT_BITS;

/// Times in us either way: 285 years, so that sums and differences of a few do not overflow.
pub(crate) const TIMES_US: RangeInclusive<i64> = -(1 << 53)..=1 << 53;

/// What a key has room for above [`WHAT_BITS`].
pub(crate) const TICKS: RangeInclusive<i64> = 0..=i64::MAX >> WHAT_BITS;

/// What a key has room for below.
pub(crate) const WHATS: RangeInclusive<i64> = 0..=(1 << WHAT_BITS) - 1;

/// Counts of moments and bytes.
pub(crate) const COUNTS: RangeInclusive<i64> = 0..=1 << 53;

/// No kernel counts beyond 64 bits.
const LARGEST: f64 = 18_446_744_073_709_551_616.0;

/// A whole number that is within its bounds.
pub(crate) fn within(
    row: &Row<'_>,
    at: usize,
    bounds: RangeInclusive<i64>,
) -> rusqlite::Result<i64> {
    let number: i64 = row.get(at)?;
    if bounds.contains(&number) {
        Ok(number)
    } else {
        Err(rusqlite::Error::IntegralValueOutOfRange(at, number))
    }
}

pub(crate) fn within_or_none(
    row: &Row<'_>,
    at: usize,
    bounds: RangeInclusive<i64>,
) -> rusqlite::Result<Option<i64>> {
    match row.get_ref(at)? {
        ValueRef::Null => Ok(None),
        _ => within(row, at, bounds).map(Some),
    }
}

/// A small number, of pages' bytes or processors.
pub(crate) fn small(
    row: &Row<'_>,
    at: usize,
    bounds: RangeInclusive<i64>,
) -> rusqlite::Result<u32> {
    let number = within(row, at, bounds)?;
    u32::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, number))
}

/// Text, printable whatever it is.
pub(crate) fn text(row: &Row<'_>, at: usize) -> rusqlite::Result<String> {
    Ok(printable(&bytes(row.get_ref(at)?)))
}

pub(crate) fn text_or_none(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<String>> {
    match row.get_ref(at)? {
        ValueRef::Null => Ok(None),
        _ => text(row, at).map(Some),
    }
}

/// Keys come in ascending order; where pages of a damaged file name one another in a ring, rows
/// would come for ever.
#[derive(Default)]
pub(crate) struct Ascending(Option<i64>);

impl Ascending {
    pub(crate) fn next(&mut self, id: i64) -> rusqlite::Result<()> {
        if self.0.is_some_and(|last| last >= id) {
            return Err(rusqlite::Error::IntegralValueOutOfRange(0, id));
        }
        self.0 = Some(id);
        Ok(())
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "judging needs 53 bits at the most"
)]
pub(crate) fn number(value: ValueRef<'_>) -> f64 {
    match value {
        ValueRef::Integer(i) => i as f64,
        ValueRef::Real(r) if r.abs() <= LARGEST => r,
        _ => f64::NAN,
    }
}

pub(crate) fn bytes(value: ValueRef<'_>) -> Vec<u8> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
        _ => Vec::new(),
    }
}

/// Labels hold what processes and people chose, so they are made printable as names are.
pub(crate) fn labels(value: ValueRef<'_>) -> Labels {
    let found: Labels = serde_json::from_slice(&bytes(value)).unwrap_or_default();
    found
        .into_iter()
        .map(|(key, label)| {
            let label = match label {
                serde_json::Value::String(text) => printable(text.as_bytes()).into(),
                label => label,
            };
            (printable(key.as_bytes()), label)
        })
        .collect()
}

/// Text from the kernel or the file, safe to print: what is not UTF-8 or would steer a terminal is
/// escaped.
pub fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // Bidirectional overrides and isolates reorder what stands around them.
            let steers = c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
            if steers {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&std::ascii::escape_default(*byte).to_string());
        }
    }
    out
}
