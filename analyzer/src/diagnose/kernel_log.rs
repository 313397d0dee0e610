//! What the kernel did and said: OOM kills that it counted, and reports in its log.

use memsoak_schema::{Error, Labels};
use serde_json::{Map, Value, json};

use super::growers::{self, Kill, Share};
use super::spells::Counter;
use super::{Diagnosis, Scene, Severity, Watch, map};
use crate::load::{Picture, View};
use crate::words::{count, headline};

const VIEWS: &[View] = &[View {
    source: "vmstat",
    metrics: &["oom_kill"],
}];

/// Kinds of events that are diagnoses by themselves, with how bad each is (what kmemleak says stands
/// with its report). Those that corrupt
/// memory or stop the machine are critical. A dump that was asked for (`mem_info`) is no condition.
const KINDS: &[(&str, Severity)] = &[
    ("alloc_failure", Severity::Warning),
    ("kasan", Severity::Critical),
    ("kfence", Severity::Critical),
    ("ubsan", Severity::Warning),
    ("hung_task", Severity::Warning),
    ("soft_lockup", Severity::Critical),
];

/// Kills of which the growers are looked up; after these nobody asks who began it.
const KILLS_TOLD: usize = 5;

/// Texts of a kind that are kept.
const TEXTS_KEPT: usize = 10;

#[derive(Default)]
pub(super) struct KernelLog {
    kills: Counter,
}

impl Watch for KernelLog {
    fn views(&self) -> &'static [View] {
        VIEWS
    }

    fn see(&mut self, _: &Scene<'_>, _: usize, picture: &Picture<'_>) {
        if let &[kills] = picture.scalars() {
            self.kills.see(picture.t_s, kills);
        }
    }

    fn tell(self: Box<Self>, scene: &Scene<'_>) -> Result<Vec<Diagnosis>, Error> {
        let mut told = Vec::new();
        told.extend(oom_kill(scene, &self.kills)?);
        for (kind, severity) in KINDS {
            let found = Said::of(scene, kind);
            if let (Some(first), Some(last)) = (found.first(), found.last()) {
                let mut text = format!("The kernel said: {}", first.text);
                if found.len() > 1 {
                    text.push_str(&format!(" ({} of this kind)", count(found.len(), "report")));
                }
                told.push(Diagnosis {
                    id: kind,
                    severity: *severity,
                    boot: scene.boot_at,
                    from_s: first.t_s,
                    until_s: Some(last.t_s),
                    held_s: last.t_s - first.t_s,
                    text,
                    evidence: map(json!({
                        "events": found.len(),
                        "texts": texts(&found),
                    })),
                });
            }
        }
        Ok(told)
    }
}

/// An event of the kernel log.
pub(super) struct Said {
    pub(super) t_s: f64,
    /// The line that says most.
    pub(super) text: String,
    /// What the recorder took out of the text.
    detail: Labels,
}

impl Said {
    pub(super) fn of(scene: &Scene<'_>, kind: &str) -> Vec<Self> {
        scene
            .index
            .events
            .iter()
            .filter(|event| event.kind == kind && event.boot == scene.boot.boot.boot)
            .map(|event| Self {
                t_s: scene.boot.at(event.boottime_us),
                // A report of the OOM killer names its victim in its last line.
                text: headline(&event.text, "Killed process "),
                detail: event.detail.clone(),
            })
            .collect()
    }
}

pub(super) fn texts(said: &[Said]) -> Vec<Value> {
    said.iter()
        .take(TEXTS_KEPT)
        .map(|said| json!({"t_s": said.t_s, "text": said.text, "detail": said.detail}))
        .collect()
}

fn oom_kill(scene: &Scene<'_>, counter: &Counter) -> Result<Option<Diagnosis>, Error> {
    // What the log says of the time before the recording is not of this test.
    let said: Vec<Said> = Said::of(scene, "oom_kill")
        .into_iter()
        .filter(|said| said.t_s >= 0.0)
        .collect();
    let counted: f64 = counter.rises().map(|(_, rise)| rise).sum();
    let mut moments: Vec<f64> = counter.rises().map(|(t, _)| t).collect();
    if moments.is_empty() {
        moments = said.iter().map(|said| said.t_s).collect();
    }
    let (Some(first), Some(last)) = (moments.first().copied(), moments.last().copied()) else {
        return Ok(None);
    };
    let first = said.first().map_or(first, |said| said.t_s.min(first));
    moments.truncate(KILLS_TOLD);
    let kills = growers::before_kills(scene, &moments)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of kills"
    )]
    let number = (counted as usize).max(said.len());
    let mut text = format!(
        "The kernel killed {} for lack of memory.",
        processes(number)
    );
    if let Some(said) = said.first() {
        text.push_str(&format!(" It said: {}", said.text));
        if !said.text.ends_with('.') {
            text.push('.');
        }
    }
    let limited = said
        .iter()
        .find_map(|said| said.detail.get("oom_memcg")?.as_str());
    if let Some(group) = limited {
        text.push_str(&format!(
            " The limit of the cgroup {group} was reached, not that of the machine."
        ));
    }
    if let Some(kill) = kills.first() {
        text.push_str(&of_first(kill));
    }
    let mut evidence: Map<String, Value> = map(json!({
        "series": ["vmstat/oom_kill"],
        "kills": number,
        "each": kills.iter().map(kill_json).collect::<Vec<_>>(),
    }));
    if !said.is_empty() {
        evidence.insert("texts".to_owned(), texts(&said).into());
    }
    Ok(Some(Diagnosis {
        id: "oom_kill",
        severity: Severity::Critical,
        boot: scene.boot_at,
        from_s: first,
        until_s: Some(last),
        held_s: last - first,
        text,
        evidence,
    }))
}

fn processes(n: usize) -> String {
    if n == 1 {
        "a process".to_owned()
    } else {
        format!("{n} processes")
    }
}

/// The victim is rarely the culprit: who had grown stands first.
fn of_first(kill: &Kill) -> String {
    let list = |shares: &[Share]| -> String {
        shares
            .iter()
            .map(Share::in_words)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut text = String::new();
    if !kill.growers.is_empty() {
        text.push_str(&format!(
            " Up to the first kill these had grown most: {}.",
            list(&kill.growers)
        ));
    }
    if !kill.vanished.is_empty() {
        text.push_str(&format!(" Gone with it: {}.", list(&kill.vanished)));
    }
    let is_in = |shares: &[Share], one: &Share| {
        shares
            .iter()
            .any(|other| (other.pid, &other.name) == (one.pid, &one.name))
    };
    if let Some(grower) = kill.growers.first()
        && !kill.vanished.is_empty()
        && !is_in(&kill.vanished, grower)
    {
        text.push_str(&format!(" {} was not killed.", grower.title()));
    }
    text
}

fn kill_json(kill: &Kill) -> Value {
    json!({
        "t_s": kill.t_s,
        "growers": kill.growers.iter().map(Share::as_json).collect::<Vec<_>>(),
        "vanished": kill.vanished.iter().map(Share::as_json).collect::<Vec<_>>(),
    })
}
