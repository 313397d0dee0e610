//! What one source held, as far as it is known, while what is left of its rows streams past.
//!
//! Only changes are stored, so a row that is lost leaves its thing in doubt until a later row says
//! what it holds, or the next full picture does. While anything is in doubt the samples are failed
//! ones; when nothing is any more, the picture is stored in full, as after any gap.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::{Value, ValueRef};

use crate::digest::{Digest, Lanes, Stamp, step};

/// What becomes of a sample.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Its rows are stored as they are.
    Rows,
    /// The picture is stored in full.
    Picture,
    /// It is not to be believed.
    Nothing,
}

/// A source between two samples.
#[derive(Debug)]
pub(super) struct Picture {
    /// Names of the columns, as the digest takes them.
    pub(super) columns: Vec<u64>,
    held: BTreeMap<i64, Vec<Value>>,
    sum: Digest,
    since_keyframe: bool,
    last: Option<(i64, Stamp)>,
    doubt: BTreeSet<i64>,
    lost: bool,
    /// A sample without a digest came since the last keyframe: rows were merged to bound the size of
    /// the file, and no sum fits until the next keyframe.
    merged: bool,
    /// The new file does not hold the picture yet.
    behind: bool,
    /// A sample from before there were digests is taken at its word when it has no rows.
    believes: bool,
}

impl Picture {
    /// `believes` that nothing has changed where an older format has no rows at a sample.
    pub(super) fn new(columns: Vec<u64>, believes: bool) -> Self {
        Self {
            columns,
            held: BTreeMap::new(),
            sum: Digest::default(),
            since_keyframe: false,
            last: None,
            doubt: BTreeSet::new(),
            lost: true,
            merged: false,
            behind: true,
            believes,
        }
    }

