//! When something runs out, if it goes on as it does.

use memsoak_schema::{Error, Recording};

use crate::load::{Index, Picture, View, pictures};
use crate::verdict::{Cells, Judgement, Traits, Verdict, judge};

/// How long it lasts. The interval is that of the slope: it says how well the past is known, not
/// that the future is like it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exhaustion {
    /// At the slope found.
    pub hours: f64,
    /// At the steepest slope of the interval.
    pub hours_soonest: Option<f64>,
    /// At the flattest; `None` where that is no growth, so that it may never run out.
    pub hours_latest: Option<f64>,
}

/// How long what is available lasts against a growth of `slope` units a second, with the interval
/// `low` to `high`; an end that is not finite is not known.
///
/// `None` where nothing grows, or what is available is not known. What is used up already lasts no
/// time.
#[must_use]
pub fn exhaustion(available: f64, slope: f64, low: f64, high: f64) -> Option<Exhaustion> {
    // The larger of NaN and 0 would be 0.
    if available.is_nan() {
        return None;
    }
    let at = |slope: f64| {
        (slope > 0.0 && slope.is_finite()).then(|| available.max(0.0) / slope / 3600.0)
    };
    let hours = at(slope)?;
    Some(Exhaustion {
        hours,
        hours_soonest: at(high).filter(|soonest| *soonest <= hours),
        hours_latest: at(low).filter(|latest| *latest >= hours),
    })
}

/// What a boot has left, and how that falls.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// Place of the boot in [`Index::boots`].
    pub boot: usize,
    /// What runs out, as the kernel names it.
    pub of: &'static str,
    /// What is left at the end, in bytes.
    pub left: f64,
    /// The trend of what is used.
    pub judgement: Judgement,
    /// When it is used up; `None` where it does not fall for good.
    pub when: Option<Exhaustion>,
}

const VIEWS: &[View] = &[View {
    source: "meminfo",
    metrics: &["MemTotal", "MemAvailable", "CommitLimit", "Committed_AS"],
}];

/// `vm.overcommit_memory` at which the commit limit is enforced.
const STRICT: i64 = 2;

/// What all leaks of a boot together do to MemAvailable, and to what may still be promised where
/// `vm.overcommit_memory` is 2. The last boot only: an earlier one has ended.
///
/// # Errors
/// When the file is damaged.
pub fn outlooks(recording: &Recording, index: &Index) -> Result<Vec<Outlook>, Error> {
    let Some((boot_at, boot)) = index.boots.iter().enumerate().next_back() else {
        return Ok(Vec::new());
    };
    let strict = index
        .runs
        .iter()
        .rev()
        .filter(|run| run.boot == boot.boot.boot)
        .find_map(|run| run.settings.get("overcommit_memory")?.as_i64())
        == Some(STRICT);
    let mut t_s = Vec::new();
    let mut memory = (Vec::new(), f64::NAN);
    let mut promises = (Vec::new(), f64::NAN);
    pictures(recording, index, boot, VIEWS, |_, picture: &Picture<'_>| {
        if let &[total, available, limit, committed] = picture.scalars() {
            t_s.push(picture.t_s);
            memory.0.push(total - available);
            memory.1 = available;
            promises.0.push(committed);
            promises.1 = limit - committed;
        }
    })?;
    let outlook = |of, (used, left): &(Vec<f64>, f64)| {
        let traits = Traits {
            planned_span_s: boot.planned_s,
            ..Traits::default()
        };
        let judgement = judge(&Cells::from_samples(&t_s, used), &traits);
        let grows = matches!(judgement.verdict, Verdict::Leak | Verdict::Suspect);
        let when = grows
            .then(|| {
                exhaustion(
                    *left,
                    judgement.slope_per_s,
                    judgement.slope_low_per_s,
                    judgement.slope_high_per_s,
                )
            })
            .flatten();
        (!left.is_nan()).then_some(Outlook {
            boot: boot_at,
            of,
            left: *left,
            judgement,
            when,
        })
    };
    Ok(outlook("MemAvailable", &memory)
        .into_iter()
        .chain(strict.then(|| outlook("CommitLimit", &promises)).flatten())
        .collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

    use super::*;

    #[test]
    fn the_steepest_slope_gives_the_soonest_end() {
        // 7,200 bytes at 1 a second last 2 h, at 2 a second 1 h, at half a byte 4 h.
        let left = exhaustion(7200.0, 1.0, 0.5, 2.0).unwrap();
        assert!((left.hours - 2.0).abs() < 1e-12);
        assert!((left.hours_soonest.unwrap() - 1.0).abs() < 1e-12);
        assert!((left.hours_latest.unwrap() - 4.0).abs() < 1e-12);
    }

    #[test]
    fn an_interval_that_holds_no_growth_has_no_latest_end() {
        let left = exhaustion(7200.0, 1.0, -0.1, 2.0).unwrap();
        assert_eq!(left.hours_latest, None);
        let left = exhaustion(7200.0, 1.0, f64::NEG_INFINITY, f64::INFINITY).unwrap();
        assert_eq!((left.hours_soonest, left.hours_latest), (None, None));
    }

    #[test]
    fn what_does_not_grow_or_is_not_known_has_no_end() {
        assert_eq!(exhaustion(7200.0, 0.0, -1.0, 1.0), None);
        assert_eq!(exhaustion(7200.0, -1.0, -2.0, 1.0), None);
        assert_eq!(exhaustion(f64::NAN, 1.0, 0.5, 2.0), None);
        assert!(exhaustion(-5.0, 1.0, 0.5, 2.0).unwrap().hours.abs() < 1e-12);
    }
}
