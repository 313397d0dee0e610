//! Reading numbers and words from bytes: the kernel's text need not be UTF-8, and a parser must
//! neither panic nor allocate for each line.

#![deny(clippy::indexing_slicing)]

use std::collections::HashSet;
use std::hash::Hash;

use memsoak_schema::Issue;

/// A line that has not the form that its file has.
pub(super) const MALFORMED: &str = "line not understood";
/// A second row with the name of an earlier one; the first is kept.
pub(super) const DUPLICATE: &str = "name stands twice";

/// The issues of one file, bounded: a file that is garbage from end to end costs a few of them.
#[derive(Debug, Default)]
pub(super) struct Issues {
    list: Vec<Issue>,
    more: usize,
}

impl Issues {
    const MOST: usize = 16;

    /// Adds an issue with a line, or counts it when there are enough of them.
    pub(super) fn add(&mut self, line: usize, what: &'static str, text: &[u8]) {
        if self.list.len() < Self::MOST {
            self.list.push(Issue::new(line, what, text));
        } else {
            self.more += 1;
        }
    }

    /// All of them, with the number of those that were only counted.
    pub(super) fn finish(mut self) -> Vec<Issue> {
        if self.more > 0 {
            let count = self.more.to_string();
            self.list
                .push(Issue::new(0, "number of further issues", count.as_bytes()));
        }
        self.list
    }
}

/// The whole lines of a file, numbered from 1.
///
/// The kernel ends every line; what follows the last line end was cut off in the middle, where a
/// number would be read too small, so it becomes an issue and is not handed out. So does a file
/// without any text, which none of these interfaces gives.
pub(super) fn lines<'a>(
    text: &'a [u8],
    issues: &mut Issues,
) -> impl Iterator<Item = (usize, &'a [u8])> + use<'a> {
    let whole = match text.iter().rposition(|byte| *byte == b'\n') {
        Some(last) => text.split_at_checked(last),
        None => None,
    };
    let (whole, tail) = match whole {
        Some((whole, rest)) => (Some(whole), rest.strip_prefix(b"\n").unwrap_or(rest)),
        None => (None, text),
    };
    if text.is_empty() {
        issues.add(0, "file is empty", b"");
    } else if !tail.is_empty() {
        let before = text.iter().filter(|byte| **byte == b'\n').count();
        issues.add(before + 1, "line is cut off", tail);
    }
    whole
        .into_iter()
        .flat_map(|whole| whole.split(|byte| *byte == b'\n'))
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

/// The words of a line: what stands between white space.
pub(super) fn words(line: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

/// A line's first word, and what follows it.
pub(super) fn first_word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii_start();
    let end = line
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(line.len());
    let (word, rest) = line.split_at_checked(end)?;
    (!word.is_empty()).then_some((word, rest))
}

/// A line's last word, and what stands before it.
pub(super) fn last_word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii_end();
    let start = line
        .iter()
        .rposition(u8::is_ascii_whitespace)
        .map_or(0, |at| at + 1);
    let (rest, word) = line.split_at_checked(start)?;
    (!word.is_empty()).then_some((rest, word))
}

/// What stands before and after the first `byte`.
pub(super) fn split_once(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|b| *b == byte)?;
    let (before, rest) = text.split_at_checked(at)?;
    Some((before, rest.get(1..)?))
}

/// What stands before and after the last `mark`.
pub(super) fn rsplit_once<'a>(text: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text
        .windows(mark.len())
        .rposition(|window| window == mark)?;
    let (before, rest) = text.split_at_checked(at)?;
    Some((before, rest.strip_prefix(mark)?))
}

