//! From judged series to findings: one leak is one finding, and the series that only mirror it
//! stand under it.

mod attribution;
mod by_experiment;
mod curve;
mod discovery;
mod grouping;
mod joining;
mod numbers;
mod own_work;
mod search;
mod sites;
mod slabs;
mod suspects;
mod things;

use std::collections::BTreeMap;

use memsoak_schema::{Error, Recording, Trend};

pub use attribution::{Attribution, Part};
pub use sites::CallSite;
pub use suspects::Suspect;

use crate::compare::{self, Baseline, Beside};
use crate::experiments::Experiments;
use crate::ledger::{Ledger, UNACCOUNTED, read_ledgers};
use crate::load::{Index, Quantity, SeriesKey, SeriesName, judged_series, works};
use crate::stats;
use crate::verdict::{Cells, Judgement, Traits, Verdict, Work, judge_beside_load, judge_lives};
use curve::{Curve, curve};
use own_work::Again;
use sites::SiteCurve;
use suspects::{Clue, Held, Life, is_kernel_thread};

/// A judged series that is not constant.
#[derive(Debug)]
pub struct Judged {
    /// Which series.
    pub key: SeriesKey,
    /// What it is called.
    pub name: SeriesName,
    /// What was found.
    pub judgement: Judgement,
    /// How that compares with a baseline, where there is one.
    pub beside: Option<Beside>,
    /// Its course, where it grew.
    curve: Option<Curve>,
    /// Seconds from its first sample to its last.
    pub span_s: f64,
    /// It was gone before the recording ended.
    ended: bool,
}

impl Judged {
    fn is_called(&self) -> bool {
        matches!(self.judgement.verdict, Verdict::Leak | Verdict::Suspect)
    }

    /// Slope in units an hour.
    pub fn slope_per_hour(&self) -> f64 {
        self.judgement.slope_per_s * 3600.0
    }
}

/// One leak, with the series that it explains.
#[derive(Debug)]
pub struct Finding {
    /// The series that stands for it, as a place in [`Analysis::judged`].
    pub head: usize,
    /// The series that mirror it.
    pub explains: Vec<usize>,
    /// The processes that move with it, the strongest first.
    pub suspects: Vec<Suspect>,
    /// The code that allocates it, where the kernel counts that; the largest share first.
    pub allocated_by: Vec<CallSite>,
    /// Its share of the growth of the total that it is a part of, where that total grows.
    pub share_of_growth: Option<f64>,
    /// Hours until MemAvailable is used up at this slope.
    pub eta_hours: Option<f64>,
}

/// All that was judged.
#[derive(Debug)]
pub struct Analysis {
    /// What the recording holds besides values.
    pub index: Index,
    /// How MemTotal is used over time, by boot.
    pub ledgers: Vec<Option<Ledger>>,
    /// Every judged series that is not constant, in order of source, entity and metric.
    pub judged: Vec<Judged>,
    /// The series that never change.
    pub still: Vec<SeriesKey>,
    /// How many series have which verdict, constant ones included.
    pub by_verdict: BTreeMap<Verdict, u64>,
    /// The findings, the worst first.
    pub findings: Vec<Finding>,
    /// The totals that grow, taken apart.
    pub attribution: Vec<Attribution>,
    /// The probes, and what each showed.
    pub experiments: Experiments,
}

impl Analysis {
    /// How many series were judged.
    pub fn series(&self) -> u64 {
        self.by_verdict.values().sum()
    }

    /// Whether any series was long enough for a verdict.
    pub fn could_judge(&self) -> bool {
        self.by_verdict.iter().any(|(verdict, n)| {
            *n > 0 && !matches!(verdict, Verdict::TooShort | Verdict::Unjudgeable)
        })
    }

    /// The word for the whole: the worst verdict among the findings.
    pub fn verdict(&self) -> &'static str {
        let any = |verdict| {
            self.findings
                .iter()
                .any(|finding| self.judged[finding.head].judgement.verdict == verdict)
        };
        if any(Verdict::Leak) {
            "leak"
        } else if any(Verdict::Suspect) {
            "suspect"
        } else if self.could_judge() {
            "clean"
        } else {
            "inconclusive"
        }
    }
}

/// Judges every series of a recording.
///
/// # Errors
/// When the file is damaged.
pub fn analyse(recording: &Recording, progress: impl FnMut(&str)) -> Result<Analysis, Error> {
    analyse_beside(recording, None, progress)
}

