//! Damaged copies of a recording, and what the programs make of them: seeded, so that each can be
//! made again by its number.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use memsoak_analyze::findings::analyse;
use memsoak_analyze::{info, salvage};
use memsoak_schema::{Error, Metric, Recording};

use crate::made_up_soak::{self, Soak};

/// Bytes of a page of our recordings.
const PAGE: usize = 1024;

/// Ways in which copies go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The first pages of an earlier moment, the others of a later one: `cp` during a checkpoint.
    Cp,
    /// Each page of one of two moments.
    Torn,
    /// The end is missing.
    Cut,
    /// 1 to 100 bits are another.
    Flips,
    /// 1 to 8 blocks of 4 KiB are zero.
    Zeroed,
    /// 2 to 20 pages have changed places.
    Reordered,
    /// 1 to 16 of the first 100 bytes are others.
    Header,
}

/// All of them.
pub(crate) const KINDS: [Kind; 7] = [
    Kind::Cp,
    Kind::Torn,
    Kind::Cut,
    Kind::Flips,
    Kind::Zeroed,
    Kind::Reordered,
    Kind::Header,
];

/// A random number generator with good enough bits (SplitMix64, Steele et al. 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or(0)
    }
}

/// What each metric of a source was at each sample, as one number over all things that have it, by
/// source, metric and tick.
pub(crate) type Truth = BTreeMap<(i64, i64, i64), u64>;

/// A recording at two moments, and what it holds.
pub(crate) struct Original {
    folder: tempfile::TempDir,
    earlier: Vec<u8>,
    later: Vec<u8>,
    truth: Truth,
    /// How much of it the recording holds at the later moment.
    held: usize,
    is_thinned: bool,
    /// Ticks of the earlier and of the later moment.
    pub(crate) ticks: (usize, usize),
}

/// How a copy fared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fared {
    /// What ended in a panic.
    pub(crate) panics: Vec<&'static str>,
    /// Read without salvage.
    pub(crate) is_read: bool,
    /// What refused it without a word on salvage.
    pub(crate) speechless: Vec<String>,
    /// Values that were never so: as it is read, and salvaged.
    pub(crate) wrong: (usize, usize),
    /// Shares of the values that are there when read as it is, and when salvaged.
    pub(crate) samples: (f64, f64),
    /// Share of the ticks that are salvaged.
    pub(crate) ticks: f64,
    pub(crate) is_salvaged: bool,
    /// The longest of the steps.
    pub(crate) longest: Duration,
}

impl Original {
    /// Makes up a recording of so many ticks, kept within so many bytes, and remembers it as it was
    /// at three quarters of them.
    pub(crate) fn make(ticks: u32, most_bytes: Option<u64>) -> Result<Self, Error> {
        let folder = tempfile::tempdir().expect("a folder for the copies");
        let write = |ticks: u32, most_bytes: Option<u64>| -> Result<PathBuf, Error> {
            let path = folder.path().join(format!("{ticks}-{most_bytes:?}.db"));
            let soak = Soak {
                ticks,
                processes: 12,
                interval_s: 10,
                leak_kib_per_hour: 1440,
                seed: 7,
                most_bytes,
            };
            made_up_soak::write(&path, &soak)?;
            Ok(path)
        };
        let at = |ticks: u32| -> Result<(Vec<u8>, Recording), Error> {
            let path = write(ticks, most_bytes)?;
            let bytes = fs::read(&path).expect("just written");
            Ok((bytes, Recording::open(&path)?))
        };
        let (earlier, earlier_read) = at(ticks * 3 / 4)?;
        let (later, read) = at(ticks)?;
        let held = dense(&read)?;
        Ok(Self {
            earlier,
            later,
            held: held.len(),
            truth: match most_bytes {
                Some(_) => dense(&Recording::open(&write(ticks, None)?)?)?,
                None => held,
            },
            is_thinned: most_bytes.is_some(),
            ticks: (earlier_read.ticks()?.len(), read.ticks()?.len()),
            folder,
        })
    }

