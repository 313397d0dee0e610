//! How often each source is read: its interval, stretched where reading it costs too much.

/// Share of the whole budget that one source may take. The processes and one other source can be
/// costly at once; more than two never were.
const SHARE_OF_BUDGET: f64 = 0.5;

/// How fast the cost estimate follows; about the last five reads count.
const SMOOTHING: f64 = 0.2;

/// The longest interval that a costly source is stretched to.
const LONGEST_US: i64 = 3_600_000_000;

/// What is not on this machine is looked for again at this interval.
const ABSENT_US: i64 = 60_000_000;

/// The interval of one source.
#[derive(Clone, Debug)]
pub struct Pace {
    tick_us: i64,
    wanted_us: i64,
    current_us: i64,
    budget: f64,
    cost_us: Option<f64>,
    reads: u32,
    absent: bool,
}

impl Pace {
    /// A source that should be read every `wanted_us`; `budget` is the share of one CPU that the
    /// whole recording may take.
    pub fn new(tick_us: i64, wanted_us: i64, budget: f64) -> Self {
        let mut pace = Self {
            tick_us,
            wanted_us: wanted_us.max(tick_us),
            current_us: 0,
            budget: budget * SHARE_OF_BUDGET,
            cost_us: None,
            reads: 0,
            absent: false,
        };
        pace.current_us = pace.whole_ticks(pace.wanted_us);
        pace
    }

    /// The interval in force, in us.
    pub fn interval_us(&self) -> i64 {
        self.current_us
    }

    /// Whether it is to be read at the tick number `index`, the last one having been `last`.
    pub fn is_due(&self, index: i64, last: Option<i64>) -> bool {
        let every = self.current_us / self.tick_us;
        last.is_none_or(|last| index / every > last / every)
    }

    /// Takes note of what a read cost in CPU time. Returns a reason when the interval changed.
    pub fn note_cost(&mut self, cpu_us: i64) -> Option<String> {
        self.absent = false;
        self.reads = self.reads.saturating_add(1);
        // The first read opens files and meets everything for the first time.
        if self.reads == 1 {
            return self.set(self.wanted_us, || "readable".to_owned());
        }
        #[expect(clippy::cast_precision_loss, reason = "microseconds of one read")]
        let cost = cpu_us.max(0) as f64;
        let mean = self
            .cost_us
            .map_or(cost, |mean| mean + SMOOTHING * (cost - mean));
        self.cost_us = Some(mean);
        #[expect(clippy::cast_possible_truncation, reason = "clamped to an hour below")]
        let least = (mean / self.budget).min(1e12) as i64;
        let fair = self.wanted_us.max(least.min(LONGEST_US));
        // Back only when there is room to spare, so that it does not go to and fro.
        if fair > self.current_us || fair * 2 <= self.current_us {
            let share = self.budget * 100.0;
            return self.set(fair, || {
                format!("a read takes {mean:.0} us of CPU, its budget is {share:.2} % of one CPU")
            });
        }
        None
    }

    /// Takes note that this machine does not give it.
    pub fn note_absent(&mut self) -> Option<String> {
        self.absent = true;
        self.set(self.wanted_us.max(ABSENT_US), || {
            "not available; looked for again at this interval".to_owned()
        })
    }

    fn set(&mut self, interval_us: i64, reason: impl FnOnce() -> String) -> Option<String> {
        let interval = self.whole_ticks(interval_us);
        if interval == self.current_us {
            return None;
        }
        self.current_us = interval;
        Some(reason())
    }

    fn whole_ticks(&self, interval_us: i64) -> i64 {
        let ticks = (interval_us + self.tick_us - 1) / self.tick_us;
        ticks.max(1) * self.tick_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cheap_source_keeps_its_interval_and_a_costly_one_is_stretched_and_comes_back() {
        let mut pace = Pace::new(1_000_000, 1_000_000, 0.01);
        assert_eq!(
            pace.note_cost(90_000),
            None,
            "the first read does not count"
        );
        assert_eq!(pace.note_cost(4_000), None, "0.4 % of a CPU");
        assert_eq!(pace.interval_us(), 1_000_000);
        for _ in 0..40 {
            pace.note_cost(20_000);
        }
        // 20 ms at half of 1 %: every 4 s.
        assert_eq!(pace.interval_us(), 4_000_000);
        for _ in 0..40 {
            pace.note_cost(1_000);
        }
        assert_eq!(pace.interval_us(), 1_000_000);
    }

    #[test]
    fn intervals_are_whole_ticks_and_due_survives_missed_ticks() {
        let pace = Pace::new(250_000, 600_000, 0.01);
        assert_eq!(pace.interval_us(), 750_000);
        assert!(pace.is_due(0, None));
        assert!(!pace.is_due(2, Some(0)));
        assert!(pace.is_due(3, Some(0)));
        assert!(pace.is_due(7, Some(2)));
    }

    #[test]
    fn what_is_absent_is_looked_for_once_a_minute_and_taken_up_when_it_comes() {
        let mut pace = Pace::new(1_000_000, 1_000_000, 0.01);
        assert!(pace.note_absent().is_some());
        assert_eq!(pace.note_absent(), None);
        assert_eq!(pace.interval_us(), 60_000_000);
        assert!(pace.note_cost(10).is_some());
        assert_eq!(pace.interval_us(), 1_000_000);
    }
}
