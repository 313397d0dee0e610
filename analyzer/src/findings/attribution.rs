//! Totals that grow, taken apart down to who has it.

use super::Suspect;

/// A part is told from this share of the total's growth on: the rest is told as a sum.
const SMALLEST_SHARE: f64 = 0.01;

/// What a thing contributes to a total.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The series that stands for the thing, as a place among the judged.
    pub series: usize,
    /// Its share of the total's slope.
    pub share: f64,
}

/// A total that grows, and who has it.
#[derive(Clone, Debug)]
pub struct Attribution {
    /// The total, as a place among the judged.
    pub total: usize,
    /// Share of its slope that the parts make up. Parts are measured one by one, and what processes
    /// share is counted with each, so they can add up to more than 1.
    pub explained: f64,
    /// The parts, the largest first.
    pub parts: Vec<Part>,
    /// The processes that move with it, for a total whose parts are not recorded: kernel stacks.
    pub suspects: Vec<Suspect>,
}

impl Attribution {
    /// From the slope of a total and what things contribute to it, in the same unit.
    pub(super) fn new(
        total: usize,
        slope: f64,
        contributions: impl Iterator<Item = (usize, f64)>,
        suspects: &[Suspect],
    ) -> Self {
        let mut parts: Vec<Part> = contributions
            .map(|(series, part)| Part {
                series,
                share: if slope > 0.0 { part / slope } else { 0.0 },
            })
            .collect();
        parts.sort_by(|a, b| b.share.total_cmp(&a.share));
        let explained = parts.iter().fold(0.0, |sum, part| sum + part.share);
        parts.retain(|part| part.share >= SMALLEST_SHARE);
        Self {
            total,
            explained,
            parts,
            suspects: suspects.to_vec(),
        }
    }
}