    /// Bytes of the whole recording.
    pub(crate) fn bytes(&self) -> usize {
        self.later.len()
    }

    fn damaged(&self, kind: Kind, dice: &mut Dice) -> Vec<u8> {
        let mut copy = self.later.clone();
        let pages = copy.len() / PAGE;
        let shared = self.earlier.len() / PAGE;
        let put_earlier = |copy: &mut Vec<u8>, page: usize| {
            let at = page * PAGE..(page + 1) * PAGE;
            copy[at.clone()].copy_from_slice(&self.earlier[at]);
        };
        match kind {
            Kind::Cp => {
                for page in 0..1 + dice.below(shared) {
                    put_earlier(&mut copy, page);
                }
            }
            Kind::Torn => {
                for page in 0..shared {
                    if dice.below(2) == 0 {
                        put_earlier(&mut copy, page);
                    }
                }
                if dice.below(2) == 0 {
                    copy.truncate(self.earlier.len());
                }
            }
            Kind::Cut => copy.truncate(dice.below(copy.len())),
            Kind::Flips => {
                for _ in 0..1 + dice.below(100) {
                    let at = dice.below(copy.len());
                    copy[at] ^= 1 << dice.below(8);
                }
            }
            Kind::Zeroed => {
                for _ in 0..1 + dice.below(8) {
                    let at = dice.below(copy.len() / 4096) * 4096;
                    copy[at..at + 4096].fill(0);
                }
            }
            Kind::Reordered => {
                for _ in 0..1 + dice.below(10) {
                    let (a, b) = (dice.below(pages) * PAGE, dice.below(pages) * PAGE);
                    for byte in 0..PAGE {
                        copy.swap(a + byte, b + byte);
                    }
                }
            }
            Kind::Header => {
                for _ in 0..1 + dice.below(16) {
                    let at = dice.below(100);
                    copy[at] = u8::try_from(dice.below(256)).unwrap_or(0);
                }
            }
        }
        copy
    }

    /// Makes the copy of a number and tries everything with it.
    pub(crate) fn try_copy(&self, number: u64) -> (Kind, Fared) {
        let mut dice = Dice(number.wrapping_mul(0x5851_f42d_4c95_7f2d));
        let kind = KINDS[usize::try_from(number % KINDS.len() as u64).unwrap_or(0)];
        let copy = self.folder.path().join("copy.db");
        let out = self.folder.path().join("out.db");
        let _ = fs::remove_file(&out);
        fs::write(&copy, self.damaged(kind, &mut dice)).expect("room for a copy");
        let mut fared = Fared::default();
        let told = fared.step("info", || info::describe(&copy));
        fared.note(&told.map(|told| told.map(drop)));
        let judged = fared.step("trends", || {
            let recording = Recording::open(&copy)?;
            Ok(analyse(&recording, |_| {}).map(drop)?)
        });
        fared.is_read = matches!(judged, Some(Ok(())));
        fared.note(&judged);
        if fared.is_read {
            let (wrong, right) = self.compare(&copy);
            fared.wrong.0 = wrong;
            fared.samples.0 = right;
        }
        let salvaged = fared.step("salvage", || salvage::salvage(&copy, &out, false));
        if let Some(Ok(_)) = salvaged {
            fared.is_salvaged = true;
            let judged = fared.step("trends of what was salvaged", || {
                let recording = Recording::open(&out)?;
                Ok(analyse(&recording, |_| {}).map(drop)?)
            });
            if let Some(Err(error)) = judged {
                fared.speechless.push(format!("salvaged, yet: {error:#}"));
            }
            let (wrong, right) = self.compare(&out);
            fared.wrong.1 = wrong;
            fared.samples.1 = right;
            let ticks = Recording::open(&out).and_then(|out| out.ticks());
            fared.ticks = ticks.map_or(0.0, |ticks| ticks.len() as f64) / self.ticks.1 as f64;
        }
        (kind, fared)
    }

