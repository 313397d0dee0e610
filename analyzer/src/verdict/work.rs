//! The work that a machine did: what memory may follow without leaking.

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

/// The course of a series beside a work, by stretches of equal time.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Beside {
    /// The middle of each stretch.
    pub(super) t_s: Vec<f64>,
    /// The mean of the series there.
    pub(super) level: Vec<f64>,
    /// The rate of the work, `lag` stretches before.
    pub(super) rate: Vec<f64>,
    /// The work done until the middle.
    pub(super) done: Vec<f64>,
    /// Length of a stretch.
    pub(super) width: f64,
}

/// What is to be laid beside what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretches {
    /// At the most so many.
    pub(super) most: usize,
    /// At the least; where there would be fewer there are none.
    pub(super) least: usize,
    /// The share of the time at the start that is left out.
    pub(super) start_up: f64,
}

/// A stretch has this many cells, so that its mean says more than one of them.
const CELLS_EACH: usize = 3;

impl Stretches {
    /// Lays a series beside a work that it follows after `lag` stretches.
    pub(super) fn of(self, life: &super::Cells, work: &Work, lag: f64) -> Option<Beside> {
        let t = &life.t_s;
        let apart: Vec<f64> = t.windows(2).map(|w| w[1] - w[0]).collect();
        // A cell stands in the middle of its time.
        let half = 0.5 * stats::median(&apart);
        let (start, end) = (*t.first()? - half, *t.last()? + half);
        let count = (t.len() / CELLS_EACH)
            .min(work.known(start, end))
            .min(self.most);
        if count < self.least || end <= start {
            return None;
        }
        let width = (end - start) / count as f64;
        let mut beside = Beside {
            width,
            ..Beside::default()
        };
        let mut from = 0;
        for k in 1..=count {
            let to = from + t[from..].partition_point(|t| *t < start + width * k as f64);
            let cells = from..to;
            from = to;
            let Some((first, last)) = t[cells.clone()].first().zip(t[cells.clone()].last()) else {
                continue;
            };
            // Just the time that these cells stand for, so that both are of the same.
            let (left, right) = (first - half, last + half);
            let (middle, late) = (f64::midpoint(left, right), lag * width);
            let Some(rate) = work.rate(left - late, right - late) else {
                continue;
            };
            if middle - start < self.start_up * (end - start) {
                continue;
            }
            beside.t_s.push(middle);
            beside.level.push(stats::mean(&life.median[cells]));
            beside.rate.push(rate);
            beside.done.push(work.done_until(middle));
        }
        (beside.t_s.len() + 4 >= self.least).then_some(beside)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Cells;
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
        let life = Cells::from_samples(&t, &t);
        let stretches = Stretches {
            most: 20,
            least: 16,
            start_up: 0.1,
        };
        let now = stretches.of(&life, &work(), 0.0).expect("long enough");
        let before = stretches.of(&life, &work(), 1.0).expect("long enough");
        assert_eq!((now.t_s.len(), before.t_s.len()), (18, 18));
        assert!((now.width - 10.0).abs() < 1e-9 && (now.t_s[0] - 25.0).abs() < 1e-9);
        assert!((now.level[0] - 25.0).abs() < 1e-9);
        assert_eq!((now.rate[7], now.rate[8]), (10.0, 30.0));
        assert_eq!((before.rate[8], before.rate[9]), (10.0, 30.0));
        assert!((now.done[0] - 250.0).abs() < 1e-9);
        let short = Cells::from_samples(&t[..40], &t[..40]);
        assert_eq!(stretches.of(&short, &work(), 0.0), None);
    }
}
