//! Sums over things of one name, kept while their rows stream past.

use memsoak_schema::IdMap;

use super::cursor::Cursor;
use super::index::SourceTicks;
use super::kin::Kin;

struct Member {
    group: i64,
    seen: i64,
    values: Vec<f64>,
}

#[derive(Default)]
struct Sum {
    /// Over the members whose value is known.
    known: Vec<f64>,
    /// How many values are not.
    unknown: Vec<u32>,
    alive: u32,
    most: u32,
    touched: bool,
}

/// Turns the rows of entities into rows of their groups.
///
/// A sum of which one part is not known is not known. A group without members is gone, as an entity
/// that is gone: a row of NaN.
pub(super) struct Sums<'a> {
    kin: &'a Kin,
    cursor: Cursor<'a>,
    width: usize,
    members: IdMap<i64, Member>,
    groups: IdMap<i64, Sum>,
    touched: Vec<i64>,
    tick: i64,
    row: Vec<f64>,
}

impl<'a> Sums<'a> {
    /// Sums rows of `width` values.
    pub(super) fn new(kin: &'a Kin, ticks: &'a SourceTicks, width: usize) -> Self {
        Self {
            kin,
            cursor: Cursor::new(ticks),
            width,
            members: IdMap::default(),
            groups: IdMap::default(),
            touched: Vec::new(),
            tick: i64::MIN,
            row: Vec::new(),
        }
    }

    /// Takes a row of an entity; rows come in order of ticks. `each` gets the rows of groups: tick,
    /// entity number, the sums and, as the last value, how many members there are.
    pub(super) fn row(
        &mut self,
        tick: i64,
        entity: i64,
        values: &[f64],
        each: &mut impl FnMut(i64, i64, &[f64]),
    ) {
        let Some(group) = self.kin.of(entity) else {
            return;
        };
        if tick != self.tick {
            self.flush(each);
            self.expire(tick, each);
            self.tick = tick;
        }
        if values.iter().all(|value| value.is_nan()) {
            self.leave(entity);
        } else {
            let fresh = Member {
                group,
                seen: tick,
                values: vec![0.0; self.width],
            };
            let sum = self.groups.entry(group).or_insert_with(|| Sum {
                known: vec![0.0; self.width],
                unknown: vec![0; self.width],
                ..Sum::default()
            });
            let member = self.members.entry(entity).or_insert_with(|| {
                sum.alive += 1;
                sum.most = sum.most.max(sum.alive);
                fresh
            });
            member.seen = tick;
            for (at, value) in values.iter().enumerate() {
                sum.replace(at, member.values[at], *value);
                member.values[at] = *value;
            }
        }
        self.touch(group);
    }

    /// Hands out what is left.
    pub(super) fn finish(&mut self, each: &mut impl FnMut(i64, i64, &[f64])) {
        self.flush(each);
    }

    /// The most members that a group has had at once.
    pub(super) fn most(&self, group: i64) -> u32 {
        self.groups.get(&group).map_or(0, |sum| sum.most)
    }

    fn touch(&mut self, group: i64) {
        if let Some(sum) = self.groups.get_mut(&group)
            && !sum.touched
        {
            sum.touched = true;
            self.touched.push(group);
        }
    }

    fn leave(&mut self, entity: i64) {
        if let Some(member) = self.members.remove(&entity)
            && let Some(sum) = self.groups.get_mut(&member.group)
        {
            sum.alive = sum.alive.saturating_sub(1);
            for (at, value) in member.values.iter().enumerate() {
                sum.replace(at, *value, 0.0);
            }
        }
    }

    /// What does not stand in a keyframe is gone from there on.
    fn expire(&mut self, tick: i64, each: &mut impl FnMut(i64, i64, &[f64])) {
        while let Some(keyframe) = self.cursor.passed_keyframe(tick) {
            let gone: Vec<(i64, i64)> = self
                .members
                .iter()
                .filter(|(_, member)| member.seen < keyframe)
                .map(|(entity, member)| (*entity, member.group))
                .collect();
            for (entity, group) in gone {
                self.leave(entity);
                self.touch(group);
            }
            self.tick = keyframe;
            self.flush(each);
        }
    }

    fn flush(&mut self, each: &mut impl FnMut(i64, i64, &[f64])) {
        for group in std::mem::take(&mut self.touched) {
            let Some(sum) = self.groups.get_mut(&group) else {
                continue;
            };
            sum.touched = false;
            self.row.clear();
            if sum.alive == 0 {
                self.row.resize(self.width + 1, f64::NAN);
            } else {
                let values = sum.known.iter().zip(&sum.unknown);
                self.row.extend(values.map(
                    |(known, unknown)| {
                        if *unknown > 0 { f64::NAN } else { *known }
                    },
                ));
                self.row.push(f64::from(sum.alive));
            }
            each(self.tick, group, &self.row);
        }
    }
}

impl Sum {
    fn replace(&mut self, at: usize, old: f64, new: f64) {
        if old.is_nan() {
            self.unknown[at] = self.unknown[at].saturating_sub(1);
        } else {
            self.known[at] -= old;
        }
        if new.is_nan() {
            self.unknown[at] += 1;
        } else {
            self.known[at] += new;
        }
    }
}
