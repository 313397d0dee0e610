//! A sum over what was stored, by which a reader knows that nothing of it is lost or altered.
//!
//! Each sample holds the sum over all rows of its source since the last keyframe: the rows that the
//! picture at that tick is made of. The sum does not depend on the order, so that rows can be checked
//! as they are found, and a sample whose own row is lost leaves the later ones checkable.

use rusqlite::types::ValueRef;

use crate::Value;

/// Bits of the sum over values; above them stand 15 bits over keys. An alteration passes unseen
/// once in 65,536 times, a lost row once in 2^31.
const VALUE_BITS: u32 = 16;

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

    /// The number that stands in the sample.
    pub(crate) fn seal(&self, stamp: Stamp) -> i64 {
        let sum = fold(self.keys, self.values).wrapping_add(stamp.bits());
        pack(sum)
    }
}

/// What the rows of one sample must sum up to, by its number and the one before: 15 and 16 bits.
pub(crate) fn step(before: (i64, Stamp), after: (i64, Stamp)) -> Lanes {
    let bare = |(digest, stamp): (i64, Stamp)| unpack(digest).wrapping_sub(stamp.bits());
    bare(after).wrapping_sub(bare(before))
}

/// The two sums as they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lanes {
    pub(crate) keys: u16,
    pub(crate) values: u16,
}

impl Lanes {
    pub(crate) fn of(digest: Digest) -> Self {
        fold(digest.keys, digest.values)
    }

    fn wrapping_add(self, other: Self) -> Self {
        Self {
            keys: self.keys.wrapping_add(other.keys) & 0x7fff,
            values: self.values.wrapping_add(other.values),
        }
    }

    fn wrapping_sub(self, other: Self) -> Self {
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
        assert_eq!(a.seal(STAMP), b.seal(STAMP));
        assert!(a.seal(STAMP) >= 0 && a.seal(STAMP) < 1 << 31);
    }

    #[test]
    fn a_lost_row_an_altered_value_and_a_swap_of_columns_are_seen() {
        let mut whole = Digest::default();
        row(&mut whole, 1, &[ValueRef::Integer(5), ValueRef::Integer(9)]);
        let sealed = whole.seal(STAMP);
        assert_ne!(sealed, Digest::default().seal(STAMP));
        for values in [[4, 9], [9, 5]] {
            let mut other = Digest::default();
            row(&mut other, 1, &values.map(ValueRef::Integer));
            assert_ne!(sealed, other.seal(STAMP), "{values:?}");
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
            assert_ne!(sealed, whole.seal(other));
        }
    }

    #[test]
    fn two_samples_tell_what_the_rows_between_them_sum_up_to() {
        let mut sum = Digest::default();
        row(&mut sum, 1, &[ValueRef::Integer(5)]);
        let before = (sum.seal(STAMP), STAMP);
        let mut rows = Digest::default();
        row(&mut rows, 2, &[ValueRef::Integer(6)]);
        sum.join(rows);
        let later = Stamp {
            id: 8 << 24 | 3,
            keyframe: false,
            ..STAMP
        };
        assert_eq!(step(before, (sum.seal(later), later)), Lanes::of(rows));
    }
}
