//! What gains like numbers of things: parts of the same.

use memsoak_schema::Trend;

use super::Judged;
use super::joining::{Groups, LITTLE_COURSE, SAME_COURSE, course};
use super::suspects::is_of_mappings;
use super::things::{Evidence, Thing, has_no_owner};
use crate::load::Quantity;

/// Numbers that differ by no more than this share are the same ...
const SAME_NUMBER: f64 = 0.05;

/// ... and so are those that differ by this one, where the intervals of both slopes allow it: objects on a
/// CPU's slab count as taken, so that small numbers come in steps of a slab.
const MAY_BE_SAME_NUMBER: f64 = 0.2;

/// Where more than this many that have owners gained a like number, it is chance whose is closest.
const MOST_ALIKE: usize = 8;

/// Joins what gained the same number of things along the same course, which holds parts of the same:
/// caches, and a cache with something that has an owner, as inodes with segments of shared memory.
/// What mappings consist of is one thing in any number: a node of the tree has many.
///
/// The closest numbers are joined first, and never two groups of which each has an owner: many leaks at
/// once may happen to have like numbers.
pub(super) fn join_same_numbers(evidence: &Evidence<'_>, things: &[Thing], groups: &mut Groups) {
    let head = |at: usize| &evidence.judged[things[at].members[0]];
    let has_owner = |at: usize| !has_no_owner(&head(at).name) || things[at].is_blamed();
    let (owned, free): (Vec<usize>, Vec<usize>) = (0..things.len())
        .filter(|at| !evidence.is_recorder(head(*at).key, &head(*at).name))
        .partition(|at| has_owner(*at));
    let mut pairs: Vec<Pair> = Vec::new();
    for (place, &at) in free.iter().enumerate() {
        let same_boot = |other: &&usize| head(at).key.boot == head(**other).key.boot;
        let others = || free[place + 1..].iter().filter(same_boot);
        let owners = || owned.iter().filter(same_boot);
        let alike = |other: &usize| alike(evidence.judged, things, at, *other);
        let mut with_owners: Vec<Pair> = owners().filter_map(alike).collect();
        if with_owners.len() > MOST_ALIKE {
            with_owners.clear();
        }
        pairs.extend(with_owners.into_iter().chain(others().filter_map(alike)));
        if is_of_mappings(&head(at).name.name) {
            let also = owners().chain(others()).copied();
            let mappings = also.filter(|other| is_of_mappings(&head(*other).name.name));
            pairs.extend(mappings.map(|other| Pair {
                apart: f64::INFINITY,
                things: [at, other],
                of: [head(at), head(other)],
            }));
        }
    }
    pairs.retain(Pair::has_one_course);
    pairs.sort_by(|a, b| a.apart.total_cmp(&b.apart));
    // By the root of each group.
    let mut taken = vec![false; things.len()];
    for at in 0..things.len() {
        taken[groups.root(at)] |= has_owner(at);
    }
    for Pair { things, .. } in pairs {
        let either = things.map(|at| taken[groups.root(at)]);
        if either != [true, true] {
            groups.join(things[0], things[1]);
            taken[groups.root(things[0])] = either[0] || either[1];
        }
    }
}

/// Two things that may be one.
struct Pair<'a> {
    /// By which share of the larger number they differ; infinite where numbers do not matter.
    apart: f64,
    things: [usize; 2],
    /// The series that are compared.
    of: [&'a Judged; 2],
}

impl Pair<'_> {
    fn has_one_course(&self) -> bool {
        let least = if self.apart.is_finite() {
            SAME_COURSE
        } else {
            LITTLE_COURSE
        };
        course(self.of[0], self.of[1]) >= least
    }
}

/// A pair of things of which both are counted, and which gained a like number.
fn alike<'a>(judged: &'a [Judged], things: &[Thing], at: usize, other: usize) -> Option<Pair<'a>> {
    let count = |at: usize| {
        let mut members = things[at].members.iter().map(|one| &judged[*one]);
        members.find(|one| one.name.quantity == Quantity::Count && one.name.trend == Trend::Count)
    };
    let of = [count(at)?, count(other)?];
    Some(Pair {
        apart: numbers_apart(of[0], of[1])?,
        things: [at, other],
        of,
    })
}

/// By which share of the larger one two numbers differ that may be the same.
fn numbers_apart(one: &Judged, other: &Judged) -> Option<f64> {
    let (one, other) = (&one.judgement, &other.judgement);
    let apart = (one.growth - other.growth).abs() / one.growth.max(other.growth);
    let may_be_equal = one.slope_low_per_s <= other.slope_high_per_s
        && other.slope_low_per_s <= one.slope_high_per_s;
    let same = apart <= SAME_NUMBER || (apart <= MAY_BE_SAME_NUMBER && may_be_equal);
    same.then_some(apart)
}
