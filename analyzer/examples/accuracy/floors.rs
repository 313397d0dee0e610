//! What the figures may not fall below.

use crate::methods::Judged;

pub(crate) fn below(_own: &[Judged], _labelled: Option<&[Judged]>) -> Vec<String> {
    Vec::new()
}
