//! The canvas: the only file that knows the drawing library.
//!
//! Everything is drawn at twice the size and halved by averaging, which smooths what the library
//! draws with hard edges.

use super::font::{self, Cut};
use image::ImageEncoder as _;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use plotters::prelude::{BitMapBackend, Color as _, DrawingBackend, RGBAColor};
use plotters::style::{FontDesc, FontFamily, FontStyle, FontTransform, register_font};

pub(super) use plotters::prelude::RGBColor as Rgb;

/// Width and height of the picture in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            width: 1200,
            height: 600,
        }
    }
}

/// Why a chart could not be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChartError {
    /// The picture would be too small to read or too large to hold.
    #[error("chart size {width}x{height} is outside 200x150 to 4000x4000")]
    Size {
        /// Width asked for.
        width: u32,
        /// Height asked for.
        height: u32,
    },
    /// The built-in font was refused.
    #[error("the built-in font could not be read")]
    Font,
    /// The drawing library failed.
    #[error("drawing failed: {0}")]
    Draw(String),
    /// The picture could not be encoded.
    #[error("writing the PNG failed")]
    Png(#[from] image::ImageError),
}

pub(super) type Done = Result<(), ChartError>;

/// How many times larger than the result everything is drawn. Halving assumes two.
pub(super) const SCALE: f64 = 2.0;
/// The library's font size is ascent plus descent; this is that in ems for `DejaVu` Sans.
const LINE_OF_EM: f64 = 1.164;

/// Runs `draw` on a white canvas of twice `size`, then halves and encodes.
pub(super) fn on_canvas(
    size: Size,
    draw: impl FnOnce(&mut Canvas) -> Done,
) -> Result<Vec<u8>, ChartError> {
    let Size { width, height } = size;
    if !(200..=4000).contains(&width) || !(150..=4000).contains(&height) {
        return Err(ChartError::Size { width, height });
    }
    let registered = font::ensure_registered(|cut, bytes| {
        register_font(font::FAMILY, font_style(cut), bytes).is_ok()
    });
    if !registered {
        return Err(ChartError::Font);
    }
    let (wide, high) = (width as usize * 2, height as usize * 2);
    let mut pixels = vec![255_u8; wide * high * 3];
    {
        let back = BitMapBackend::with_buffer(&mut pixels, (width * 2, height * 2));
        draw(&mut Canvas {
            back,
            width: f64::from(width) * SCALE,
            height: f64::from(height) * SCALE,
        })?;
    }
    let small = halve(&pixels, wide);
    let mut png = Vec::new();
    // Flat colours repeat as they are; filters would hide that.
    let encoder =
        PngEncoder::new_with_quality(&mut png, CompressionType::Level(6), FilterType::NoFilter);
    encoder.write_image(&small, width, height, image::ExtendedColorType::Rgb8)?;
    Ok(png)
}

/// The mean of each block of two by two RGB pixels.
fn halve(pixels: &[u8], width: usize) -> Vec<u8> {
    let row = width * 3;
    let mut out = Vec::with_capacity(pixels.len() / 4);
    for rows in pixels.chunks_exact(row * 2) {
        let (upper, lower) = rows.split_at(row);
        for (a, b) in upper.chunks_exact(6).zip(lower.chunks_exact(6)) {
            for c in 0..3 {
                let sum =
                    u16::from(a[c]) + u16::from(a[c + 3]) + u16::from(b[c]) + u16::from(b[c + 3]);
                out.push(u8::try_from((sum + 2) / 4).unwrap_or(u8::MAX));
            }
        }
    }
    out
}

fn font_style(cut: Cut) -> FontStyle {
    match cut {
        Cut::Regular => FontStyle::Normal,
        Cut::Bold => FontStyle::Bold,
    }
}

/// A kind of text: its size in pixels of the final picture, and its cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Face {
    pub(super) em: f64,
    pub(super) cut: Cut,
}

impl Face {
    fn size(self) -> f64 {
        self.em * LINE_OF_EM * SCALE
    }

