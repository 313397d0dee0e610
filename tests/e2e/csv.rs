//! `trends --csv`: series from a file instead of a recording.

use crate::support::{Place, analyze, finish};
use std::fmt::Write as _;

/// Two series of ten hours: one grows by 4 KiB a minute, one stays where it is.
fn two_series(place: &Place) -> String {
    let mut rows = String::from("id,t_s,value\n");
    for minute in 0..600 {
        let (t, leak, flat) = (60 * minute, 4096 * (1000 + minute), 4096 * (minute % 5));
        let _ = writeln!(rows, "grows,{t},{leak}\nstays,{t},{flat}");
    }
    let file = place.file("two.csv");
    std::fs::write(&file, rows).unwrap();
    file
}

#[test]
fn each_series_of_a_file_has_its_line() {
    let place = Place::new();
    let file = two_series(&place);
    let done = finish(analyze(&["trends", "--csv", &file, "--json"])).expect(0);
    let lines: Vec<serde_json::Value> = done
        .out()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["id"], "grows");
    assert_eq!(lines[0]["verdict"], "leak");
    let slope = lines[0]["slope_per_hour"].as_f64().unwrap();
    assert!((slope / (60.0 * 4096.0) - 1.0).abs() < 0.01, "{slope}");
    assert_eq!(lines[1]["verdict"], "steady");
}

#[test]
fn a_series_of_a_file_is_explained_like_one_of_a_recording() {
    let place = Place::new();
    let file = two_series(&place);
    let told = |id| finish(analyze(&["trends", "--csv", &file, "--explain", id]));
    let leak = told("grows").expect(0).out();
    assert!(leak.starts_with("grows: leak\n"), "{leak}");
    assert!(
        leak.contains("+ shape_margin") && !leak.contains("stays"),
        "{leak}"
    );
    let healthy = told("stays").expect(0).out();
    assert!(healthy.contains("what would change it"), "{healthy}");
    let unknown = told("nobody").expect(2).err();
    assert!(unknown.contains("no series \"nobody\""), "{unknown}");
}
