//! Which samples of a recording can be believed: those whose digest is that of the rows found.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;

use rusqlite::{Connection, Rows, Statement};

use crate::digest::{self, Digest, Lanes, Seal, Stamp};
use crate::file::Context;
use crate::ids::IdMap;
use crate::reader::{Recording, what};
use crate::writer::WHAT_BITS;
use crate::{Error, Source};

/// The reason of a sample that is not believed: no recording has a reason of that number.
pub(crate) const DAMAGED_REASON: i64 = i64::MIN;

/// What it says.
pub(crate) const DAMAGED_TEXT: &str =
    "damaged in this file; `memsoak-analyze salvage FILE OUT` may give some of it";

/// The samples of a recording that gave values and are not to be believed.
#[derive(Clone, Debug, Default)]
pub struct Damage {
    sources: HashMap<i64, Lost>,
    samples: u64,
    checked: u64,
}

/// What a source has lost.
#[derive(Clone, Debug, Default)]
struct Lost {
    samples: u64,
    /// First and last tick of each stretch, in order.
    stretches: Vec<RangeInclusive<i64>>,
}

impl Damage {
    /// How many samples there are that cannot be believed.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// How many samples had a digest to check them by; 0 in a recording of an older format.
    pub fn checked(&self) -> u64 {
        self.checked
    }

    /// Whether anything was found.
    pub fn is_any(&self) -> bool {
        self.samples > 0
    }

    /// How many of them are of a source.
    pub fn of_source(&self, source: i64) -> u64 {
        self.sources.get(&source).map_or(0, |lost| lost.samples)
    }

    /// The stretch of a source's damage that a tick lies in.
    pub(crate) fn stretch(&self, source: i64, tick: i64) -> Option<&RangeInclusive<i64>> {
        let stretches = &self.sources.get(&source)?.stretches;
        let at = stretches.partition_point(|stretch| *stretch.end() < tick);
        stretches.get(at).filter(|stretch| stretch.contains(&tick))
    }

    /// For samples in order of ticks.
    pub(crate) fn cursor(&self) -> DamageCursor<'_> {
        DamageCursor {
            damage: self,
            at: HashMap::new(),
        }
    }

    fn add(&mut self, source: i64, tick: i64, begins: bool) {
        self.samples += 1;
        let lost = self.sources.entry(source).or_default();
        lost.samples += 1;
        match lost.stretches.last_mut() {
            Some(last) if !begins => *last = *last.start()..=tick,
            _ => lost.stretches.push(tick..=tick),
        }
    }

    pub(crate) fn find(recording: &Recording) -> Result<Self, Error> {
        let known =
            has_digest(&recording.connection).context(&recording.path, "reading the schema")?;
        if !known {
            return Ok(Self::default());
        }
        let sources = recording.sources()?;
        recording.budget.begin();
        find(&recording.connection, &sources).context(&recording.path, "checking the rows")
    }
}

/// Where a stream of samples stands among the stretches of damage.
pub(crate) struct DamageCursor<'a> {
    damage: &'a Damage,
    at: HashMap<i64, usize>,
}

impl DamageCursor<'_> {
    pub(crate) fn has(&mut self, tick: i64, source: i64) -> bool {
        let Some(Lost { stretches, .. }) = self.damage.sources.get(&source) else {
            return false;
        };
        let at = self.at.entry(source).or_insert(0);
        while stretches
            .get(*at)
            .is_some_and(|stretch| *stretch.end() < tick)
        {
            *at += 1;
        }
        stretches
            .get(*at)
            .is_some_and(|stretch| stretch.contains(&tick))
    }
}

/// What the rows of one source sum up to, while they stream past.
#[derive(Debug, Default)]
pub(crate) struct Check {
    sum: Digest,
    since_keyframe: bool,
    bad: bool,
}

