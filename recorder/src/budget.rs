//! How often each source is read: its interval, stretched where reading it costs too much.

/// How fast the cost estimate follows; about the last five reads count.
const SMOOTHING: f64 = 0.2;

/// The longest interval that a costly source is stretched to.
const LONGEST_US: i64 = 3_600_000_000;

/// What is not on this machine is looked for again at this interval.
const ABSENT_US: i64 = 60_000_000;

/// A young run reads a source that is to be judged more often than its interval says: as often as
/// gives this many samples by any age. With fewer nothing can be judged, and a run of ten minutes
/// should tell who leaks as well as one of a day.
const ENOUGH_SAMPLES: i64 = 36;

/// But not more often than this: the sources with an interval of their own cost milliseconds.
const MOST_OFTEN_US: i64 = 5_000_000;

/// What one source may cost so that all together stay within the budget, as a share of one CPU.
///
/// Max-min fair: what the cheap ones leave is shared by the costly ones. `rates` is what each source
/// would cost at the interval that was asked for; they are put in order.
pub fn fair_share(rates: &mut [f64], budget: f64) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    let mut left = budget;
    for (at, rate) in rates.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a number of sources")]
        let share = left / (rates.len() - at) as f64;
        if *rate > share {
            return share;
        }
        left -= rate;
    }
    budget
}

/// A source that is read out of turn, before and after an experiment, should cost no more CPU than
/// this: ten reads of a machine with 1,000 processes.
const CHEAP_US: f64 = 100_000.0;

/// A source that nobody knows the cost of is cheap if it was meant to be read this often.
const CHEAP_INTERVAL_US: i64 = 60_000_000;

/// The interval of one source.
#[derive(Clone, Debug)]
pub struct Pace {
    tick_us: i64,
    wanted_us: i64,
    current_us: i64,
    cost_us: Option<f64>,
    reads: u32,
    absent: bool,
    /// Read more often while the run is young.
    eager: bool,
    /// The shortest interval that its share of the budget allows.
    affordable_us: i64,
}

impl Pace {
    /// A source that should be read every `wanted_us`, or at every tick if that is longer.
    pub fn new(tick_us: i64, wanted_us: i64) -> Self {
        let mut pace = Self {
            tick_us,
            wanted_us: wanted_us.max(tick_us),
            current_us: 0,
            cost_us: None,
            reads: 0,
            absent: false,
            eager: false,
            affordable_us: 0,
        };
        pace.current_us = pace.whole_ticks(pace.wanted_us);
        pace
    }

    /// Lets it be read more often while the run is young.
    pub fn eager(mut self, eager: bool) -> Self {
        self.eager = eager;
        self
    }

    /// The interval in force, in us.
    pub fn interval_us(&self) -> i64 {
        self.current_us
    }

    /// Whether it is to be read at the tick number `index`, the last one having been `last`.
    pub fn is_due(&self, index: i64, last: Option<i64>) -> bool {
        let Some(last) = last else { return true };
        let young_us = (index * self.tick_us / ENOUGH_SAMPLES)
            .max(MOST_OFTEN_US)
            .max(self.affordable_us);
        if self.eager && !self.absent && young_us < self.current_us {
            return (index - last) * self.tick_us >= young_us;
        }
        let every = self.current_us / self.tick_us;
        index / every > last / every
    }

    /// Whether it may be read out of turn.
    pub fn is_cheap(&self) -> bool {
        self.cost_us.map_or(
            self.wanted_us <= CHEAP_INTERVAL_US.max(self.tick_us),
            |cost| cost <= CHEAP_US,
        )
    }

