//! Two recordings beside each other, as a person runs it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::made_up_soak::{self, LEAKER, Soak};
use crate::support::*;

fn half_a_day(place: &Place, name: &str, leak_kib_per_hour: u32, seed: u32) -> String {
    let file = place.file(name);
    let soak = Soak {
        ticks: 288,
        processes: 60,
        interval_s: 600,
        leak_kib_per_hour,
        seed,
        most_bytes: None,
    };
    made_up_soak::write(Path::new(&file), &soak).unwrap();
    file
}

#[test]
fn compare_names_what_outgrows_the_base_and_a_baseline_lifts_what_does_not() {
    let place = Place::new();
    let healthy = half_a_day(&place, "healthy.db", 0, 2);
    let leaky = half_a_day(&place, "leaky.db", 6000, 3);
    let as_leaky = half_a_day(&place, "as_leaky.db", 6000, 4);

    let worse = finish(analyze(&["compare", &healthy, &leaky, "--json"])).expect(1);
    let json: Value = serde_json::from_str(&worse.out()).unwrap();
    assert_eq!(
        (&json["format"], &json["verdict"]),
        (&"memsoak-compare/1".into(), &"leak".into())
    );
    let first = &json["series"][0];
    assert_eq!(
        (&first["name"], &first["course"]),
        (&LEAKER.into(), &"faster".into())
    );
    let (low, high) = (&first["excess_low"], &first["excess_high"]);
    let bytes = 6000.0 * 1024.0;
    assert!(
        low.as_f64() < Some(bytes) && high.as_f64() > Some(bytes),
        "{low} {high}"
    );

    let told = finish(analyze(&["compare", &leaky, &as_leaky])).expect(0);
    assert!(told.out().contains("alike"), "{}", told.out());
    finish(analyze(&[
        "compare",
        &leaky,
        &as_leaky,
        "--fail-on",
        "suspect",
    ]))
    .expect(1);

    let out = place.file("report");
    let report = ["report", &as_leaky, "--out", &out, "--baseline", &leaky];
    finish(analyze(&report)).expect(0);
    let read = |name: &str| fs::read_to_string(Path::new(&out).join(name)).unwrap();
    let json: Value = serde_json::from_str(&read("report.json")).unwrap();
    assert_eq!(json["baseline"]["file"], "leaky.db");
    let finding = &json["findings"][0];
    assert_eq!(
        (&finding["name"], &finding["verdict"]),
        (&LEAKER.into(), &"suspect".into())
    );
    assert_eq!(finding["baseline"]["course"], "alike");
    let markdown = read("report.md");
    assert!(
        markdown.contains("beside the baseline `leaky.db`, 47.8 h"),
        "{markdown}"
    );
    assert!(
        markdown.contains("it grows as fast in the baseline"),
        "{markdown}"
    );

    finish(analyze(&["report", &leaky, "--out", &out])).expect(1);
}
