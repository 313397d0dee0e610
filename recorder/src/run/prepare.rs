//! Before the first tick: which sources are wanted, whether the file is free, and what the run says
//! of itself.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use memsoak_schema::{BootInfo, Error, HostInfo, OpenRun, RequestBox, RunInfo, Spec, Writer};
use rustix::process::{Resource, geteuid, getpid, getrlimit, setrlimit};

use super::claim::Claim;
use super::{Options, footing, room};
use crate::clock::boottime_us;
use crate::root::Root;
use crate::source::{SOURCES, Source};
use crate::{host, log};

/// Share of MemTotal that descriptors held on processes may take in the kernel.
const HELD_SHARE: f64 = 0.0005;
/// How long a file is looked through whose last run did not end by itself: it is then that files are
/// damaged, and a test does not wait long for its recorder.
const CHECK_AFTER_CRASH: Duration = Duration::from_secs(5);
/// What one of them takes: a seq_file buffer, a file, a dentry and an inode.
const HELD_BYTES: f64 = 5200.0;

/// The sources that were not left out. A name that there is not is an error: a typo must not
/// silently record something else than was asked for.
pub(super) fn select(options: &Options) -> anyhow::Result<Vec<&'static Source>> {
    let names = || {
        SOURCES
            .iter()
            .map(|source| source.spec.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let named = options
        .without
        .iter()
        .chain(options.every.iter().map(|(name, _)| name));
    for name in named {
        if !SOURCES.iter().any(|source| source.spec.name == name) {
            bail!(
                "there is no source \"{}\"; there are: {}",
                name.escape_debug(),
                names()
            );
        }
    }
    let wanted: Vec<_> = SOURCES
        .iter()
        .filter(|source| !options.without.iter().any(|name| name == source.spec.name))
        .collect();
    if wanted.is_empty() {
        bail!("every source is left out: nothing to record");
    }
    Ok(wanted)
}

/// What a run says of itself when it begins in a file.
pub(super) struct Beginning {
    pub(super) db: PathBuf,
    pub(super) host: HostInfo,
    pub(super) boot: BootInfo,
    pub(super) run: RunInfo,
    pub(super) specs: Vec<&'static Spec>,
}

/// A recording in which the run has begun. The claim is given up after the file is closed.
pub(super) struct Begun {
    pub(super) writer: Writer,
    pub(super) claim: Option<Claim>,
    /// What was put out of the way before: an event of the new file.
    pub(super) aside: Option<String>,
    /// Probes that somebody asks for through the file.
    pub(super) requests: RequestBox,
}

impl Beginning {
    /// What a run with these options says.
    ///
    /// # Errors
    /// When the running machine's own /proc is not there.
    pub(super) fn new(
        options: &Options,
        root: &Root,
        wanted: &[&'static Source],
    ) -> anyhow::Result<Self> {
        Ok(Self {
            db: options.db.clone(),
            host: host::read_host(root),
            boot: host::read_boot(root),
            run: run_info(options, root)?,
            specs: wanted.iter().map(|source| source.spec).collect(),
        })
    }

    /// Begins the run: in a new file, after the runs in a sound one, or in a new one in the place of
    /// a damaged one, which is set aside.
    ///
    /// # Errors
    /// When the file is of something or somebody else, is in use, or cannot be opened.
    pub(super) fn begin(&self) -> anyhow::Result<Begun> {
        match self.begin_in_file() {
            Err(error) if is_damage(&error) => {
                let aside = self.set_aside(&error.to_string())?;
                Ok(Begun {
                    aside: Some(aside),
                    ..self.begin_in_file()?
                })
            }
            begun => begun,
        }
    }

    fn begin_in_file(&self) -> anyhow::Result<Begun> {
        let claim = Claim::take(&self.db)?;
        let mut writer = Writer::open(&self.db)?;
        let begun = self.begin_with(&mut writer, claim.is_some());
        match begun {
            Ok(requests) => Ok(Begun {
                writer,
                claim,
                aside: None,
                requests,
            }),
            Err(error) => {
                if is_damage(&error) {
                    let _ = writer.abandon();
                }
                Err(error)
            }
        }
    }

    fn begin_with(&self, writer: &mut Writer, claimed: bool) -> anyhow::Result<RequestBox> {
        if let Some(open) = writer.open_run()? {
            // The claim is the better witness: it sees across pid namespaces.
            if !claimed && is_alive(&open, &self.boot.boot_id)? {
                return Err(Error::InUse {
                    path: self.db.clone(),
                    pid: Some(open.pid),
                }
                .into());
            }
            writer.check(CHECK_AFTER_CRASH)?;
        } else {
            writer.check(Duration::ZERO)?;
        }
        let requests = RequestBox::new(writer)?;
        let run = RunInfo {
            started_us: boottime_us(),
            ..self.run.clone()
        };
        writer.begin_run(&self.host, &self.boot, &run, &self.specs)?;
        Ok(requests)
    }

    /// Puts the file out of the way, and says so. Returns what the new file says of it.
    pub(super) fn set_aside(&self, why: &str) -> anyhow::Result<String> {
        let date = chrono::Utc::now().format("%Y-%m-%d").to_string();
        let aside = memsoak_schema::set_aside(&self.db, &date)?;
        let name = aside.file_name().unwrap_or_default();
        let name = memsoak_schema::printable(name.as_bytes());
        log::warn(&[
            ("event", "a damaged recording was set aside"),
            ("as", &name),
            ("why", why),
        ]);
        Ok(format!("{name}: {why}"))
    }
}

fn is_damage(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Error>().is_some_and(Error::is_damage)
}

/// Whether the recorder of a run that did not say that it ended is at work on this machine.
pub(super) fn is_alive(open: &OpenRun, boot_id: &str) -> anyhow::Result<bool> {
    let live = Root::open(Path::new("/"))?;
    let alive = u32::try_from(open.pid)
        .ok()
        .and_then(|pid| host::start_ticks(&live, pid))
        .is_some_and(|start| i64::try_from(start) == Ok(open.pid_start));
    Ok(alive && open.boot_id == boot_id)
}

/// A probe acts on the running machine, whatever is read.
pub(super) fn refuse_other_root(root: &Root) -> anyhow::Result<()> {
    if !root.is_live() {
        bail!("a probe acts on this machine, and --root reads another: leave one of them out");
    }
    Ok(())
}

/// Refuses probes that can never be made here; a test that runs for days should not tell that at
/// its end.
pub(super) fn check_probes(options: &Options, root: &Root) -> anyhow::Result<()> {
    for (probe, _) in &options.probes {
        refuse_other_root(root)?;
        probe
            .check(root)
            .with_context(|| format!("{probe} cannot be done"))?;
    }
    Ok(())
}

/// How many processes may have a descriptor held on them: within the limit of descriptors, which is
/// raised as far as it goes, and within a fixed small share of the machine's memory.
pub(super) fn held_processes(root: &Root) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let mut raised = limit;
    raised.current = limit.maximum;
    let files = if setrlimit(Resource::Nofile, raised).is_ok() {
        limit.maximum
    } else {
        limit.current
    };
    let files = files.map_or(1 << 20, |files| files.saturating_sub(128));
    let total_kib: f64 = root
        .text("proc/meminfo")
        .and_then(|text| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("MemTotal:"))?;
            line.trim().strip_suffix(" kB")?.parse().ok()
        })
        .unwrap_or(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of MemTotal is positive and small"
    )]
    let affordable = (total_kib * 1024.0 * HELD_SHARE / HELD_BYTES) as u64;
    usize::try_from(files.min(affordable)).unwrap_or(0)
}

