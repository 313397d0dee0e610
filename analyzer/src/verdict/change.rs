//! What would change a verdict: which rule failed, and by how much.

use super::Evidence;
use super::case::Case;
use super::clean::Growth;
use super::rules as r;
use super::words::{hours, percent, short};
use crate::stats::Shape;

/// The change that would let a rule pass that failed, in words.
pub(super) fn after(case: &Case, growth: &Growth, failed: &Evidence) -> String {
    let span = case.blocks.span_s;
    let Evidence {
        measured,
        threshold,
        ..
    } = *failed;
    // How much longer the run has to be for a quantity that grows with a power of the time.
    let longer = |power: f64| -> String {
        let factor = (threshold / measured).powf(1.0 / power);
        if measured > 0.0 && factor.is_finite() && factor < 100.0 {
            format!(
                "{} more at this rate",
                hours((factor - 1.0).max(0.0) * span)
            )
        } else {
            "growth that can be told from none".to_owned()
        }
    };
    match failed.rule {
        "shape_margin" if growth.slope <= 0.0 => "growth: it does not rise".to_owned(),
        "shape_margin" => match case.fits[case.choice.other].shape {
            Shape::Step | Shape::StepPair => format!(
                "growth after the last step, or further steps at even intervals; a line lost by {} BIC",
                short(-measured)
            ),
            Shape::Constant => format!(
                "a growth of {} over the run would show; a line lost by {} BIC",
                short(case.least.1),
                short(-measured)
            ),
            other => format!(
                "growth that goes on at the same rate for about {} more; {} fits better by {} BIC so far",
                hours((r::LONGER_RUN - 1.0) * span),
                other.words(),
                short(-measured)
            ),
        },
        "min_relative_growth"
        | "min_quanta"
        | "min_sigmas"
        | "floor"
        | "step_share"
        | "wave_share"
        | "slow_wave_share" => longer(1.0),
        "still_growing" => format!(
            "a later half that grows at {} of the whole rate or more, not {}",
            percent(threshold),
            percent(measured)
        ),
        "tail_rate" => "a last quarter that grows about as fast as the one before".to_owned(),
        // The z of a straight line grows with the time to the power of one and a half.
        "late_z" => longer(1.5),
        "persistence" => format!(
            "a net rise of {} of its way up and down, not {}",
            percent(threshold),
            percent(measured.max(0.0))
        ),
        "below_top" => "an end near its top: it came down again".to_owned(),
        "interval" => "a longer run: the slope may as well be zero".to_owned(),
        "drift" => format!(
            "a longer run: p {} would have to fall to {}",
            short(measured),
            short(threshold)
        ),
        // F grows with the number of points.
        "walk" => longer(1.0),
        _ => "a longer run".to_owned(),
    }
}
