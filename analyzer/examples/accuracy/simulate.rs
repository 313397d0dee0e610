//! Simulations.
pub(crate) fn noise(_seed: u64) -> String {
    String::new()
}
pub(crate) fn coverage(_seed: u64) -> String {
    String::new()
}
pub(crate) fn smallest(_seed: u64) -> String {
    String::new()
}