/// [`analyse`] with a baseline that weighs with the verdicts (see [`crate::compare`]).
///
/// # Errors
/// When the file is damaged.
pub fn analyse_beside(
    recording: &Recording,
    baseline: Option<&Baseline>,
    mut progress: impl FnMut(&str),
) -> Result<Analysis, Error> {
    progress("ticks");
    let index = Index::read(recording)?;
    let experiments = Experiments::read(recording, &index)?;
    progress("load");
    let works = works(recording, &index)?;
    let mut court = Court::new(recording, &index, &experiments, &works);
    let mut damage = None;
    judged_series(recording, &index, &mut progress, |key, lives| {
        if damage.is_none() {
            damage = court.hear(key, lives).err();
        }
    })?;
    if let Some(error) = damage {
        return Err(error);
    }
    progress("ledger");
    let mut ledgers = read_ledgers(recording, &index)?;
    for (boot, ledger) in ledgers.iter_mut().enumerate() {
        if let Some(ledger) = ledger {
            ledger.look_past(&experiments.drops(boot));
        }
    }
    for (boot, ledger) in ledgers.iter().enumerate() {
        if let Some(cells) = ledger.as_ref().and_then(Ledger::unaccounted) {
            let name = SeriesName::scalar("ledger", UNACCOUNTED, Quantity::Bytes, Trend::Memory);
            court.judge(SeriesKey::unaccounted(boot), name, &[cells]);
        }
    }
    let Court {
        mut judged,
        again,
        clues,
        lives,
        sites,
        mut by_verdict,
        still,
        ..
    } = court;
    own_work::judge_again(recording, &index, &works, &again, &mut judged)?;
    discovery::control_false_discoveries(&mut judged);
    discovery::ask_the_objects(&mut judged);
    discovery::believe_the_oom_killer(&index, &mut judged);
    if let Some(baseline) = baseline {
        compare::weigh(&index, &mut judged, baseline);
    }
    discovery::play_down_negligible(&mut judged);
    for one in &judged {
        *by_verdict.entry(one.judgement.verdict).or_default() += 1;
    }
    progress("findings");
    let layouts = slabs::layouts(recording, &index, &judged)?;
    let evidence = things::Evidence {
        recording,
        index: &index,
        judged: &judged,
        clues: &clues,
        lives: &lives,
        sites: &sites,
        layouts: &layouts,
    };
    let (findings, attribution) = grouping::findings(&evidence, &ledgers);
    Ok(Analysis {
        index,
        ledgers,
        judged,
        still,
        by_verdict,
        findings,
        attribution,
        experiments,
    })
}

/// Hears one series after the other and keeps what findings need of them.
struct Court<'a> {
    recording: &'a Recording,
    index: &'a Index,
    experiments: &'a Experiments,
    /// Times around the probes that make caches fall, by boot; on the time that the machine was
    /// awake, as series are judged.
    drops: Vec<Vec<(f64, f64)>>,
    /// What the machine did, by boot.
    works: &'a [Vec<Work>],
    judged: Vec<Judged>,
    /// Processes that grow or follow the load.
    again: Vec<Again>,
    clues: Vec<Clue>,
    lives: Vec<Life>,
    sites: Vec<SiteCurve>,
    by_verdict: BTreeMap<Verdict, u64>,
    still: Vec<SeriesKey>,
    /// Metrics that are only compared.
    compared: Vec<i64>,
    /// The metric that every process has all its life.
    threads: Option<i64>,
}

impl<'a> Court<'a> {
    fn new(
        recording: &'a Recording,
        index: &'a Index,
        experiments: &'a Experiments,
        works: &'a [Vec<Work>],
    ) -> Self {
        let metrics = || {
            index
                .sources
                .iter()
                .flat_map(|source| source.metrics.iter().map(move |metric| (source, metric)))
        };
        Self {
            recording,
            index,
            experiments,
            drops: index
                .boots
                .iter()
                .enumerate()
                .map(|(at, boot)| {
                    let awake = |t_s: f64| boot.asleep.awake_at(t_s);
                    let drops = experiments.drops(at).into_iter();
                    drops.map(|(from, to)| (awake(from), awake(to))).collect()
                })
                .collect(),
            works,
            judged: Vec::new(),
            again: Vec::new(),
            clues: Vec::new(),
            lives: Vec::new(),
            sites: Vec::new(),
            by_verdict: BTreeMap::new(),
            still: Vec::new(),
            compared: metrics()
                .filter(|(_, metric)| metric.trend == Trend::Clue)
                .map(|(_, metric)| metric.metric)
                .collect(),
            threads: metrics()
                .find(|(source, metric)| source.name == "process" && metric.name == "threads")
                .map(|(_, metric)| metric.metric),
        }
    }

    fn hear(&mut self, key: SeriesKey, lives: &[Cells]) -> Result<(), Error> {
        self.note_life(key, lives);
        if lives.iter().all(|life| life.max <= life.min) {
            // Neither its name nor what is known of its source matters to a constant.
            if !self.compared.contains(&key.metric) {
                let verdict = judge_lives(lives, &Traits::default()).verdict;
                *self.by_verdict.entry(verdict).or_default() += 1;
                if verdict == Verdict::Steady {
                    self.still.push(key);
                }
            }
            return Ok(());
        }
        let name = SeriesName::of(self.recording, self.index, key)?;
        if let Some(held) = Held::of(&name)
            && !self.is_kernel_thread(key, &name)?
        {
            self.clues.extend(self.clue(key, &name, held, lives));
        }
        if sites::is_of_site(&name) {
            self.note_site(key, &name, lives);
        }
        if name.trend != Trend::Clue {
            self.judge(key, name, lives);
        }
        Ok(())
    }