/// What the run says of itself.
///
/// # Errors
/// When the running machine's own /proc is not there.
pub(super) fn run_info(options: &Options, root: &Root) -> anyhow::Result<RunInfo> {
    let pid = u32::try_from(getpid().as_raw_nonzero().get())?;
    let live = Root::open(Path::new("/"))?;
    let (oom_score_adj, memory_locked) = footing::of_this_process();
    let in_memory = room::is_in_memory(&options.db);
    if in_memory {
        log::warn(&[
            ("event", "the recording lies in memory, and grows there"),
            ("help", "record to a disk, or bound it with --max-size"),
        ]);
    }
    let settings = serde_json::json!({
        "interval_us": options.interval_us(),
        "duration_us": options.duration
            .and_then(|duration| i64::try_from(duration.as_micros()).ok()),
        "every": options.every.iter()
            .map(|(name, every)| (name.clone(), serde_json::json!(every.as_micros().to_string())))
            .collect::<serde_json::Map<_, _>>(),
        "without": options.without,
        "cpu_budget": options.cpu_budget,
        "probes": options.probes.iter()
            .map(|(probe, every)| (probe.to_string(), every.as_micros().to_string().into()))
            .collect::<serde_json::Map<_, _>>(),
        "oom_score_adj": oom_score_adj,
        "memory_locked": memory_locked,
        "file_in_memory": in_memory,
        "min_free_bytes": options.min_free,
        "max_size_bytes": options.max_size,
        // A setting of the machine without which CommitLimit means nothing.
        "overcommit_memory": root
            .text("proc/sys/vm/overcommit_memory")
            .and_then(|mode| mode.parse::<i64>().ok()),
    });
    let labels: serde_json::Map<_, _> = options
        .labels
        .iter()
        .map(|(key, value)| (key.clone(), value.clone().into()))
        .collect();
    Ok(RunInfo {
        program: concat!("memsoak-record ", env!("CARGO_PKG_VERSION")).to_owned(),
        pid,
        pid_start: host::start_ticks(&live, pid).unwrap_or(0),
        uid: geteuid().as_raw(),
        started_us: boottime_us(),
        interval_us: options.interval_us(),
        settings: settings.to_string(),
        labels: serde_json::Value::Object(labels).to_string(),
    })
}
