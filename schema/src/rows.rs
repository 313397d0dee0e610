//! What a parser hands over: the values of one sample, without allocation once it has grown.

use std::collections::HashSet;
use std::ops::Range;

use crate::Labels;

/// A stored number. Missing is `Null`, never zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Value {
    /// Not obtained.
    #[default]
    Null,
    /// Whole numbers, kept exactly.
    Int(i64),
    /// Fractions (load averages, per cent).
    Real(f64),
}

impl Value {
    /// As a float, for judging and drawing; `None` when it was not obtained.
    #[expect(
        clippy::cast_precision_loss,
        reason = "judging needs 53 bits at the most"
    )]
    pub fn as_f64(self) -> Option<f64> {
        match self {
            Self::Null => None,
            Self::Int(i) => Some(i as f64),
            Self::Real(r) => Some(r),
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

/// The kernel prints unsigned 64-bit numbers, SQLite stores signed ones: what does not fit
/// (a counter that went below zero, "no limit") is kept as the nearest float.
impl From<u64> for Value {
    #[expect(clippy::cast_precision_loss, reason = "documented above")]
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Self::Real(value as f64), Self::Int)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A word about an entity that seldom changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Label<'a> {
    /// A number (pid, uid, object size).
    Int(i64),
    /// A truth (`reclaimable`).
    Bool(bool),
    /// The kernel's bytes, which need not be UTF-8.
    Bytes(&'a [u8]),
}

#[derive(Clone, Debug)]
enum LabelSlot {
    Int(i64),
    Bool(bool),
    Bytes(Range<usize>),
}

#[derive(Clone, Debug)]
struct Row {
    key: Range<usize>,
    name: Range<usize>,
    labels: Range<usize>,
    values: Range<usize>,
}

/// Something that happened and that a source saw: a report in the kernel log, a module that came.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// What kind of thing it is (`oom_kill`).
    pub kind: &'static str,
    /// CLOCK_BOOTTIME in us; `None` is the time of the tick at which it was seen.
    pub boottime_us: Option<i64>,
    /// What the kernel said, or what was seen.
    pub text: Vec<u8>,
    /// What a program needs of the text, as a JSON object.
    pub detail: Labels,
}

impl Happening {
    /// One without details, seen now.
    pub fn new(kind: &'static str, text: &[u8]) -> Self {
        Self {
            kind,
            boottime_us: None,
            text: text.to_vec(),
            detail: Labels::new(),
        }
    }

    /// Adds a detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: Label<'_>) -> Self {
        self.detail.insert(name.to_owned(), json_of(value));
        self
    }
}

/// JSON has no bytes: where they are not UTF-8 the escaped form says which ones they were.
pub(crate) fn json_of(label: Label<'_>) -> serde_json::Value {
    match label {
        Label::Int(i) => i.into(),
        Label::Bool(b) => b.into(),
        Label::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => bytes.escape_ascii().to_string().into(),
        },
    }
}

/// Happenings that are kept while ticks cannot be written; the first ones tell the most.
const MOST_HAPPENINGS: usize = 256;

/// What a detail takes: a node of its map, and the text of one that is text.
fn value_bytes(value: &serde_json::Value) -> usize {
    64 + value.as_str().map_or(0, str::len)
}

/// The rows of one sample.
///
/// A parser calls [`scalar`](Rows::scalar) for each key, or [`entity`](Rows::entity) for each thing
/// (and [`label`](Rows::label) right after it). The writer finds out what is new, changed or gone.
#[derive(Debug, Default)]
pub struct Rows {
    bytes: Vec<u8>,
    values: Vec<Value>,
    labels: Vec<(&'static str, LabelSlot)>,
    rows: Vec<Row>,
    incremental: bool,
    gone: Vec<Range<usize>>,
    happenings: Vec<Happening>,
    passed_over: u64,
}

/// One row as the writer sees it.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    rows: &'a Rows,
    row: &'a Row,
}

impl Rows {
    /// Empties it of rows and keeps its memory. What happened stays until it
    /// [is stored](Rows::clear_happenings): the kernel says it once.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.values.clear();
        self.labels.clear();
        self.rows.clear();
        self.gone.clear();
        self.incremental = false;
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// A key and its value.
    pub fn scalar(&mut self, key: &[u8], value: impl Into<Value>) {
        self.scalar_parts(&[key], value);
    }

    /// A key that is put together from parts (`node0.nr_anon_pages`), and its value.
    pub fn scalar_parts(&mut self, parts: &[&[u8]], value: impl Into<Value>) {
        let start = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        let key = start..self.bytes.len();
        let at = self.values.len();
        self.values.push(value.into());
        self.rows.push(Row {
            name: key.clone(),
            key,
            labels: self.labels.len()..self.labels.len(),
            values: at..self.values.len(),
        });
    }

