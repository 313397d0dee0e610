//! Counts what a method got right.

use crate::case::Truth;
use crate::methods::Judged;
use memsoak_analyze::stats;

/// Hits and misses of one method on some series.
#[derive(Debug, Clone, Default)]
pub(crate) struct Score {
    pub(crate) hits: u32,
    pub(crate) missed: u32,
    pub(crate) false_alarms: u32,
    pub(crate) quiet: u32,
    /// Leaks not called but suspected.
    pub(crate) suspected: u32,
    /// Healthy series suspected.
    pub(crate) healthy_suspected: u32,
    pub(crate) unscored: u32,
    pub(crate) unscored_called: u32,
    /// Share by which the slope of each called leak with a true rate is off.
    slope_errors: Vec<f64>,
    /// Called leaks with a true rate whose interval holds it.
    covered: u32,
}

impl Score {
    /// Scores one method, by its place in [`crate::methods::NAMES`].
    pub(crate) fn of<'a>(judged: impl IntoIterator<Item = &'a Judged>, method: usize) -> Self {
        let mut score = Self::default();
        for one in judged {
            score.add(one, method);
        }
        score
    }

    fn add(&mut self, one: &Judged, method: usize) {
        let call = &one.calls[method];
        match (one.truth, call.leak) {
            (Truth::Leak, true) => self.hits += 1,
            (Truth::Leak, false) => {
                self.missed += 1;
                self.suspected += u32::from(call.suspect);
            }
            (Truth::Healthy, true) => self.false_alarms += 1,
            (Truth::Healthy, false) => {
                self.quiet += 1;
                self.healthy_suspected += u32::from(call.suspect);
            }
            (Truth::Unscored, called) => {
                self.unscored += 1;
                self.unscored_called += u32::from(called);
            }
        }
        if let (Truth::Leak, true, Some(rate)) = (one.truth, call.leak, one.rate_per_hour)
            && rate > 0.0
        {
            self.slope_errors.push((call.slope / rate - 1.0).abs());
            self.covered += u32::from(call.low <= rate && rate <= call.high);
        }
    }

    pub(crate) fn leaks(&self) -> u32 {
        self.hits + self.missed
    }

    pub(crate) fn healthy(&self) -> u32 {
        self.false_alarms + self.quiet
    }

    /// Leaks among what was called; `None` where nothing was.
    pub(crate) fn precision(&self) -> Option<f64> {
        ratio(self.hits, self.hits + self.false_alarms)
    }

    /// Called leaks among all; `None` without leaks.
    pub(crate) fn recall(&self) -> Option<f64> {
        ratio(self.hits, self.leaks())
    }

    /// Harmonic mean of precision and recall; `None` without leaks.
    pub(crate) fn f1(&self) -> Option<f64> {
        self.recall()?;
        ratio(
            2 * self.hits,
            2 * self.hits + self.false_alarms + self.missed,
        )
    }

    /// False alarms in 1,000 healthy series; `None` without healthy ones.
    pub(crate) fn per_1000(&self) -> Option<f64> {
        ratio(self.false_alarms, self.healthy()).map(|share| 1000.0 * share)
    }

    /// Median share by which the slope of a called leak is off.
    pub(crate) fn slope_error(&self) -> Option<f64> {
        (!self.slope_errors.is_empty()).then(|| stats::median(&self.slope_errors))
    }

    /// Share of the called leaks whose interval holds the true slope, and their number.
    pub(crate) fn coverage(&self) -> (Option<f64>, usize) {
        let count = u32::try_from(self.slope_errors.len()).unwrap_or(u32::MAX);
        (ratio(self.covered, count), self.slope_errors.len())
    }
}

/// The best recall that a baseline reaches on these series when its threshold is chosen, with the
/// truth in hand, so that it raises at most as many false alarms; `None` without leaks or healthy series.
pub(crate) fn recall_at(judged: &[&Judged], method: usize, false_alarms: u32) -> Option<f64> {
    let strengths = |truth| -> Vec<f64> {
        let of_truth = judged.iter().filter(|one| one.truth == truth);
        of_truth.map(|one| one.calls[method].strength).collect()
    };
    let mut healthy = strengths(Truth::Healthy);
    healthy.sort_by(|a, b| b.total_cmp(a));
    // A threshold just above the strongest healthy series that may not be called any more.
    let threshold = *healthy.get(false_alarms as usize).or(healthy.last())?;
    let leaks = strengths(Truth::Leak);
    let above = leaks.iter().filter(|strength| **strength > threshold);
    (!leaks.is_empty()).then(|| above.count() as f64 / leaks.len() as f64)
}

/// `part` of `whole`; `None` of nothing.
pub(crate) fn ratio(part: u32, whole: u32) -> Option<f64> {
    (whole > 0).then(|| f64::from(part) / f64::from(whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::{BASELINES, Call, MEMSOAK};

    fn one(truth: Truth, leak: bool, strength: f64, rate: Option<f64>) -> Judged {
        let call = Call {
            leak,
            slope: 11.0,
            low: 9.5,
            high: 12.0,
            strength,
            ..Call::default()
        };
        Judged {
            part: String::new(),
            kind: String::new(),
            truth,
            rate_per_hour: rate,
            calls: [call; 6],
        }
    }

    fn some() -> Vec<Judged> {
        vec![
            one(Truth::Leak, true, 9.0, Some(10.0)),
            one(Truth::Leak, true, 7.0, Some(20.0)),
            one(Truth::Leak, true, 5.0, None),
            one(Truth::Leak, false, 2.0, Some(10.0)),
            one(Truth::Healthy, true, 6.0, None),
            one(Truth::Healthy, false, 4.0, None),
            one(Truth::Healthy, false, 1.0, None),
            one(Truth::Unscored, true, 8.0, None),
        ]
    }

    fn close(value: Option<f64>, expected: f64) -> bool {
        (value.expect("there is one") - expected).abs() < 1e-12
    }

    #[test]
    fn hits_and_misses_by_hand() {
        // 3 of 4 leaks called, 1 of 3 healthy: precision 3/4, recall 3/4, F1 6/8.
        let score = Score::of(&some(), MEMSOAK);
        assert!(close(score.precision(), 0.75) && close(score.recall(), 0.75));
        assert!(close(score.f1(), 0.75) && close(score.per_1000(), 1000.0 / 3.0));
        assert_eq!((score.unscored, score.unscored_called), (1, 1));
        // Off by 1/10 and by 9/20; 10 lies in 9.5 to 12, 20 does not.
        assert!(close(score.slope_error(), 0.275));
        let (share, among) = score.coverage();
        assert!(close(share, 0.5) && among == 2);
    }

    #[test]
    fn nothing_has_no_figures() {
        let none: [Judged; 0] = [];
        let score = Score::of(&none, MEMSOAK);
        let figures = [
            score.precision(),
            score.recall(),
            score.f1(),
            score.per_1000(),
        ];
        assert_eq!(figures, [None; 4]);
        assert_eq!(score.slope_error(), None);
        assert_eq!(recall_at(&[], BASELINES, 0), None);
    }

    #[test]
    fn a_threshold_for_so_many_false_alarms_by_hand() {
        let judged = some();
        let judged: Vec<&Judged> = judged.iter().collect();
        // None: above 6 lie 9 and 7. One: above 4 also 5. Two: above 1 all.
        for (false_alarms, found) in [(0, 0.5), (1, 0.75), (2, 1.0)] {
            assert!(close(recall_at(&judged, BASELINES, false_alarms), found));
        }
    }
}
