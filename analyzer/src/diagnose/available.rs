//! Little memory left, and more promised than there is: `/proc/meminfo`.

use memsoak_schema::Error;
use serde_json::json;

use super::conditions::{
    AVAILABLE_SHARE, AVAILABLE_SHARE_CRITICAL, COMMIT_SHARE, COMMIT_SHARE_STRICT,
};
use super::spells::{Found, Spells};
use super::{Diagnosis, Scene, Severity, Watch, growers, map};
use crate::load::{Picture, View};
use crate::words::{bytes, percent, seconds};

/// MemTotal, MemAvailable, CommitLimit, Committed_AS and SwapTotal, then what may hold the memory: classes that
/// the kernel does not give back.
const FIELDS: &[&str] = &[
    "MemTotal",
    "MemAvailable",
    "CommitLimit",
    "Committed_AS",
    "SwapTotal",
    "AnonPages",
    "Shmem",
    "SUnreclaim",
    "VmallocUsed",
    "PageTables",
    "KernelStack",
    "Percpu",
    "Hugetlb",
];

/// Where the classes begin in [`FIELDS`].
const CLASSES: usize = 5;

const VIEWS: &[View] = &[View {
    source: "meminfo",
    metrics: FIELDS,
}];

/// `vm.overcommit_memory`: the limit is enforced.
const STRICT: i64 = 2;

pub(super) struct Available {
    low: Spells<Vec<f64>>,
    promised: Spells<(f64, f64)>,
    mode: Option<i64>,
}

impl Available {
    pub(super) fn new(scene: &Scene<'_>) -> Self {
        let gap_s = scene.gap_s("meminfo");
        Self {
            low: Spells::any(gap_s),
            promised: Spells::any(gap_s),
            mode: scene
                .setting("overcommit_memory")
                .and_then(serde_json::Value::as_i64),
        }
    }
}

impl Watch for Available {
    fn views(&self) -> &'static [View] {
        VIEWS
    }

    fn see(&mut self, _: &Scene<'_>, _: usize, picture: &Picture<'_>) {
        let values = picture.scalars();
        let &[total, available, limit, committed, swap, ..] = values else {
            return;
        };
        let share = available / total;
        self.low.see(
            picture.t_s,
            (share < AVAILABLE_SHARE).then(|| (-share, values.to_vec())),
        );
        // Where the limit is not enforced it says nothing; all memory and swap do.
        let most = match self.mode {
            Some(STRICT) => limit * COMMIT_SHARE_STRICT,
            Some(_) => (total + swap) * COMMIT_SHARE,
            None => limit * COMMIT_SHARE,
        };
        let share = committed / limit;
        self.promised.see(
            picture.t_s,
            (committed > most).then_some((share, (committed, limit))),
        );
    }

    fn tell(self: Box<Self>, scene: &Scene<'_>) -> Result<Vec<Diagnosis>, Error> {
        let mut told = Vec::new();
        if let Some(found) = self.low.finish() {
            told.push(low_available(scene, &found)?);
        }
        if let Some(found) = self.promised.finish() {
            told.push(overcommit(scene, &found, self.mode));
        }
        Ok(told)
    }
}

fn low_available(scene: &Scene<'_>, found: &Found<Vec<f64>>) -> Result<Diagnosis, Error> {
    let &[total, available, ..] = found.worst.as_slice() else {
        unreachable!("a picture has all fields of its view")
    };
    let share = available / total;
    let mut classes: Vec<(&str, f64)> = FIELDS
        .iter()
        .zip(&found.worst)
        .skip(CLASSES)
        .filter(|(_, bytes)| **bytes > 0.0)
        .map(|(name, bytes)| (*name, *bytes))
        .collect();
    classes.sort_by(|a, b| b.1.total_cmp(&a.1));
    classes.truncate(3);
    let processes = growers::largest_at(scene, found.worst_at_s)?;
    let mut text = format!(
        "MemAvailable fell to {}, {} of {}.",
        bytes(available),
        percent(share),
        bytes(total),
    );
    if found.held_s > 0.0 {
        text.push_str(&format!(
            " It was under {} for {} in {}.",
            percent(AVAILABLE_SHARE),
            seconds(found.held_s),
            crate::words::count(found.spells, "spell"),
        ));
    }
    let listed = |list: &mut dyn Iterator<Item = String>| list.collect::<Vec<_>>().join(", ");
    if !classes.is_empty() {
        text.push_str(" Held then: ");
        text.push_str(&listed(
            &mut classes
                .iter()
                .map(|(name, n)| format!("{name} {}", bytes(*n))),
        ));
        text.push('.');
    }
    if !processes.is_empty() {
        text.push_str(" Largest processes then: ");
        text.push_str(&listed(&mut processes.iter().map(growers::Share::in_words)));
        text.push('.');
    }
    let severity = if share < AVAILABLE_SHARE_CRITICAL {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let evidence = map(json!({
        "series": ["meminfo/MemAvailable", "meminfo/MemTotal"],
        "least_available_bytes": available,
        "least_available_share": share,
        "total_bytes": total,
        "threshold_share": AVAILABLE_SHARE,
        "classes": classes.iter().map(|(name, bytes)| json!({"name": name, "bytes": bytes})).collect::<Vec<_>>(),
        "processes": processes.iter().map(growers::Share::as_json).collect::<Vec<_>>(),
    }));
    Ok(Diagnosis::of(
        scene,
        "low_available",
        severity,
        found,
        text,
        evidence,
    ))
}

fn overcommit(scene: &Scene<'_>, found: &Found<(f64, f64)>, mode: Option<i64>) -> Diagnosis {
    let (committed, limit) = found.worst;
    let share = committed / limit;
    let what = format!(
        "Committed_AS reached {}, {} of CommitLimit ({}).",
        bytes(committed),
        percent(share),
        bytes(limit)
    );
    let (severity, means) = match mode {
        Some(STRICT) => (
            if share >= COMMIT_SHARE {
                Severity::Critical
            } else {
                Severity::Warning
            },
            "vm.overcommit_memory is 2: beyond the limit allocations of processes fail.",
        ),
        Some(1) => (
            Severity::Info,
            "That is more than all memory and swap. vm.overcommit_memory is 1: nothing is refused, and the OOM killer answers if all of it is used.",
        ),
        Some(_) => (
            Severity::Info,
            "That is more than all memory and swap. vm.overcommit_memory is 0: only single requests beyond that are refused, and the OOM killer answers if all of it is used.",
        ),
        None => (
            Severity::Info,
            "Whether that matters depends on vm.overcommit_memory, which is not in this recording: with 2 allocations fail from there on, with 0 and 1 the limit is not enforced.",
        ),
    };
    let evidence = map(json!({
        "series": ["meminfo/Committed_AS", "meminfo/CommitLimit"],
        "most_committed_bytes": committed,
        "limit_bytes": limit,
        "share": share,
        "overcommit_memory": mode,
    }));
    let text = format!("{what} {means}");
    Diagnosis::of(scene, "overcommit", severity, found, text, evidence)
}
