//! The time that a machine slept: the recording's axis goes on meanwhile, a leak does not.
//!
//! Judged is the time that the machine was awake. A leak of 1 MiB an hour is one also on a laptop
//! that sleeps at night, and a sleep is no plateau. All else, dates and charts above all, keeps the
//! axis of the recording.

use memsoak_schema::Event;

use super::index::seconds;
use crate::verdict::{Cells, Judgement};

/// When a boot's recording was asleep.
#[derive(Clone, Debug, Default)]
pub struct Asleep {
    /// From and to in seconds from the start, with the recorder's words, ascending and apart.
    spells: Vec<(f64, f64, String)>,
}

impl Asleep {
    /// From the events of a boot whose recording starts at `start_us` of CLOCK_BOOTTIME. The recorder
    /// notices a sleep at the tick after it, so that its spell ends there.
    pub(super) fn of(events: &[Event], boot: i64, start_us: i64) -> Self {
        let mut spells: Vec<(f64, f64, String)> = events
            .iter()
            .filter(|event| event.boot == boot && event.kind == "suspend")
            .filter_map(|event| {
                let slept_us = event.detail.get("suspended_us")?.as_i64()?;
                let to_us = event.boottime_us.checked_sub(start_us)?;
                let from_us = to_us.checked_sub(slept_us)?.max(0);
                let spell = (seconds(from_us), seconds(to_us), event.text.clone());
                (from_us < to_us).then_some(spell)
            })
            .collect();
        spells.sort_by(|a, b| a.1.total_cmp(&b.1));
        // What a damaged file says may overlap; time is slept once.
        for at in 1..spells.len() {
            spells[at].0 = spells[at].0.max(spells[at - 1].1);
        }
        Self { spells }
    }

    /// Seconds slept before an instant.
    pub fn before(&self, t_s: f64) -> f64 {
        self.spells
            .iter()
            .map(|(from, to, _)| (t_s.min(*to) - from).max(0.0))
            .sum()
    }

    /// For how long the machine was awake before an instant, in seconds.
    pub fn awake_at(&self, t_s: f64) -> f64 {
        t_s - self.before(t_s)
    }

    /// The instant by which the machine was awake for so long: the inverse of [`awake_at`](Self::awake_at).
    fn when_awake_for(&self, awake_s: f64) -> f64 {
        self.spells.iter().fold(
            awake_s,
            |t_s, (from, to, _)| {
                if t_s > *from { t_s + (to - from) } else { t_s }
            },
        )
    }

    /// Says of a gap why it is one, where the machine slept in it.
    pub(super) fn reason_of(&self, from_s: f64, to_s: f64) -> Option<&str> {
        self.spells
            .iter()
            .find(|(from, to, _)| *from < to_s && *to > from_s)
            .map(|(_, _, why)| why.as_str())
    }

    /// A series on the time that the machine was awake; `None` where it never slept.
    pub fn leave_out(&self, lives: &[Cells]) -> Option<Vec<Cells>> {
        if self.spells.is_empty() {
            return None;
        }
        let mut awake = lives.to_vec();
        for life in &mut awake {
            let slept = |t_s: &f64| self.before(*t_s);
            let in_it = match (life.t_s.first(), life.t_s.last()) {
                (Some(first), Some(last)) => slept(last) - slept(first),
                _ => 0.0,
            };
            life.span_s -= in_it;
            for t_s in &mut life.t_s {
                *t_s = self.awake_at(*t_s);
            }
        }
        Some(awake)
    }

    /// Puts what was found on the time awake back on the axis of the recording.
    pub fn put_back(&self, judgement: &mut Judgement) {
        judgement.since_s = judgement.since_s.map(|since| self.when_awake_for(since));
        for point in judgement.fit.iter_mut().flat_map(|fit| &mut fit.points) {
            point.t_s = self.when_awake_for(point.t_s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asleep(spells: &[(f64, f64)]) -> Asleep {
        Asleep {
            spells: spells
                .iter()
                .map(|(from, to)| (*from, *to, format!("{}", to - from)))
                .collect(),
        }
    }

    #[test]
    fn time_awake_and_time_on_the_axis_are_each_others_inverse_outside_a_sleep() {
        let asleep = asleep(&[(10.0, 30.0), (40.0, 45.0)]);
        for (t_s, awake_s) in [
            (0.0, 0.0),
            (10.0, 10.0),
            (31.0, 11.0),
            (40.0, 20.0),
            (50.0, 25.0),
        ] {
            assert!((t_s - asleep.before(t_s) - awake_s).abs() < 1e-9, "{t_s}");
            assert!((asleep.when_awake_for(awake_s) - t_s).abs() < 1e-9, "{t_s}");
        }
        // Nothing is awake within it.
        assert!((20.0 - asleep.before(20.0) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_gap_in_which_the_machine_slept_has_that_reason() {
        let asleep = asleep(&[(10.0, 30.0)]);
        assert_eq!(asleep.reason_of(8.0, 30.0), Some("20"));
        assert_eq!(asleep.reason_of(0.0, 10.0), None);
        assert_eq!(asleep.reason_of(30.0, 60.0), None);
    }
}
