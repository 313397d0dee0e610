//! Where texts go so that they do not overlap: pure arithmetic on widths.

/// Where the text of a mark stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Placed {
    /// Row above the plot, 0 being nearest to it.
    pub(crate) row: usize,
    /// Left edge of the text.
    pub(crate) left: f64,
}

/// Places texts of `(x of the mark, width of its text)`, given in the order of x, into at most
/// `max_rows` rows between the edges. `None` for a text that finds no room.
///
/// A text stands to the right of its own line, which rises to the text's row. Going from right to left,
/// each text takes the row above all texts that begin below it; so no line passes through another mark's
/// text. At the right edge a text stands to the left of its line instead.
pub(crate) fn place_marks(
    marks: &[(f64, f64)],
    (left, right): (f64, f64),
    max_rows: usize,
) -> Vec<Option<Placed>> {
    let mut placed: Vec<Option<Placed>> = vec![None; marks.len()];
    // The left edge and what a row's nearest text to the right begins with.
    let mut row_starts: Vec<f64> = Vec::new();
    for (i, &(x, width)) in marks.iter().enumerate().rev() {
        let start = if x + width <= right {
            x
        } else {
            (x - width).max(left)
        };
        if start + width > right {
            continue;
        }
        let row = row_starts
            .iter()
            .rposition(|s| *s < start + width)
            .map_or(0, |r| r + 1);
        if row >= max_rows {
            continue;
        }
        let edge = start.min(x);
        match row_starts.get_mut(row) {
            Some(s) => *s = edge,
            None => row_starts.push(edge),
        }
        // A line to a high row also closes the rows that it passes.
        for s in row_starts.iter_mut().take(row) {
            *s = s.min(x);
        }
        placed[i] = Some(Placed { row, left: start });
    }
    placed
}

/// Breaks `text` at spaces into lines of at most `max_width`, as measured by `width`. A word that
/// is too long by itself is broken anywhere. At most `max_lines`; the last then ends in an ellipsis.
pub(crate) fn wrap(
    text: &str,
    max_width: f64,
    max_lines: usize,
    width: &dyn Fn(&str) -> f64,
) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        let joined = if line.is_empty() {
            word.to_owned()
        } else {
            format!("{line} {word}")
        };
        if width(&joined) <= max_width {
            line = joined;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for c in word.chars() {
            line.push(c);
            if width(&line) > max_width && line.chars().count() > 1 {
                line.pop();
                lines.push(std::mem::replace(&mut line, c.to_string()));
            }
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    if lines.len() > max_lines {
        lines.truncate(max_lines);
        if let Some(last) = lines.last_mut() {
            last.push(super::text::ELLIPSIS);
            *last = shorten(last, max_width, width);
        }
    }
    lines
}

/// `text`, or as much of its head as fits `max_width` together with an ellipsis.
pub(crate) fn shorten(text: &str, max_width: f64, width: &dyn Fn(&str) -> f64) -> String {
    if width(text) <= max_width {
        return text.to_owned();
    }
    let head: Vec<char> = text
        .trim_end_matches(super::text::ELLIPSIS)
        .chars()
        .collect();
    // The longest head that fits is found by halving, since measuring is the costly part.
    let with_mark =
        |n: usize| -> String { head[..n].iter().chain([&super::text::ELLIPSIS]).collect() };
    let (mut fits, mut fails) = (0, head.len() + 1);
    while fails - fits > 1 {
        let middle = usize::midpoint(fits, fails);
        if width(&with_mark(middle)) <= max_width {
            fits = middle;
        } else {
            fails = middle;
        }
    }
    with_mark(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chars(text: &str) -> f64 {
        text.chars().count() as f64
    }

    #[test]
    fn close_marks_climb_like_stairs() {
        let placed = place_marks(
            &[(0.0, 30.0), (10.0, 30.0), (20.0, 30.0), (80.0, 10.0)],
            (0.0, 100.0),
            4,
        );
        let rows: Vec<_> = placed.iter().map(|p| p.map(|p| p.row)).collect();
        assert_eq!(rows, [Some(2), Some(1), Some(0), Some(0)]);
    }

    #[test]
    fn a_mark_at_the_right_edge_has_its_text_on_the_left() {
        let placed = place_marks(&[(95.0, 30.0)], (0.0, 100.0), 4);
        assert_eq!(placed, [Some(Placed { row: 0, left: 65.0 })]);
    }

    #[test]
    fn a_text_without_room_is_left_out() {
        assert_eq!(place_marks(&[(5.0, 300.0)], (0.0, 100.0), 4), [None]);
        let many: Vec<(f64, f64)> = (0..1000).map(|i| (f64::from(i) / 10.0, 20.0)).collect();
        let placed = place_marks(&many, (0.0, 100.0), 3);
        assert!(placed.iter().flatten().count() >= 3);
    }

    #[test]
    fn words_wrap_and_the_last_line_says_that_it_was_cut() {
        assert_eq!(wrap("one two three", 7.0, 3, &chars), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij kl", 4.0, 2, &chars), ["abcd", "efg…"]);
        assert_eq!(wrap("", 4.0, 2, &chars), Vec::<String>::new());
        assert_eq!(shorten("abcdef", 4.0, &chars), "abc…");
        assert_eq!(shorten("abcdef", 0.0, &chars), "…");
    }

    proptest! {
        #[test]
        fn texts_of_marks_never_overlap(mut marks in prop::collection::vec((0.0..100.0_f64, 1.0..60.0_f64), 0..40)) {
            marks.sort_by(|a, b| a.0.total_cmp(&b.0));
            let placed = place_marks(&marks, (0.0, 100.0), 4);
            for (i, a) in placed.iter().enumerate() {
                for (j, b) in placed.iter().enumerate().skip(i + 1) {
                    if let (Some(a), Some(b)) = (a, b) && a.row == b.row {
                        let apart = a.left + marks[i].1 <= b.left || b.left + marks[j].1 <= a.left;
                        prop_assert!(apart, "{:?} {:?}", a, b);
                    }
                }
            }
        }
    }
}