    /// Takes note of what a read cost in CPU time.
    pub fn note_cost(&mut self, cpu_us: i64) {
        self.absent = false;
        self.reads = self.reads.saturating_add(1);
        // The first read opens files and meets everything for the first time.
        if self.reads == 1 {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "microseconds of one read")]
        let cost = cpu_us.max(0) as f64;
        let mean = self
            .cost_us
            .map_or(cost, |mean| mean + SMOOTHING * (cost - mean));
        self.cost_us = Some(mean);
    }

    /// What it would cost at the interval that was asked for, as a share of one CPU.
    #[expect(clippy::cast_precision_loss, reason = "an interval in us")]
    pub fn rate(&self) -> f64 {
        self.cost_us.unwrap_or(0.0) / self.wanted_us as f64
    }

    /// Keeps it within `share` of one CPU. Returns a reason when the interval changed.
    pub fn keep_within(&mut self, share: f64) -> Option<String> {
        if self.absent {
            return None;
        }
        let mean = self.cost_us.unwrap_or(0.0);
        #[expect(clippy::cast_possible_truncation, reason = "bounded before")]
        let least = (mean / share).min(1e12) as i64;
        self.affordable_us = least;
        let fair = self.wanted_us.max(least.min(LONGEST_US));
        // Back only when there is room to spare, so that it does not go to and fro.
        if fair > self.current_us || fair * 2 <= self.current_us || fair == self.wanted_us {
            let wanted = self.wanted_us;
            return self.set(fair, || {
                if fair == wanted {
                    "as planned".to_owned()
                } else {
                    let share = share * 100.0;
                    format!(
                        "a read takes {mean:.0} us of CPU, its share is {share:.2} % of one CPU"
                    )
                }
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
        (interval != self.current_us).then(|| {
            self.current_us = interval;
            reason()
        })
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
    fn what_is_read_out_of_turn_is_cheap_or_meant_to_be_read_often() {
        let mut often = Pace::new(1_000_000, 60_000_000);
        assert!(often.is_cheap());
        let mut seldom = Pace::new(1_000_000, 600_000_000);
        assert!(!seldom.is_cheap());
        for pace in [&mut often, &mut seldom] {
            pace.note_cost(0);
            pace.note_cost(100_001);
            assert!(!pace.is_cheap());
        }
        let mut cheap = Pace::new(1_000_000, 600_000_000);
        cheap.note_cost(0);
        cheap.note_cost(9_000);
        assert!(cheap.is_cheap());
    }

    #[test]
    fn a_cheap_source_keeps_its_interval_and_a_costly_one_is_stretched_and_comes_back() {
        let mut pace = Pace::new(1_000_000, 1_000_000);
        pace.note_cost(90_000);
        assert_eq!(
            pace.keep_within(0.005),
            None,
            "the first read does not count"
        );
        pace.note_cost(4_000);
        assert_eq!(pace.keep_within(0.005), None, "0.4 % of a CPU");
        for _ in 0..40 {
            pace.note_cost(18_000);
        }
        assert!(
            pace.keep_within(0.005)
                .is_some_and(|why| why.contains("17998 us"))
        );
        assert_eq!(pace.interval_us(), 4_000_000);
        for _ in 0..40 {
            pace.note_cost(1_000);
        }
        assert_eq!(pace.keep_within(0.005).as_deref(), Some("as planned"));
        assert_eq!(pace.interval_us(), 1_000_000);
    }

    #[test]
    fn what_the_cheap_ones_leave_is_shared_by_the_costly_ones() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        close(fair_share(&mut [0.001, 0.007], 0.01), 0.01);
        close(fair_share(&mut [0.02, 0.001], 0.01), 0.009);
        close(fair_share(&mut [0.02, 0.002, 0.03], 0.01), 0.004);
        close(fair_share(&mut [], 0.01), 0.01);
    }

    #[test]
    fn intervals_are_whole_ticks_and_due_survives_missed_ticks() {
        let pace = Pace::new(250_000, 600_000);
        assert_eq!(pace.interval_us(), 750_000);
        assert!(pace.is_due(0, None));
        assert!(!pace.is_due(2, Some(0)));
        assert!(pace.is_due(3, Some(0)));
        assert!(pace.is_due(7, Some(2)));
    }

    #[test]
    fn a_young_run_has_enough_samples_of_a_source_with_a_long_interval() {
        let reads = |pace: &Pace, seconds: i64| {
            let (mut last, mut count) = (None, 0);
            for index in 0..seconds {
                if pace.is_due(index, last) {
                    last = Some(index);
                    count += 1;
                }
            }
            count
        };
        let pace = Pace::new(1_000_000, 60_000_000).eager(true);
        assert_eq!(reads(&pace, 181), 37);
        // 36 ln(600 / 180) = 43 more, but for what whole ticks take.
        assert!((75..=79).contains(&reads(&pace, 600)));
        let day = reads(&pace, 86_400) - reads(&pace, 3_600);
        assert_eq!(day, (86_400 - 3_600) / 60);
        // What costs too much is not read more often than its share allows.
        let mut costly = Pace::new(1_000_000, 60_000_000).eager(true);
        costly.note_cost(1);
        costly.note_cost(100_000);
        assert_eq!(costly.keep_within(0.005), None);
        assert_eq!(reads(&costly, 181), 10);
    }

    #[test]
    fn what_is_absent_is_looked_for_once_a_minute_and_taken_up_when_it_comes() {
        let mut pace = Pace::new(1_000_000, 1_000_000);
        assert!(pace.note_absent().is_some());
        assert_eq!(pace.note_absent(), None);
        assert_eq!(pace.interval_us(), 60_000_000);
        pace.note_cost(10);
        assert!(pace.keep_within(0.01).is_some());
        assert_eq!(pace.interval_us(), 1_000_000);
    }
}
