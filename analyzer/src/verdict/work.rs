//! The work that a machine did: what memory may follow without leaking.

use super::Cells;
use crate::stats;

/// A kind of work, as a total over time.
///
/// Work is what comes and goes with the load and holds no memory itself: CPU time, context switches,
/// page faults, transfers. What a leak piles up (processes, descriptors, sockets, mapped pages) must
/// not stand here, nor a load average, in which tasks that hang are counted for ever: it would excuse
/// itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// What it is called in a sentence: "CPU time".
    pub what: &'static str,
    /// What one of it is: "CPU second".
    pub unit: &'static str,
    /// What one of it a second is: "CPU in use".
    pub rate_unit: &'static str,
    /// A growing memory makes this work itself, as pages that are allocated and faulted in. That its
    /// growth follows such work says nothing.
    pub by_growth: bool,
    /// Times, ascending.
    t_s: Vec<f64>,
    /// How much was done until then.
    done: Vec<f64>,
}

impl Work {
    /// Work by how much was done until each of some instants, in order of time. `None` where less than
    /// two are known or none was done.
    #[must_use]
    pub fn new(
        what: &'static str,
        [unit, rate_unit]: [&'static str; 2],
        by_growth: bool,
        t_s: Vec<f64>,
        done: Vec<f64>,
    ) -> Option<Self> {
        let ascending = |of: &[f64]| of.windows(2).all(|w| w[1] >= w[0]);
        let rises = ascending(&t_s) && ascending(&done) && done.last() > done.first();
        (t_s.len() == done.len() && rises).then_some(Self {
            what,
            unit,
            rate_unit,
            by_growth,
            t_s,
            done,
        })
    }

    /// How much was done until an instant; on the line between those known.
    pub(super) fn done_until(&self, t: f64) -> f64 {
        let after = self.t_s.partition_point(|of| *of < t);
        let Some(left) = after.checked_sub(1) else {
            return self.done.first().copied().unwrap_or(0.0);
        };
        let Some(right) = self.t_s.get(after) else {
            return self.done[left];
        };
        let share = (t - self.t_s[left]) / (right - self.t_s[left]);
        self.done[left] + share * (self.done[after] - self.done[left])
    }

    /// The work a second between two instants; `None` where less than half of that time is known.
    pub(super) fn rate(&self, from: f64, to: f64) -> Option<f64> {
        let (first, last) = (*self.t_s.first()?, *self.t_s.last()?);
        let (known_from, known_to) = (from.max(first), to.min(last));
        let known = known_to - known_from;
        (known > 0.0 && known >= 0.5 * (to - from))
            .then(|| (self.done_until(known_to) - self.done_until(known_from)) / known)
    }

    /// How many instants are known between two.
    pub(super) fn known(&self, from: f64, to: f64) -> usize {
        self.t_s.partition_point(|t| *t <= to) - self.t_s.partition_point(|t| *t < from)
    }
}

/// A series by stretches of equal time.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Course {
    /// The middle of each stretch.
    pub(super) t_s: Vec<f64>,
    /// The mean of the series there.
    pub(super) level: Vec<f64>,
    /// Just the time that the cells of each stand for, so that work is of the same.
    ends: Vec<(f64, f64)>,
    /// Length of a stretch.
    pub(super) width: f64,
}

/// A stretch has this many cells, so that its mean says more than one of them.
const CELLS_EACH: usize = 3;

impl Course {
    /// Cuts a life into stretches, and leaves out those in its first `start_up` share. `None` where it
    /// would have fewer than `least`; `most` bounds them.
    pub(super) fn of(life: &Cells, most: usize, least: usize, start_up: f64) -> Option<Self> {
        let t = &life.t_s;
        let count = (t.len() / CELLS_EACH).min(most);
        if count < least {
            return None;
        }
        let apart: Vec<f64> = t.windows(2).map(|w| w[1] - w[0]).collect();
        // A cell stands in the middle of its time.
        let half = 0.5 * stats::median(&apart);
        let (start, end) = (*t.first()? - half, *t.last()? + half);
        let width = (end - start) / count as f64;
        let mut course = Self {
            width,
            ..Self::default()
        };
        let mut from = 0;
        for k in 1..=count {
            let to = from + t[from..].partition_point(|t| *t < start + width * k as f64);
            let cells = from..to;
            from = to;
            let Some((first, last)) = t[cells.clone()].first().zip(t[cells.clone()].last()) else {
                continue;
            };
            let (left, right) = (first - half, last + half);
            let middle = f64::midpoint(left, right);
            if middle - start >= start_up * (end - start) {
                course.t_s.push(middle);
                course.level.push(stats::mean(&life.median[cells]));
                course.ends.push((left, right));
            }
        }
        Some(course)
    }

