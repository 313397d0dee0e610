//! Charts for a bug report: first a plain model, which is tested as text, then thin drawing.
//!
//! Nothing but `draw` knows the drawing library; everything that decides what a chart says
//! (units, ticks, breaks, where texts go) is arithmetic on plain data.

mod downsample;
mod draw;
mod font;
mod ink;
mod layout;
mod legend;
mod model;
mod pen;
mod picture;
mod plot;
mod quantity;
mod text;
mod time_axis;

pub use downsample::{Run, downsample};
pub use draw::{ChartError, Size};
pub use model::{FitPoint, Gap, Layer, Line, Mark, SeriesChart, StackChart, ValueRange};
pub use picture::{draw_series, draw_stack};
pub use quantity::{Quantity, Tick};
pub use text::safe_text;
pub use time_axis::TimeAxis;