    fn span_s(&self, boot: usize) -> f64 {
        self.index.boots.get(boot).map_or(0.0, |boot| boot.span_s())
    }

    /// Of a name the first who bore it tells.
    fn is_kernel_thread(&self, key: SeriesKey, name: &SeriesName) -> Result<bool, Error> {
        match self.index.kin.group(key.entity) {
            Some(group) => {
                let eldest = self.recording.entity(group.eldest)?;
                Ok(eldest.is_some_and(|eldest| is_kernel_thread(&eldest.labels)))
            }
            None => Ok(is_kernel_thread(&name.labels)),
        }
    }

    fn clue(&self, key: SeriesKey, name: &SeriesName, held: Held, lives: &[Cells]) -> Option<Clue> {
        let growth = lives.last()?.last - lives.first()?.first;
        (growth > 0.0).then(|| Clue {
            key,
            name: name.clone(),
            held,
            curve: curve(lives, self.span_s(key.boot)),
            growth,
        })
    }

    fn note_site(&mut self, key: SeriesKey, name: &SeriesName, lives: &[Cells]) {
        if let (Some(first), Some(last)) = (lives.first(), lives.last())
            && last.last > first.first
        {
            self.sites.push(SiteCurve {
                key,
                name: name.clone(),
                curve: curve(lives, self.span_s(key.boot)),
            });
        }
    }

    /// When a process lived: its number of threads is always known.
    fn note_life(&mut self, key: SeriesKey, lives: &[Cells]) {
        if let [life] = lives
            && Some(key.metric) == self.threads
            && key.entity > 0
            && let (Some(from_s), Some(to_s)) = (life.t_s.first(), life.t_s.last())
        {
            self.lives.push(Life {
                key,
                from_s: *from_s,
                to_s: *to_s,
            });
        }
    }

    fn judge(&mut self, key: SeriesKey, name: SeriesName, lives: &[Cells]) {
        let least = lives
            .iter()
            .map(|life| life.min)
            .fold(f64::INFINITY, f64::min);
        let most = lives
            .iter()
            .map(|life| life.max)
            .fold(f64::NEG_INFINITY, f64::max);
        let mut traits = Traits::of_source(&name.id, f64::midpoint(least, most));
        if name.quantity == Quantity::Count {
            traits.floor = 0.0;
        }
        traits.reclaimable |= name.reclaimable;
        // A life that covers less than half of what was watched, or was to be watched, is a suspect
        // at most: a job that grew and ended gave its memory back, and a young one may still be
        // warming up.
        traits.planned_span_s = self.index.boots.get(key.boot).map(|boot| {
            let awake_s = boot.asleep.awake_at(boot.span_s());
            boot.planned_s.unwrap_or(0.0).max(awake_s)
        });
        let asleep = self.index.boots.get(key.boot).map(|boot| &boot.asleep);
        let awake = asleep.and_then(|asleep| asleep.leave_out(lives));
        let drops = self.drops.get(key.boot).map_or(&[][..], Vec::as_slice);
        let works = self.works.get(key.boot).map_or(&[][..], Vec::as_slice);
        let mut judgement = match awake.as_deref().unwrap_or(lives) {
            [life] if drops.is_empty() => judge_beside_load(life, &traits, works),
            [life] => {
                let gave_back = self.experiments.gave_back(self.index, key);
                by_experiment::judge_with(life, &traits, drops, gave_back)
            }
            lives => judge_lives(lives, &traits),
        };
        if let (Some(asleep), Some(_)) = (asleep, &awake) {
            asleep.put_back(&mut judgement);
        }
        let is_called = matches!(judgement.verdict, Verdict::Leak | Verdict::Suspect);
        if let [life] = awake.as_deref().unwrap_or(lives)
            && drops.is_empty()
            && name.source == "process"
            && key.entity > 0
            && (is_called || judgement.load.is_some())
        {
            self.again.push(Again {
                at: self.judged.len(),
                life: life.clone(),
                traits,
            });
        }
        let grew = judgement.last > judgement.first;
        self.judged.push(Judged {
            span_s: span_s(lives),
            ended: key.entity != 0 && has_ended(lives, self.span_s(key.boot)),
            curve: grew.then(|| curve(lives, self.span_s(key.boot))),
            key,
            name,
            judgement,
            beside: None,
        });
    }
}

/// Seconds from the first sample to the last, between lives to the width of a cell.
fn span_s(lives: &[Cells]) -> f64 {
    match lives {
        [life] => life.span_s,
        lives => {
            let times = || lives.iter().flat_map(|life| &life.t_s);
            let ends = times().next().zip(times().next_back());
            ends.map_or(0.0, |(from, to)| to - from)
        }
    }
}

/// A thing whose last samples lie this many of their usual distances before the end is gone.
const GONE: f64 = 3.0;

fn has_ended(lives: &[Cells], span_s: f64) -> bool {
    let Some(life) = lives.last() else {
        return false;
    };
    let apart: Vec<f64> = life.t_s.windows(2).map(|w| w[1] - w[0]).collect();
    life.t_s
        .last()
        .is_none_or(|last| last + GONE * stats::median(&apart) < span_s)
}