    fn desc(self) -> FontDesc<'static> {
        FontDesc::new(
            FontFamily::Name(font::FAMILY),
            self.size(),
            font_style(self.cut),
        )
    }

    /// Width in canvas pixels. A font that cannot measure would fail in drawing as well.
    pub(super) fn width(self, text: &str) -> f64 {
        self.desc()
            .layout_box(text)
            .map_or(0.0, |(_, (width, _))| f64::from(width))
    }

    /// Distance from one baseline to the next in canvas pixels.
    pub(super) fn line(self) -> f64 {
        (self.em * 1.36 * SCALE).round()
    }
}

/// The picture at twice its size; all coordinates are canvas pixels.
pub(super) struct Canvas<'a> {
    back: BitMapBackend<'a>,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Canvas<'_> {
    pub(super) fn rect(
        &mut self,
        x0: f64,
        y0: f64,
        x1: f64,
        y1: f64,
        color: Rgb,
        alpha: f64,
    ) -> Done {
        self.back
            .draw_rect((px(x0), px(y0)), (px(x1), px(y1)), &color.mix(alpha), true)
            .map_err(failed)
    }

    /// One column of pixels from `y0` down to `y1`, whose ends may cover a part of a pixel.
    pub(super) fn column(&mut self, x: i32, y0: f64, y1: f64, color: Rgb, alpha: f64) -> Done {
        let (top, bottom) = (y0.ceil(), y1.floor());
        if top > bottom {
            return self.pixel(x, px(bottom), color, alpha * (y1 - y0));
        }
        if top < bottom {
            self.back
                .draw_rect((x, px(top)), (x + 1, px(bottom)), &color.mix(alpha), true)
                .map_err(failed)?;
        }
        if top > y0 {
            self.pixel(x, px(top) - 1, color, alpha * (top - y0))?;
        }
        if y1 > bottom {
            self.pixel(x, px(bottom), color, alpha * (y1 - bottom))?;
        }
        Ok(())
    }

    fn pixel(&mut self, x: i32, y: i32, color: Rgb, alpha: f64) -> Done {
        self.back
            .draw_pixel((x, y), color.mix(alpha).to_backend_color())
            .map_err(failed)
    }

    pub(super) fn dot(&mut self, x: f64, y: f64, radius: u32, color: Rgb) -> Done {
        let color: RGBAColor = color.mix(1.0);
        self.back
            .draw_circle((px(x), px(y)), radius, &color, true)
            .map_err(failed)
    }

    /// Text that begins at `x` and stands on `baseline`.
    pub(super) fn text(
        &mut self,
        text: &str,
        x: f64,
        baseline: f64,
        face: Face,
        color: Rgb,
    ) -> Done {
        // The library puts the baseline half the font size below the position.
        let at = (px(x), px(baseline - face.size() / 2.0));
        self.back
            .draw_text(text, &face.desc().color(&color), at)
            .map_err(failed)
    }

    /// Text that runs upwards, begins at `y` and stands to the left of `baseline`.
    pub(super) fn text_upwards(
        &mut self,
        text: &str,
        baseline: f64,
        y: f64,
        face: Face,
        color: Rgb,
    ) -> Done {
        let style = face
            .desc()
            .transform(FontTransform::Rotate270)
            .color(&color);
        self.back
            .draw_text(text, &style, (px(baseline - face.size() / 2.0), px(y)))
            .map_err(failed)
    }

    pub(super) fn text_centred(
        &mut self,
        text: &str,
        middle: f64,
        baseline: f64,
        face: Face,
        color: Rgb,
    ) -> Done {
        self.text(text, middle - face.width(text) / 2.0, baseline, face, color)
    }
}

fn failed(error: impl std::fmt::Display) -> ChartError {
    ChartError::Draw(error.to_string())
}

/// A canvas coordinate as the library wants it; far outside is as good as just outside.
#[expect(
    clippy::cast_possible_truncation,
    reason = "clamped to well within i32"
)]
pub(super) fn px(v: f64) -> i32 {
    v.round().clamp(-20_000.0, 20_000.0) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_averages_blocks_of_four_pixels() {
        let pixels = [[0, 0, 0], [255, 0, 0], [255, 255, 255], [255, 0, 2]].concat();
        assert_eq!(halve(&pixels, 2), [191, 64, 64]);
    }
}
