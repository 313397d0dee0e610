//! Which date an instant gets: one offset of the wall clock for a whole boot.
//!
//! With the offset that was in force at each tick a chart's axis would jump with the clock, and a
//! board without a clock would have been recorded in 1970. The clock counts as right as it stood for
//! the longest time of the boot, so that a test that sets it by a year and back changes nothing; a
//! date from before this program is none, so that a board that gets its date late is dated by it.

use std::collections::HashMap;

use memsoak_schema::{Tick, WallClock};

/// 2020-01-01: a clock that shows less was not set.
const UNSET_BEFORE_US: i64 = 1_577_836_800_000_000;

/// What a clock that is only kept right moves by between two notes of it, at the most. More is a step.
const STEP_US: i64 = 60_000_000;

/// A stretch in which the clock was only kept right.
struct Stretch {
    is_set: bool,
    offset_us: i64,
    lasted_us: i64,
}

/// The offset of each boot, in us. `clock` and `ticks` are in the order of ticks.
pub(super) fn offsets(clock: &[WallClock], ticks: &[Tick]) -> HashMap<i64, i64> {
    let at = |tick: i64| {
        let at = ticks.partition_point(|one| one.tick < tick);
        ticks.get(at).map(|tick| tick.boottime_us)
    };
    let mut of_boots: HashMap<i64, Vec<Stretch>> = HashMap::new();
    for (place, note) in clock.iter().enumerate() {
        let next = clock.get(place + 1);
        let until = match next {
            Some(next) => at(next.tick.saturating_sub(1)),
            None => ticks.last().map(|tick| tick.boottime_us),
        };
        let (from, until) = (at(note.tick).unwrap_or(0), until.unwrap_or(0));
        let lasted_us = until.saturating_sub(from).max(0);
        let stretches = of_boots.entry(note.boot).or_default();
        match stretches.last_mut() {
            Some(last) if last.offset_us.abs_diff(note.offset_us) < STEP_US.unsigned_abs() => {
                last.offset_us = note.offset_us;
                last.lasted_us = last.lasted_us.saturating_add(lasted_us);
            }
            _ => stretches.push(Stretch {
                is_set: from.saturating_add(note.offset_us) >= UNSET_BEFORE_US,
                offset_us: note.offset_us,
                lasted_us,
            }),
        }
    }
    of_boots
        .into_iter()
        .filter_map(|(boot, stretches)| {
            // Of equals the last one: a clock gets better rather than worse.
            let best = stretches
                .iter()
                .max_by_key(|stretch| (stretch.is_set, stretch.lasted_us))?;
            Some((boot, best.offset_us))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;
    const TODAY: i64 = 1_760_000_000 * S;
    const YEAR: i64 = 31_536_000 * S;

    /// A hundred ticks of a boot, a second apart, and what was noted of the clock at some.
    fn offset(notes: &[(i64, i64)]) -> Option<i64> {
        let ticks: Vec<Tick> = (1..=100)
            .map(|tick| Tick {
                tick,
                run: 1,
                boottime_us: tick * S,
                late_us: 0,
                missed: 0,
                took_us: 0,
                cpu_us: 0,
            })
            .collect();
        let clock: Vec<WallClock> = notes
            .iter()
            .map(|&(tick, offset_us)| WallClock {
                tick,
                boot: 1,
                offset_us,
            })
            .collect();
        offsets(&clock, &ticks).get(&1).copied()
    }

    #[test]
    fn the_clock_counts_as_it_stood_for_the_longest_time() {
        assert_eq!(offset(&[]), None);
        assert_eq!(offset(&[(1, TODAY)]), Some(TODAY));
        // Set by a year and back, and set at the end.
        for year in [YEAR, -YEAR] {
            let notes = [(1, TODAY), (40, TODAY + year), (60, TODAY + S)];
            assert_eq!(offset(&notes), Some(TODAY + S));
            assert_eq!(offset(&[(1, TODAY), (80, TODAY + year)]), Some(TODAY));
        }
        // Kept right in small steps it is one clock, as it was last.
        let slewed = [(1, TODAY), (30, TODAY + S), (60, TODAY + 2 * S), (80, 0)];
        assert_eq!(offset(&slewed), Some(TODAY + 2 * S));
    }

    #[test]
    fn a_board_that_gets_its_date_late_is_dated_by_it() {
        assert_eq!(offset(&[(1, 0), (99, TODAY)]), Some(TODAY));
        // Without any date it is dated as it believed.
        assert_eq!(offset(&[(1, 0)]), Some(0));
    }
}
