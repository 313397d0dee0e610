//! The rows that stand in a page, whatever page it is: a leaf of a table, or of `plan`, which is a
//! table that is its own index.

use rusqlite::types::Value;

use super::pages::{Pages, be16, be32};
use crate::guard::LONGEST_BYTES;

const TABLE_LEAF: u8 = 0x0d;
const INDEX_LEAF: u8 = 0x0a;

/// A record has at most so many columns in any of our tables.
const MOST_COLUMNS: usize = 64;

/// A row as it stands in its page.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) rowid: i64,
    payload_bytes: usize,
    from: usize,
    to: usize,
    overflow: Option<u32>,
}

/// The rows of a page.
#[derive(Clone, Debug, Default)]
pub(super) struct Cells {
    /// Whether it is a page of an index, whose rows have no rowid.
    pub(super) of_index: bool,
    pub(super) cells: Vec<Cell>,
    /// Rows that cannot be.
    pub(super) bad: usize,
}

impl Cells {
    /// Where the last of them ends.
    pub(super) fn end(&self) -> usize {
        let ends = self.cells.iter();
        ends.map(|cell| cell.to + if cell.overflow.is_some() { 4 } else { 0 })
            .max()
            .unwrap_or(0)
    }
}

/// Where the header of a page begins: behind that of the file in the first.
pub(super) fn header_at(first: bool) -> usize {
    if first { 100 } else { 0 }
}

/// The rows of a page; `None` where it is no leaf.
pub(super) fn cells(page: &[u8], header: usize) -> Option<Cells> {
    let kind = *page.get(header)?;
    if kind != TABLE_LEAF && kind != INDEX_LEAF {
        return None;
    }
    let count = usize::from(be16(page, header + 3));
    let pointers = header + 8;
    let content = pointers + 2 * count;
    if count == 0 || content > page.len() {
        return None;
    }
    let mut found = Cells {
        of_index: kind == INDEX_LEAF,
        cells: Vec::with_capacity(count),
        bad: 0,
    };
    for at in 0..count {
        let at = usize::from(be16(page, pointers + 2 * at));
        match cell(page, at, content, found.of_index) {
            Some(cell) => found.cells.push(cell),
            None => found.bad += 1,
        }
    }
    Some(found)
}

fn cell(page: &[u8], at: usize, content: usize, of_index: bool) -> Option<Cell> {
    if at < content {
        return None;
    }
    let usable = page.len();
    let (payload, at) = varint(page, at)?;
    let payload_bytes = usize::try_from(payload).ok()?;
    if payload_bytes < 2 || payload_bytes > usize::try_from(LONGEST_BYTES).ok()? {
        return None;
    }
    let (rowid, from) = if of_index { (0, at) } else { varint(page, at)? };
    let most = if of_index {
        (usable - 12) * 64 / 255 - 23
    } else {
        usable - 35
    };
    let least = (usable - 12) * 32 / 255 - 23;
    let local = if payload_bytes <= most {
        payload_bytes
    } else {
        let some = least + (payload_bytes - least) % (usable - 4);
        if some <= most { some } else { least }
    };
    let to = from + local;
    if to > usable {
        return None;
    }
    let overflow = if local < payload_bytes {
        Some(be32(page, to)?)
    } else {
        None
    };
    Some(Cell {
        rowid,
        payload_bytes,
        from,
        to,
        overflow,
    })
}

impl Cell {
    /// The columns of the row; `None` where they cannot be. Of a text whose further pages are lost
    /// the beginning is given.
    pub(super) fn record(&self, page: &[u8], pages: &Pages) -> Option<Vec<Value>> {
        let local = page.get(self.from..self.to)?;
        let Some(overflow) = self.overflow else {
            return record(local);
        };
        let mut payload = local.to_vec();
        let mut more = Vec::new();
        let mut next = overflow;
        while payload.len() < self.payload_bytes && pages.read_further(next, &mut more).is_some() {
            next = be32(&more, 0)?;
            let want = (self.payload_bytes - payload.len()).min(pages.page_bytes() - 4);
            payload.extend_from_slice(more.get(4..4 + want)?);
        }
        payload.resize(self.payload_bytes, 0);
        record(&payload)
    }
}

/// A number of up to 9 bytes, and where the next thing begins.
fn varint(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let mut number: u64 = 0;
    for place in 0..9 {
        let byte = *bytes.get(at + place)?;
        if place == 8 {
            return Some((((number << 8) | u64::from(byte)).cast_signed(), at + 9));
        }
        number = (number << 7) | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some((number.cast_signed(), at + place + 1));
        }
    }
    None
}

/// The columns of a record, which must fill it to the byte.
fn record(payload: &[u8]) -> Option<Vec<Value>> {
    let (header, mut at) = varint(payload, 0)?;
    let header = usize::try_from(header)
        .ok()
        .filter(|h| *h <= payload.len())?;
    let mut body = header;
    let mut columns = Vec::new();
    while at < header {
        let (serial, next) = varint(payload, at)?;
        at = next;
        let length = match serial {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(serial).ok()?,
            5 => 6,
            6 | 7 => 8,
            12.. => usize::try_from((serial - 12) / 2).ok()?,
            _ => return None,
        };
        let bytes = payload.get(body..body.checked_add(length)?)?;
        body += length;
        if columns.len() == MOST_COLUMNS {
            return None;
        }
        columns.push(value(serial, bytes)?);
    }
    (at == header && body == payload.len()).then_some(columns)
}

fn value(serial: i64, bytes: &[u8]) -> Option<Value> {
    Some(match serial {
        0 => Value::Null,
        1..=6 => {
            let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
            let mut eight = [if negative { 0xff } else { 0 }; 8];
            eight.get_mut(8 - bytes.len()..)?.copy_from_slice(bytes);
            Value::Integer(i64::from_be_bytes(eight))
        }
        7 => Value::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
        8 => Value::Integer(0),
        9 => Value::Integer(1),
        odd if odd % 2 == 1 => {
            // What is padded was lost.
            let end = bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |at| at + 1);
            match std::str::from_utf8(&bytes[..end]) {
                Ok(text) => Value::Text(text.to_owned()),
                Err(_) => Value::Blob(bytes[..end].to_vec()),
            }
        }
        _ => Value::Blob(bytes.to_vec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_are_read_as_sqlite_writes_them() {
        assert_eq!(varint(&[0x7f], 0), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0x00], 0), Some((128, 2)));
        assert_eq!(varint(&[0xff; 9], 0), Some((-1, 9)));
        assert_eq!(varint(&[0x81], 0), None);
    }

    #[test]
    fn a_record_that_does_not_fill_its_bytes_is_none() {
        let whole = [3, 1, 15, 0xfe, b'a'];
        let read = record(&whole).expect("two columns");
        assert_eq!(read, [Value::Integer(-2), Value::Text("a".to_owned())]);
        assert!(record(&whole[..4]).is_none());
        assert!(record(&[&whole[..], b"b"].concat()).is_none());
        assert!(
            record(&[2, 10]).is_none(),
            "a type that SQLite never stores"
        );
    }
}
