//! Which of thousands of call sites have a row of their own: the largest, and those that changed much.
//! The others are added up, so that nothing is lost.

#![deny(clippy::indexing_slicing)]

use std::collections::{HashMap, HashSet};

/// So many of the largest are followed from the first sample on.
const LARGEST: usize = 64;
/// So many are followed at the most: a row each.
const MOST: usize = 256;
/// By so much one must have changed more than another to take its place.
const AHEAD: u64 = 2;

/// What changed by less over a whole recording is no leak that anybody would look for.
pub(super) const MUCH_BYTES: u64 = 64 << 10;

/// A call site, by its number, and what it holds.
pub(super) type Held = (u64, u64);

/// The choice, which stays from sample to sample.
#[derive(Debug)]
pub(super) struct Follow {
    /// What each held when it was first seen; one that came later held nothing then.
    first: HashMap<u64, u64>,
    followed: HashSet<u64>,
    much: u64,
    has_begun: bool,
}

impl Follow {
    /// None yet; a change of `much` is worth a row.
    pub(super) fn new(much: u64) -> Self {
        Self {
            first: HashMap::new(),
            followed: HashSet::new(),
            much,
            has_begun: false,
        }
    }

    /// Takes note of what all hold now.
    pub(super) fn see(&mut self, held: &[Held]) {
        let here: HashSet<u64> = held.iter().map(|(site, _)| *site).collect();
        self.first.retain(|site, _| here.contains(site));
        self.followed.retain(|site| here.contains(site));
        if !self.has_begun && !held.is_empty() {
            self.has_begun = true;
            self.first = held.iter().copied().collect();
            let mut largest = held.to_vec();
            largest.sort_unstable_by_key(|(site, amount)| (std::cmp::Reverse(*amount), *site));
            let there = largest.iter().filter(|(_, amount)| *amount > 0);
            self.followed
                .extend(there.take(LARGEST).map(|(site, _)| *site));
        }
        let mut changes: HashMap<u64, u64> = HashMap::with_capacity(held.len());
        for (site, amount) in held {
            let first = *self.first.entry(*site).or_insert(0);
            changes.insert(*site, amount.abs_diff(first));
        }
        let change = |site: &u64| changes.get(site).copied().unwrap_or(0);
        let mut new: Vec<u64> = changes
            .keys()
            .filter(|site| change(site) >= self.much && !self.followed.contains(site))
            .copied()
            .collect();
        new.sort_unstable_by_key(|site| (std::cmp::Reverse(change(site)), *site));
        for site in new {
            if self.followed.len() >= MOST {
                let least = self
                    .followed
                    .iter()
                    .min_by_key(|one| (change(one), **one))
                    .copied();
                match least {
                    Some(least) if change(&site) > AHEAD.saturating_mul(change(&least)) => {
                        self.followed.remove(&least);
                    }
                    _ => break,
                }
            }
            self.followed.insert(site);
        }
    }

    /// Whether it has a row.
    pub(super) fn has_row(&self, site: u64) -> bool {
        self.followed.contains(&site)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(follow: &Follow, held: &[Held]) -> Vec<u64> {
        let sites = held.iter().map(|(site, _)| *site);
        sites.filter(|site| follow.has_row(*site)).collect()
    }

    #[test]
    fn the_largest_have_rows_from_the_start_and_others_when_they_change_much() {
        let mut follow = Follow::new(1000);
        let mut held: Vec<Held> = (0..3000).map(|site| (site, site)).collect();
        follow.see(&held);
        assert_eq!(rows(&follow, &held), (2936..3000).collect::<Vec<_>>());
        if let Some(slot) = held.get_mut(5) {
            slot.1 += 999;
        }
        if let Some(slot) = held.get_mut(6) {
            slot.1 += 1000;
        }
        // New ones held nothing before.
        held.push((9000, 1000));
        held.push((9001, 999));
        follow.see(&held);
        assert!(!follow.has_row(5) && follow.has_row(6));
        assert!(follow.has_row(9000) && !follow.has_row(9001));
        // What is gone has none, and one that comes back begins anew.
        held.retain(|(site, _)| *site != 6);
        follow.see(&held);
        assert!(!follow.has_row(6));
    }

    #[test]
    fn rows_are_bounded_and_one_that_leaks_later_still_gets_one() {
        let mut follow = Follow::new(10);
        let start: Vec<Held> = (0..1000).map(|site| (site, 5)).collect();
        follow.see(&start);
        let all: Vec<Held> = (0..1000).map(|site| (site, 25)).collect();
        follow.see(&all);
        assert_eq!(rows(&follow, &all).len(), MOST);
        let mut leak = all;
        leak.push((5000, 41));
        follow.see(&leak);
        assert!(follow.has_row(5000));
        assert_eq!(rows(&follow, &leak).len(), MOST);
    }
}
