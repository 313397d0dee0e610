//! Ninety damaged copies of recordings: each is read as it was, salvaged, or refused with a
//! word on what helps. `cargo run --release --example damaged_copies` tries ten thousand.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a test that fails may panic, and its figures are shares"
)]

#[path = "support/damage.rs"]
mod damage;
#[path = "support/made_up_soak/mod.rs"]
mod made_up_soak;

use damage::{Fared, Kind, Original};

/// Tries copies by their numbers, and asks of each what holds for all.
fn try_all(original: &Original, numbers: std::ops::Range<u64>, mut each: impl FnMut(Kind, &Fared)) {
    for number in numbers {
        let (kind, fared) = original.try_copy(number);
        assert_eq!(fared.panics, [""; 0], "copy {number}, {kind:?}");
        assert_eq!(fared.speechless, [""; 0], "copy {number}, {kind:?}");
        assert_eq!(fared.wrong, (0, 0), "copy {number}, {kind:?}");
        each(kind, &fared);
    }
}

#[test]
fn damaged_copies_are_never_shown_as_what_they_were_not() {
    let original = Original::make(160, None).unwrap();
    assert!(original.bytes() > 500 << 10, "all kinds of pages are in it");
    let earlier = original.ticks.0 as f64 / original.ticks.1 as f64;
    try_all(&original, 0..70, |kind, fared| {
        assert!(
            !fared.is_read || fared.samples.0 <= fared.samples.1 + 1e-9,
            "{kind:?}: salvaging gives less than reading, {fared:?}"
        );
        assert!(
            kind != Kind::Cp || fared.ticks >= earlier - 1e-9,
            "{fared:?}"
        );
    });
}

#[test]
fn neither_are_those_of_a_recording_that_was_kept_within_a_size() {
    let original = Original::make(400, Some(800 << 10)).unwrap();
    assert!(original.ticks.1 < 250, "{:?}", original.ticks);
    try_all(&original, 0..21, |_, _| {});
}
