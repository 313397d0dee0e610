//! DejaVu Sans, compiled in: pixels do not depend on the fonts of the machine, and no system font
//! library is linked.

use std::sync::OnceLock;

/// The name under which the font is registered.
pub(crate) const FAMILY: &str = "DejaVu Sans";

/// A cut of the font.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Regular,
    Bold,
}

/// Calls `register` with each cut the first time; says whether all of them were taken.
///
/// The drawing library registers fonts in a table of its own, so it passes its door in.
pub(crate) fn ensure_registered(register: impl Fn(Cut, &'static [u8]) -> bool) -> bool {
    static DONE: OnceLock<bool> = OnceLock::new();
    *DONE.get_or_init(|| {
        register(Cut::Regular, dejavu::sans::regular()) && register(Cut::Bold, dejavu::sans::bold())
    })
}
