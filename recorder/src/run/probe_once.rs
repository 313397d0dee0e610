//! `memsoak-record probe`: one probe, made by the recorder at work on the file or in a run of its own.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use memsoak_schema::{Beside, Experiment};

use super::{Options, Recorder, prepare, stop_signal};
use crate::clock::{Alarm, Deadlines, boottime_us};
use crate::probe::Probe;
use crate::root::Root;
use crate::{host, log};

/// Makes a probe once: by the recorder that is at work on the file, or in a run of its own.
///
/// # Errors
/// When it cannot be done, with what to do.
pub fn once(db: &Path, probe: Probe) -> anyhow::Result<Experiment> {
    let root = Root::open(Path::new("/"))?;
    let done = match live_recorder(db, &root)? {
        Some(beside) => ask(&beside, probe, &root)?,
        None => {
            probe
                .check(&root)
                .with_context(|| format!("{probe} cannot be done"))?;
            alone(db, probe, root)?
        }
    };
    if !done.is_done() {
        bail!("{probe}: {}", done.outcome);
    }
    Ok(done)
}

fn live_recorder(db: &Path, root: &Root) -> anyhow::Result<Option<Beside>> {
    let boot_id = host::read_boot(root).boot_id;
    if std::fs::metadata(db).is_ok_and(|meta| meta.len() > 0) {
        let beside = Beside::open(db)?;
        if let Some(open) = beside.open_run()?
            && prepare::is_alive(&open, &boot_id)?
        {
            return Ok(Some(beside));
        }
    }
    Ok(None)
}

/// Asks the recorder and waits for what comes of it.
fn ask(beside: &Beside, probe: Probe, root: &Root) -> anyhow::Result<Experiment> {
    let boot_id = host::read_boot(root).boot_id;
    let argument = probe.argument();
    let request = beside.request_probe(boottime_us(), probe.kind(), argument.as_deref())?;
    log::info(&[
        ("event", "asked the recorder"),
        ("probe", &probe.to_string()),
        ("begins", "within two intervals"),
    ]);
    loop {
        std::thread::sleep(Duration::from_millis(200));
        if let Some(done) = beside.answer(request)? {
            return Ok(done);
        }
        let is_alive = match beside.open_run()? {
            Some(open) => prepare::is_alive(&open, &boot_id)?,
            None => false,
        };
        if !is_alive {
            // It may have answered in between.
            return match beside.answer(request)? {
                Some(done) => Ok(done),
                None => bail!("the recorder ended before it could do it"),
            };
        }
    }
}

/// A run that lasts as long as the probe.
fn alone(db: &Path, probe: Probe, root: Root) -> anyhow::Result<Experiment> {
    let stop = stop_signal()?;
    let options = Options::for_probe(db);
    let mut recorder = Recorder::start(&options, root)?;
    recorder.probes.ask(probe);
    let alarm = Alarm::new().context("cannot make a timer")?;
    let mut deadlines = Deadlines::new(boottime_us(), options.interval_us());
    let mut why = "the probe is over";
    loop {
        let next = deadlines.next_us();
        let wake = recorder.probes.wakes_by(next, boottime_us());
        if !alarm.wait_until(wake, stop.as_fd())? {
            why = "stopped by a signal";
            break;
        }
        recorder.look_after_probe();
        if boottime_us() >= next {
            recorder.tick(deadlines.take(boottime_us()));
        }
        if recorder.probes.is_over() {
            // What the kernel printed is known to be whole when nothing follows it at another tick.
            if probe == Probe::SysrqM {
                recorder.tick(deadlines.take(deadlines.next_us()));
            }
            break;
        }
    }
    let done = recorder.probes.take_told();
    if recorder.finish(why)? == 0 {
        bail!("the recording could not be written");
    }
    done.with_context(|| why.to_owned())
}
