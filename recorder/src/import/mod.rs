//! `memsoak-record import`: a series of captures becomes a recording, a tick for each.
//!
//! Captures go through the same samplers as a machine does, and say of themselves which machine,
//! boot and moment they are of. What a capture does not hold is a state with its reason.

mod series;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use memsoak_schema::{Rows, RunInfo, SampleState, Spec, Status, TickCost, TickTime, Writer};

use crate::capture::find;
use crate::root::Root;
use crate::source::captured::Captured;
use crate::source::recorder::Figures;
use crate::source::{Moment, Outcome, SOURCES, Sampler, Setup, Source};
use series::{Boot, Shot};

/// What `import` was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The recording, which must not exist.
    pub db: PathBuf,
    /// Captures, or folders of captures.
    pub folders: Vec<PathBuf>,
    /// Time between captures that do not say when they were made.
    pub interval: Duration,
}

/// What was imported.
#[derive(Clone, Debug)]
pub struct Summary {
    /// How many captures became ticks.
    pub ticks: usize,
    /// Of how many boots they are.
    pub boots: usize,
    /// What had to be assumed, or was left out.
    pub notes: Vec<String>,
}

/// Makes a recording of captures.
///
/// # Errors
/// When a folder is no capture, captures are of several machines, or the recording exists or cannot
/// be written; what was written of it is then removed.
pub fn import(options: &Options) -> anyhow::Result<Summary> {
    let (boots, notes) = series::read(&options.folders, options.interval)?;
    if options.db.symlink_metadata().is_ok() {
        bail!(
            "{} exists; an import makes a recording of its own, name a new file",
            options.db.display()
        );
    }
    let written = boots
        .iter()
        .try_for_each(|boot| write_boot(&options.db, boot, &notes));
    if let Err(error) = written {
        remove(&options.db);
        return Err(error);
    }
    Ok(Summary {
        ticks: boots.iter().map(|boot| boot.shots.len()).sum(),
        boots: boots.len(),
        notes,
    })
}

/// Removes a recording that did not become one, with the files beside it.
fn remove(db: &Path) {
    for end in ["", "-wal", "-shm"] {
        let mut path = OsString::from(db);
        path.push(end);
        let _ = std::fs::remove_file(path);
    }
}

/// Writes the captures of one boot as one run.
fn write_boot(db: &Path, boot: &Boot, notes: &[String]) -> anyhow::Result<()> {
    let (Some(first), Some(last)) = (boot.shots.first(), boot.shots.last()) else {
        return Ok(());
    };
    let mut writer = Writer::open_for_import(db)?;
    let specs: Vec<&'static Spec> = SOURCES.iter().map(|source| source.spec).collect();
    let settings = serde_json::json!({
        "interval_us": boot.interval_us,
        "captures": boot.shots.len(),
        "notes": notes,
        "overcommit_memory": Root::open(&first.folder)?
            .text("proc/sys/vm/overcommit_memory")
            .and_then(|mode| mode.parse::<i64>().ok()),
    });
    writer.begin_run(
        &boot.host,
        &boot.boot,
        &RunInfo {
            program: concat!("memsoak-record ", env!("CARGO_PKG_VERSION"), " import").to_owned(),
            // Nobody records: no process has this number.
            pid: 0,
            pid_start: 0,
            uid: first.manifest.uid.unwrap_or(0),
            started_us: first.boottime_us,
            interval_us: boot.interval_us,
            settings: settings.to_string(),
            labels: "{}".to_owned(),
        },
        &specs,
    )?;
    let setup = Setup {
        interval_us: boot.interval_us.unsigned_abs(),
        held_processes: 0,
        recorded_until_us: None,
    };
    let mut samplers: Vec<_> = SOURCES
        .iter()
        .map(|source| source.sampler_of_captures(&setup))
        .collect();
    for (at, shot) in boot.shots.iter().enumerate() {
        write_tick(
            &mut writer,
            &mut samplers,
            db,
            shot,
            (at == 0).then_some(boot.interval_us),
        )
        .with_context(|| format!("importing {}", shot.folder.display()))?;
    }
    Ok(writer.end_run(last.boottime_us, "the captures end")?)
}

/// Writes one capture as one tick; the first one of a run says how often there is one.
fn write_tick(
    writer: &mut Writer,
    samplers: &mut [Box<dyn Sampler>],
    db: &Path,
    shot: &Shot,
    plan: Option<i64>,
) -> anyhow::Result<()> {
    // Opened here and not before: a series can have more captures than descriptors may be open.
    let root = Root::open(&shot.folder)?;
    writer.begin_tick(TickTime {
        boottime_us: shot.boottime_us,
        wall_offset_us: shot.wall_offset_us,
        late_us: 0,
        missed: 0,
    })?;
    let mut rows = Rows::default();
    for (place, (source, sampler)) in SOURCES.iter().zip(samplers).enumerate() {
        rows.clear();
        rows.clear_happenings();
        let outcome = sample(source, sampler.as_mut(), (shot, &root), db, &mut rows);
        let values = outcome.status.has_values().then_some(&rows);
        let state = SampleState {
            status: outcome.status,
            reason: outcome.reason,
            read_us: None,
            bytes: i64::try_from(outcome.bytes).ok(),
        };
        writer.write_sample(place, &state, values)?;
        writer.write_happenings(place, &rows)?;
        if let Some(interval_us) = plan {
            writer.write_plan(place, interval_us, "the interval of the captures")?;
        }
    }
    Ok(writer.commit_tick(TickCost {
        took_us: shot.manifest.took_us.unwrap_or(0),
        cpu_us: 0,
    })?)
}

/// Reads one source of a capture.
fn sample(
    source: &Source,
    sampler: &mut dyn Sampler,
    (shot, root): (&Shot, &Root),
    db: &Path,
    rows: &mut Rows,
) -> Outcome {
    if let Captured::Nothing(reason) = source.captured {
        let reason = format!("not in a capture: {reason}");
        return Outcome::nothing((Status::Unavailable, reason));
    }
    let mut outcome = sampler.sample(
        &Moment {
            root,
            full: true,
            db,
            own: &Figures::default(),
        },
        rows,
    );
    // No rows are a fact where there was something to read, and nothing is known where there was not.
    if outcome.status.has_values()
        && rows.is_empty()
        && let Some(path) = find::first_if_none(&shot.folder, &source.kept())
    {
        let reason = format!("{path}: not in the capture");
        return Outcome::nothing((Status::Unavailable, reason));
    }
    if outcome.status == Status::Unavailable {
        outcome.reason = outcome
            .reason
            .map(|reason| as_captured(&reason, shot, root));
    }
    outcome
}

/// A reason as it is of a capture: why a file is not in one is known to whoever captured, and not
/// from its absence.
fn as_captured(reason: &str, shot: &Shot, root: &Root) -> String {
    let Some((path, why)) = reason.split_once(": ") else {
        return reason.to_owned();
    };
    let is_of = |told: &&String| told.split_once(": ").is_some_and(|(of, _)| of == path);
    if root.stat(path).is_some() {
        return reason.to_owned();
    }
    let hint = why.find(" (needs ").map_or("", |at| &why[at..]);
    match shot.manifest.refused.iter().find(is_of) {
        Some(told) => format!("{told}{hint}"),
        None => format!("{path}: not in the capture{hint}"),
    }
}
