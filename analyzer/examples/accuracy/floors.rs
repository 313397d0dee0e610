//! What the figures may not fall below, in one table.

/// A figure that has a floor, or a ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Share of the leaks that are called, at least.
    Recall,
    /// The same of the own collection's clear leaks, which nothing larger hides.
    ClearRecall,
    /// False alarms in 1,000 healthy series that vary, at most.
    FalseAlarms,
    /// Median share by which the slope of a called leak is off, at most.
    SlopeError,
    /// Share of the called leaks whose interval holds the true slope, at least.
    Coverage,
}

/// One floor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floor {
    /// The part of the labelled series, or the own collection.
    pub(crate) part: &'static str,
    /// With source and restarts, or from times and values alone.
    pub(crate) named: bool,
    /// What is measured.
    pub(crate) figure: Figure,
    /// Where it ends.
    pub(crate) at: f64,
    /// Why there.
    pub(crate) why: &'static str,
}

const fn floor(
    part: &'static str,
    named: bool,
    figure: Figure,
    at: f64,
    why: &'static str,
) -> Floor {
    Floor {
        part,
        named,
        figure,
        at,
        why,
    }
}

const NAMED: bool = true;
const NAMELESS: bool = false;

/// All floors.
///
/// Series of one run are not independent: one job that is read wrongly turns about five of them.
/// The room below what was measured (docs/ACCURACY.md) is one to three such jobs, so that a floor
/// breaks for a worse rule and not for another draw of the dice.
pub(crate) const FLOORS: &[Floor] = &[
    floor(
        "own",
        NAMED,
        Figure::ClearRecall,
        0.92,
        "The largest thing in the series is the leak: more than nine in ten are named, the rest lie at the edge of their grain or noise.",
    ),
    floor(
        "own",
        NAMED,
        Figure::FalseAlarms,
        8.0,
        "7 of 960, twice what there are; random walks are one family of 24, and a third of them rises for the whole time.",
    ),
    floor(
        "own",
        NAMED,
        Figure::SlopeError,
        0.05,
        "A slope that is off by more than a twentieth does not lead to a cause.",
    ),
    floor(
        "own",
        NAMED,
        Figure::Coverage,
        0.88,
        "The interval claims .95; an interval that leaves out one true slope in eight is no such interval.",
    ),
    floor(
        "host",
        NAMED,
        Figure::Recall,
        0.90,
        "Real programs that leak visibly; one program is up to 4 of the 107.",
    ),
    floor("host", NAMED, Figure::FalseAlarms, 6.0, "One of 175."),
    floor(
        "kernel",
        NAMED,
        Figure::Recall,
        0.48,
        "Half of these leaks are smaller than what else happens in their cache; ten series are two jobs.",
    ),
    floor(
        "kernel",
        NAMED,
        Figure::FalseAlarms,
        10.0,
        "3 of 347; one job that is read wrongly is about as many.",
    ),
    floor(
        "kernel+host",
        NAMED,
        Figure::Recall,
        0.65,
        "What both allow together, without both at their worst.",
    ),
    floor(
        "kernel+host",
        NAMED,
        Figure::FalseAlarms,
        8.0,
        "4 of 522: one job, and the aim for whoever reads a report.",
    ),
    floor(
        "kernel+host",
        NAMELESS,
        Figure::Recall,
        0.65,
        "Names may only take a leak away, where the kernel can have the memory back.",
    ),
    floor(
        "kernel+host",
        NAMELESS,
        Figure::FalseAlarms,
        12.0,
        "6 of 522: without a source caches that the kernel gives back cannot be told.",
    ),
    floor(
        "synthetic",
        NAMED,
        Figure::Recall,
        0.78,
        "A fifth of these leaks hide below noise, warm-ups or steps.",
    ),
    floor(
        "synthetic",
        NAMELESS,
        Figure::Recall,
        0.75,
        "The same; of the leaks behind restarts half show them without being told.",
    ),
    floor(
        "synthetic",
        NAMELESS,
        Figure::SlopeError,
        0.05,
        "As of the own collection; a tenth of these slopes are given as growth over the whole time, not since it began.",
    ),
    floor(
        "synthetic",
        NAMED,
        Figure::FalseAlarms,
        12.0,
        "3 of 255; random walks are 22 of them.",
    ),
    floor(
        "synthetic",
        NAMELESS,
        Figure::FalseAlarms,
        12.0,
        "These sources are made up and tell nothing, so they may change nothing.",
    ),
];
