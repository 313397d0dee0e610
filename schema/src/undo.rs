//! What the writer knew before a transaction, so that one that fails leaves no trace in its memory.
//!
//! What was stored last is known from memory, not from the file: a disk that does not take a tick may
//! not give anything back either, and rows that hold only what changed cannot be written again
//! after what they were compared with is forgotten.

use crate::digest::Digest;
use crate::writer::{Slot, SourceState};

/// The state of a source that every sample changes.
#[derive(Clone, Copy, Debug)]
struct Pace {
    source: usize,
    samples_to_keyframe: u32,
    loaded: bool,
    has_base: bool,
    digest: Digest,
}

/// What stood under a key.
#[derive(Debug)]
struct Before {
    source: usize,
    key: Box<[u8]>,
    slot: Option<Slot>,
}

/// What a transaction has changed so far.
#[derive(Debug, Default)]
pub(crate) struct Undo {
    paces: Vec<Pace>,
    slots: Vec<Before>,
}

impl Undo {
    /// Notes a source before a sample of it.
    pub(crate) fn note_pace(&mut self, at: usize, source: &SourceState) {
        self.paces.push(Pace {
            source: at,
            samples_to_keyframe: source.samples_to_keyframe,
            loaded: source.loaded,
            has_base: source.has_base,
            digest: source.digest,
        });
    }

    /// Notes what stands under a key before it is changed; `None` where nothing does.
    pub(crate) fn note_slot(&mut self, source: usize, key: &[u8], slot: Option<Slot>) {
        self.slots.push(Before {
            source,
            key: key.into(),
            slot,
        });
    }

    /// Puts everything back, the last change first.
    pub(crate) fn put_back(&mut self, sources: &mut [SourceState]) {
        for before in self.slots.drain(..).rev() {
            let slots = &mut sources[before.source].slots;
            match before.slot {
                Some(slot) => slots.insert(before.key, slot),
                None => slots.remove(&before.key),
            };
        }
        for pace in self.paces.drain(..).rev() {
            let source = &mut sources[pace.source];
            source.samples_to_keyframe = pace.samples_to_keyframe;
            source.loaded = pace.loaded;
            source.has_base = pace.has_base;
            source.digest = pace.digest;
        }
    }

    /// Forgets: the transaction is on disk. What earlier runs knew and a first whole sample did not
    /// have is gone for good, and is forgotten too.
    pub(crate) fn keep(&mut self, sources: &mut [SourceState]) {
        self.slots.clear();
        for pace in self.paces.drain(..) {
            let source = &mut sources[pace.source];
            if pace.loaded && !source.loaded && source.has_entities() {
                source.slots.retain(|_, slot| slot.present);
            }
        }
    }
}
