//! What a source of the made-up machine holds: as it was captured, and what of it moves.

use std::path::{Path, PathBuf};

use memsoak_schema::{Kind, Rows, Shape, Value};

use super::motion::{Dice, HOUR, Motion, number, whole};

/// A source as the capture has it, and what of it moves.
pub(super) struct Table {
    pub(super) name: &'static str,
    dice: Dice,
    pub(super) captured: Rows,
    pub(super) values: Vec<Vec<Value>>,
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

    pub(super) fn get(&self, key: &str) -> i64 {
        self.place_of(key)
            .map_or(0, |at| whole(number(self.values[at][0])))
    }

    pub(super) fn set(&mut self, key: &str, value: i64) {
        if let Some(at) = self.place_of(key) {
            self.values[at][0] = Value::Int(value);
        }
    }

    pub(super) fn step_to(&mut self, t_s: f64) {
        for (row, column, motion) in &mut self.moving {
            if motion.step_to(t_s, &mut self.dice) {
                self.values[*row][*column] = Value::Int(motion.shown);
            }
        }
    }

    pub(super) fn put(&self, rows: &mut Rows) {
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

/// A file of the micro-VM, or of a machine with modules where it has none.
pub(super) fn capture_of(path: &str) -> PathBuf {
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
pub(super) fn table(name: &'static str, captured: Rows, shape: &Shape, seed: u32) -> Table {
    let mut dice = Dice::of(seed, name);
    let values: Vec<Vec<Value>> = captured.iter().map(|row| row.values().to_vec()).collect();
    let mut moving = Vec::new();
    match name {
        "meminfo" => {
            for (row, entry) in captured.iter().enumerate() {
                let level = number(entry.values()[0]);
                let mut motion = match entry.key() {
                    b"Cached" => Motion::around(level, 4096.0, 1.0)
                        .filling(2.0 * 1024.0 * 1024.0, 9.0 * HOUR),
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
                    motion = motion.filling(level * 0.3, dice.between(3.0, 12.0) * HOUR);
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
pub(super) fn settle_slabs(table: &mut Table) {
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
