//! The rows of one table in order of their keys, from pages in any order, some of them twice.

use std::collections::BTreeMap;

use rusqlite::types::Value;

use super::pages::Pages;
use super::sort::{self, Kinds, Place};
use crate::writer::WHAT_BITS;

/// Rows that are held at once. Pages of a healthy file do not overlap, so that one page is held; a
/// file that was made to overlap everywhere loses rows instead of taking all memory.
const MOST_HELD: usize = 1_000_000;

/// Reads pages ahead as far as their keys need it.
#[derive(Debug)]
pub(super) struct Stream {
    table: String,
    places: std::vec::IntoIter<Place>,
    next: Option<Place>,
    held: BTreeMap<i64, Vec<Value>>,
    done: i64,
}

impl Stream {
    /// Of pages in order of their first keys.
    pub(super) fn new(table: &str, places: Vec<Place>) -> Self {
        let mut places = places.into_iter();
        Self {
            table: table.to_owned(),
            next: places.next(),
            places,
            held: BTreeMap::new(),
            done: i64::MIN,
        }
    }

    /// The rows up to and with a tick that were not given before.
    pub(super) fn take(
        &mut self,
        pages: &Pages,
        kinds: &Kinds,
        tick: i64,
    ) -> Vec<(i64, Vec<Value>)> {
        let end = (tick + 1) << WHAT_BITS;
        let mut page = Vec::new();
        while let Some(place) = self.next.filter(|place| place.first < end) {
            if self.held.len() >= MOST_HELD {
                break;
            }
            let (rows, _, _) = sort::rows(pages, place.page, &mut page);
            for (id, columns) in rows {
                // The first that is found counts: a copy of a row says the same, or is damaged.
                if id >= self.done && kinds.can_be(&self.table, id, &columns) {
                    self.held.entry(id).or_insert(columns);
                }
            }
            self.next = self.places.next();
        }
        let later = self.held.split_off(&end);
        self.done = self.done.max(end);
        std::mem::replace(&mut self.held, later)
            .into_iter()
            .collect()
    }
}
