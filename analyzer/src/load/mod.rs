//! From a recording to series, without holding the recording.
//!
//! [`Index`] holds what is small: boots, runs, ticks and how each read went. [`judged_series`] streams
//! every table once and makes each judged series small while it passes ([`crate::verdict::Cells`]).
//! [`points`] reads chosen series again, point by point, for charts; [`pictures`] gives what chosen
//! sources hold at each sample, for what several numbers of one moment say together; [`works`] the load
//! of the machine.

mod asleep;
mod condense;
mod cursor;
mod dates;
mod index;
mod kin;
mod name;
mod pictures;
mod points;
mod series;
mod sums;
mod work;

pub use asleep::Asleep;
pub use index::{BootTicks, Coverage, Index, SourceTicks};
pub use kin::{Group, Kin};
pub use name::{Quantity, SeriesKey, SeriesName};
pub use pictures::{Picture, View, pictures};
pub use points::{Points, points};
pub use series::judged_series;
pub use work::works;
