//! When a condition held: its spells, and the worst moment in them.

use super::conditions::{SUSTAINED_S, SUSTAINED_SAMPLES};

/// The spells of a condition that were long enough to count.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found<W> {
    /// Start of the first.
    pub(super) from_s: f64,
    /// End of the last; `None` where it held up to the end.
    pub(super) until_s: Option<f64>,
    /// Their lengths together, seen from sample to sample: one sample alone has none.
    pub(super) held_s: f64,
    /// How many.
    pub(super) spells: usize,
    /// The longest, from and to.
    pub(super) longest_s: (f64, f64),
    /// The worst moment.
    pub(super) worst_at_s: f64,
    /// What was seen then.
    pub(super) worst: W,
    badness: f64,
}

#[derive(Clone, Debug)]
struct Open<W> {
    from_s: f64,
    last_s: f64,
    samples: u32,
    badness: f64,
    worst_at_s: f64,
    worst: W,
}

/// Watches one condition.
#[derive(Clone, Debug)]
pub(super) struct Spells<W> {
    least_s: f64,
    least_samples: f64,
    gap_s: f64,
    open: Option<Open<W>>,
    found: Option<Found<W>>,
}

impl<W: Clone> Spells<W> {
    /// Counts every sample at which the condition holds. Samples further apart than `gap_s` belong
    /// to different spells.
    pub(super) fn any(gap_s: f64) -> Self {
        Self {
            least_s: 0.0,
            least_samples: 1.0,
            gap_s,
            open: None,
            found: None,
        }
    }

    /// Counts only what holds for [`SUSTAINED_S`] and [`SUSTAINED_SAMPLES`] samples.
    pub(super) fn sustained(gap_s: f64) -> Self {
        Self {
            least_s: SUSTAINED_S,
            least_samples: SUSTAINED_SAMPLES,
            ..Self::any(gap_s)
        }
    }

    /// Counts only what holds for [`SUSTAINED_S`]; for rates, each of which is of a stretch of time.
    pub(super) fn sustained_rate(gap_s: f64) -> Self {
        Self {
            least_s: SUSTAINED_S,
            ..Self::any(gap_s)
        }
    }

    /// A sample: how bad it is and what is to be told of it, or that the condition does not hold.
    pub(super) fn see(&mut self, t_s: f64, state: Option<(f64, W)>) {
        self.see_stretch(t_s, t_s, state);
    }

    /// The same for what was measured over a stretch of time.
    pub(super) fn see_stretch(&mut self, from_s: f64, to_s: f64, state: Option<(f64, W)>) {
        if self
            .open
            .as_ref()
            .is_some_and(|open| from_s - open.last_s > self.gap_s)
        {
            self.close(false);
        }
        let Some((badness, worst)) = state else {
            self.close(false);
            return;
        };
        match &mut self.open {
            Some(open) => {
                open.last_s = to_s;
                open.samples += 1;
                if badness > open.badness {
                    (open.badness, open.worst_at_s, open.worst) = (badness, to_s, worst);
                }
            }
            None => {
                self.open = Some(Open {
                    from_s,
                    last_s: to_s,
                    samples: 1,
                    badness,
                    worst_at_s: to_s,
                    worst,
                });
            }
        }
    }

    fn close(&mut self, at_end: bool) {
        let Some(open) = self.open.take() else { return };
        let length = open.last_s - open.from_s;
        if length < self.least_s || f64::from(open.samples) < self.least_samples {
            return;
        }
        let until_s = (!at_end).then_some(open.last_s);
        match &mut self.found {
            Some(found) => {
                found.until_s = until_s;
                found.held_s += length;
                found.spells += 1;
                if length > found.longest_s.1 - found.longest_s.0 {
                    found.longest_s = (open.from_s, open.last_s);
                }
                if open.badness > found.badness {
                    found.badness = open.badness;
                    found.worst_at_s = open.worst_at_s;
                    found.worst = open.worst;
                }
            }
            None => {
                self.found = Some(Found {
                    from_s: open.from_s,
                    until_s,
                    held_s: length,
                    spells: 1,
                    longest_s: (open.from_s, open.last_s),
                    worst_at_s: open.worst_at_s,
                    worst: open.worst,
                    badness: open.badness,
                });
            }
        }
    }

    /// What was found, when nothing more comes.
    pub(super) fn finish(mut self) -> Option<Found<W>> {
        self.close(true);
        self.found
    }
}

/// A counter over time, kept where it changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Counter {
    t_s: Vec<f64>,
    total: Vec<f64>,
    last_t_s: Option<f64>,
}

impl Counter {
    /// The counter at a sample; what was not obtained is passed over.
    pub(super) fn see(&mut self, t_s: f64, total: f64) {
        if total.is_nan() {
            return;
        }
        self.last_t_s = Some(t_s);
        // A counter that fell was set anew: nothing is known to have happened.
        if self
            .total
            .last()
            .is_none_or(|last| (total - last).abs() > 0.0)
        {
            self.t_s.push(t_s);
            self.total.push(total);
        }
    }

    /// Whether there is any value.
    pub(super) fn is_known(&self) -> bool {
        self.last_t_s.is_some()
    }

