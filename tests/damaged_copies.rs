//! A hundred damaged copies of a recording: each is read as it was, salvaged, or refused with a
//! word on what helps. `cargo run --release --example damaged_copies` tries ten thousand.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a test that fails may panic, and its figures are shares"
)]

#[path = "support/damage.rs"]
mod damage;
#[path = "support/made_up_soak.rs"]
mod made_up_soak;

use damage::{Kind, Original};

#[test]
fn damaged_copies_are_never_shown_as_what_they_were_not() {
    let original = Original::make(160).unwrap();
    assert!(original.bytes() > 500 << 10, "all kinds of pages are in it");
    for number in 0..105 {
        let (kind, fared) = original.try_copy(number);
        assert_eq!(fared.panics, [""; 0], "copy {number}, {kind:?}");
        assert_eq!(fared.speechless, [""; 0], "copy {number}, {kind:?}");
        assert_eq!(fared.wrong, (0, 0), "copy {number}, {kind:?}");
        assert!(
            !fared.is_read || fared.samples.0 <= fared.samples.1 + 1e-9,
            "copy {number}, {kind:?}: salvaging gives less than reading, {fared:?}"
        );
        let earlier = original.ticks.0 as f64 / original.ticks.1 as f64;
        if kind == Kind::Cp {
            assert!(fared.ticks >= earlier - 1e-9, "copy {number}: {fared:?}");
        }
    }
}
