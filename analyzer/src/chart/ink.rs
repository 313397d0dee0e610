//! The colours and letters of the charts.

use super::draw::{Face, Rgb};
use super::font::Cut;
use super::model::Layer;

pub(super) const WHITE: Rgb = Rgb(255, 255, 255);
pub(super) const INK: Rgb = Rgb(25, 25, 25);
pub(super) const SOFT_INK: Rgb = Rgb(80, 80, 80);
pub(super) const GRID: Rgb = Rgb(226, 226, 226);
pub(super) const GAP_FILL: Rgb = Rgb(222, 222, 222);
pub(super) const GAP_INK: Rgb = Rgb(90, 90, 90);

// The colours of Okabe and Ito, which colour-blind readers can tell apart.
pub(super) const BLUE: Rgb = Rgb(0, 114, 178);
pub(super) const ORANGE: Rgb = Rgb(230, 159, 0);
pub(super) const GREEN: Rgb = Rgb(0, 158, 115);
pub(super) const PURPLE: Rgb = Rgb(204, 121, 167);
pub(super) const SKY: Rgb = Rgb(86, 180, 233);
pub(super) const YELLOW: Rgb = Rgb(240, 228, 66);
pub(super) const VERMILLION: Rgb = Rgb(213, 94, 0);
pub(super) const GREY: Rgb = Rgb(153, 153, 153);

/// What nobody uses.
const UNUSED: Rgb = Rgb(240, 243, 247);

/// Vermillion is kept for the fit.
pub(super) const LINES: [Rgb; 7] = [BLUE, ORANGE, GREEN, PURPLE, SKY, INK, GREY];
/// Neighbours in a stack differ in lightness as well. Grey is left to the gaps.
pub(super) const LAYERS: [Rgb; 7] = [BLUE, ORANGE, SKY, VERMILLION, YELLOW, GREEN, PURPLE];
/// From the eighth layer on: lighter ones, in an order that keeps them apart from their neighbours.
pub(super) const LIGHT_LAYERS: [Rgb; 5] = [
    light(VERMILLION),
    light(BLUE),
    light(GREEN),
    light(PURPLE),
    light(ORANGE),
];
pub(super) const TITLE: Face = Face {
    em: 25.0,
    cut: Cut::Bold,
};
pub(super) const LONG_TITLE: Face = Face {
    em: 20.0,
    cut: Cut::Bold,
};
pub(super) const SUBTITLE: Face = Face {
    em: 17.0,
    cut: Cut::Regular,
};
pub(super) const LABEL: Face = Face {
    em: 17.0,
    cut: Cut::Regular,
};
pub(super) const SMALL: Face = Face {
    em: 15.0,
    cut: Cut::Regular,
};

/// The colours of a stack, from the bottom up.
pub(super) fn layer_colors(layers: &[&Layer]) -> Vec<Rgb> {
    let mut colors = LAYERS.into_iter().chain(LIGHT_LAYERS).cycle();
    layers
        .iter()
        .map(|layer| {
            if layer.unused {
                UNUSED
            } else {
                colors.next().unwrap_or(GREY)
            }
        })
        .collect()
}

/// Halfway to white.
pub(super) const fn light(Rgb(r, g, b): Rgb) -> Rgb {
    Rgb(r / 2 + 128, g / 2 + 128, b / 2 + 128)
}