    /// By how much it rose between the last change before `from_s` and the last up to `to_s`.
    pub(super) fn rise(&self, from_s: f64, to_s: f64) -> Option<f64> {
        let before = self.t_s.partition_point(|t| *t < from_s).saturating_sub(1);
        let last = self.t_s.partition_point(|t| *t <= to_s).checked_sub(1)?;
        let steps = self.total.get(before..=last.max(before))?;
        let rises = steps.windows(2).map(|pair| (pair[1] - pair[0]).max(0.0));
        // The sum of nothing is -0.0.
        Some(rises.fold(0.0, |sum, rise| sum + rise))
    }

    /// Each moment at which it was seen to have risen, and by how much.
    pub(super) fn rises(&self) -> impl Iterator<Item = (f64, f64)> {
        self.t_s
            .iter()
            .skip(1)
            .zip(self.total.windows(2))
            .map(|(t, pair)| (*t, pair[1] - pair[0]))
            .filter(|(_, rise)| *rise > 0.0)
    }
}

/// Makes rates of counters, over stretches of at least [`Rates::STRETCH_S`].
#[derive(Clone, Debug)]
pub(super) struct Rates<const N: usize> {
    from: Option<(f64, [f64; N])>,
}

impl<const N: usize> Rates<N> {
    /// Shorter stretches would judge single bursts.
    const STRETCH_S: f64 = 10.0;

    pub(super) fn new() -> Self {
        Self { from: None }
    }

    /// Takes the counters at a sample, and gives a stretch that is complete: from, to and the rise
    /// of each per second.  A counter that is not known or fell begins anew.
    pub(super) fn see(&mut self, t_s: f64, totals: [f64; N]) -> Option<(f64, f64, [f64; N])> {
        let Some((from_s, then)) = self.from else {
            self.from = totals.iter().any(|n| !n.is_nan()).then_some((t_s, totals));
            return None;
        };
        let fell = totals.iter().zip(&then).any(|(now, then)| now < then);
        if fell || totals.iter().all(|n| n.is_nan()) {
            self.from = None;
            return None;
        }
        let length = t_s - from_s;
        if length < Self::STRETCH_S {
            return None;
        }
        self.from = Some((t_s, totals));
        let mut rates = [f64::NAN; N];
        for ((rate, now), then) in rates.iter_mut().zip(&totals).zip(&then) {
            *rate = (now - then) / length;
        }
        Some((from_s, t_s, rates))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;

    fn hold(spells: &mut Spells<u8>, times: &[(f64, f64)]) {
        for (t, bad) in times {
            spells.see(*t, (*bad > 0.0).then_some((*bad, 7)));
        }
    }

    #[test]
    fn spells_have_their_ends_their_lengths_and_the_worst_moment() {
        let mut spells = Spells::any(100.0);
        let seen = [
            (0.0, 0.0),
            (10.0, 1.0),
            (20.0, 3.0),
            (30.0, 0.0),
            (40.0, 2.0),
            (50.0, 2.0),
        ];
        hold(&mut spells, &seen);
        let found = spells.finish().unwrap();
        assert_eq!((found.spells, found.until_s), (2, None));
        assert!((found.from_s - 10.0).abs() < 1e-9 && (found.held_s - 20.0).abs() < 1e-9);
        assert!((found.worst_at_s - 20.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_short_or_torn_by_a_gap_is_not_sustained() {
        let samples: Vec<(f64, f64)> = (0..6).map(|k| (f64::from(k) * 10.0, 1.0)).collect();
        let mut short = Spells::sustained(25.0);
        hold(&mut short, &samples);
        assert!(short.clone().finish().is_none());
        hold(&mut short, &[(60.0, 1.0)]);
        assert!(short.finish().is_some());
        let mut torn = Spells::sustained(25.0);
        hold(&mut torn, &samples);
        hold(&mut torn, &[(200.0, 1.0)]);
        assert!(torn.finish().is_none());
    }

    #[test]
    fn a_counter_that_is_set_anew_has_not_risen() {
        let mut counter = Counter::default();
        for (t, total) in [
            (0.0, 5.0),
            (10.0, 5.0),
            (20.0, 9.0),
            (30.0, 1.0),
            (40.0, 2.0),
        ] {
            counter.see(t, total);
        }
        assert!((counter.rise(0.0, 40.0).unwrap() - 5.0).abs() < 1e-9);
        assert!((counter.rise(20.0, 20.0).unwrap() - 4.0).abs() < 1e-9);
        assert!(counter.rise(10.0, 15.0).unwrap().abs() < 1e-9);
        let rises: Vec<_> = counter.rises().collect();
        assert_eq!(rises, [(20.0, 4.0), (40.0, 1.0)]);
    }

    #[test]
    fn a_rate_is_of_a_whole_stretch_and_never_across_a_reset() {
        let mut rates = Rates::<1>::new();
        let mut given = Vec::new();
        for (t, total) in [
            (0.0, 100.0),
            (5.0, 110.0),
            (10.0, 150.0),
            (20.0, 10.0),
            (30.0, 20.0),
            (40.0, 60.0),
        ] {
            given.extend(rates.see(t, [total]));
        }
        assert_eq!(given, [(0.0, 10.0, [5.0]), (30.0, 40.0, [4.0])]);
    }
}
