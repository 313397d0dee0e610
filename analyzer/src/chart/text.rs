//! Makes names that come from the machine under test safe to draw and to print.
//!
//! A process may call itself anything: terminal escapes, right-to-left overrides that reverse the
//! rest of a line, kilobytes of letters. A chart is pasted into a bug report, so all of these are
//! shown instead of obeyed.

/// Thin and narrow no-break space, the digit grouping of this program's own numbers.
const OWN_SPACES: [char; 2] = ['\u{2009}', '\u{202f}'];

/// What stands at the end of a shortened text.
pub(crate) const ELLIPSIS: char = '…';

/// `text` with every non-printing character as `\u{..}`, and at most `max_chars` characters long.
///
/// Combining marks count as non-printing: without their base they would pile onto a neighbour.
/// A text that is too long keeps its head and ends in `…`; an escape is never cut in half.
#[must_use]
pub fn safe_text(text: &str, max_chars: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    // One place is kept for the ellipsis, and given back below when the text ends just there.
    let mut fits = (0, 0);
    for c in text.chars() {
        let piece = escaped(c);
        let n = piece.chars().count();
        if used + n > max_chars {
            out.truncate(fits.0);
            if max_chars > 0 {
                out.push(ELLIPSIS);
            }
            return out;
        }
        out.push_str(&piece);
        used += n;
        if used < max_chars {
            fits = (out.len(), used);
        }
    }
    out
}

fn escaped(c: char) -> String {
    if matches!(c, ' '..='~') || OWN_SPACES.contains(&c) {
        c.to_string()
    } else if c.is_control() {
        // `escape_debug` would say `\n`; one form for all is easier to search for.
        c.escape_unicode().to_string()
    } else {
        c.escape_debug().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_names_stay_as_they_are() {
        assert_eq!(
            safe_text("kmalloc-rnd-05-96 \"x\" \\ 12\u{2009}345 é 木", 99),
            "kmalloc-rnd-05-96 \"x\" \\ 12\u{2009}345 é 木"
        );
    }

    #[test]
    fn what_does_not_print_is_spelled_out() {
        assert_eq!(
            safe_text("a\u{1b}[31m\n\u{202e}b\u{301}\u{feff}\u{a0}", 99),
            "a\\u{1b}[31m\\u{a}\\u{202e}b\\u{301}\\u{feff}\\u{a0}"
        );
    }

    #[test]
    fn a_long_name_keeps_its_head() {
        assert_eq!(safe_text("abcdef", 6), "abcdef");
        assert_eq!(safe_text("abcdefg", 6), "abcde…");
        assert_eq!(safe_text("abc\u{7}defg", 6), "abc…");
        assert_eq!(safe_text("abc", 0), "");
    }

    proptest! {
        #[test]
        fn any_text_becomes_printable_and_bounded(text in ".{0,80}", max in 0_usize..60) {
            let safe = safe_text(&text, max);
            prop_assert!(safe.chars().count() <= max);
            prop_assert!(!safe.chars().any(char::is_control));
            let turned = safe.contains(['\u{202e}', '\u{2066}', '\u{200f}']);
            prop_assert!(!turned);
        }
    }
}
