//! What one source held, as far as it is known, while what is left of its rows streams past.
//!
//! Only changes are stored, so a row that is lost leaves its thing in doubt until a later row says
//! what it holds, or the next full picture does. While anything is in doubt the samples are failed
//! ones; when nothing is any more, the picture is stored in full, as after any gap.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::{Value, ValueRef};

use crate::digest::{Digest, Lanes, Seal, Stamp};

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
    /// The sum is over all that was stored since the last keyframe.
    summed: bool,
    /// What the sample before said of it.
    last: Option<Lanes>,
    doubt: BTreeSet<i64>,
    lost: bool,
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
            summed: false,
            last: None,
            doubt: BTreeSet::new(),
            lost: true,
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

    /// A sample with the rows that were found at its tick. `sealed`: digests were written by then, so
    /// that one that is missing is damage.
    pub(super) fn sample(
        &mut self,
        stamp: Stamp,
        seal: Option<Seal>,
        sealed: bool,
        rows: &[(i64, Vec<Value>)],
    ) -> Kept {
        let found = self.sum_of(rows.iter().map(|(id, columns)| (*id, columns)));
        if stamp.keyframe {
            self.held.clear();
            self.doubt.clear();
            self.lost = false;
            self.sum = Digest::default();
            self.summed = true;
            self.last = Some(Lanes::default());
        }
        self.sum.join(found);
        self.apply(rows);
        let found = Lanes::of(found);
        match (seal, self.last) {
            // All that was stored since the last keyframe is there.
            (Some(Seal::Running(running)), _) if self.summed && running == Lanes::of(self.sum) => {
                self.doubt.clear();
                self.lost = false;
            }
            (Some(Seal::Running(running)), Some(last)) => {
                self.compare(running.wrapping_sub(last), found, rows);
            }
            (Some(Seal::Merged { running, own }), Some(last)) => {
                self.compare(own.wrapping_sub(last.link()), found, rows);
                // Those whose place it took are gone: later sums go on from what it says.
                self.summed &= !self.lost && self.doubt.is_empty();
                self.sum = running.into();
            }
            (Some(_), None) => self.lost = true,
            (None, _) if sealed => self.lost = true,
            (None, _) => self.lost |= rows.is_empty() && !self.believes,
        }
        self.last = seal.map(Seal::running);
        let usable = !self.lost && self.doubt.is_empty();
        let kept = match (usable, self.behind && !stamp.keyframe) {
            (false, _) => Kept::Nothing,
            (true, true) => Kept::Picture,
            (true, false) => Kept::Rows,
        };
        self.behind = kept == Kept::Nothing;
        kept
    }

    /// Compares what the rows of one sample must sum up to with what was found of them.
    fn compare(&mut self, wanted: Lanes, found: Lanes, rows: &[(i64, Vec<Value>)]) {
        let things = rows.iter().map(|(id, _)| crate::reader::what(*id));
        if wanted.keys != found.keys {
            self.lost = true;
        } else if wanted.values != found.values {
            self.doubt.extend(things);
        } else {
            for thing in things {
                self.doubt.remove(&thing);
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

    /// A sample, what it says of its rows, and they.
    type Told = (Stamp, Option<Seal>, Vec<(i64, Vec<Value>)>);

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
                (stamp(tick), Some(sum.seal()), rows)
            })
            .collect()
    }

    fn play(story: &[Told]) -> Vec<Kept> {
        let mut picture = Picture::new(vec![column("value")], true);
        story
            .iter()
            .map(|(stamp, seal, rows)| picture.sample(*stamp, *seal, true, rows))
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
            .map(|(at, (stamp, seal, rows))| {
                if at == 2 {
                    picture.stray(rows);
                    return Kept::Nothing;
                }
                picture.sample(*stamp, *seal, true, rows)
            })
            .collect();
        use Kept::{Nothing, Picture, Rows};
        assert_eq!(kept, [Rows, Rows, Nothing, Picture, Rows, Rows]);
    }
}
