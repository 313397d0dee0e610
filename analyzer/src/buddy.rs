//! Free blocks of the buddy allocator by order: where a recording has them, and the pages in them.

use crate::load::View;

/// The free blocks of each zone, order 0 first.
pub(crate) const FREE_BLOCKS: View = View {
    source: "buddyinfo",
    metrics: &[
        "free_order0",
        "free_order1",
        "free_order2",
        "free_order3",
        "free_order4",
        "free_order5",
        "free_order6",
        "free_order7",
        "free_order8",
        "free_order9",
        "free_order10",
        "free_order11",
        "free_order12",
        "free_order13",
    ],
};

/// The blocks of a zone up to the highest order that its kernel has: behind it they are NULL.
pub(crate) fn known(values: &[f64]) -> Vec<f64> {
    values.iter().copied().take_while(|n| !n.is_nan()).collect()
}

/// Free pages in blocks of this order and above.
pub(crate) fn pages(blocks: &[f64], order: u32) -> f64 {
    (0_u32..)
        .zip(blocks)
        .filter(|(of, _)| *of >= order)
        .map(|(of, n)| n * f64::from(1_u32 << of))
        .sum()
}
