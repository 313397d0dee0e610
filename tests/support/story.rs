//! Made-up recordings of a few numbers that move: a capture of a real machine, in which a test
//! changes what its story is about, tick by tick.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use memsoak_record::root::Root;
use memsoak_record::source::SOURCES;
use memsoak_record::source::matching::read_texts;
use memsoak_schema::{
    BootInfo, Experiment, HostInfo, Label, Rows, RunInfo, SampleState, Shape, Status, TickCost,
    TickTime, Value, Writer,
};

/// Each boot of a story begins at this many seconds of its boot clock.
const START_S: i64 = 100;

/// What a recording tells beside its ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plot {
    /// Folder of the capture that it starts from.
    pub(crate) capture: &'static str,
    /// How many ticks.
    pub(crate) ticks: u32,
    /// Their interval in seconds.
    pub(crate) interval_s: u32,
    /// `vm.overcommit_memory`, where the recorder noted it.
    pub(crate) overcommit_memory: Option<i64>,
    /// Which boot of the machine.
    pub(crate) boot: u32,
}

impl Default for Plot {
    fn default() -> Self {
        Self {
            capture: "6.12-x86_64-debian/t0",
            ticks: 120,
            interval_s: 10,
            overcommit_memory: None,
            boot: 1,
        }
    }
}

/// The rows of a source, which a story may change.
struct Table {
    captured: Rows,
    values: Vec<Vec<Value>>,
    columns: Vec<&'static str>,
}

impl Table {
    fn slot(&mut self, key: &str, column: &str) -> &mut Value {
        let row = self
            .captured
            .iter()
            .position(|row| row.key() == key.as_bytes())
            .unwrap_or_else(|| panic!("the capture has no {key}"));
        let place = if column.is_empty() {
            0
        } else {
            let known = self.columns.iter().position(|name| *name == column);
            known.unwrap_or_else(|| panic!("there is no column {column}"))
        };
        &mut self.values[row][place]
    }
}

/// The machine at a tick.
pub(crate) struct Machine {
    tables: BTreeMap<&'static str, Table>,
    /// Anonymous memory in KiB of each process, by pid, with its name.
    pub(crate) processes: BTreeMap<u32, (&'static str, i64)>,
    /// Control groups by path: the values of their columns by name.
    pub(crate) groups: BTreeMap<&'static str, Vec<(&'static str, i64)>>,
    /// Kind and text of what happens at this tick.
    pub(crate) events: Vec<(&'static str, String)>,
    /// The probe, and how, that was made between the tick before and this one.
    pub(crate) probed: Option<(&'static str, Option<&'static str>)>,
}

impl Machine {
    fn new(capture: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/captures")
            .join(capture);
        let tables = SOURCES
            .iter()
            .map(|source| {
                let mut captured = Rows::default();
                if let Some(parse) = source.parse_texts() {
                    let root = Root::open(&folder).unwrap();
                    parse(&read_texts(&root, source.spec).texts, &mut captured);
                }
                if let Some(parse) = source.parse() {
                    for (file, path) in source.spec.paths.iter().enumerate() {
                        let text = std::fs::read(folder.join(path)).unwrap_or_default();
                        parse(&text, file, &mut captured);
                    }
                }
                let table = Table {
                    values: captured.iter().map(|row| row.values().to_vec()).collect(),
                    columns: match source.spec.shape {
                        Shape::Entities { columns } => columns.iter().map(|c| c.name).collect(),
                        Shape::Scalars { .. } => Vec::new(),
                    },
                    captured,
                };
                (source.spec.name, table)
            })
            .collect();
        Self {
            tables,
            processes: BTreeMap::from([(1, ("init", 900)), (40, ("daemon", 4000))]),
            groups: BTreeMap::new(),
            events: Vec::new(),
            probed: None,
        }
    }

    /// Sets a key of a source of scalars, in the kernel's unit.
    pub(crate) fn set(&mut self, source: &str, key: &str, value: i64) {
        self.set_of(source, key, "", value);
    }

    /// Sets a column of an entity, in its own unit.
    pub(crate) fn set_of(&mut self, source: &str, key: &str, column: &str, value: i64) {
        let table = self.tables.get_mut(source).expect("a known source");
        *table.slot(key, column) = Value::Int(value);
    }