    /// A thing: what identifies it within its source and boot, the kernel's name for it, and its
    /// stored columns in the order of the [`Spec`](crate::Spec).
    pub fn entity(&mut self, key: &[u8], name: &[u8], values: &[Value]) {
        let key = self.keep(key);
        let name = self.keep(name);
        let start = self.values.len();
        self.values.extend_from_slice(values);
        self.rows.push(Row {
            key,
            name,
            labels: self.labels.len()..self.labels.len(),
            values: start..self.values.len(),
        });
    }

    /// A label of the entity that was added last.
    pub fn label(&mut self, name: &'static str, value: Label<'_>) {
        let slot = match value {
            Label::Int(i) => LabelSlot::Int(i),
            Label::Bool(b) => LabelSlot::Bool(b),
            Label::Bytes(b) => LabelSlot::Bytes(self.keep(b)),
        };
        self.labels.push((name, slot));
        if let Some(row) = self.rows.last_mut() {
            row.labels.end = self.labels.len();
        }
    }

    /// Says that rows which are not here are unchanged, not gone; what is gone is then named with
    /// [`gone`](Rows::gone).
    pub fn set_incremental(&mut self) {
        self.incremental = true;
    }

    /// Names an entity that exists no longer (incremental rows only).
    pub fn gone(&mut self, key: &[u8]) {
        let key = self.keep(key);
        self.gone.push(key);
    }

    /// Adds what happened.
    pub fn happened(&mut self, happening: Happening) {
        if self.happenings.len() < MOST_HAPPENINGS {
            self.happenings.push(happening);
        } else {
            self.passed_over += 1;
        }
    }

    /// What happened since it was last stored, and how much more there was than could be kept.
    pub fn happenings(&self) -> (&[Happening], u64) {
        (&self.happenings, self.passed_over)
    }

    /// Forgets what happened: it is stored.
    pub fn clear_happenings(&mut self) {
        self.happenings.clear();
        self.passed_over = 0;
    }

    /// Takes over what an earlier sample of the same source holds and this one does not say anew: it
    /// is then as if the earlier one had never been taken. What happened is kept of both.
    pub fn absorb(&mut self, earlier: Self) {
        if self.incremental {
            let mut said: HashSet<&[u8]> = self.gone_keys().collect();
            said.extend(self.iter().map(|row| row.key()));
            let rows: Vec<bool> = earlier
                .iter()
                .map(|row| !said.contains(row.key()))
                .collect();
            let gone: Vec<&[u8]> = earlier
                .gone_keys()
                .filter(|key| !said.contains(key))
                .collect();
            for (row, is_new) in earlier.iter().zip(rows) {
                if is_new {
                    self.entity(row.key(), row.name(), row.values());
                    for (name, label) in row.labels() {
                        self.label(name, label);
                    }
                }
            }
            for key in gone {
                self.gone(key);
            }
            self.incremental = earlier.incremental;
        }
        let later = std::mem::replace(&mut self.happenings, earlier.happenings);
        self.passed_over += earlier.passed_over;
        for happening in later {
            self.happened(happening);
        }
    }

    /// Bytes of memory that it takes, room to grow included.
    pub fn memory_bytes(&self) -> usize {
        let details = |happening: &Happening| {
            let detail = happening.detail.iter();
            happening.text.capacity()
                + detail
                    .map(|(name, value)| name.len() + value_bytes(value))
                    .sum::<usize>()
        };
        self.bytes.capacity()
            + self.values.capacity() * size_of::<Value>()
            + self.labels.capacity() * size_of::<(&str, LabelSlot)>()
            + self.rows.capacity() * size_of::<Row>()
            + self.gone.capacity() * size_of::<Range<usize>>()
            + self.happenings.capacity() * size_of::<Happening>()
            + self.happenings.iter().map(details).sum::<usize>()
    }

    /// Gives the room to grow back.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.values.shrink_to_fit();
        self.labels.shrink_to_fit();
        self.rows.shrink_to_fit();
        self.gone.shrink_to_fit();
        self.happenings.shrink_to_fit();
    }

    /// Whether absent rows are unchanged rather than gone.
    pub fn is_incremental(&self) -> bool {
        self.incremental
    }

    /// The entities named as gone.
    pub fn gone_keys(&self) -> impl Iterator<Item = &[u8]> {
        self.gone.iter().map(|range| &self.bytes[range.clone()])
    }

    /// The rows in order.
    pub fn iter(&self) -> impl Iterator<Item = RowRef<'_>> {
        self.rows.iter().map(|row| RowRef { rows: self, row })
    }

    /// The value of a scalar key or of an entity's first column, for tests and cross-checks.
    pub fn value_of(&self, key: &[u8]) -> Option<Value> {
        self.iter()
            .find(|row| row.key() == key)
            .and_then(|row| row.values().first().copied())
    }
}

