//! When a probe is made: at intervals, or when somebody asks; always between two ticks at which
//! every cheap source is read.
//!
//! Who asks leaves an event in the file. The thread that writes looks for one after each tick, which
//! costs it a PRAGMA: a probe begins within two intervals. A child process does it, so that ticks go
//! on however long it takes, none of its CPU time counts as the recorder's, and it can be killed at
//! its deadline. What was done is told with the tick after it, and names both ticks by their times:
//! their numbers are given out when they are written.

use std::collections::VecDeque;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use memsoak_schema::{Experiment, Happening, ProbeRequest};

use super::{Recorder, prepare};
use crate::clock::{Due, boottime_us};
use crate::log;
use crate::probe::{Probe, Provoked};
use crate::root::Root;

/// Compaction of a terabyte takes minutes; after ten the machine has another problem than its
/// memory, and the recording goes on without an answer.
const DEADLINE_US: i64 = 600_000_000;

/// What was freed shows this much later: dentries and inodes are freed after an RCU grace period,
/// and the counters of each CPU are folded once a second (mm/vmstat.c, `sysctl_stat_interval`).
const SETTLE_US: i64 = 1_000_000;

/// How often the child is looked at while it works.
const LOOK_US: i64 = 100_000;

/// What the recorder does besides its ticks.
pub(super) struct Probes {
    every: Vec<Scheduled>,
    asked: VecDeque<Asked>,
    state: State,
    /// What ends with the next tick.
    ending: Option<Experiment>,
    /// What is told with the next tick.
    untold: Vec<Experiment>,
    /// What was told last.
    told: Option<Experiment>,
    /// One that was killed and does not die.
    stuck: Option<Child>,
    /// The program that does it: this one.
    program: PathBuf,
}

#[derive(Clone, Debug)]
struct Scheduled {
    probe: Probe,
    every_us: i64,
    next_us: i64,
}

/// A probe that is to be made.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    what: Result<Probe, Experiment>,
    request: Option<i64>,
}

enum State {
    Idle,
    Working {
        experiment: Experiment,
        child: Child,
        deadline_us: i64,
    },
    /// It is over; the tick after it is due at this moment.
    Settling {
        experiment: Experiment,
        due_us: i64,
    },
}

impl Probes {
    /// Those that are made at intervals, the first one an interval from now.
    pub(super) fn new(every: &[(Probe, Duration)], now_us: i64) -> Self {
        let scheduled = every.iter().map(|(probe, every)| {
            let every_us = i64::try_from(every.as_micros()).unwrap_or(i64::MAX);
            Scheduled {
                probe: *probe,
                every_us,
                next_us: now_us.saturating_add(every_us),
            }
        });
        Self {
            every: scheduled.collect(),
            asked: VecDeque::new(),
            state: State::Idle,
            ending: None,
            untold: Vec::new(),
            told: None,
            stuck: None,
            program: PathBuf::from("/proc/self/exe"),
        }
    }

    /// Has one made at the next tick.
    pub(super) fn ask(&mut self, probe: Probe) {
        self.asked.push_back(Asked {
            what: Ok(probe),
            request: None,
        });
    }

    /// Takes the probe that is to follow the tick at hand.
    pub(super) fn take_due(&mut self, requests: Vec<ProbeRequest>, now_us: i64) -> Option<Asked> {
        self.asked.extend(requests.into_iter().map(|request| {
            let argument = request.argument.as_deref();
            Asked {
                what: Probe::from_words(&request.kind, argument).map_err(|why| Experiment {
                    kind: request.kind.clone(),
                    argument: request.argument.clone(),
                    outcome: format!("refused: {why}"),
                    ..Experiment::default()
                }),
                request: Some(request.event),
            }
        }));
        for scheduled in &mut self.every {
            if now_us >= scheduled.next_us {
                // Moments that passed while the machine slept are not made up for.
                let passed = (now_us - scheduled.next_us) / scheduled.every_us;
                scheduled.next_us += (passed + 1) * scheduled.every_us;
                self.asked.push_back(Asked {
                    what: Ok(scheduled.probe),
                    request: None,
                });
            }
        }
        if let Some(child) = &mut self.stuck
            && child.try_wait().is_ok_and(|status| status.is_some())
        {
            self.stuck = None;
        }
        match self.state {
            State::Idle => self.asked.pop_front(),
            _ => None,
        }
    }

    /// Begins a probe after a tick of that time.
    pub(super) fn begin(&mut self, asked: Asked, before_us: i64, root: &Root, now_us: i64) {
        let probe = match asked.what {
            Ok(probe) => probe,
            Err(refused) => {
                self.untold.push(Experiment {
                    began_us: now_us,
                    request: asked.request,
                    ..refused
                });
                return;
            }
        };
        let mut experiment = Experiment {
            kind: probe.kind().to_owned(),
            argument: probe.argument(),
            began_us: now_us,
            before_us: Some(before_us),
            request: asked.request,
            ..Experiment::default()
        };
        match self.start(probe, root) {
            Ok(child) => {
                log::info(&[("event", "probe"), ("kind", &probe.to_string())]);
                self.state = State::Working {
                    experiment,
                    child,
                    deadline_us: now_us + DEADLINE_US,
                };
            }
            Err(error) => {
                experiment.outcome = format!("refused: {error:#}");
                self.untold.push(experiment);
            }
        }
    }

