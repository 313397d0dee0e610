//! The made-up machine: its processes, its sources, and totals that are what their parts add up to.

use memsoak_record::source::SOURCES;
use memsoak_schema::{Label, Rows, Shape, Value};

use super::motion::{DAY, Dice, HOUR, Motion, number, whole};
use super::table::{Table, capture_of, settle_slabs, table};
use super::{LEAKER, Soak};

/// The leaker's healthy part: a saw-tooth of this height in KiB, with about this period in seconds.
const LEAKER_SAW: (f64, f64) = (96.0 * 1024.0, 3.0 * HOUR);

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
pub(super) struct Machine {
    pub(super) dice: Dice,
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
    pub(super) fn new(soak: &Soak) -> Self {
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
    pub(super) fn live(&mut self, tick: u32, t_s: f64) {
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

    pub(super) fn put(&mut self, place: usize, full: bool, rows: &mut Rows) {
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
