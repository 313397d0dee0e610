//! A made-up recording of a long soak: the reference load, healthy but for one process that leaks.
//!
//! What the system sources hold starts from a capture of a real machine, and as many numbers change
//! a tick as were counted there under the reference load at 10 s: 24 keys of meminfo, 46 of vmstat,
//! 32 slab caches, 50 of 1,125 processes. Everything that moves does so as a function of time, so
//! that a longer interval gives the same week with fewer ticks.

use std::path::{Path, PathBuf};

use memsoak_record::source::SOURCES;
use memsoak_schema::{
    BootInfo, Error, Happening, HostInfo, Kind, Label, Rows, RunInfo, SampleState, Shape, Status,
    TickCost, TickTime, Value, Writer,
};

/// The process that leaks.
pub(crate) const LEAKER: &str = "slow-leak";

/// The leaker's healthy part: a saw-tooth of this height in KiB, with about this period in seconds.
const LEAKER_SAW: (f64, f64) = (96.0 * 1024.0, 3.0 * HOUR);

const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;

/// What is to be made up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Soak {
    /// How many ticks.
    pub(crate) ticks: u32,
    /// How many processes; 1,125 are the reference load.
    pub(crate) processes: u32,
    /// The interval of the ticks in seconds.
    pub(crate) interval_s: u32,
    /// How much the leaker's anonymous memory grows in KiB an hour.
    pub(crate) leak_kib_per_hour: u32,
    /// Another seed is another week of the same kind.
    pub(crate) seed: u32,
    /// Bytes that the file may have; its oldest part is thinned.
    pub(crate) most_bytes: Option<u64>,
}

/// A random number generator with good enough bits (SplitMix64, Steele et al. 2014).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    /// Those of one source, so that what happens in it does not depend on which others there are.
    fn of(seed: u32, name: &str) -> Self {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(hash.wrapping_add(seed.into()))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Even between two numbers.
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Roughly normal, with standard deviation 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.between(0.0, 1.0)).sum::<f64>() - 6.0
    }
}

/// How a number moves; what is zero takes no part.
#[derive(Clone, Debug, Default)]
struct Motion {
    level: f64,
    /// At which share of the ticks it is seen to move.
    share: f64,
    /// Standard deviation about its level, to which it is drawn back within some minutes.
    wander: f64,
    drawn_s: f64,
    /// A garbage collector's saw-tooth.
    saw: f64,
    saw_s: f64,
    saw_from: f64,
    saw_to: f64,
    /// A cache that fills to this height with this time constant, and stays.
    fill: f64,
    fill_s: f64,
    /// The load of the day.
    wave: f64,
    /// A single step and when it comes.
    step: f64,
    step_s: f64,
    /// Growth without end, by second: a running total, or a leak.
    rise_per_s: f64,
    /// Rounds down to a multiple.
    grain: f64,
    away: f64,
    last_s: f64,
    shown: i64,
}

impl Motion {
    fn around(level: f64, wander: f64, share: f64) -> Self {
        Self {
            level,
            wander,
            drawn_s: 900.0,
            share,
            grain: 1.0,
            ..Self::default()
        }
    }

    /// Moves on to a time; whether it is seen to.
    fn step_to(&mut self, t_s: f64, dice: &mut Dice) -> bool {
        if self.wander > 0.0 {
            let keep = (-(t_s - self.last_s) / self.drawn_s).exp();
            self.away = self.away * keep + (1.0 - keep * keep).sqrt() * dice.normal();
        }
        self.last_s = t_s;
        if t_s > 0.0 && dice.between(0.0, 1.0) >= self.share {
            return false;
        }
        let mut value = self.level + self.wander * self.away + self.rise_per_s * t_s;
        if self.saw > 0.0 {
            while t_s >= self.saw_to {
                self.saw_from = self.saw_to;
                self.saw_to += self.saw_s * dice.between(0.7, 1.3);
            }
            value += self.saw * (t_s - self.saw_from) / (self.saw_to - self.saw_from);
        }
        if self.fill > 0.0 {
            value += self.fill * (1.0 - (-t_s / self.fill_s).exp());
        }
        if self.wave > 0.0 {
            value += self.wave * (1.0 - (t_s * std::f64::consts::TAU / DAY).cos()) / 2.0;
        }
        if t_s >= self.step_s {
            value += self.step;
        }
        let shown = whole((value.max(0.0) / self.grain).floor() * self.grain);
        let moved = shown != self.shown;
        self.shown = shown;
        moved
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "made-up amounts of memory, far below 2^53"
)]
fn whole(value: f64) -> i64 {
    value as i64
}