    fn start(&self, probe: Probe, root: &Root) -> anyhow::Result<Child> {
        if self.stuck.is_some() {
            bail!("the probe before it was killed and still does not end");
        }
        prepare::refuse_other_root(root)?;
        probe.check(root)?;
        Command::new(&self.program)
            .arg("provoke")
            .arg(probe.kind())
            .args(probe.argument())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the process that does it")
    }

    /// When it has to be looked at again, if before `next_us`.
    pub(super) fn wakes_by(&self, next_us: i64, now_us: i64) -> i64 {
        match &self.state {
            State::Idle => next_us,
            State::Working { .. } => next_us.min(now_us + LOOK_US),
            State::Settling { due_us, .. } => next_us.min(*due_us),
        }
    }

    /// Looks whether it is over; then returns true once, at the moment for the tick after it.
    pub(super) fn wants_tick(&mut self, now_us: i64) -> bool {
        self.state = match std::mem::replace(&mut self.state, State::Idle) {
            State::Working {
                mut experiment,
                mut child,
                deadline_us,
            } => match child.try_wait() {
                Ok(None) if now_us < deadline_us => State::Working {
                    experiment,
                    child,
                    deadline_us,
                },
                Ok(None) => {
                    let _ = child.kill();
                    experiment.took_us = Some(now_us - experiment.began_us);
                    experiment.outcome = format!(
                        "not done within {} s, and given up",
                        DEADLINE_US / 1_000_000
                    );
                    self.stuck = Some(child);
                    State::Settling {
                        experiment,
                        due_us: now_us,
                    }
                }
                ended => {
                    learn(&mut experiment, &mut child, ended.ok().flatten());
                    State::Settling {
                        experiment,
                        due_us: now_us + SETTLE_US,
                    }
                }
            },
            state => state,
        };
        matches!(&self.state, State::Settling { due_us, .. } if now_us >= *due_us)
    }

    /// Ends it with the tick that it wanted, which is to come.
    fn end(&mut self) {
        if let State::Settling { experiment, .. } = std::mem::replace(&mut self.state, State::Idle)
        {
            self.ending = Some(experiment);
        }
    }

    /// What is to be told with a tick of that time.
    pub(super) fn tell(&mut self, time_us: i64) -> Vec<Happening> {
        let ended = self.ending.take().map(|experiment| Experiment {
            after_us: Some(time_us),
            ..experiment
        });
        let told: Vec<Experiment> = self.untold.drain(..).chain(ended).collect();
        for experiment in &told {
            log::info(&[
                ("event", "probed"),
                ("kind", &experiment.name()),
                ("outcome", &experiment.outcome),
            ]);
        }
        let happenings = told.iter().map(Experiment::happening).collect();
        self.told = told.into_iter().next_back().or(self.told.take());
        happenings
    }

    /// What was told last.
    pub(super) fn take_told(&mut self) -> Option<Experiment> {
        self.told.take()
    }

    /// Says of what is at work or was asked for that the recording ended first.
    pub(super) fn give_up(&mut self, now_us: i64) {
        let mut experiments = Vec::new();
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => {}
            State::Working {
                experiment,
                mut child,
                ..
            } => {
                let _ = child.kill();
                experiments.push(experiment);
            }
            State::Settling { experiment, .. } => experiments.push(experiment),
        }
        for asked in self.asked.drain(..) {
            experiments.push(Experiment {
                began_us: now_us,
                request: asked.request,
                ..match asked.what {
                    Ok(probe) => Experiment {
                        kind: probe.kind().to_owned(),
                        argument: probe.argument(),
                        ..Experiment::default()
                    },
                    Err(refused) => refused,
                }
            });
        }
        self.untold
            .extend(experiments.into_iter().map(|experiment| Experiment {
                outcome: "the recording ended first".to_owned(),
                ..experiment
            }));
    }

    /// Whether nothing is at work, asked for or untold.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Idle) && self.asked.is_empty() && self.untold.is_empty()
    }
}

/// Takes from a child that ended what it did.
fn learn(experiment: &mut Experiment, child: &mut Child, status: Option<std::process::ExitStatus>) {
    let mut said = String::new();
    if let Some(out) = &mut child.stdout {
        let _ = out.read_to_string(&mut said);
    }
    match Provoked::from_line(&said) {
        Some(done) => {
            experiment.began_us = done.began_us;
            experiment.took_us = Some(done.took_us);
            experiment.steps = done.steps;
            experiment.outcome = match done.error {
                None => "done".to_owned(),
                Some(error) => format!("failed: {error}"),
            };
        }
        None => {
            let how = status.map_or_else(String::new, |status| format!(" ({status})"));
            experiment.outcome =
                format!("failed: the process that does it ended without a word{how}");
        }
    }
}