/// A whole number of digits only; `None` when it does not fit into 64 bits.
pub(super) fn parse_u64(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A whole number that may have a minus sign.
pub(super) fn parse_i64(word: &[u8]) -> Option<i64> {
    match word.strip_prefix(b"-") {
        Some(digits) => 0_i64.checked_sub_unsigned(parse_u64(digits)?),
        None => i64::try_from(parse_u64(word)?).ok(),
    }
}

/// A number with a decimal fraction (`12.75`).
pub(super) fn parse_decimal(word: &[u8]) -> Option<f64> {
    let (whole, fraction) = split_once(word, b'.').unwrap_or((word, b"0"));
    if whole.is_empty() || fraction.is_empty() {
        return None;
    }
    // The standard library rounds correctly, but also takes "inf" and "1e5": only digits may pass.
    if !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// Undoes the kernel's octal escapes (`\040`) of white space and backslashes.
pub(super) fn unescape(mut path: &[u8], name: &mut Vec<u8>) {
    name.clear();
    while let Some((first, rest)) = path.split_first() {
        match (first, rest.split_at_checked(3)) {
            (b'\\', Some((digits, after))) if octal(digits).is_some() => {
                name.extend(octal(digits));
                path = after;
            }
            _ => {
                name.push(*first);
                path = rest;
            }
        }
    }
}

fn octal(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0_u8, |sum, digit| {
        let digit = matches!(digit, b'0'..=b'7').then(|| digit - b'0')?;
        sum.checked_mul(8)?.checked_add(digit)
    })
}

/// A number that stands for a name: FNV-1a of 64 bits, which stays the same from version to version.
pub(super) fn fnv(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The names that a file has shown: two rows of one name could not be told apart in the recording.
#[derive(Debug)]
pub(super) struct Seen<K>(HashSet<K>);

impl<K: Eq + Hash> Seen<K> {
    /// None yet, with room for as many as a file of this kind has.
    pub(super) fn with_room(names: usize) -> Self {
        Self(HashSet::with_capacity(names))
    }

    /// Takes a name; false when it was there before.
    pub(super) fn take(&mut self, name: K) -> bool {
        self.0.insert(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &[u8]) -> (Vec<&[u8]>, Vec<Issue>) {
        let mut issues = Issues::default();
        let all = lines(text, &mut issues).map(|(_, line)| line).collect();
        (all, issues.finish())
    }

    #[test]
    fn a_line_without_an_end_is_not_handed_out() {
        assert_eq!(split(b"a\nb\n"), (vec![&b"a"[..], b"b"], vec![]));
        assert_eq!(split(b"\n"), (vec![&b""[..]], vec![]));
        assert_eq!(
            split(b"a 12\nb 3"),
            (
                vec![&b"a 12"[..]],
                vec![Issue::new(2, "line is cut off", b"b 3")]
            )
        );
        assert_eq!(
            split(b"b 3"),
            (vec![], vec![Issue::new(1, "line is cut off", b"b 3")])
        );
        assert_eq!(
            split(b""),
            (vec![], vec![Issue::new(0, "file is empty", b"")])
        );
    }

    #[test]
    fn numbers_are_digits_that_fit_and_nothing_else() {
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        for bad in [&b""[..], b"+1", b"-1", b" 1", b"1_000", b"0x10", b"1\xff"] {
            assert_eq!(parse_u64(bad), None);
        }
        assert_eq!(parse_i64(b"-2"), Some(-2));
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_i64(b"9223372036854775808"), None);
        assert_eq!(parse_i64(b"--2"), None);
    }

    #[test]
    fn fractions_are_digits_around_one_point() {
        assert_eq!(parse_decimal(b"12.75"), Some(12.75));
        assert_eq!(parse_decimal(b"3"), Some(3.0));
        for bad in [
            &b""[..],
            b".",
            b"1.",
            b".5",
            b"1.2.3",
            b"1e5",
            b"inf",
            b"-1.0",
        ] {
            assert_eq!(parse_decimal(bad), None);
        }
    }

    #[test]
    fn words_come_off_both_ends_of_a_line() {
        assert_eq!(first_word(b"  a b c "), Some((&b"a"[..], &b" b c "[..])));
        assert_eq!(last_word(b"  a b c "), Some((&b"  a b "[..], &b"c"[..])));
        assert_eq!(last_word(b"c"), Some((&b""[..], &b"c"[..])));
        assert_eq!(first_word(b" \t "), None);
        assert_eq!(last_word(b" \t "), None);
        assert_eq!(rsplit_once(b"a:b:c", b":"), Some((&b"a:b"[..], &b"c"[..])));
    }

    #[test]
    fn a_number_for_a_name_is_that_of_the_published_test_vectors() {
        assert_eq!(fnv(&[b""]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(&[b"foo", b"bar"]), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn garbage_of_any_length_gives_few_issues() {
        let mut issues = Issues::default();
        for line in 1..=1000 {
            issues.add(line, MALFORMED, b"x");
        }
        let list = issues.finish();
        assert_eq!(list.len(), 17);
        assert_eq!(
            list.last().map(ToString::to_string).as_deref(),
            Some("number of further issues: \"984\"")
        );
    }
}
