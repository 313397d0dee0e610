//! `/proc/slabinfo` and slabtop.

use super::instant::{Instant, Thing};
use super::sheet::{Cell, Row, Sheet, Table, left, right};
use super::{Ask, no_key};

/// What tells one cache from another at both ends of a comparison.
fn key(thing: &Thing<'_>) -> String {
    format!("{} {}", thing.name(), thing.number())
}

/// As the kernel prints it (mm/slab_common.c, `cache_show`). The tunables and the last column are of
/// the SLAB allocator, which Linux 6.8 removed; SLUB prints 0 for each.
pub(super) fn slabinfo(instant: &Instant<'_>, _: &Ask) -> anyhow::Result<Sheet> {
    let held = instant.held("slabinfo")?;
    let rows = held
        .things()
        .map(|thing| Row {
            key: key(&thing),
            cells: vec![
                thing.name().into(),
                thing.get("active_objs").into(),
                thing.get("num_objs").into(),
                thing.get("objsize_bytes").into(),
                thing.get("objs_per_slab").into(),
                thing.get("pages_per_slab").into(),
                thing.get("active_slabs").into(),
                thing.get("num_slabs").into(),
            ],
        })
        .collect();
    let mut sheet = Sheet::default();
    sheet.line("slabinfo - version: 2.1");
    sheet.table(Table {
        head: "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : \
            tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> \
            <sharedavail>"
            .to_owned(),
        columns: vec![
            left(17),
            right(6),
            right(6),
            right(6),
            right(4),
            right(4).after(" : tunables    0    0    0"),
            right(6).before(" : slabdata "),
            right(6).after("      0"),
        ],
        rows,
        weight: Some(2),
    });
    Ok(sheet)
}

/// As `slabtop -o` (slabtop.c): by number of objects unless another of its keys is asked for.
pub(super) fn slabtop(instant: &Instant<'_>, ask: &Ask) -> anyhow::Result<Sheet> {
    let held = instant.held("slabinfo")?;
    let sum = |f: &dyn Fn(&Thing<'_>) -> Option<f64>| -> f64 {
        held.things().filter_map(|thing| f(&thing)).sum()
    };
    let column = |name: &'static str| move |thing: &Thing<'_>| thing.get(name);
    let bytes_of = |objects: &'static str| {
        move |thing: &Thing<'_>| Some(thing.get(objects)? * thing.get("objsize_bytes")?)
    };
    let caches = held.things().count();
    let active = held
        .things()
        .filter(|thing| {
            thing
                .get("active_objs")
                .is_some_and(|objects| objects > 0.0)
        })
        .count();
    let mut sheet = Sheet::default();
    let mut ratio = |what: &str, part: String, whole: String, share: f64| {
        let what = format!("Active / Total {what} (% used)");
        sheet.line(format!(
            " {what:<35}: {part} / {whole} ({:.1}%)",
            share * 100.0
        ));
    };
    let count = |value: f64| format!("{value:.0}");
    let size = |value: f64| format!("{:.2}K", value / 1024.0);
    let (used, objects) = (sum(&column("active_objs")), sum(&column("num_objs")));
    ratio("Objects", count(used), count(objects), used / objects);
    let (used, slabs) = (sum(&column("active_slabs")), sum(&column("num_slabs")));
    ratio("Slabs", count(used), count(slabs), used / slabs);
    #[expect(clippy::cast_precision_loss, reason = "a number of caches")]
    let share = active as f64 / caches as f64;
    ratio("Caches", active.to_string(), caches.to_string(), share);
    let (used, total) = (sum(&bytes_of("active_objs")), sum(&bytes_of("num_objs")));
    ratio("Size", size(used), size(total), used / total);
    let sizes = || held.things().filter_map(|thing| thing.get("objsize_bytes"));
    sheet.line(format!(
        " {:<35}: {} / {} / {}",
        "Minimum / Average / Maximum Object",
        size(sizes().fold(f64::INFINITY, f64::min)),
        size(total / objects),
        size(sizes().fold(0.0, f64::max)),
    ));
    sheet.line("");

    let mut things: Vec<Thing<'_>> = held.things().collect();
    sort(&mut things, ask.sort.as_deref().unwrap_or("o"))?;
    let rows = things
        .iter()
        .map(|thing| Row {
            key: key(thing),
            cells: vec![
                thing.get("num_objs").into(),
                thing.get("active_objs").into(),
                used_percent(thing),
                thing.kib("objsize_bytes").into(),
                thing.get("num_slabs").into(),
                thing.get("objs_per_slab").into(),
                cache_kib(thing).into(),
                thing.name().into(),
            ],
        })
        .collect();
    sheet.table(Table {
        head: "  OBJS ACTIVE  USE OBJ SIZE  SLABS OBJ/SLAB CACHE SIZE NAME".to_owned(),
        columns: vec![
            right(6).before(""),
            right(6),
            right(3).after("%"),
            right(7).digits(2).after("K"),
            right(6),
            right(8),
            right(9).after("K"),
            left(0).before(" "),
        ],
        rows,
        weight: Some(6),
    });
    Ok(sheet)
}

/// What slabtop makes of it: the slabs, in KiB.
fn cache_kib(thing: &Thing<'_>) -> Option<f64> {
    thing.kib("slab_pages")
}

fn used_percent(thing: &Thing<'_>) -> Cell {
    // Cut off, as slabtop does.
    let share = (|| {
        let all = thing.get("num_objs").filter(|all| *all > 0.0)?;
        Some((thing.get("active_objs")? / all * 100.0).floor())
    })();
    Cell::Number(Some(share.unwrap_or(0.0)))
}

/// Slabtop's letters: names upwards, numbers downwards.
fn sort(things: &mut [Thing<'_>], key: &str) -> anyhow::Result<()> {
    let column = match key {
        "a" => "active_objs",
        "b" => "objs_per_slab",
        "c" => "slab_pages",
        "l" => "num_slabs",
        "o" => "num_objs",
        "p" => "pages_per_slab",
        "s" => "objsize_bytes",
        "v" => "active_slabs",
        "n" => {
            things.sort_by_key(Thing::name);
            return Ok(());
        }
        other => {
            return Err(no_key(
                "slabtop",
                other,
                "a active objects, b objects a slab, c cache size, l slabs, n name, o objects, \
                 p pages a slab, s object size, v active slabs",
            ));
        }
    };
    let value = |thing: &Thing<'_>| thing.get(column).unwrap_or(-1.0);
    things.sort_by(|a, b| value(b).total_cmp(&value(a)));
    Ok(())
}