fn number(value: Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

/// A source as the capture has it, and what of it moves.
struct Table {
    name: &'static str,
    dice: Dice,
    captured: Rows,
    values: Vec<Vec<Value>>,
    /// Row, column and motion.
    moving: Vec<(usize, usize, Motion)>,
    is_scalar: bool,
}

impl Table {
    fn place_of(&self, key: &str) -> Option<usize> {
        self.captured
            .iter()
            .position(|row| row.key() == key.as_bytes())
    }

    fn get(&self, key: &str) -> i64 {
        self.place_of(key)
            .map_or(0, |at| whole(number(self.values[at][0])))
    }

    fn set(&mut self, key: &str, value: i64) {
        if let Some(at) = self.place_of(key) {
            self.values[at][0] = Value::Int(value);
        }
    }

    fn step_to(&mut self, t_s: f64) {
        for (row, column, motion) in &mut self.moving {
            if motion.step_to(t_s, &mut self.dice) {
                self.values[*row][*column] = Value::Int(motion.shown);
            }
        }
    }

    fn put(&self, rows: &mut Rows) {
        for (row, values) in self.captured.iter().zip(&self.values) {
            if self.is_scalar {
                rows.scalar(row.key(), values[0]);
            } else {
                rows.entity(row.key(), row.name(), values);
                for (name, label) in row.labels() {
                    rows.label(name, label);
                }
            }
        }
    }
}

/// A made-up process.
struct Process {
    key: String,
    comm: String,
    pid: u32,
    kernel_thread: bool,
    anon: Motion,
    file_kib: i64,
    fds: Motion,
    cpu_ticks: i64,
    faults: i64,
    /// The tick after which a short-lived one is gone.
    until: Option<u32>,
    changed: bool,
}

impl Process {
    fn anon_kib(&self) -> i64 {
        if self.kernel_thread {
            0
        } else {
            self.anon.shown
        }
    }

    /// A page of tables for every 2 MiB, and what a small process has.
    fn table_kib(&self) -> i64 {
        if self.kernel_thread {
            0
        } else {
            48 + self.anon.shown / 2048 * 4
        }
    }

    fn put(&self, rows: &mut Rows) {
        let user = |value: i64| (!self.kernel_thread).then_some(value);
        let values = [
            user(self.anon.shown).into(),
            user(self.file_kib).into(),
            user(0).into(),
            user(0).into(),
            user(self.file_kib + self.anon.shown / 1024 * 1024 + 4096).into(),
            user(self.table_kib()).into(),
            Value::Int(1),
            user(self.fds.shown).into(),
            Value::Int(self.faults),
            Value::Int(0),
            Value::Int(self.cpu_ticks),
            Value::Int(i64::from(b'S')),
        ];
        rows.entity(self.key.as_bytes(), self.comm.as_bytes(), &values);
        rows.label("pid", Label::Int(i64::from(self.pid)));
        rows.label("ppid", Label::Int(1));
    }
}

/// The machine.
struct Machine {
    dice: Dice,
    tables: Vec<Table>,
    processes: Vec<Process>,
    gone: Vec<String>,
    next_pid: u32,
    /// What the classes of memory held at the capture, in KiB, by key of meminfo.
    unmoved: Vec<(&'static str, i64)>,
    free_list_kib: i64,
}

/// The classes that take from the free memory when they grow.
const CLASSES: &[&str] = &[
    "AnonPages",
    "Cached",
    "Buffers",
    "SReclaimable",
    "SUnreclaim",
    "PageTables",
    "KernelStack",
];

impl Machine {
    fn new(soak: &Soak) -> Self {
        let tables = SOURCES
            .iter()
            .map(|source| match source.parse() {
                Some(parse) => {
                    let mut captured = Rows::default();
                    // What only a debugging kernel has.
                    let seldom = ["allocinfo", "page_owner", "kmemleak"];
                    let is_there = !seldom.contains(&source.spec.name);
                    let paths = source.spec.paths.iter().filter(|_| is_there);
                    for (file, path) in paths.enumerate() {
                        let path = capture_of(path);
                        let text = std::fs::read(&path)
                            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                        parse(&text, file, &mut captured);
                    }
                    table(source.spec.name, captured, &source.spec.shape, soak.seed)
                }
                None => {
                    let mut rows = Rows::default();
                    if matches!(source.spec.shape, Shape::Scalars { .. }) {
                        for metric in source.spec.metrics() {
                            rows.scalar(metric.name.as_bytes(), 2000_i64);
                        }
                    }
                    table(source.spec.name, rows, &source.spec.shape, soak.seed)
                }
            })
            .collect();
        let mut machine = Self {
            dice: Dice(soak.seed.into()),
            tables,
            processes: Vec::new(),
            gone: Vec::new(),
            next_pid: 1,
            unmoved: Vec::new(),
            free_list_kib: 0,
        };
        machine.populate(soak);
        let slabs = machine.slab_kib();
        let meminfo = machine.table("meminfo");
        meminfo.set("SReclaimable", slabs.0);
        meminfo.set("SUnreclaim", slabs.1);
        machine.unmoved = CLASSES
            .iter()
            .map(|key| (*key, machine.table("meminfo").get(key)))
            .collect();
        machine
    }

    fn table(&mut self, name: &str) -> &mut Table {
        self.tables
            .iter_mut()
            .find(|table| table.name == name)
            .expect("every source has a table")
    }

    /// Of the reference load's 1,125 processes 1,000 sleep, and 50 are seen to change at a tick.
    fn populate(&mut self, soak: &Soak) {
        let count = soak.processes.max(10);
        let (kernel, busy, daemons) = (count / 18, count / 112 + 1, count / 11);
        for number in 0..count {
            let dice = &mut self.dice;
            let mut anon =
                Motion::around(1024.0 + (dice.between(0.0, 64.0)).floor() * 4.0, 0.0, 0.0);
            anon.grain = 4.0;
            let mut fds = Motion::around(8.0, 0.0, 0.0);
            let mut comm = "sleeper".to_owned();
            if number == 0 {
                comm = LEAKER.to_owned();
                anon.share = 1.0;
                anon.level = 200.0 * 1024.0;
                anon.wander = 2048.0;
                (anon.saw, anon.saw_s) = LEAKER_SAW;
                anon.drawn_s = 300.0;
                anon.rise_per_s = f64::from(soak.leak_kib_per_hour) / HOUR;
            } else if number <= kernel {
                comm = format!("kworker/0:{number}");
            } else if number <= kernel + busy {
                comm = format!("busy-{number}");
                anon.share = 1.0;
                anon.level = 2048.0;
                anon.wander = 128.0;
                (anon.saw, anon.saw_s) = (4096.0, dice.between(60.0, 900.0));
            } else if number <= kernel + busy + daemons {
                comm = format!("daemon-{number}");
                daemon(&mut anon, number, dice);
                fds = Motion::around(dice.between(16.0, 80.0), 2.0, 0.02);
            }
            let kernel_thread = comm.starts_with("kworker/");
            self.start(comm, anon, fds, kernel_thread, None);
        }
    }

    fn start(
        &mut self,
        comm: String,
        anon: Motion,
        fds: Motion,
        kernel_thread: bool,
        until: Option<u32>,
    ) {
        let pid = self.next_pid;
        self.next_pid += 1;
        self.processes.push(Process {
            key: format!("{pid}.{}", pid * 7),
            comm,
            pid,
            kernel_thread,
            anon,
            file_kib: 1500,
            fds,
            cpu_ticks: 1,
            faults: 300,
            until,
            changed: true,
        });
    }

    /// Moves the whole machine on to a tick.
    fn live(&mut self, tick: u32, t_s: f64) {
        self.gone.clear();
        self.processes.retain(|process| {
            let stays = process.until.is_none_or(|until| tick <= until);
            if !stays {
                self.gone.push(process.key.clone());
            }
            stays
        });
        // A command that lives for a few ticks, as soaks run them all the time.
        let size = Motion::around(self.dice.between(800.0, 20_000.0), 0.0, 1.0);
        let until = tick + u32::try_from(self.dice.next() % 4).unwrap_or(0);
        let fds = Motion::around(4.0, 0.0, 1.0);
        self.start("sh".to_owned(), size, fds, false, Some(until));
        for process in &mut self.processes {
            let moved = process.anon.step_to(t_s, &mut self.dice);
            let moved = process.fds.step_to(t_s, &mut self.dice) || moved;
            process.changed = moved || process.cpu_ticks == 1;
            if process.changed {
                process.cpu_ticks += 2;
                process.faults += 17;
            }
        }
        for table in &mut self.tables {
            table.step_to(t_s);
        }
        settle_slabs(self.table("slabinfo"));
        self.balance();
    }

    /// Pages of the slab caches in KiB: reclaimable, and not.
    fn slab_kib(&mut self) -> (i64, i64) {
        let table = self.table("slabinfo");
        let mut sum = (0, 0);
        for (row, values) in table.captured.iter().zip(&table.values) {
            let kib = whole(number(values[4]) * number(values[6])) * 4;
            if row.labels().any(|(name, _)| name == "reclaimable") {
                sum.0 += kib;
            } else {
                sum.1 += kib;
            }
        }
        sum
    }

    /// Makes the totals say what their parts do.
    fn balance(&mut self) {
        let anon: i64 = self.processes.iter().map(Process::anon_kib).sum();
        let tables: i64 = self.processes.iter().map(Process::table_kib).sum();
        let tasks = i64::try_from(self.processes.len()).unwrap_or(i64::MAX);
        let fds: i64 = self.processes.iter().map(|p| p.fds.shown).sum();
        let slabs = self.slab_kib();
        let zones = self.table("zoneinfo");
        let lists: i64 = zones
            .values
            .iter()
            .map(|row| whole(number(row[20])) * 4)
            .sum();
        if self.free_list_kib == 0 {
            self.free_list_kib = lists;
        }
        let lists = lists - self.free_list_kib;
        let unmoved = self.unmoved.clone();
        let captured_free = number(free_at_capture(self.table("meminfo")));

        let meminfo = self.table("meminfo");
        for (key, value) in [
            ("AnonPages", anon),
            ("SReclaimable", slabs.0),
            ("KReclaimable", slabs.0),
            ("SUnreclaim", slabs.1),
            ("Slab", slabs.0 + slabs.1),
            ("PageTables", tables),
            ("KernelStack", tasks * 16),
            ("Active(anon)", anon / 170),
            ("Inactive(anon)", anon - anon / 170),
        ] {
            meminfo.set(key, value);
        }
        let taken: i64 = unmoved
            .iter()
            .map(|(key, then)| meminfo.get(key) - then)
            .sum();
        let free = (whole(captured_free) - taken - lists).max(0);
        let (cached, shmem) = (meminfo.get("Cached"), meminfo.get("Shmem"));
        let file = cached + meminfo.get("Buffers") - shmem;
        meminfo.set("MemFree", free);
        meminfo.set("MemAvailable", free + file / 2 + slabs.0 / 2);
        meminfo.set("Active(file)", file / 2);
        meminfo.set("Inactive(file)", file - file / 2);
        meminfo.set("Active", anon / 170 + file / 2);
        meminfo.set("Inactive", anon - anon / 170 + file - file / 2);
        meminfo.set("Committed_AS", anon * 4);

        let vmstat = self.table("vmstat");
        for (key, kib) in [
            ("nr_free_pages", free),
            ("nr_anon_pages", anon),
            ("nr_inactive_anon", anon - anon / 170),
            ("nr_zone_inactive_anon", anon - anon / 170),
            ("nr_active_anon", anon / 170),
            ("nr_zone_active_anon", anon / 170),
            ("nr_inactive_file", file - file / 2),
            ("nr_zone_inactive_file", file - file / 2),
            ("nr_active_file", file / 2),
            ("nr_zone_active_file", file / 2),
            ("nr_file_pages", file + shmem),
            ("nr_shmem", shmem),
            ("nr_slab_reclaimable", slabs.0),
            ("nr_slab_unreclaimable", slabs.1),
            ("nr_page_table_pages", tables),
        ] {
            vmstat.set(key, kib / 4);
        }
        vmstat.set("nr_kernel_stack", tasks * 16);
        self.table("loadavg").set("tasks", tasks);
        self.table("fs").set("file-nr.allocated", fds + 400);
    }

    fn put(&mut self, place: usize, full: bool, rows: &mut Rows) {
        if SOURCES[place].spec.name != "process" {
            self.tables[place].put(rows);
            return;
        }
        if !full {
            rows.set_incremental();
        }
        for process in &self.processes {
            if full || process.changed {
                process.put(rows);
            }
        }
        for key in &self.gone {
            rows.gone(key.as_bytes());
        }
    }
}

/// A daemon of one of the healthy kinds.
fn daemon(anon: &mut Motion, number: u32, dice: &mut Dice) {
    anon.share = 0.38;
    anon.level = dice.between(2000.0, 30_000.0);
    anon.wander = anon.level * 0.02;
    match number % 10 {
        0 | 5 => {
            anon.fill = anon.level * dice.between(0.2, 0.8);
            anon.fill_s = dice.between(0.5, 6.0) * HOUR;
        }
        1 | 6 => {
            anon.saw = anon.level * 0.4;
            anon.saw_s = dice.between(0.2, 2.0) * HOUR;
        }
        2 | 7 => anon.wave = anon.level * 0.3,
        8 => {
            // As many steps down as up: a hundred steps up would be a growth that goes on.
            anon.step = anon.level * if number.is_multiple_of(4) { 0.4 } else { -0.4 };
            anon.step_s = dice.between(1.0, 6.0) * DAY;
        }
        _ => {}
    }
}

fn free_at_capture(meminfo: &Table) -> Value {
    meminfo.captured.value_of(b"MemFree").unwrap_or_default()
}

/// A file of the micro-VM, or of a machine with modules where it has none.
fn capture_of(path: &str) -> PathBuf {
    // The fuzz targets are a package of their own, below this one.
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let captures = above
        .map(|folder| folder.join("tests/fixtures/captures"))
        .find(|folder| folder.is_dir())
        .expect("the captures are in the tree");
    let file = captures.join("6.18-x86_64-microvm/t0").join(path);
    if file.exists() {
        file
    } else {
        captures.join("6.12-x86_64-debian/t1").join(path)
    }
}

/// How many numbers of a source move, and at which share of the ticks each is seen to.
fn liveliness(source: &str) -> (usize, f64) {
    match source {
        "vmstat" => (56, 0.95),
        "zoneinfo" => (8, 0.8),
        "buddyinfo" => (14, 0.75),
        "pagetypeinfo" => (40, 0.6),
        "nodestat" => (24, 0.8),
        "pressure" => (8, 0.6),
        "stat" => (12, 0.9),
        "sockstat" => (4, 0.3),
        "loadavg" => (5, 0.8),
        "vmallocinfo" => (4, 0.5),
        "recorder" => (3, 0.6),
        "fs" => (4, 0.8),
        _ => (0, 0.0),
    }
}

/// The captured rows of a source with motions for as many of its numbers as change in reality.
fn table(name: &'static str, captured: Rows, shape: &Shape, seed: u32) -> Table {
    let mut dice = Dice::of(seed, name);
    let values: Vec<Vec<Value>> = captured.iter().map(|row| row.values().to_vec()).collect();
    let mut moving = Vec::new();
    match name {
        "meminfo" => {
            for (row, entry) in captured.iter().enumerate() {
                let level = number(entry.values()[0]);
                let mut motion = match entry.key() {
                    b"Cached" => Motion {
                        fill: 2.0 * 1024.0 * 1024.0,
                        fill_s: 9.0 * HOUR,
                        ..Motion::around(level, 4096.0, 1.0)
                    },
                    b"AnonHugePages" => Motion::around(level, 8192.0, 0.8),
                    b"Buffers" | b"Mapped" => Motion::around(level, level * 0.01, 0.9),
                    b"Dirty" => Motion::around(4000.0, 1500.0, 0.9),
                    b"Writeback" => Motion::around(40.0, 40.0, 0.9),
                    b"Shmem" => Motion::around(level, 200.0, 0.7),
                    b"VmallocUsed" => Motion::around(level + 20_000.0, 40.0, 0.8),
                    _ => continue,
                };
                motion.grain = 4.0;
                moving.push((row, 0, motion));
            }
        }
        "slabinfo" => {
            let mut busy = 0;
            for (row, cache) in captured.iter().enumerate() {
                let level = number(cache.values()[0]);
                if level < 200.0 || busy == 60 {
                    continue;
                }
                busy += 1;
                let mut motion = Motion::around(level, level * 0.01, 0.8);
                let reclaimable = cache.labels().any(|(name, _)| name == "reclaimable");
                if reclaimable {
                    motion.fill = level * 0.3;
                    motion.fill_s = dice.between(3.0, 12.0) * HOUR;
                } else if busy % 4 == 0 {
                    motion.wave = level * 0.05;
                }
                moving.push((row, 0, motion));
            }
        }
        _ => {
            let (most, share) = liveliness(name);
            // The last zones are the large ones, in which things happen.
            let mut entries: Vec<_> = captured.iter().enumerate().collect();
            if matches!(shape, Shape::Entities { .. }) {
                entries.reverse();
            }
            'rows: for (row, entry) in entries {
                for (column, value) in entry.values().iter().enumerate() {
                    if moving.len() == most {
                        break 'rows;
                    }
                    let level = number(*value);
                    // Watermarks and sizes of zones are settings.
                    let is_setting = name == "zoneinfo" && (1..10).contains(&column);
                    if is_setting {
                        continue;
                    }
                    if level >= 20.0 || name == "buddyinfo" {
                        let mut motion = Motion::around(level, level * 0.02 + 1.0, share);
                        if is_counter(shape, entry.key(), column) {
                            motion.wander = 0.0;
                            motion.rise_per_s = dice.between(0.5, 50.0);
                        }
                        moving.push((row, column, motion));
                    }
                }
            }
        }
    }
    Table {
        name,
        dice,
        captured,
        values,
        moving,
        is_scalar: matches!(shape, Shape::Scalars { .. }),
    }
}

fn is_counter(shape: &Shape, key: &[u8], column: usize) -> bool {
    let metric = match shape {
        Shape::Scalars { known, other } => known
            .iter()
            .find(|metric| metric.name.as_bytes() == key)
            .copied()
            .unwrap_or_else(|| other(key)),
        Shape::Entities { columns } => columns[column],
    };
    metric.kind == Kind::Counter
}

/// A cache takes slabs when its objects need them, and gives them back late.
fn settle_slabs(table: &mut Table) {
    for (row, _, motion) in &table.moving {
        let values = &mut table.values[*row];
        let per_slab = whole(number(values[3])).max(1);
        let needed = (motion.shown + per_slab - 1) / per_slab;
        let held = whole(number(values[6]));
        let slabs = if needed > held || needed * 10 < held * 9 {
            needed
        } else {
            held
        };
        values[1] = Value::Int(slabs * per_slab);
        values[5] = Value::Int(slabs);
        values[6] = Value::Int(slabs);
    }
}

/// What becomes of the machine's clocks at a tick of the soak.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "not every program that makes up a soak upsets it")]
pub(crate) enum Upset {
    /// The wall clock is set by so many us.
    Clock(i64),
    /// The machine sleeps for so many us.
    Suspend(i64),
    /// It boots again.
    Reboot,
}

/// The wall clock of a machine whose date nobody upset, minus its boot clock, in us.
pub(crate) const WALL_OFFSET_US: i64 = 1_760_000_000_000_000;

/// Writes the soak to a new file.
///
/// # Errors
/// When the file cannot be written.
///
/// # Panics
/// When the capture that it starts from is not there.
#[allow(
    dead_code,
    reason = "not every program that makes up a soak leaves it alone"
)]
pub(crate) fn write(path: &Path, soak: &Soak) -> Result<(), Error> {
    write_upset(path, soak, WALL_OFFSET_US, &[])
}

