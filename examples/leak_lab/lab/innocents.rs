//! What healthy programs do with memory that looks like a leak for a while, or to a hasty reader.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::net::UdpSocket;
use std::path::PathBuf;

use super::leaks::{Own, Waiting};
use super::system::Mapping;
use super::{Kind, PAGE_BYTES, Step, filled};

/// Steps of one turn of what comes and goes.
const TURN: usize = 100;

const fn innocent(
    name: &'static str,
    does: &'static str,
    begin: fn(usize) -> anyhow::Result<Step>,
) -> Kind {
    Kind {
        name,
        leaks: None,
        does,
        begin,
    }
}

pub(super) const KINDS: &[Kind] = &[
    innocent("idle", "does nothing", |_| Ok(Box::new(|| Ok(())))),
    innocent("hold", "keeps the COUNT pages that it began with", hold),
    innocent("steady", "allocates, fills and frees COUNT pages", steady),
    innocent(
        "sawtooth",
        "takes COUNT more pages, and gives all back after 100 steps",
        sawtooth,
    ),
    innocent(
        "periodic",
        "holds up to COUNT pages, in a wave of 100 steps",
        periodic,
    ),
    innocent("burst", "holds COUNT pages in 3 of 50 steps", burst),
    innocent("step-up", "holds COUNT pages from step 150 on", step_up),
    innocent(
        "cache",
        "fills a cache of 240 COUNT pages, then replaces its entries",
        cache,
    ),
    innocent(
        "warm-up",
        "keeps a page for each of 20 COUNT keys once it is asked for",
        warm_up,
    ),
    innocent("fd-churn", "opens and closes up to COUNT sockets", fd_churn),
    innocent("thread-pool", "has up to COUNT threads", thread_pool),
    innocent(
        "page-cache",
        "writes a file of COUNT pages, reads it, and removes an older one",
        page_cache,
    ),
    innocent(
        "file-mapper",
        "maps and unmaps a file up to COUNT times",
        file_mapper,
    ),
    innocent(
        "restarts",
        "has a child that takes COUNT more pages, and restarts it after 100 steps",
        restarts,
    ),
];

/// Marsaglia's xorshift (J. Stat. Soft. 8, 2003): the same numbers in each run.
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number from 0 to below `end`.
    fn below(&mut self, end: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
        let next = self.next() as usize;
        next % end.max(1)
    }

    /// A number from 0 to below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn hold(count: usize) -> anyhow::Result<Step> {
    let held = filled(count);
    Ok(Box::new(move || {
        black_box(&held);
        Ok(())
    }))
}

fn steady(count: usize) -> anyhow::Result<Step> {
    Ok(Box::new(move || {
        drop(black_box(filled(count)));
        Ok(())
    }))
}

fn sawtooth(count: usize) -> anyhow::Result<Step> {
    let mut held = Vec::new();
    Ok(Box::new(move || {
        if held.len() == TURN {
            held.clear();
        }
        held.push(filled(count));
        Ok(())
    }))
}

fn periodic(count: usize) -> anyhow::Result<Step> {
    let mut held = Vec::new();
    let mut at = 0_usize;
    Ok(Box::new(move || {
        at = (at + 1) % TURN;
        let half = TURN / 2;
        let pages = count * at.min(TURN - at) / half;
        held.resize_with(pages, || filled(1));
        Ok(())
    }))
}

fn burst(count: usize) -> anyhow::Result<Step> {
    let mut held = None;
    let mut at = 0_usize;
    Ok(Box::new(move || {
        at = (at + 1) % 50;
        drop(held.take());
        held = (at < 3).then(|| filled(count));
        Ok(())
    }))
}

fn step_up(count: usize) -> anyhow::Result<Step> {
    let mut held = None;
    let mut at = 0_usize;
    Ok(Box::new(move || {
        at += 1;
        if at == 150 {
            held = Some(filled(count));
        }
        black_box(&held);
        Ok(())
    }))
}

fn cache(count: usize) -> anyhow::Result<Step> {
    let mut entries: HashMap<usize, Vec<u8>> = HashMap::new();
    let mut random = Random::new();
    Ok(Box::new(move || {
        // Keys from a fixed range and sizes with a fixed mean: the bound is reached and kept.
        for _ in 0..16 {
            entries.insert(random.below(480), filled(1 + random.below(count)));
        }
        Ok(())
    }))
}

fn warm_up(count: usize) -> anyhow::Result<Step> {
    let keys = 20 * count;
    let mut pages = Vec::new();
    let mut known = HashSet::new();
    let mut random = Random::new();
    Ok(Box::new(move || {
        for _ in 0..count {
            // The popularity of a key falls with its rank (Zipf's law): the last ones come late.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a rank from 1 to the number of keys"
            )]
            let key = (keys as f64).powf(random.share()) as usize;
            if known.insert(key) {
                pages.push(filled(1));
            }
        }
        Ok(())
    }))
}

fn fd_churn(count: usize) -> anyhow::Result<Step> {
    let mut sockets = Vec::new();
    let mut random = Random::new();
    Ok(Box::new(move || {
        let wanted = random.below(count + 1);
        sockets.truncate(wanted);
        while sockets.len() < wanted {
            sockets.push(UdpSocket::bind("127.0.0.1:0")?);
        }
        Ok(())
    }))
}

fn thread_pool(count: usize) -> anyhow::Result<Step> {
    let mut threads = Vec::new();
    let mut random = Random::new();
    Ok(Box::new(move || {
        let wanted = random.below(count + 1);
        threads.truncate(wanted);
        while threads.len() < wanted {
            threads.push(Waiting::start()?);
        }
        Ok(())
    }))
}

/// A folder that is removed with the process.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn page_cache(count: usize) -> anyhow::Result<Step> {
    let folder = Folder(std::env::temp_dir().join(format!("leak_lab-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0)?;
    let mut at = 0_usize;
    Ok(Box::new(move || {
        let path = folder.0.join((at % 16).to_string());
        at += 1;
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, filled(count))?;
        let mut read = Vec::new();
        File::open(&path)?.read_to_end(&mut read)?;
        black_box(&read);
        Ok(())
    }))
}

fn file_mapper(count: usize) -> anyhow::Result<Step> {
    let exe = File::open(std::env::current_exe()?)?;
    let bytes = usize::try_from(exe.metadata()?.len())?;
    let mut mappings = Vec::new();
    let mut random = Random::new();
    Ok(Box::new(move || {
        let wanted = random.below(count + 1);
        mappings.truncate(wanted);
        while mappings.len() < wanted {
            let mapping = Mapping::of_file(&exe, bytes)?;
            for at in (0..bytes).step_by(PAGE_BYTES) {
                mapping.read(at);
            }
            mappings.push(mapping);
        }
        Ok(())
    }))
}

fn restarts(count: usize) -> anyhow::Result<Step> {
    let mut child: Option<Own> = None;
    let mut at = 0_usize;
    Ok(Box::new(move || {
        if at.is_multiple_of(TURN) {
            drop(child.take());
            child = Some(Own::start("warm-up", count, 200)?);
        }
        at += 1;
        Ok(())
    }))
}
