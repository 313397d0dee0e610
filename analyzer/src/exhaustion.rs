//! When something runs out, if it goes on as it does.

use std::collections::BTreeMap;

use memsoak_schema::{Error, Recording, printable};

use crate::load::{BootTicks, Index, Picture, View, pictures};
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

/// What can run out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// MemAvailable of /proc/meminfo.
    Available,
    /// What may still be promised under CommitLimit.
    CommitLimit,
    /// What a control group may still take under its own limit.
    Group {
        /// The entity of the group.
        entity: i64,
        /// Its path, safe to print.
        name: String,
    },
}

/// What a boot has left, and how that falls.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// Place of the boot in [`Index::boots`].
    pub boot: usize,
    /// What runs out.
    pub of: Resource,
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
        (!left.is_nan()).then(|| draw_up(boot_at, boot, of, &t_s, used, *left))
    };
    let mut found: Vec<Outlook> = outlook(Resource::Available, &memory).into_iter().collect();
    if strict {
        found.extend(outlook(Resource::CommitLimit, &promises));
    }
    found.extend(groups(recording, index, boot_at, boot, memory.1)?);
    Ok(found)
}

fn draw_up(
    boot_at: usize,
    boot: &BootTicks,
    of: Resource,
    t_s: &[f64],
    used: &[f64],
    left: f64,
) -> Outlook {
    let traits = Traits {
        planned_span_s: boot.planned_s,
        ..Traits::default()
    };
    let judgement = judge(&Cells::from_samples(t_s, used), &traits);
    let grows = matches!(judgement.verdict, Verdict::Leak | Verdict::Suspect);
    let when = grows
        .then(|| {
            exhaustion(
                left,
                judgement.slope_per_s,
                judgement.slope_low_per_s,
                judgement.slope_high_per_s,
            )
        })
        .flatten();
    Outlook {
        boot: boot_at,
        of,
        left,
        judgement,
        when,
    }
}

/// What counts against a group's limit, and what of it the kernel gives back first.
const GROUPS: &[View] = &[View {
    source: "cgroup",
    metrics: &[
        "current_bytes",
        "limit_bytes",
        "file_bytes",
        "shmem_bytes",
        "slab_reclaimable_bytes",
    ],
}];

/// Groups that are judged: those that come to their limits first. A host has hundreds, and the list
/// is there to be read.
const MOST_GROUPS: usize = 32;

/// Samples of a group that are kept: a divisor of them all, ten for each cell that is judged.
const MOST_SAMPLES: usize = 2400;

/// What a group uses that is not given back, and its limit; not known where it has none.
fn use_and_limit(values: &[f64]) -> Option<(f64, f64)> {
    let &[current, limit, file, shmem, slab] = values else {
        return None;
    };
    let or_none = |bytes: f64| if bytes.is_nan() { 0.0 } else { bytes };
    let cache = (or_none(file) - or_none(shmem)).max(0.0) + or_none(slab);
    (!current.is_nan() && !limit.is_nan()).then(|| ((current - cache).max(0.0), limit))
}

/// The groups that grow towards a limit of their own and come to it before the machine is out of
/// memory: those below it by more than what the machine has `available` are no matter of theirs.
fn groups(
    recording: &Recording,
    index: &Index,
    boot_at: usize,
    boot: &BootTicks,
    available: f64,
) -> Result<Vec<Outlook>, Error> {
    // First and last use, the last limit, and the samples in between.
    let mut ends: BTreeMap<i64, (f64, f64, f64)> = BTreeMap::new();
    let mut samples = 0_usize;
    pictures(recording, index, boot, GROUPS, |_, picture| {
        samples += 1;
        let there: BTreeMap<i64, (f64, f64)> = picture
            .entities()
            .filter_map(|(entity, values)| Some((entity, use_and_limit(values)?)))
            .collect();
        // A group that was removed, or has no limit any more, runs out of nothing.
        ends.retain(|entity, _| there.contains_key(entity));
        for (entity, (used, limit)) in there {
            let first = ends.get(&entity).map_or(used, |(first, ..)| *first);
            ends.insert(entity, (first, used, limit));
        }
    })?;
    let mut chosen: Vec<(i64, f64, f64)> = ends
        .into_iter()
        .filter(|(_, (first, last, limit))| {
            last > first && (available.is_nan() || limit - last < available)
        })
        .map(|(entity, (first, last, limit))| {
            let left = limit - last;
            (entity, left, left / (last - first))
        })
        .collect();
    chosen.sort_by(|a, b| a.2.total_cmp(&b.2));
    chosen.truncate(MOST_GROUPS);

    let every = samples.div_ceil(MOST_SAMPLES).max(1);
    let mut courses: BTreeMap<i64, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    let mut at = 0;
    pictures(recording, index, boot, GROUPS, |_, picture| {
        at += 1;
        if chosen.is_empty() || at % every != 0 {
            return;
        }
        for (entity, values) in picture.entities() {
            let is_chosen = chosen.iter().any(|(chosen, ..)| *chosen == entity);
            if let Some((used, _)) = use_and_limit(values).filter(|_| is_chosen) {
                let course = courses.entry(entity).or_default();
                course.0.push(picture.t_s);
                course.1.push(used);
            }
        }
    })?;
    let mut found = Vec::new();
    for (entity, left, _) in chosen {
        let Some((t_s, used)) = courses.get(&entity) else {
            continue;
        };
        let Some(group) = recording.entity(entity)? else {
            continue;
        };
        let of = Resource::Group {
            entity,
            name: printable(&group.name),
        };
        let outlook = draw_up(boot_at, boot, of, t_s, used, left);
        if outlook.judgement.verdict == Verdict::Leak && outlook.when.is_some() {
            found.push(outlook);
        }
    }
    Ok(found)
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
