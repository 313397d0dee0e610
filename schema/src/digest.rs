//! A sum over what was stored, by which a reader knows that nothing of it is lost or altered.
//!
//! Each sample holds the sum over all rows of its source since the last keyframe: the rows that the
//! picture at that tick is made of. The sum does not depend on the order, so that rows can be checked
//! as they are found, and a sample whose own row is lost leaves the later ones checkable. A tick that
//! others were merged into says what its own rows sum up to, since those that it took the place of are
//! gone, and binds itself to the sample before it, so that one that is lost is missed.

use rusqlite::types::ValueRef;

use crate::Value;

/// Bits of the sum over values; above them stand 15 bits over keys. An alteration passes unseen
/// once in 65,536 times, a lost row once in 2^31.
const VALUE_BITS: u32 = 16;

/// Bits of both.
const LANE_BITS: u32 = VALUE_BITS + 15;

/// Set where there are two sums.
const MERGED: i64 = 1 << (2 * LANE_BITS);

/// The sum over the rows of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest {
    keys: u64,
    values: u64,
}

/// What a sample says of itself besides its rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) id: i64,
    pub(crate) status: i64,
    pub(crate) keyframe: bool,
    pub(crate) boottime_us: i64,
}

impl Digest {
    /// Adds a row: its key, and its values with [`column`] of their names. NULL adds nothing, so that
    /// a column that is added later changes no sum.
    pub(crate) fn add<'a>(&mut self, id: i64, values: impl Iterator<Item = (u64, ValueRef<'a>)>) {
        let row = mix(id.cast_unsigned());
        self.keys = self.keys.wrapping_add(row);
        for (column, value) in values {
            let Some(bits) = bits(value) else { continue };
            self.values = self.values.wrapping_add(mix(row ^ column ^ mix(bits)));
        }
    }

    /// Adds the rows of another sum.
    pub(crate) fn join(&mut self, other: Self) {
        self.keys = self.keys.wrapping_add(other.keys);
        self.values = self.values.wrapping_add(other.values);
    }

    /// What a sample says of it.
    pub(crate) fn seal(&self) -> Seal {
        Seal::Running(Lanes::of(*self))
    }
}

/// What a sample says of the rows of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seal {
    /// The sum over all rows since the last keyframe.
    Running(Lanes),
    /// Of a tick that others were merged into: the same as it was before that, from which later
    /// samples go on; and the sum over the rows that stand there now, bound to the sample before.
    Merged { running: Lanes, own: Lanes },
}

impl Seal {
    /// Reads the number that stands in a sample.
    pub(crate) fn open(number: i64, stamp: Stamp) -> Self {
        let bare = |number: i64| unpack(number).wrapping_sub(stamp.bits());
        if number & MERGED == 0 {
            return Self::Running(bare(number));
        }
        Self::Merged {
            running: bare(number >> LANE_BITS),
            own: bare(number),
        }
    }

    /// The number that stands in a sample.
    pub(crate) fn close(self, stamp: Stamp) -> i64 {
        let sealed = |lanes: Lanes| pack(lanes.wrapping_add(stamp.bits()));
        match self {
            Self::Running(lanes) => sealed(lanes),
            Self::Merged { running, own } => MERGED | (sealed(running) << LANE_BITS) | sealed(own),
        }
    }

    /// What the next sample's sum goes on from.
    pub(crate) fn running(self) -> Lanes {
        match self {
            Self::Running(running) | Self::Merged { running, .. } => running,
        }
    }
}

/// The two sums as they are stored: 15 and 16 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lanes {
    pub(crate) keys: u16,
    pub(crate) values: u16,
}

/// Only the low bits of a sum are stored, and sums go on from them.
impl From<Lanes> for Digest {
    fn from(lanes: Lanes) -> Self {
        Self {
            keys: lanes.keys.into(),
            values: lanes.values.into(),
        }
    }
}

impl Lanes {
    pub(crate) fn of(digest: Digest) -> Self {
        fold(digest.keys, digest.values)
    }

    /// What binds a merged tick to the sample before it, which sums up to this.
    pub(crate) fn link(self) -> Self {
        let bound = mix(pack(self).cast_unsigned());
        fold(bound, bound >> 32)
    }

    pub(crate) fn wrapping_add(self, other: Self) -> Self {
        Self {
            keys: self.keys.wrapping_add(other.keys) & 0x7fff,
            values: self.values.wrapping_add(other.values),
        }
    }

    pub(crate) fn wrapping_sub(self, other: Self) -> Self {
        Self {
            keys: self.keys.wrapping_sub(other.keys) & 0x7fff,
            values: self.values.wrapping_sub(other.values),
        }
    }
}

impl Stamp {
    fn bits(self) -> Lanes {
        let own = mix(self.id.cast_unsigned())
            ^ mix(self.boottime_us.cast_unsigned()).rotate_left(17)
            ^ self.status.cast_unsigned()
            ^ (u64::from(self.keyframe) << 8);
        let own = mix(own);
        fold(own, own >> 32)
    }
}

/// A number for the name of a column.
pub(crate) fn column(name: &str) -> u64 {
    mix(name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }))
}

/// A stored number as SQLite hands it out.
pub(crate) fn stored(value: &Value) -> ValueRef<'static> {
    match *value {
        Value::Null => ValueRef::Null,
        Value::Int(i) => ValueRef::Integer(i),
        Value::Real(r) => ValueRef::Real(r),
    }
}

