//! A leak of a known rate is named, and the process beside it is not.

use crate::support::*;

/// A prime number of pages at each step, so that no cache or page of another size explains it.
const PAGES: f64 = 37.0;
const STEP_MS: f64 = 40.0;

#[test]
fn the_leaker_is_named_and_the_steady_process_is_not() {
    let place = Place::new();
    let db = place.file("soak.db");
    let leaker = start_leak_lab(&place, b"leaks-anon", &["anon", "37", "40"]);
    let steady = start_leak_lab(&place, b"only-works", &["steady", "37", "40"]);
    // So many ticks and not so many seconds: a busy machine takes fewer of them a second.
    let recorder = start_recording(&place, &db, &[]);
    wait_for_ticks(&db, 150);
    assert_eq!(recorder.terminate(), Some(0));
    let (json, markdown, done) = report(&place, &db);
    drop((leaker, steady));

    assert_eq!(json["verdict"], "leak", "{markdown}");
    assert_eq!(done.code, Some(1), "{}", done.out());
    let findings = json["findings"].as_array().unwrap();
    let found: Vec<_> = findings
        .iter()
        .filter(|finding| finding["name"] == "leaks-anon" && finding["source"] == "process")
        .collect();
    assert_eq!(found.len(), 1, "one leak is one finding: {markdown}");
    let finding = found[0];
    assert_eq!(finding["verdict"], "leak", "{finding}");
    assert_eq!(finding["metric"], "rss_anon_bytes", "{finding}");
    assert!(!done.out().contains("only-works"), "{}", done.out());
    for finding in findings {
        assert_ne!(finding["name"], "only-works", "{finding}");
    }

    // A busy machine lets it leak less often than every 40 ms, never more often.
    let at_most = PAGES * 4096.0 * 3_600_000.0 / STEP_MS;
    let slope = finding["slope_per_hour"].as_f64().unwrap();
    assert!(slope > 0.0 && slope < at_most * 1.1, "{slope} of {at_most}");
    let (low, high) = (&finding["slope_low"], &finding["slope_high"]);
    let (low, high) = (low.as_f64().unwrap(), high.as_f64().unwrap());
    assert!(low <= slope && slope <= high, "{low} {slope} {high}");
    let chart = finding["chart"].as_str().unwrap();
    let picture = std::fs::read(place.path().join("report").join(chart)).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
}
