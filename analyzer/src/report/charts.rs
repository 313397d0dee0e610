//! What the charts of a report show.

use chrono::{DateTime, Utc};

use crate::chart::{
    self, ChartError, FitPoint, Gap, Layer, Line, Mark, SeriesChart, Size, StackChart, TimeAxis,
};
use crate::findings::Judged;
use crate::ledger::Ledger;
use crate::load::{Index, Points, Quantity};

/// The chart's word for a quantity.
pub fn quantity(quantity: Quantity) -> chart::Quantity {
    match quantity {
        Quantity::Bytes => chart::Quantity::Bytes,
        Quantity::Count => chart::Quantity::Count,
    }
}

/// The quantity that a unit of report.json stands for.
pub fn quantity_of(unit: &str) -> chart::Quantity {
    match unit {
        "bytes" => chart::Quantity::Bytes,
        _ => chart::Quantity::Count,
    }
}

/// A slope with its interval in words: `12.3 MiB/h (11.9 MiB to 12.7 MiB)`.
pub fn rate_words(of: chart::Quantity, slope: f64, low: f64, high: f64) -> String {
    let number = |value: f64| of.format(value);
    if low.is_finite() && high.is_finite() && low < high {
        format!("{}/h ({} to {})", number(slope), number(low), number(high))
    } else {
        format!("{}/h", number(slope))
    }
}

/// A chart that was drawn.
pub(super) struct Drawn {
    /// The picture.
    pub(super) png: Vec<u8>,
    /// What it shows, for who does not see it: its title.
    pub(super) shows: String,
}

/// What every chart of a boot bears: axis, marks, gaps.
struct Frame {
    axis: TimeAxis,
    marks: Vec<Mark>,
    gaps: Vec<Gap>,
    machine: String,
}

fn frame(index: &Index, boot_at: usize) -> Frame {
    let boot = &index.boots[boot_at];
    let wall_start: Option<DateTime<Utc>> = index
        .wall_us(boot.boot.boot, boot.start_us)
        .and_then(DateTime::from_timestamp_micros);
    let marks = super::events::on_charts(index, boot_at)
        .into_iter()
        .map(|event| Mark {
            t_s: event.t_s,
            text: event.short(),
        })
        .filter(|mark| mark.t_s >= 0.0 && mark.t_s <= boot.span_s())
        .collect();
    let gaps = boot
        .gaps
        .iter()
        .map(|(from_s, to_s, reason)| Gap {
            from_s: *from_s,
            to_s: *to_s,
            reason: reason.clone(),
        })
        .collect();
    let host = index.host(&boot.boot);
    Frame {
        axis: TimeAxis {
            start_s: 0.0,
            end_s: boot.span_s(),
            wall_start,
        },
        marks,
        gaps,
        machine: format!(
            "{}, Linux {} {}",
            host.map_or("", |host| host.name.as_str()),
            boot.boot.kernel,
            host.map_or("", |host| host.arch.as_str()),
        ),
    }
}

pub(super) fn draw_finding(
    index: &Index,
    judged: &Judged,
    points: &Points,
) -> Result<Drawn, ChartError> {
    let frame = frame(index, judged.key.boot);
    let name = &judged.name;
    let judgement = &judged.judgement;
    let what = if name.entity.is_empty() {
        name.metric.clone()
    } else {
        format!("{} {}", name.entity, name.metric)
    };
    let rate = rate_words(
        quantity(name.quantity),
        judged.slope_per_hour(),
        judgement.slope_low_per_s * 3600.0,
        judgement.slope_high_per_s * 3600.0,
    );
    let fit = judgement.fit.as_ref().map(|fit| {
        fit.points
            .iter()
            .map(|point| FitPoint {
                t_s: point.t_s,
                value: point.value,
                low: point.low,
                high: point.high,
            })
            .collect()
    });
    let chart = SeriesChart {
        title: format!("{what} grows {rate}"),
        subtitle: format!("{}: {} | {}", judgement.verdict, name.id, frame.machine),
        quantity: quantity(name.quantity),
        axis: frame.axis,
        lines: vec![Line {
            label: name.metric.clone(),
            points: points.points.clone(),
        }],
        fit,
        marks: frame.marks,
        gaps: frame.gaps,
        boots: Vec::new(),
        onset: judgement.since_s.filter(|since| *since > 0.0),
        notes: vec![format!("fit: {}", judgement.method)],
    };
    Ok(Drawn {
        png: chart::draw_series(&chart, Size::default())?,
        shows: chart.title,
    })
}

/// Classes in the chart of growth: more lines cannot be told apart.
const MOST_LINES: usize = 7;

/// How much each class has grown since the start, of what the kernel cannot take back: beside the
/// page cache a leak is a flat line. The classes that moved most.
pub(super) fn draw_growth(
    index: &Index,
    boot_at: usize,
    ledger: &Ledger,
) -> Result<Drawn, ChartError> {
    let frame = frame(index, boot_at);
    let mut lines: Vec<(f64, Line)> = ledger
        .classes
        .iter()
        .filter(|class| !class.reclaimable)
        .filter_map(|class| {
            let (first, _) = class.ends()?;
            let grown = class
                .values
                .iter()
                .map(|value| value.map(|value| value - first));
            let points: Vec<_> = ledger.t_s.iter().copied().zip(grown).collect();
            let most = points.iter().filter_map(|(_, value)| *value);
            let reach = most.fold(0.0, |most, value| value.abs().max(most));
            let label = class.name.replace('_', " ");
            (reach > 0.0).then_some((reach, Line { label, points }))
        })
        .collect();
    lines.sort_by(|a, b| b.0.total_cmp(&a.0));
    let chart = SeriesChart {
        title: "How what the kernel cannot take back has grown since the start".to_owned(),
        subtitle: frame.machine,
        quantity: chart::Quantity::Bytes,
        axis: frame.axis,
        lines: lines
            .into_iter()
            .take(MOST_LINES)
            .map(|(_, line)| line)
            .collect(),
        fit: None,
        marks: frame.marks,
        gaps: frame.gaps,
        boots: Vec::new(),
        onset: None,
        notes: Vec::new(),
    };
    Ok(Drawn {
        png: chart::draw_series(&chart, Size::default())?,
        shows: chart.title,
    })
}

pub(super) fn draw_overview(
    index: &Index,
    boot_at: usize,
    ledger: &Ledger,
) -> Result<Drawn, ChartError> {
    let frame = frame(index, boot_at);
    let total = chart::Quantity::Bytes.format(ledger.total);
    let chart = StackChart {
        title: format!("How {total} of memory is used"),
        subtitle: frame.machine,
        quantity: chart::Quantity::Bytes,
        axis: frame.axis,
        t_s: ledger.t_s.clone(),
        layers: ledger
            .classes
            .iter()
            // What was never there (no hugetlb pages on most machines) would only fill the legend.
            .filter(|class| class.values.iter().flatten().any(|value| *value > 0.0))
            .map(|class| Layer {
                label: class.name.replace('_', " "),
                values: class.values.clone(),
                unused: class.name.starts_with("free"),
            })
            .collect(),
        total: Some(ledger.total),
        marks: frame.marks,
        gaps: frame.gaps,
        boots: Vec::new(),
    };
    Ok(Drawn {
        png: chart::draw_stack(&chart, Size::default())?,
        shows: chart.title,
    })
}
