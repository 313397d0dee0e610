//! Where a stream of rows stands among the samples of its source.

use super::index::SourceTicks;

/// What a row is that stands at a tick: its place among the source's samples, and what is gone since.
pub(super) struct Cursor<'a> {
    pub(super) ticks: &'a SourceTicks,
    at: usize,
    keyframe: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(ticks: &'a SourceTicks) -> Self {
        Self {
            ticks,
            at: 0,
            keyframe: 0,
        }
    }

    /// The sample of a tick; ticks come in ascending order.
    pub(super) fn locate(&mut self, tick: i64) -> Option<usize> {
        let rest = self.ticks.ticks.get(self.at..)?;
        self.at += rest.partition_point(|&t| t < tick);
        (self.ticks.ticks.get(self.at) == Some(&tick)).then_some(self.at)
    }

    /// The next keyframe before `tick`, once.
    pub(super) fn passed_keyframe(&mut self, tick: i64) -> Option<i64> {
        let keyframe = *self.ticks.keyframes.get(self.keyframe)?;
        if keyframe >= tick {
            return None;
        }
        self.keyframe += 1;
        Some(keyframe)
    }
}