impl Recorder {
    /// Looks after a probe that is at work: the tick after it is not one of the planned ones.
    pub(super) fn look_after_probe(&mut self) {
        if self.probes.wants_tick(boottime_us()) {
            self.probes.end();
            let due = Due {
                index: self.last_index,
                late_us: 0,
                missed: 0,
            };
            self.take_tick(due, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Options;
    use super::*;
    use crate::clock::Deadlines;

    /// A recorder with a fast tick whose probes are done by a shell script.
    fn recorder(db: &Path, every: &[(Probe, Duration)], script: &str) -> (Recorder, Deadlines) {
        use std::os::unix::fs::PermissionsExt;
        let program = db.with_file_name("provoker");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("a folder");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("own");
        let options = Options {
            interval: Duration::from_millis(100),
            probes: every.to_vec(),
            ..Options::for_probe(db)
        };
        let root = Root::open(Path::new("/")).expect("a running machine has a root");
        let mut recorder = Recorder::start(&options, root).expect("a new file");
        recorder.probes.program = program;
        let deadlines = Deadlines::new(boottime_us(), options.interval_us());
        (recorder, deadlines)
    }

    /// Ticks until nothing is left to do.
    fn tick_until_over(recorder: &mut Recorder, deadlines: &mut Deadlines) {
        loop {
            recorder.look_after_probe();
            recorder.tick(deadlines.take(deadlines.next_us()));
            if recorder.probes.is_over() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn may_probe() -> bool {
        Root::open(Path::new("/")).is_ok_and(|root| Probe::Compact.check(&root).is_ok())
    }

    #[test]
    fn ticks_go_on_while_a_probe_works_and_the_last_one_comes_when_it_has_settled() {
        if !may_probe() {
            return;
        }
        let dir = tempfile::tempdir().expect("a folder");
        let db = dir.path().join("soak.db");
        let line = r#"{"began_us":7,"took_us":300000,"steps":[["wait",300000]],"error":null}"#;
        let (mut recorder, mut deadlines) =
            recorder(&db, &[], &format!("sleep 0.3; echo '{line}'"));
        recorder.probes.ask(Probe::Compact);
        tick_until_over(&mut recorder, &mut deadlines);
        let told = recorder.probes.told.take().expect("an answer");
        recorder.finish("over").expect("a clean end");
        assert_eq!(
            (told.outcome.as_str(), told.began_us, told.took_us),
            ("done", 7, Some(300_000))
        );
        assert_eq!(told.steps, [("wait".to_owned(), 300_000)]);
        let recording = memsoak_schema::Recording::open(&db).expect("a recording");
        let ticks = recording.ticks().expect("ticks");
        let tick_of = |time_us: Option<i64>| {
            let found = ticks.iter().find(|one| Some(one.boottime_us) == time_us);
            found.expect("it is on disk").tick
        };
        assert_eq!(tick_of(told.before_us), 1);
        assert!(tick_of(told.after_us) > 3, "ticks go on meanwhile");
        assert!(told.after_us >= told.before_us.map(|before| before + 300_000 + SETTLE_US));
    }

    #[test]
    fn a_probe_that_ends_without_a_word_and_one_that_the_end_of_the_recording_meets_are_told() {
        if !may_probe() {
            return;
        }
        let dir = tempfile::tempdir().expect("a folder");
        let db = dir.path().join("soak.db");
        let (mut recorder, mut deadlines) = recorder(&db, &[], "exit 3");
        recorder.probes.ask(Probe::Compact);
        tick_until_over(&mut recorder, &mut deadlines);
        let told = recorder.probes.told.take().expect("an answer");
        assert!(told.outcome.contains("exit status: 3"), "{}", told.outcome);
        recorder.probes.ask(Probe::Compact);
        recorder.finish("over").expect("a clean end");
        let recording = memsoak_schema::Recording::open(&db).expect("a recording");
        let events = recording.events().expect("events");
        let texts: Vec<_> = events.iter().map(|event| event.text.as_str()).collect();
        assert_eq!(texts[1], "compact: the recording ended first");
    }

    #[test]
    fn what_is_due_at_intervals_comes_once_however_many_moments_passed() {
        let dir = tempfile::tempdir().expect("a folder");
        let db = dir.path().join("soak.db");
        let (mut recorder, _) = recorder(&db, &[], "exit 0");
        let probes = &mut recorder.probes;
        probes.every = vec![Scheduled {
            probe: Probe::DropCaches(1),
            every_us: 100,
            next_us: 1_100,
        }];
        let mut due = |now_us| probes.take_due(Vec::new(), now_us).is_some();
        assert!(!due(1_099));
        assert!(due(1_450));
        assert!(!due(1_499));
        assert!(due(1_500));
        assert!(!due(1_500));
    }
}