    /// The sum over rows.
    pub(super) fn sum_of<'r>(&self, rows: impl Iterator<Item = (i64, &'r Vec<Value>)>) -> Digest {
        let mut sum = Digest::default();
        for (id, columns) in rows {
            let values = columns.iter().skip(1).map(ValueRef::from);
            sum.add(id, self.columns.iter().copied().zip(values));
        }
        sum
    }

    /// Rows of ticks whose sample is lost.
    pub(super) fn stray(&mut self, rows: &[(i64, Vec<Value>)]) {
        if rows.is_empty() {
            return;
        }
        let sum = self.sum_of(rows.iter().map(|(id, columns)| (*id, columns)));
        self.sum.join(sum);
        self.apply(rows);
        self.behind = true;
        self.last = None;
    }

    /// A sample with the rows that were found at its tick.
    pub(super) fn sample(
        &mut self,
        stamp: Stamp,
        digest: Option<i64>,
        rows: &[(i64, Vec<Value>)],
    ) -> Kept {
        let found = self.sum_of(rows.iter().map(|(id, columns)| (*id, columns)));
        if stamp.keyframe {
            self.sum = Digest::default();
            self.held.clear();
            self.doubt.clear();
            self.since_keyframe = true;
            self.last = None;
            self.merged = false;
        }
        self.sum.join(found);
        self.apply(rows);
        match digest {
            Some(_) if self.merged => {}
            Some(digest) => self.check(stamp, digest, found, rows),
            None if stamp.keyframe => self.lost = rows.is_empty() && !self.believes,
            None => self.lost |= rows.is_empty() && !self.believes,
        }
        self.merged |= digest.is_none();
        self.last = digest.map(|digest| (digest, stamp));
        let usable = self.since_keyframe && !self.lost && self.doubt.is_empty();
        let kept = match (usable, self.behind && !stamp.keyframe) {
            (false, _) => Kept::Nothing,
            (true, true) => Kept::Picture,
            (true, false) => Kept::Rows,
        };
        self.behind = kept == Kept::Nothing;
        kept
    }

    fn check(&mut self, stamp: Stamp, digest: i64, found: Digest, rows: &[(i64, Vec<Value>)]) {
        if self.since_keyframe && self.sum.seal(stamp) == digest {
            // All that was stored since the last keyframe is there.
            self.doubt.clear();
            self.lost = false;
            return;
        }
        let Some(last) = self.last else {
            self.lost = true;
            return;
        };
        let (wanted, found) = (step(last, (digest, stamp)), Lanes::of(found));
        if wanted.keys != found.keys {
            self.lost = true;
        } else if wanted.values != found.values {
            self.doubt
                .extend(rows.iter().map(|(id, _)| crate::reader::what(*id)));
        } else {
            for (id, _) in rows {
                self.doubt.remove(&crate::reader::what(*id));
            }
        }
    }

    fn apply(&mut self, rows: &[(i64, Vec<Value>)]) {
        for (id, columns) in rows {
            let what = crate::reader::what(*id);
            if columns.iter().all(|value| *value == Value::Null) {
                self.held.remove(&what);
            } else {
                self.held.insert(what, columns.clone());
            }
        }
    }

    /// Everything that is there.
    pub(super) fn held(&self) -> impl Iterator<Item = (i64, &Vec<Value>)> {
        self.held.iter().map(|(what, columns)| (*what, columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::column;

    const TICK: i64 = 1 << 24;

    /// A sample, its digest, and its rows.
    type Told = (Stamp, i64, Vec<(i64, Vec<Value>)>);

    fn row(tick: i64, what: i64, value: i64) -> (i64, Vec<Value>) {
        (
            (tick * TICK) | what,
            vec![Value::Null, Value::Integer(value)],
        )
    }

    fn stamp(tick: i64) -> Stamp {
        Stamp {
            id: (tick * TICK) | 9,
            status: 0,
            keyframe: tick == 1,
            boottime_us: tick,
        }
    }

    /// Three things of which 1 changes at each tick and 3 never, with the digests of a whole file.
    fn story() -> Vec<Told> {
        let picture = Picture::new(vec![column("value")], true);
        let mut sum = Digest::default();
        (1..=6)
            .map(|tick| {
                let mut rows = vec![row(tick, 1, 10 * tick)];
                if tick == 1 || tick == 3 {
                    rows.push(row(tick, 2, tick));
                }
                if tick == 1 {
                    rows.push(row(tick, 3, 7));
                }
                sum.join(picture.sum_of(rows.iter().map(|(id, columns)| (*id, columns))));
                (stamp(tick), sum.seal(stamp(tick)), rows)
            })
            .collect()
    }

    fn play(story: &[Told]) -> Vec<Kept> {
        let mut picture = Picture::new(vec![column("value")], true);
        story
            .iter()
            .map(|(stamp, digest, rows)| picture.sample(*stamp, Some(*digest), rows))
            .collect()
    }

    #[test]
    fn a_whole_story_is_kept_as_it_is() {
        assert!(play(&story()).iter().all(|kept| *kept == Kept::Rows));
    }

    #[test]
    fn an_altered_value_is_in_doubt_until_its_next_row() {
        let mut story = story();
        story[3].2[0].1[1] = Value::Integer(1_000_000);
        use Kept::{Nothing, Picture, Rows};
        assert_eq!(play(&story), [Rows, Rows, Rows, Nothing, Picture, Rows]);
    }

    #[test]
    fn a_lost_row_leaves_everything_in_doubt() {
        let mut story = story();
        story[2].2.pop();
        use Kept::{Nothing, Rows};
        let kept = play(&story);
        assert_eq!(kept, [Rows, Rows, Nothing, Nothing, Nothing, Nothing]);
    }

    #[test]
    fn rows_whose_sample_is_lost_are_vouched_for_by_the_next() {
        let mut picture = super::Picture::new(vec![column("value")], true);
        let kept: Vec<_> = story()
            .iter()
            .enumerate()
            .map(|(at, (stamp, digest, rows))| {
                if at == 2 {
                    picture.stray(rows);
                    return Kept::Nothing;
                }
                picture.sample(*stamp, Some(*digest), rows)
            })
            .collect();
        use Kept::{Nothing, Picture, Rows};
        assert_eq!(kept, [Rows, Rows, Nothing, Picture, Rows, Rows]);
    }
}
