//! Which code allocates what leaks: the call sites and stacks that the kernel counts
//! (/proc/allocinfo, page_owner) and that grow like it.

use super::Judged;
use super::curve::Curve;
use super::things::{Evidence, has_no_owner, is_same_thing};
use crate::load::{Quantity, SeriesKey, SeriesName};
use crate::stats::agreement;

/// A site must explain at least this share of the variance of what leaks, as a suspect must.
const SHAPE: f64 = 0.9;

/// One that has less of what leaks is told nowhere: two sites of one leak share it as 9 to 1 at most.
const LEAST_SHARE: f64 = 0.1;

/// One that gains more than what leaks allocates other things too: an object can take up to a quarter
/// more in a slab than was asked for, and a site is read later than what leaks.
const MOST_SHARE: f64 = 1.25;

/// From this share on a site stands out by the number alone: chance seldom makes two lines as steep.
const MOST_OF_IT: f64 = 0.75;

/// Otherwise the changes must agree, by three standard errors of a correlation of some 100 moments.
const CHANGES: f64 = 0.3;

/// At most so many are told of one finding.
const MOST: usize = 3;

/// The allocator's own sites: each slab and each area counts there as well.
const OF_THE_ALLOCATOR: &[&str] = &["mm/slub.c:", "mm/slab_common.c:", "mm/page_ext.c:"];

/// The row for all that have none of their own.
const REST: &str = "rest";

/// A site that grows.
#[derive(Debug)]
pub(super) struct SiteCurve {
    pub(super) key: SeriesKey,
    pub(super) name: SeriesName,
    pub(super) curve: Curve,
}

/// Whether a series counts what a call site holds.
pub(super) fn is_of_site(name: &SeriesName) -> bool {
    let is_own = |file: &str| OF_THE_ALLOCATOR.iter().any(|own| file.starts_with(own));
    ["allocinfo", "page_owner"].contains(&name.source.as_str())
        && name.quantity == Quantity::Bytes
        && name.name != REST
        && !name
            .labels
            .get("file")
            .and_then(|file| file.as_str())
            .is_some_and(is_own)
}

/// Code that allocates what leaks.
#[derive(Clone, Debug)]
pub struct CallSite {
    /// Its series.
    pub series: String,
    /// The function.
    pub function: String,
    /// File and line of source, where they are known.
    pub place: Option<String>,
    /// Its module; `None` for the kernel itself.
    pub module: Option<String>,
    /// What it gains for each unit that leaks.
    pub share: f64,
    /// Share of the variance that is explained.
    pub shape: f64,
}

impl CallSite {
    /// It in a sentence.
    pub fn in_words(&self) -> String {
        let mut text = format!("allocated by {}", self.function);
        if let Some(place) = &self.place {
            text.push_str(&format!(" ({place})"));
        }
        if let Some(module) = &self.module {
            text.push_str(&format!(" of the module {module}"));
        }
        text.push_str(&format!(
            ", which gains {:.2} of it along the same course",
            self.share
        ));
        text
    }
}

/// The sites that grow like a thing of the kernel, those with the largest share first.
pub(super) fn allocated_by(evidence: &Evidence<'_>, head: &Judged) -> Vec<CallSite> {
    if !has_no_owner(&head.name) {
        return Vec::new();
    }
    // Bytes and not objects: what is kept for each object, in another cache, has as many of them.
    let leak = match head.name.quantity {
        Quantity::Bytes => head.curve.as_ref(),
        Quantity::Count => {
            let same = evidence.judged.iter().filter(|one| {
                head.key.entity != 0
                    && is_same_thing(one.key, head.key)
                    && one.name.quantity == Quantity::Bytes
            });
            same.into_iter().find_map(|one| one.curve.as_ref())
        }
    };
    let Some(leak) = leak else { return Vec::new() };
    let mut found: Vec<CallSite> = evidence
        .sites
        .iter()
        .filter(|site| site.key.boot == head.key.boot)
        .filter_map(|site| compare(site, leak))
        .collect();
    found.sort_by(|a, b| {
        let off = |call: &CallSite| (call.share - 1.0).abs();
        off(a).total_cmp(&off(b)).then(b.shape.total_cmp(&a.shape))
    });
    found.truncate(MOST);
    found
}

fn compare(site: &SiteCurve, leak: &Curve) -> Option<CallSite> {
    let found = agreement(&site.curve, leak)?;
    let is_near = found.shape >= SHAPE && (LEAST_SHARE..=MOST_SHARE).contains(&found.ratio);
    if !is_near || (found.ratio < MOST_OF_IT && found.changes < CHANGES) {
        return None;
    }
    let text = |label: &str| {
        let value = site.name.labels.get(label)?;
        Some(value.as_str()?.to_owned())
    };
    Some(CallSite {
        series: site.name.id.clone(),
        function: site.name.name.clone(),
        place: text("file"),
        module: text("module"),
        share: found.ratio,
        shape: found.shape,
    })
}

#[cfg(test)]
mod tests {
    use memsoak_schema::Trend;

    use super::*;

    fn site(curve: Curve) -> SiteCurve {
        let mut name = SeriesName::scalar("allocinfo", "f", Quantity::Bytes, Trend::Clue);
        name.labels
            .insert("file".to_owned(), "drivers/x.c:7".into());
        SiteCurve {
            key: SeriesKey::unaccounted(0),
            name,
            curve,
        }
    }

    fn ramp(slope: f64) -> Curve {
        (0..96).map(|i| 1000.0 + slope * f64::from(i)).collect()
    }

    /// A ramp with steps that only those know who make them.
    fn steps(slope: f64, every: i32) -> Curve {
        let at = |i: i32| f64::from(i + 7 * (i / every));
        (0..96).map(|i| slope * at(i)).collect()
    }

    #[test]
    fn a_site_that_gains_as_much_is_told_and_one_that_gains_little_or_far_more_is_not() {
        let leak = ramp(10.0);
        let share = |slope: f64| compare(&site(ramp(slope)), &leak).map(|call| call.share);
        assert!(share(9.8).is_some_and(|share| (share - 0.98).abs() < 1e-9));
        for slope in [-10.0, 0.5, 5.0, 20.0] {
            assert_eq!(share(slope), None, "{slope}");
        }
    }

    #[test]
    fn a_part_of_it_is_told_where_its_steps_are_those_of_the_leak() {
        let leak = steps(10.0, 5);
        let of = |curve: Curve| compare(&site(curve), &leak);
        assert!(of(steps(4.0, 5)).is_some_and(|call| (call.share - 0.4).abs() < 1e-9));
        assert!(of(steps(4.0, 11)).is_none());
        let words = of(steps(10.0, 5)).map(|call| call.in_words());
        assert_eq!(
            words.as_deref(),
            Some("allocated by f (drivers/x.c:7), which gains 1.00 of it along the same course")
        );
    }

    #[test]
    fn the_allocators_own_sites_and_the_rest_are_none() {
        let of = |name: &str, file: &str| {
            let mut name = SeriesName::scalar("allocinfo", name, Quantity::Bytes, Trend::Clue);
            name.labels.insert("file".to_owned(), file.into());
            is_of_site(&name)
        };
        assert!(of("f", "net/core/sock.c:2"));
        assert!(!of("alloc_slab_page", "mm/slub.c:2478"));
        assert!(!of("rest", ""));
        let other = SeriesName::scalar("meminfo", "Slab", Quantity::Bytes, Trend::Total);
        assert!(!is_of_site(&other));
    }
}
