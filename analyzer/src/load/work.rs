//! The work that a machine did while it was recorded: what its memory may follow.

use memsoak_schema::{Error, Recording};

use super::index::{BootTicks, Index};
use super::pictures::{Picture, View, pictures};
use crate::verdict::Work;

/// Work that memory may follow, by what a recording counts of it.
///
/// All of these are counters of what is done and gone. What is left out on purpose: processes, threads,
/// descriptors and sockets, which are what leaks; load averages and running or blocked tasks, since
/// tasks that hang and pile up are in them; interrupts, most of which are clocks.
const KINDS: [Kind; 5] = [
    Kind {
        what: "CPU time",
        units: ["CPU second", "CPU in use"],
        source: "stat",
        // guest and guest_nice are in user and nice.
        metrics: &[
            "cpu.user",
            "cpu.nice",
            "cpu.system",
            "cpu.irq",
            "cpu.softirq",
        ],
        by_growth: false,
    },
    Kind {
        what: "context switches",
        units: ["context switch", "context switch a second"],
        source: "stat",
        metrics: &["ctxt"],
        by_growth: false,
    },
    Kind {
        what: "disk transfers",
        units: ["byte transferred", "byte transferred a second"],
        source: "vmstat",
        metrics: &["pgpgin", "pgpgout"],
        by_growth: false,
    },
    Kind {
        what: "page faults",
        units: ["page fault", "page fault a second"],
        source: "vmstat",
        metrics: &["pgfault"],
        by_growth: true,
    },
    Kind {
        what: "page allocations",
        units: ["page allocation", "page allocation a second"],
        source: "vmstat",
        // One for each kind of zone that the machine has.
        metrics: &[
            "pgalloc_dma",
            "pgalloc_dma32",
            "pgalloc_normal",
            "pgalloc_high",
            "pgalloc_movable",
            "pgalloc_device",
        ],
        by_growth: true,
    },
];

/// A kind of work, and the counters whose sum it is.
struct Kind {
    what: &'static str,
    /// One of it, and one of it a second.
    units: [&'static str; 2],
    source: &'static str,
    metrics: &'static [&'static str],
    by_growth: bool,
}

/// Instants that are kept of each: twenty for each stretch in which a series is laid beside it, as the
/// work between two of them is blurred over that time.
const INSTANTS: usize = 960;

/// One kind of work that is being read.
struct Tally {
    every: usize,
    seen: usize,
    t_s: Vec<f64>,
    done: Vec<f64>,
    /// Time and sum of the last sample.
    latest: Option<(f64, f64)>,
    /// What counters that fell had counted before.
    carried: f64,
}

impl Tally {
    fn new(samples: usize) -> Self {
        Self {
            every: samples.div_ceil(INSTANTS).max(1),
            seen: 0,
            t_s: Vec::new(),
            done: Vec::new(),
            latest: None,
            carried: 0.0,
        }
    }

    /// A total needs no more than some of its values: the work between them is all there.
    fn see(&mut self, t_s: f64, picture: &Picture<'_>) {
        let known = picture.scalars().iter().filter(|value| !value.is_nan());
        let (count, sum) = known.fold((0, 0.0), |(n, sum), value| (n + 1, sum + value));
        if count == 0 {
            return;
        }
        // A counter that falls has wrapped (those of vmstat have 32 bits on such machines): how much was
        // done meanwhile is not known, and counts as nothing.
        let before = self.latest.map_or(sum, |(_, before)| before);
        self.carried += (before - sum).max(0.0);
        self.latest = Some((t_s, sum));
        if self.seen.is_multiple_of(self.every) {
            self.keep();
        }
        self.seen += 1;
    }

    fn keep(&mut self) {
        if let Some((t_s, sum)) = self.latest
            && self.t_s.last() != Some(&t_s)
        {
            self.t_s.push(t_s);
            self.done.push(self.carried + sum);
        }
    }
}

/// Reads the work done in each boot, on the time that the machine was awake.
///
/// What was not recorded, or never happened, is left out.
///
/// # Errors
/// When the file is damaged.
pub fn works(recording: &Recording, index: &Index) -> Result<Vec<Vec<Work>>, Error> {
    index
        .boots
        .iter()
        .map(|boot| works_of(recording, index, boot))
        .collect()
}

fn works_of(recording: &Recording, index: &Index, boot: &BootTicks) -> Result<Vec<Work>, Error> {
    let samples = |name: &str| {
        let source = index.sources.iter().find(|source| source.name == name);
        let ticks = source.and_then(|source| boot.sources.get(&source.source));
        ticks.map_or(0, |ticks| ticks.t_s.len())
    };
    let views = KINDS.map(|kind| View {
        source: kind.source,
        metrics: kind.metrics,
    });
    let mut tallies = KINDS.map(|kind| Tally::new(samples(kind.source)));
    pictures(recording, index, boot, &views, |place, picture| {
        if let Some(tally) = tallies.get_mut(place) {
            tally.see(boot.asleep.awake_at(picture.t_s), picture);
        }
    })?;
    // CPU time is counted in ticks.
    let per_unit = |kind: &Kind| match kind.what {
        "CPU time" => 1.0 / f64::from(boot.boot.user_hz.max(1)),
        _ => 1.0,
    };
    let done = KINDS.iter().zip(tallies).filter_map(|(kind, mut tally)| {
        tally.keep();
        let scale = per_unit(kind);
        let done = tally.done.iter().map(|done| scale * done).collect();
        Work::new(kind.what, kind.units, kind.by_growth, tally.t_s, done)
    });
    Ok(done.collect())
}