/// Writes the soak to a new file, with what becomes of the clocks at which ticks. The wall clock is
/// at `offset_us` from the boot clock at first.
///
/// # Errors
/// When the file cannot be written.
///
/// # Panics
/// When the capture that it starts from is not there.
pub(crate) fn write_upset(
    path: &Path,
    soak: &Soak,
    mut offset_us: i64,
    upsets: &[(u32, Upset)],
) -> Result<(), Error> {
    const START_US: i64 = 90_000_000;
    let interval_us = i64::from(soak.interval_s) * 1_000_000;
    let mut machine = Machine::new(soak);
    let specs: Vec<_> = SOURCES.iter().map(|source| source.spec).collect();
    let mut boot = 1;
    let mut writer = begin(path, boot, interval_us, &specs)?;
    let mut rows = Rows::default();
    let mut reads = Dice::of(soak.seed, "reads");
    let mut last_read_us = vec![i64::MIN; specs.len()];
    // What the boot clock is ahead of the time that the machine has lived.
    let mut ahead_us = START_US;
    let mut now_us = START_US;
    for tick in 0..soak.ticks {
        let mut noticed = None;
        for (_, upset) in upsets.iter().filter(|(at, _)| *at == tick) {
            match upset {
                Upset::Clock(by_us) => offset_us += by_us,
                Upset::Suspend(us) => {
                    ahead_us += us;
                    let slept = Happening::new("suspend", b"the machine was suspended");
                    noticed = Some(slept.with("suspended_us", Label::Int(*us)));
                }
                Upset::Reboot => {
                    drop(writer);
                    let lived_us = i64::from(tick) * interval_us;
                    offset_us += ahead_us + lived_us - START_US;
                    ahead_us = START_US - lived_us;
                    machine = Machine::new(soak);
                    last_read_us.fill(i64::MIN);
                    boot += 1;
                    writer = begin(path, boot, interval_us, &specs)?;
                }
            }
        }
        now_us = ahead_us + i64::from(tick) * interval_us;
        machine.live(tick, f64::from(tick) * f64::from(soak.interval_s));
        let late_us = whole(machine.dice.between(50.0, 900.0));
        writer.begin_tick(TickTime {
            boottime_us: now_us + late_us,
            wall_offset_us: offset_us,
            late_us,
            missed: 0,
        })?;
        if let Some(noticed) = noticed {
            writer.write_noticed(&noticed)?;
        }
        for (place, spec) in specs.iter().enumerate() {
            let every_us = (i64::from(spec.interval_s) * 1_000_000).max(interval_us);
            let last_us = last_read_us[place];
            if last_us != i64::MIN && now_us - last_us < every_us {
                continue;
            }
            last_read_us[place] = now_us;
            rows.clear();
            machine.put(place, writer.wants_keyframe(place), &mut rows);
            let state = SampleState {
                status: Status::Ok,
                reason: None,
                read_us: Some(whole(reads.between(10.0, 400.0))),
                bytes: Some(4096),
            };
            writer.write_sample(place, &state, Some(&rows))?;
            if tick == 0 {
                writer.write_plan(place, every_us, "as planned")?;
            }
        }
        writer.commit_tick(TickCost {
            took_us: 9000,
            cpu_us: 7000,
        })?;
        if let Some(most_bytes) = soak.most_bytes {
            writer.keep_within(most_bytes)?;
        }
    }
    writer.end_run(now_us, "duration reached")
}

/// Begins the run of a boot.
fn begin(
    path: &Path,
    boot: u32,
    interval_us: i64,
    specs: &[&'static memsoak_schema::Spec],
) -> Result<Writer, Error> {
    let mut writer = Writer::open_for_import(path)?;
    writer.begin_run(
        &HostInfo {
            machine: "made up".to_owned(),
            name: b"made-up".to_vec(),
            arch: "x86_64".to_owned(),
        },
        &BootInfo {
            boot_id: format!("00000000-0000-4000-8000-{boot:012}"),
            kernel: Some("6.18.44".to_owned()),
            page_bytes: 4096,
            user_hz: 100,
            cpus: Some(2),
            ..BootInfo::default()
        },
        &RunInfo {
            program: "made up".to_owned(),
            pid: 1,
            pid_start: 7,
            started_us: 90_000_000,
            interval_us,
            settings: "{}".to_owned(),
            labels: "{}".to_owned(),
            ..RunInfo::default()
        },
        specs,
    )?;
    Ok(writer)
}