impl<'a> RowRef<'a> {
    /// What identifies it.
    pub fn key(&self) -> &'a [u8] {
        &self.rows.bytes[self.row.key.clone()]
    }

    /// The kernel's name for it.
    pub fn name(&self) -> &'a [u8] {
        &self.rows.bytes[self.row.name.clone()]
    }

    /// Its stored columns.
    pub fn values(&self) -> &'a [Value] {
        &self.rows.values[self.row.values.clone()]
    }

    /// Its labels.
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, Label<'a>)> {
        let rows = self.rows;
        rows.labels[self.row.labels.clone()]
            .iter()
            .map(|(name, slot)| {
                let label = match slot {
                    LabelSlot::Int(i) => Label::Int(*i),
                    LabelSlot::Bool(b) => Label::Bool(*b),
                    LabelSlot::Bytes(range) => Label::Bytes(&rows.bytes[range.clone()]),
                };
                (*name, label)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were_put_in() {
        let mut rows = Rows::default();
        rows.entity(b"7.100", b"a b\xff", &[Value::Int(1), Value::Null]);
        rows.label("pid", Label::Int(7));
        rows.label("exe", Label::Bytes(b"x\n"));
        rows.entity(b"8.100", b"c", &[Value::Int(2), Value::Real(0.5)]);
        let all: Vec<_> = rows.iter().collect();
        assert_eq!(all[0].name(), b"a b\xff");
        assert_eq!(all[0].values(), &[Value::Int(1), Value::Null]);
        assert_eq!(
            all[0].labels().collect::<Vec<_>>(),
            vec![("pid", Label::Int(7)), ("exe", Label::Bytes(b"x\n"))]
        );
        assert_eq!(all[1].key(), b"8.100");
        assert_eq!(all[1].labels().count(), 0);
        rows.clear();
        assert!(rows.is_empty());
    }

    #[test]
    fn what_happened_stays_until_it_is_stored_and_the_first_are_kept() {
        let mut rows = Rows::default();
        for at in 0..300 {
            rows.happened(Happening::new("mark", b"").with("at", Label::Int(at)));
        }
        rows.clear();
        let (kept, passed_over) = rows.happenings();
        assert_eq!((kept.len(), passed_over), (256, 44));
        assert_eq!(kept[255].detail["at"], 255);
        rows.clear_happenings();
        assert_eq!(rows.happenings(), (&[][..], 0));
    }

    #[test]
    fn a_sample_that_absorbs_an_earlier_one_says_what_both_said_and_the_later_word_counts() {
        let changed = |rows: &mut Rows, key: &[u8], value| {
            rows.entity(key, key, &[Value::Int(value)]);
        };
        let mut earlier = Rows::default();
        earlier.set_incremental();
        changed(&mut earlier, b"1", 10);
        earlier.label("pid", Label::Int(1));
        changed(&mut earlier, b"2", 20);
        changed(&mut earlier, b"3", 30);
        earlier.gone(b"4");
        earlier.happened(Happening::new("oom_kill", b"first"));
        let mut later = Rows::default();
        later.set_incremental();
        changed(&mut later, b"2", 21);
        later.gone(b"3");
        changed(&mut later, b"4", 40);
        later.happened(Happening::new("oom_kill", b"second"));
        later.absorb(earlier);
        assert!(later.is_incremental());
        let values = |rows: &Rows| -> Vec<_> {
            let of = |key| rows.value_of(key).unwrap_or_default();
            [b"1", b"2", b"3", b"4"].map(|key| of(key)).to_vec()
        };
        let int = Value::Int;
        assert_eq!(values(&later), [int(10), int(21), Value::Null, int(40)]);
        assert_eq!(later.gone_keys().collect::<Vec<_>>(), [b"3"]);
        let one = later
            .iter()
            .find(|row| row.key() == b"1")
            .expect("absorbed");
        assert_eq!(one.labels().collect::<Vec<_>>(), [("pid", Label::Int(1))]);
        let told: Vec<_> = later.happenings().0.iter().map(|one| &one.text).collect();
        assert_eq!(told, [b"first".as_slice(), b"second"]);

        // On top of a whole sample it is a whole one.
        let mut whole = Rows::default();
        changed(&mut whole, b"2", 2);
        changed(&mut whole, b"5", 5);
        later.absorb(whole);
        assert!(!later.is_incremental());
        assert_eq!(later.value_of(b"5"), Some(int(5)));
        assert_eq!(later.value_of(b"2"), Some(int(21)));

        // A whole sample says everything by itself.
        let mut whole = Rows::default();
        changed(&mut whole, b"7", 7);
        whole.absorb(later);
        assert_eq!(whole.len(), 1);
        assert_eq!(whole.happenings().0.len(), 2);
    }

    #[test]
    fn a_number_that_sqlite_cannot_hold_is_kept_as_a_float_not_wrapped() {
        assert_eq!(
            Value::from(u64::MAX),
            Value::Real(18_446_744_073_709_552_000.0)
        );
        assert_eq!(Value::from(5_u64), Value::Int(5));
        assert_eq!(Value::from(None::<u64>), Value::Null);
    }
}