    /// How many stretches there are.
    pub(super) fn len(&self) -> usize {
        self.t_s.len()
    }

    /// The rate of a work in each stretch, `lag` stretches before; NaN where it is not known.
    pub(super) fn rates(&self, work: &Work, lag: f64) -> Vec<f64> {
        let late = lag * self.width;
        let rate = |(left, right): &(f64, f64)| work.rate(left - late, right - late);
        self.ends
            .iter()
            .map(|ends| rate(ends).unwrap_or(f64::NAN))
            .collect()
    }

    /// The work done until the middle of each stretch.
    pub(super) fn done(&self, work: &Work) -> Vec<f64> {
        self.t_s.iter().map(|t| work.done_until(*t)).collect()
    }

    /// Whether a work is known about as finely as the series.
    pub(super) fn is_known_to(&self, work: &Work) -> bool {
        let ends = self.ends.first().zip(self.ends.last());
        ends.is_some_and(|(first, last)| work.known(first.0, last.1) >= self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10 a second for 100 s, then 30 a second.
    fn work() -> Work {
        let t: Vec<f64> = (0..=20).map(|i| 10.0 * f64::from(i)).collect();
        let done = t.iter().map(|t| 10.0 * t + 20.0 * (t - 100.0).max(0.0));
        let done = done.collect();
        Work::new("CPU time", ["CPU second", "CPU in use"], false, t, done).expect("work was done")
    }

    #[test]
    fn rates_are_means_over_exactly_the_time_asked_for() {
        let work = work();
        assert_eq!(work.rate(0.0, 100.0), Some(10.0));
        assert_eq!(work.rate(50.0, 150.0), Some(20.0));
        assert_eq!(work.rate(103.0, 104.0), Some(30.0));
        // Of 180 to 220 half is known, of 190 to 220 a third.
        assert_eq!(work.rate(180.0, 220.0), Some(30.0));
        assert_eq!(work.rate(190.0, 220.0), None);
    }

    #[test]
    fn a_total_that_falls_or_stays_is_no_work() {
        let of = |done: &[f64]| Work::new("", ["", ""], false, vec![0.0, 1.0, 2.0], done.to_vec());
        assert!(of(&[0.0, 1.0, 2.0]).is_some());
        assert_eq!(of(&[0.0, 2.0, 1.0]), None);
        assert_eq!(of(&[5.0, 5.0, 5.0]), None);
        assert_eq!(of(&[0.0, 1.0]), None);
        assert_eq!(Work::new("", ["", ""], false, Vec::new(), Vec::new()), None);
    }

    #[test]
    fn a_series_lies_beside_the_work_of_its_own_time_or_of_the_stretch_before() {
        // 200 samples in the middle of their seconds, ten to a stretch.
        let t: Vec<f64> = (0..200).map(|i| f64::from(i) + 0.5).collect();
        let course = Course::of(&Cells::from_samples(&t, &t), 20, 16, 0.1).expect("long enough");
        assert_eq!(course.len(), 18);
        assert!((course.width - 10.0).abs() < 1e-9 && (course.t_s[0] - 25.0).abs() < 1e-9);
        assert!((course.level[0] - 25.0).abs() < 1e-9);
        let now = course.rates(&work(), 0.0);
        let before = course.rates(&work(), 1.0);
        assert_eq!((now[7], now[8]), (10.0, 30.0));
        assert_eq!((before[8], before[9]), (10.0, 30.0));
        assert!((course.done(&work())[0] - 250.0).abs() < 1e-9);
        // 21 instants for 18 stretches, but not for 36.
        assert!(course.is_known_to(&work()));
        let fine = Course::of(&Cells::from_samples(&t, &t), 40, 16, 0.1).expect("long enough");
        assert!(!fine.is_known_to(&work()));
        let short = Cells::from_samples(&t[..40], &t[..40]);
        assert_eq!(Course::of(&short, 20, 16, 0.1), None);
    }
}
