//! What a source is: the description that the recorder holds in code, that it writes into every
//! recording, and from which the analyzer works without code per source.

use std::fmt;

/// The description of one source: one kernel interface, one file of code, one row of the docs.
#[derive(Debug)]
pub struct Spec {
    /// Name in the recording, in `--every` and in the first part of a series' name.
    pub name: &'static str,
    /// Files that it reads, relative to the root of the machine (`proc/meminfo`). In a name that each
    /// machine gives itself a `*` stands for any text (`sys/block/zram*/mm_stat`).
    pub paths: &'static [&'static str],
    /// How its values are stored.
    pub shape: Shape,
    /// The shortest interval at which it is read by default, in seconds; 0 is every tick.
    /// Costly files have one of their own, with the measured cost in `overhead`.
    pub interval_s: u32,
    /// What the kernel or the user must give for it ("root", "CONFIG_PSI"); empty when nothing.
    pub needs: &'static str,
    /// What a reader of the numbers must know.
    pub caveats: &'static str,
    /// What a read costs, measured, and which lock it holds.
    pub overhead: &'static str,
}

/// How a source's values are stored.
#[derive(Debug)]
pub enum Shape {
    /// A key and a value each, in the shared table `scalar`; a new key needs no migration.
    Scalars {
        /// Keys that are known, in full.
        known: &'static [MetricSpec],
        /// What a key is taken for that is not in `known` (its `name` is ignored).
        other: fn(&[u8]) -> MetricSpec,
    },
    /// Things with an identity, in a table of their own that bears the source's name.
    Entities {
        /// The columns of that table, in order; generated columns stand last.
        columns: &'static [MetricSpec],
    },
}

impl Spec {
    /// The columns or known keys.
    pub fn metrics(&self) -> &'static [MetricSpec] {
        match &self.shape {
            Shape::Scalars { known, .. } => known,
            Shape::Entities { columns } => columns,
        }
    }

    /// Whether any of them is judged.
    pub fn is_judged(&self) -> bool {
        self.metrics().iter().any(|m| m.trend != Trend::None)
    }

    /// How many values a row of [`crate::Rows`] has: the stored columns of an entity, or 1.
    pub fn width(&self) -> usize {
        match &self.shape {
            Shape::Scalars { .. } => 1,
            Shape::Entities { columns } => columns.iter().filter(|c| !c.generated).count(),
        }
    }
}

/// One column or key of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricSpec {
    /// The kernel's own word for a key (`MemFree`), a snake_case column for an entity.
    pub name: &'static str,
    /// Unit of the stored number.
    pub unit: Unit,
    /// Level or running total.
    pub kind: Kind,
    /// Whether and as what the analyzer judges its trend.
    pub trend: Trend,
    /// The total that it is a part of, as `source/key`; empty when none.
    pub part_of: &'static str,
    /// Computed by the database from other columns, never written.
    pub generated: bool,
}

impl MetricSpec {
    /// A level that is recorded and shown but not judged.
    pub const fn gauge(name: &'static str, unit: Unit) -> Self {
        Self {
            name,
            unit,
            kind: Kind::Gauge,
            trend: Trend::None,
            part_of: "",
            generated: false,
        }
    }

    /// A running total since boot; only its differences mean anything.
    pub const fn counter(name: &'static str, unit: Unit) -> Self {
        let mut metric = Self::gauge(name, unit);
        metric.kind = Kind::Counter;
        metric
    }

    /// Lets the analyzer judge it.
    pub const fn judged(mut self, trend: Trend) -> Self {
        self.trend = trend;
        self
    }

    /// Names the total that it is a part of, as `source/key`.
    pub const fn part_of(mut self, total: &'static str) -> Self {
        self.part_of = total;
        self
    }

    /// Marks a column that the database computes.
    pub const fn generated(mut self) -> Self {
        self.generated = true;
        self
    }
}

/// Defines an enum whose variants stand in the recording as words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// The word in the recording.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Reads the word back; `None` for a word of a newer version.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// Unit of a stored number.
    Unit {
        /// Bytes.
        Bytes = "bytes",
        /// 1,024 bytes; the kernel writes "kB" and means this.
        Kib = "kib",
        /// Pages of the machine, whose size stands in the table `boot`.
        Pages = "pages",
        /// A number of things.
        Count = "count",
        /// Microseconds.
        Us = "us",
        /// Ticks of the kernel's user clock (`boot.user_hz` a second).
        ClockTicks = "clock_ticks",
        /// Per cent.
        Percent = "percent",
        /// A share or an index of the kernel's, without a unit.
        Ratio = "ratio",
    }
}

impl Unit {
    /// How many bytes one of it is, for the units that measure memory.
    pub fn bytes(self, page_bytes: u64) -> Option<u64> {
        match self {
            Self::Bytes => Some(1),
            Self::Kib => Some(1024),
            Self::Pages => Some(page_bytes),
            _ => None,
        }
    }
}

words! {
    /// Level or running total.
    Kind {
        /// A level; may rise and fall.
        Gauge = "gauge",
        /// Only rises within a boot.
        Counter = "counter",
    }
}

words! {
    /// Whether and as what the analyzer judges a metric's trend.
    Trend {
        /// Recorded and shown, not judged.
        None = "none",
        /// Memory that somebody owns: growth without end is a leak.
        Memory = "memory",
        /// Things that hold memory (objects, threads, descriptors): growth without end is a leak.
        Count = "count",
        /// A sum over owners that are recorded themselves: explained by them where it can be.
        Total = "total",
        /// Memory that the kernel gives back under pressure: its growth is no leak.
        Reclaimable = "reclaimable",
        /// Not judged; compared with what leaks, to find who does it.
        Clue = "clue",
    }
}

words! {
    /// How a sample of a source went.
    Status {
        /// Read and understood as a whole.
        Ok = "ok",
        /// Read, but a part was cut off or not understood; `reason` says which.
        Partial = "partial",
        /// This machine does not give it: absent, or denied to this user.
        Unavailable = "unavailable",
        /// It should have been readable and was not.
        Failed = "failed",
        /// Planned and left out, to stay within the budget.
        Skipped = "skipped",
    }
}

impl Status {
    /// Whether values were obtained.
    pub fn has_values(self) -> bool {
        matches!(self, Self::Ok | Self::Partial)
    }
}