    /// What was so at a sample. A tick that others were merged into says what the last of them said.
    fn was(&self, (source, metric, tick): (i64, i64, i64)) -> Option<u64> {
        let from = if self.is_thinned { 0 } else { tick };
        let range = (source, metric, from)..=(source, metric, tick);
        let (_, held) = self.truth.range(range).next_back()?;
        Some(*held)
    }

    /// How many values say what was never so, and the share that says what was.
    fn compare(&self, copy: &Path) -> (usize, f64) {
        let found = Recording::open(copy).and_then(|recording| {
            recording.verify()?;
            dense(&recording)
        });
        let Ok(found) = found else { return (0, 0.0) };
        let wrong = found
            .iter()
            .filter(|(at, held)| self.was(**at) != Some(**held))
            .count();
        (wrong, (found.len() - wrong) as f64 / self.held as f64)
    }
}

impl Fared {
    fn step<T>(
        &mut self,
        what: &'static str,
        run: impl FnOnce() -> anyhow::Result<T>,
    ) -> Option<anyhow::Result<T>> {
        let begun = Instant::now();
        let done = catch_unwind(AssertUnwindSafe(run));
        self.longest = self.longest.max(begun.elapsed());
        if done.is_err() {
            self.panics.push(what);
        }
        done.ok()
    }

    /// Who is refused is to be told what helps.
    fn note(&mut self, done: &Option<anyhow::Result<()>>) {
        if let Some(Err(error)) = done {
            let text = format!("{error:#}");
            let helps = [
                "salvage",
                "it is empty",
                "newer memsoak",
                "application_id",
                "older file format",
            ];
            if !helps.iter().any(|word| text.contains(word)) {
                self.speechless.push(text);
            }
        }
    }
}

fn mix(number: u64) -> u64 {
    Dice(number).next()
}

/// What each metric is at each sample that gave values.
fn dense(recording: &Recording) -> Result<Truth, Error> {
    let mut samples: BTreeMap<i64, Vec<(i64, bool)>> = BTreeMap::new();
    recording.scan_samples(|sample| {
        if sample.status.has_values() {
            let of_source = samples.entry(sample.source).or_default();
            of_source.push((sample.tick, sample.keyframe));
        }
    })?;
    let number = |what: i64, value: f64| {
        let bits = mix(value.to_bits() ^ mix(what.cast_unsigned()));
        if value.is_nan() { 0 } else { bits }
    };
    let all = 0..=i64::MAX >> 24;
    let mut truth = Truth::new();
    for source in recording.sources()? {
        // Tick, thing, metric, value.
        let mut rows: BTreeMap<i64, Vec<(i64, i64, u64)>> = BTreeMap::new();
        if source.has_entities {
            let metrics: Vec<&Metric> = source.metrics.iter().collect();
            recording.scan_entities(&source, &metrics, None, &all, |tick, entity, values| {
                for (metric, value) in metrics.iter().zip(values) {
                    let row = (entity, metric.metric, number(entity, *value));
                    rows.entry(tick).or_default().push(row);
                }
            })?;
        } else {
            let metrics: Vec<i64> = source.metrics.iter().map(|m| m.metric).collect();
            recording.scan_scalars(&metrics, &all, |tick, metric, value| {
                let row = (0, metric, number(0, value));
                rows.entry(tick).or_default().push(row);
            })?;
        }
        let mut held: HashMap<(i64, i64), u64> = HashMap::new();
        let mut sums: HashMap<i64, u64> = HashMap::new();
        for (tick, keyframe) in samples.remove(&source.source).unwrap_or_default() {
            if keyframe {
                held.clear();
                sums.clear();
            }
            for (what, metric, value) in rows.remove(&tick).unwrap_or_default() {
                let old = held.insert((what, metric), value).unwrap_or(0);
                let sum = sums.entry(metric).or_default();
                *sum = sum.wrapping_sub(old).wrapping_add(value);
            }
            let of_tick = sums.iter().filter(|(_, sum)| **sum != 0);
            truth.extend(of_tick.map(|(metric, sum)| ((source.source, *metric, tick), *sum)));
        }
    }
    Ok(truth)
}
