//! Every threshold of the verdicts, in one table.

use serde::Serialize;

/// One threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rule {
    /// The name that evidence refers to.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
    /// Why it exists and has this value.
    pub why: &'static str,
}

macro_rules! rules {
    ($($id:ident = $value:expr, $name:literal, $why:literal;)*) => {
        $(#[doc = $why] pub(super) const $id: f64 = $value;)*

        /// All thresholds, in the order in which they apply.
        pub const RULES: &[Rule] = &[$(Rule { name: $name, value: $id, why: $why }),*];
    };
}

rules! {
    MIN_SAMPLES = 36.0, "min_samples",
        "Fewer samples than this fill no ten blocks of three, so nothing can be said.";
    MIN_LIFE_SHARE = 0.10, "min_life_share",
        "A life between two restarts counts from this share of the whole time on; shorter ones are start-up.";
    LEAKING_SHARE = 0.5, "leaking_share",
        "Lives that leak have to cover at least this share of the judged time.";
    MAX_BLOCKS = 48.0, "max_blocks",
        "Series are cut into at most this many stretches of equal time: enough for shapes, few enough for pairs.";
    MIN_BLOCKS = 10.0, "min_blocks",
        "Fewer stretches with samples than this cannot tell the shapes apart.";
    SAMPLES_PER_BLOCK = 5.0, "samples_per_block",
        "Short series get one block per this many samples, so that a block's quantile means something.";
    ENVELOPE = 0.30, "envelope",
        "The quantile of a block that stands for it: what remains after collection and churn; lower ones are noisier.";
    LESS_SCATTER = 0.80, "less_scatter",
        "The mean stands for a block where it scatters by less than this share of the quantile: .76 in normal noise, 1 where nothing speaks for it.";
    PERIODIC_SHARE = 0.60, "periodic_share",
        "A wave that removes more than this share of the variance about a line is load that comes and goes.";
    HAMPEL_REACH = 3.0, "hampel_reach",
        "Dips and spikes of up to this many blocks are filtered; longer ones are behaviour.";
    HAMPEL_LIMIT = 3.0, "hampel_limit",
        "Scaled deviations at which a block counts as a dip or spike, the customary three.";
    START_UP = 0.10, "start_up",
        "This first share of the time takes no part in slope and tests: almost everything grows then.";
    CONFIDENCE = 0.95, "confidence",
        "Level of the slope's interval, the one that readers expect; verdicts do not rest on it.";
    FLAT_PENALTY = 1.0, "flat_penalty",
        "BIC in favour of shapes that flatten: one misread as a trend is a false alarm, the reverse shows in a longer run.";
    SHAPE_MARGIN = 0.0, "shape_margin",
        "A shape that grows for ever has to beat every other one, after these penalties.";
    UNDECIDED = 2.0, "undecided",
        "A shape that loses by less BIC than this has not lost (Kass & Raftery 1995: not worth more than a bare mention); if all else holds the series is a suspect.";
    MIN_RELATIVE_GROWTH = 2e-4, "min_relative_growth",
        "Growth under this share of the level is below what any recording resolves.";
    MIN_QUANTA = 2.0, "min_quanta",
        "Growth of fewer smallest steps than this is one allocation.";
    MIN_SIGMAS = 1.0, "min_sigmas",
        "Growth under the scatter of the blocks about their shape is not seen, whatever its p-value.";
    STILL_GROWING = 0.50, "still_growing",
        "The later half has to grow at least at this share of the whole rate.";
    LATE_Z = 1.0, "late_z",
        "The later half needs at least this Mann-Kendall z, so that its slope is not one accident.";
    TAIL_RATE = 0.40, "tail_rate",
        "After a warm-up the last quarter has to grow at this share of the quarter before; a warm-up decays.";
    STEP_SHARE = 0.05, "step_share",
        "Growth beside a step has to reach this share of the range; less is how a step settles.";
    WAVE_SHARE = 0.25, "wave_share",
        "Growth beside a wave has to reach this share of its height, or the wave's shape explains it.";
    SLOW_WAVE_SHARE = 1.0, "slow_wave_share",
        "The same where the wave has fewer cycles than slow_wave_cycles: its phase passes for a trend.";
    SLOW_WAVE_CYCLES = 3.0, "slow_wave_cycles",
        "Below this many cycles a wave and a trend are hard to tell apart.";
    PARTS = 8.0, "parts",
        "Persistence compares the medians of this many equal parts.";
    PERSISTENCE = 0.40, "persistence",
        "Net rise over the whole way of the parts; wanderers and saw-teeth go back and forth.";
    BELOW_TOP = 0.25, "below_top",
        "The last part may lie at most this share of the range under the highest one.";
    INTERVAL = 0.0, "interval",
        "A slope whose 95 % interval holds zero is no growth, whatever the other rules say.";
    DRIFT = 0.05, "drift",
        "Largest p of the drift test, whose null hypothesis includes random walks.";
    DRIFT_NARROW = 0.10, "drift_narrow",
        "Up to this p a series that meets every other rule is a suspect: the drift test is conservative near a random walk and a longer run decides.";
    STAIRCASE_OFF = 1.3, "staircase",
        "A straight line in whole steps strays from one by a step and no more; the rest is for the width of the blocks.";
    STAIRCASE_STEPS = 2.5, "staircase_steps",
        "Three equal steps at even intervals, the first and the last of four levels cut short, are the fewest that show a rhythm.";
    SIGNS = 0.001, "signs",
        "Ten times up and never down: one driftless series in a thousand does that, however uneven its steps.";
    WALK = 1.0, "walk",
        "The strength of the walk test that one driftless random walk in a hundred reaches.";
    WALK_ONSET = 1.5, "walk_onset",
        "The same where the onset was chosen to suit: two of 1,000 simulated walks with one reach it.";
    WALK_TAKEN_OFF = 1.8, "walk_taken_off",
        "The same where a step or a wave was taken off: what is left of a walk then seems to return, and two of 1,000 simulated ones reach it.";
    WALK_NARROW = 0.85, "walk_narrow",
        "From this share of what is needed on a longer run decides, and the series is a suspect.";
    WARMUP_OVER = 0.5, "warmup_over",
        "From here on the part beside a warm-up is judged alone: the slowest one that is told from a line is over by then.";
    LATER_PART = 0.4, "later_part",
        "What comes after a step or fill is judged alone where it is this share of the time; less is too short to tell.";
    LONGER_RUN = 2.0, "longer_run",
        "A run twice as long tells growth that ends from growth that does not: the former bends by its own size, and noise halves.";
    RESTART_FALL = 0.25, "restart_fall",
        "A fall of less than this share of the highest may be one of many reasons.";
    RESTART_NOISE = 5.0, "restart_noise",
        "Each restart has to be this many standard deviations beyond noise, which does not do that in a million samples.";
    RESTART_ALIKE = 0.25, "restart_alike",
        "A program grows at one pace from one start in each life; by this share of its growth a life may differ, as start-up does.";
    RESTART_DOUBT = 0.5, "restart_doubt",
        "The same where noise explains the difference: up to here a life is nearer to the common pace than to none.";
    RESTART_CHANCE = 5.99, "restart_chance",
        "Noise explains what 95 of 100 lives show by chance: the chi-squared quantile of a start and a pace.";
    RESTART_EXPLAINS = 0.5, "restart_explains",
        "Growth since the last restart has to explain at least as much as it leaves.";
    RESTART_TOPS = 0.25, "restart_tops",
        "Tops that differ by less than this share are a level that something is held under, a collector's or a cache's.";
    HALF_THE_PLAN = 0.5, "half_the_plan",
        "Until this share of the planned time is over a growth may be a warm-up: no method tells them apart, so it is a suspect.";
    GIVEN_BACK = 0.9, "given_back",
        "What drop-caches gave back to this share was cache; a leak in the rest shows as growth of what later probes leave.";
    REFILL = 1.0, "refill",
        "Growth after drop-caches counts from this multiple of what it took on: less may be what fills again.";
    LOAD_STRETCHES = 16.0, "load_stretches",
        "Fewer stretches beside the load leave too few changes to tell company from chance.";
    FOLLOWS = 0.7, "follows_load",
        "Half of the variance about a line: the load is the main reason why it moves, and their trends play no part in it.";
    FOLLOWS_BY_CHANCE = 0.01, "follows_by_chance",
        "One series in a hundred that has nothing to do with any load may seem to follow one; what else is asked lets next to none of them pass.";
    COMES_DOWN = 0.5, "comes_down",
        "What follows a load comes down with it, some of it later; what leaks for each piece of work never does.";
    BESIDE_LOAD = 0.5, "beside_load",
        "Where half of the growth may be left beside the load it is not told from a leak, and the series is a suspect.";
    LOAD_SHARE = 0.05, "load_share",
        "Growth beside the load has to reach this share of the load's; less is how closely memory follows in a straight line.";
    PER_WORK = 0.5, "per_work",
        "From half of the growth on the work is what makes it.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_rule_has_its_own_name_and_a_reason() {
        let names: BTreeSet<_> = RULES.iter().map(|r| r.name).collect();
        assert_eq!(names.len(), RULES.len());
        assert!(RULES.iter().all(|r| r.why.ends_with('.') && r.value >= 0.0));
    }
}