impl Check {
    /// Takes a sample with the rows that stand at its tick. Whether it can be believed: its digest
    /// fits, and nothing was lost since the last full picture. `sealed`: digests were written by
    /// then, so that one that is missing is damage.
    pub(crate) fn sample(
        &mut self,
        stamp: Stamp,
        rows: Digest,
        seal: Option<Seal>,
        sealed: bool,
    ) -> bool {
        if stamp.keyframe {
            *self = Self {
                since_keyframe: true,
                ..Self::default()
            };
        }
        let before = Lanes::of(self.sum);
        self.sum.join(rows);
        match seal {
            Some(seal @ Seal::Running(_)) => {
                self.bad |= !self.since_keyframe || seal != self.sum.seal();
            }
            Some(Seal::Merged { running, own }) => {
                let found = Lanes::of(rows).wrapping_add(before.link());
                self.bad |= !self.since_keyframe || own != found;
                self.sum = running.into();
            }
            // The next one tells whether its rows are right.
            None => return !sealed,
        }
        !self.bad
    }

    /// Takes rows of a tick at which the source has no sample that says they were obtained.
    pub(crate) fn stray(&mut self, rows: Digest) {
        self.sum.join(rows);
        self.bad = true;
    }
}

fn has_digest(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .query_row(
            "SELECT count(*) FROM pragma_table_xinfo('sample') WHERE name = 'digest'",
            [],
            |row| row.get::<_, i64>(0),
        )
        .map(|columns| columns > 0)
}

/// The columns of a table that are stored, in order, after its key.
pub(crate) fn stored_columns(
    connection: &Connection,
    table: &str,
) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare("SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0 AND pk = 0 ORDER BY cid")?
        .query_map([table], |row| row.get(0))?
        .collect()
}

/// The rows of a table in order of ticks, summed by tick and source.
struct Stream<'s> {
    rows: Rows<'s>,
    columns: Vec<u64>,
    /// The source of all rows, or `None`: by metric.
    source: Option<i64>,
    next: Option<(i64, i64, Digest)>,
    last: i64,
}

impl Stream<'_> {
    fn fetch(&mut self, source_of: &IdMap<i64, i64>) -> rusqlite::Result<()> {
        self.next = None;
        while let Some(row) = self.rows.next()? {
            let id: i64 = row.get(0)?;
            if id <= self.last {
                return Err(rusqlite::Error::IntegralValueOutOfRange(0, id));
            }
            self.last = id;
            let Some(source) = self.source.or_else(|| source_of.get(&what(id)).copied()) else {
                continue;
            };
            let mut sum = Digest::default();
            // The statement was made of these columns, so that each has its place.
            let places = self.columns.iter().enumerate();
            sum.add(
                id,
                places.map(|(at, column)| (*column, row.get_ref_unwrap(at + 1))),
            );
            self.next = Some((id >> WHAT_BITS, source, sum));
            break;
        }
        Ok(())
    }

    /// The sum over the next rows of one tick up to this one and of one source.
    fn sum_until(
        &mut self,
        tick: i64,
        source_of: &IdMap<i64, i64>,
    ) -> rusqlite::Result<Option<(i64, i64, Digest)>> {
        let Some((at, source, mut sum)) = self.next.filter(|(at, ..)| *at <= tick) else {
            return Ok(None);
        };
        loop {
            self.fetch(source_of)?;
            match self.next {
                Some((next, of, more)) if (next, of) == (at, source) => sum.join(more),
                _ => return Ok(Some((at, source, sum))),
            }
        }
    }
}

fn find(connection: &Connection, sources: &[Source]) -> rusqlite::Result<Damage> {
    // One transaction: a recorder may be at work, and all tables are to be of one moment.
    let transaction = connection.unchecked_transaction()?;
    let mut source_of = IdMap::default();
    let mut tables = vec![("scalar", None)];
    for source in sources {
        if source.has_entities {
            tables.push((source.name.as_str(), Some(source.source)));
        }
    }
    {
        let mut metrics = transaction.prepare("SELECT metric, source FROM metric")?;
        let mut rows = metrics.query([])?;
        while let Some(row) = rows.next()? {
            source_of.insert(row.get(0)?, row.get(1)?);
        }
    }
    let mut statements: Vec<Statement<'_>> = Vec::new();
    let mut columns = Vec::new();
    for (table, _) in &tables {
        let names = stored_columns(&transaction, table)?;
        let list: String = names.iter().map(|name| format!(", {name}")).collect();
        statements.push(transaction.prepare(&format!("SELECT id{list} FROM {table} ORDER BY id"))?);
        columns.push(names.iter().map(|name| digest::column(name)).collect());
    }
    let mut streams = Vec::new();
    for ((statement, columns), (_, source)) in statements.iter_mut().zip(columns).zip(&tables) {
        let mut stream = Stream {
            rows: statement.query([])?,
            columns,
            source: *source,
            next: None,
            last: i64::MIN,
        };
        stream.fetch(&source_of)?;
        streams.push(stream);
    }
    let damage = compare(&transaction, &mut streams, &source_of)?;
    drop(streams);
    Ok(damage)
}