/// SQLite stores NaN as NULL, and a fraction in a column of whole numbers as one where it is one.
fn bits(value: ValueRef<'_>) -> Option<u64> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(i) => Some(i.cast_unsigned()),
        ValueRef::Real(r) if r.is_nan() => None,
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        ValueRef::Real(r) if r.fract() == 0.0 && r.abs() < 9e15 => Some((r as i64).cast_unsigned()),
        ValueRef::Real(r) => Some(r.to_bits().rotate_left(1)),
        ValueRef::Text(text) | ValueRef::Blob(text) => Some(text.len() as u64 | 1 << 63),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
fn fold(keys: u64, values: u64) -> Lanes {
    Lanes {
        keys: keys as u16 & 0x7fff,
        values: values as u16,
    }
}

fn pack(lanes: Lanes) -> i64 {
    (i64::from(lanes.keys) << VALUE_BITS) | i64::from(lanes.values)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the low bits are meant"
)]
fn unpack(digest: i64) -> Lanes {
    Lanes {
        keys: (digest >> VALUE_BITS) as u16 & 0x7fff,
        values: digest as u16,
    }
}

/// The finish of SplitMix64 (Steele, Lea & Flood 2014): each bit of the input moves half of the others.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        id: 7 << 24 | 3,
        status: 0,
        keyframe: true,
        boottime_us: 1_000_000,
    };

    fn row(digest: &mut Digest, id: i64, values: &[ValueRef<'static>]) {
        let columns = [column("used_kib"), column("size_kib")];
        digest.add(id, columns.into_iter().zip(values.iter().copied()));
    }

    #[test]
    fn what_a_file_holds_sums_up_as_what_was_stored_whatever_the_order() {
        let (mut a, mut b) = (Digest::default(), Digest::default());
        row(&mut a, 1, &[ValueRef::Integer(5), ValueRef::Null]);
        row(&mut a, 2, &[ValueRef::Integer(6), ValueRef::Real(0.5)]);
        row(&mut b, 2, &[ValueRef::Real(6.0), ValueRef::Real(0.5)]);
        row(&mut b, 1, &[ValueRef::Integer(5)]);
        assert_eq!(a.seal(), b.seal());
        let stored = a.seal().close(STAMP);
        assert!((0..1 << 31).contains(&stored));
    }

    #[test]
    fn a_lost_row_an_altered_value_and_a_swap_of_columns_are_seen() {
        let mut whole = Digest::default();
        row(&mut whole, 1, &[ValueRef::Integer(5), ValueRef::Integer(9)]);
        let sealed = whole.seal().close(STAMP);
        assert_ne!(sealed, Digest::default().seal().close(STAMP));
        for values in [[4, 9], [9, 5]] {
            let mut other = Digest::default();
            row(&mut other, 1, &values.map(ValueRef::Integer));
            assert_ne!(sealed, other.seal().close(STAMP), "{values:?}");
        }
        for other in [
            Stamp { status: 1, ..STAMP },
            Stamp {
                keyframe: false,
                ..STAMP
            },
            Stamp {
                boottime_us: 1_000_001,
                ..STAMP
            },
        ] {
            assert_ne!(sealed, whole.seal().close(other));
        }
    }

    #[test]
    fn two_samples_tell_what_the_rows_between_them_sum_up_to() {
        let later = Stamp {
            id: 8 << 24 | 3,
            keyframe: false,
            ..STAMP
        };
        let mut sum = Digest::default();
        row(&mut sum, 1, &[ValueRef::Integer(5)]);
        let before = sum.seal().close(STAMP);
        let mut rows = Digest::default();
        row(&mut rows, 2, &[ValueRef::Integer(6)]);
        sum.join(rows);
        let after = sum.seal().close(later);
        let step = Seal::open(after, later)
            .running()
            .wrapping_sub(Seal::open(before, STAMP).running());
        assert_eq!(step, Lanes::of(rows));
    }

    #[test]
    fn a_sum_goes_on_from_what_is_stored_of_it() {
        let mut sum = Digest::default();
        row(&mut sum, 1, &[ValueRef::Integer(5)]);
        let mut taken_up = Digest::from(Lanes::of(sum));
        for sum in [&mut sum, &mut taken_up] {
            row(sum, 2, &[ValueRef::Integer(6)]);
        }
        assert_eq!(sum.seal(), taken_up.seal());
    }

    #[test]
    fn a_merged_tick_says_what_stands_there_and_what_went_before() {
        let (mut running, mut rows) = (Digest::default(), Digest::default());
        row(&mut running, 1, &[ValueRef::Integer(5)]);
        row(&mut rows, 2, &[ValueRef::Integer(6)]);
        let before = Lanes::of(running);
        let seal = Seal::Merged {
            running: before,
            own: Lanes::of(rows).wrapping_add(before.link()),
        };
        assert_ne!(before.link(), Lanes::default().link());
        let stored = seal.close(STAMP);
        assert!(stored > 0);
        assert_eq!(Seal::open(stored, STAMP), seal);
        assert_ne!(
            Seal::open(stored, Stamp { status: 1, ..STAMP }),
            seal,
            "of a sample that is another"
        );
    }
}