    /// What a key, or the column of an entity, holds.
    #[allow(dead_code, reason = "not every test asks")]
    pub(crate) fn get(&mut self, source: &str, key: &str, column: &str) -> i64 {
        let table = self.tables.get_mut(source).expect("a known source");
        match table.slot(key, column) {
            Value::Int(value) => *value,
            other => panic!("{source} {key} {column} is {other:?}"),
        }
    }

    fn put(&self, source: &str, is_scalar: bool, rows: &mut Rows) {
        if source == "process" {
            for (pid, (comm, anon)) in &self.processes {
                let mut values = vec![Value::Null; 12];
                values[0] = Value::Int(*anon);
                let key = format!("{pid}.{}", pid * 7);
                rows.entity(key.as_bytes(), comm.as_bytes(), &values);
                rows.label("pid", Label::Int(i64::from(*pid)));
            }
            return;
        }
        let table = &self.tables[source];
        if source == "cgroup" {
            for (path, columns) in &self.groups {
                let mut values = vec![Value::Null; table.columns.len()];
                for (column, value) in columns {
                    let place = table.columns.iter().position(|name| name == column);
                    values[place.unwrap()] = Value::Int(*value);
                }
                rows.entity(path.as_bytes(), path.as_bytes(), &values);
            }
        }
        for (row, values) in table.captured.iter().zip(&table.values) {
            if is_scalar {
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

/// Appends a recording of one boot to a file; `each` changes the machine before each tick.
pub(crate) fn write(path: &Path, plot: &Plot, mut each: impl FnMut(u32, &mut Machine)) {
    let mut machine = Machine::new(plot.capture);
    let mut writer = Writer::open_for_import(path).unwrap();
    let specs: Vec<_> = SOURCES.iter().map(|source| source.spec).collect();
    let interval_us = i64::from(plot.interval_s) * 1_000_000;
    let host = HostInfo {
        machine: "made up".to_owned(),
        name: b"made-up".to_vec(),
        arch: "x86_64".to_owned(),
    };
    let boot = BootInfo {
        boot_id: format!("00000000-0000-4000-8000-{:012}", plot.boot),
        kernel: Some("6.12.0".to_owned()),
        page_bytes: 4096,
        user_hz: 100,
        cpus: Some(2),
        ..BootInfo::default()
    };
    let settings = match plot.overcommit_memory {
        Some(mode) => format!("{{\"overcommit_memory\":{mode}}}"),
        None => "{}".to_owned(),
    };
    let run = RunInfo {
        program: "made up".to_owned(),
        started_us: START_S * 1_000_000,
        interval_us,
        settings,
        labels: "{}".to_owned(),
        ..RunInfo::default()
    };
    writer.begin_run(&host, &boot, &run, &specs).unwrap();
    let ok = SampleState {
        status: Status::Ok,
        reason: None,
        read_us: None,
        bytes: None,
    };
    let mut rows = Rows::default();
    let mut now_us = START_S * 1_000_000;
    for tick in 0..plot.ticks {
        now_us = START_S * 1_000_000 + i64::from(tick) * interval_us;
        each(tick, &mut machine);
        writer
            .begin_tick(TickTime {
                boottime_us: now_us,
                wall_offset_us: 1_760_000_000_000_000,
                ..TickTime::default()
            })
            .unwrap();
        for (kind, text) in machine.events.drain(..) {
            writer.write_event(kind, None, &text).unwrap();
        }
        for (place, spec) in specs.iter().enumerate() {
            rows.clear();
            let is_scalar = matches!(spec.shape, Shape::Scalars { .. });
            machine.put(spec.name, is_scalar, &mut rows);
            writer.write_sample(place, &ok, Some(&rows)).unwrap();
        }
        writer.commit_tick(TickCost::default()).unwrap();
        if let Some((kind, argument)) = machine.probed.take() {
            let experiment = Experiment {
                kind: kind.to_owned(),
                argument: argument.map(str::to_owned),
                began_us: now_us - 1_100_000,
                took_us: Some(35_000),
                before_us: Some(now_us - interval_us),
                after_us: Some(now_us),
                outcome: "done".to_owned(),
                steps: vec![("made up".to_owned(), 35_000)],
                request: None,
            };
            writer.write_noticed(&experiment.happening()).unwrap();
        }
    }
    writer.end_run(now_us, "told").unwrap();
}

/// A file in a folder that is gone after the test.
pub(crate) fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("story.db");
    (folder, file)
}