/// The times of ticks that are asked for in order.
struct Times<'s> {
    rows: Rows<'s>,
    at: Option<(i64, Option<i64>)>,
}

impl<'s> Times<'s> {
    fn new(rows: Rows<'s>) -> Self {
        let at = Some((i64::MIN, None));
        Self { rows, at }
    }

    fn of(&mut self, tick: i64) -> rusqlite::Result<Option<i64>> {
        while self.at.is_some_and(|(at, _)| at < tick) {
            let next = self.rows.next()?;
            self.at = next
                .map(|row| Ok::<_, rusqlite::Error>((row.get(0)?, row.get(1)?)))
                .transpose()?;
        }
        Ok(self
            .at
            .filter(|(at, _)| *at == tick)
            .and_then(|(_, time)| time))
    }
}

/// A sample as far as it is checked.
struct Claim {
    stamp: Stamp,
    seal: Option<Seal>,
    has_rows: bool,
}

fn compare(
    connection: &Connection,
    streams: &mut [Stream<'_>],
    source_of: &IdMap<i64, i64>,
) -> rusqlite::Result<Damage> {
    let mut damage = Damage::default();
    let mut checks: IdMap<i64, (Check, bool)> = IdMap::default();
    let mut samples =
        connection.prepare("SELECT id, status, keyframe, digest FROM sample ORDER BY id")?;
    let mut samples = samples.query([])?;
    let mut times = connection.prepare("SELECT tick, boottime_us FROM tick ORDER BY tick")?;
    let mut times = Times::new(times.query([])?);
    let mut read = || -> rusqlite::Result<Option<Claim>> {
        let Some(row) = samples.next()? else {
            return Ok(None);
        };
        let (id, status): (i64, i64) = (row.get(0)?, row.get(1)?);
        let stamp = Stamp {
            id,
            status,
            keyframe: row.get(2)?,
            boottime_us: times.of(id >> WHAT_BITS)?.unwrap_or(i64::MIN),
        };
        let digest: Option<i64> = row.get(3)?;
        Ok(Some(Claim {
            stamp,
            seal: digest.map(|digest| Seal::open(digest, stamp)),
            has_rows: crate::reader::status(status).has_values(),
        }))
    };
    let mut next = read()?;
    let mut last = i64::MIN;
    while let Some(first) = &next {
        let tick = first.stamp.id >> WHAT_BITS;
        let mut claims: BTreeMap<i64, Claim> = BTreeMap::new();
        while let Some(claim) = next.take_if(|claim| claim.stamp.id >> WHAT_BITS == tick) {
            if claim.stamp.id <= last {
                return Err(rusqlite::Error::IntegralValueOutOfRange(0, claim.stamp.id));
            }
            last = claim.stamp.id;
            claims.insert(what(claim.stamp.id), claim);
            next = read()?;
        }
        let mut rows: IdMap<i64, Digest> = IdMap::default();
        for stream in streams.iter_mut() {
            while let Some((at, source, sum)) = stream.sum_until(tick, source_of)? {
                let has_sample = claims.get(&source).is_some_and(|claim| claim.has_rows);
                if at == tick && has_sample {
                    rows.entry(source).or_default().join(sum);
                } else {
                    checks.entry(source).or_default().0.stray(sum);
                }
            }
        }
        claims.retain(|_, claim| claim.has_rows);
        damage.checked += claims.values().filter(|claim| claim.seal.is_some()).count() as u64;
        let sealed = damage.checked > 0;
        for (source, claim) in claims {
            let (check, was_bad) = checks.entry(source).or_default();
            let sum = rows.remove(&source).unwrap_or_default();
            let good = check.sample(claim.stamp, sum, claim.seal, sealed);
            if !good {
                damage.add(source, tick, !*was_bad);
            }
            *was_bad = !good;
        }
    }
    Ok(damage)
}
