//! A recording that takes the memory of the machine that it watches, since its file lies on tmpfs.

use memsoak_schema::Error;
use serde_json::{Value, json};

use super::{Diagnosis, Scene, Severity, Watch, map};
use crate::load::{Picture, View};
use crate::words::bytes;

const ID: &str = "recording_in_memory";

const VIEWS: &[View] = &[View {
    source: "recorder",
    metrics: &["file_bytes", "log_bytes"],
}];

/// Time and size, file and log together.
type Size = (f64, f64);

#[derive(Default)]
pub(super) struct InMemory {
    first: Option<Size>,
    last: Option<Size>,
}

impl Watch for InMemory {
    fn views(&self) -> &'static [View] {
        VIEWS
    }

    fn see(&mut self, _: &Scene<'_>, _: usize, picture: &Picture<'_>) {
        let size = picture.scalars().iter().filter(|bytes| bytes.is_finite());
        let size = (picture.t_s, size.sum());
        self.first.get_or_insert(size);
        self.last = Some(size);
    }

    fn tell(self: Box<Self>, scene: &Scene<'_>) -> Result<Vec<Diagnosis>, Error> {
        let in_memory = scene.setting("file_in_memory").and_then(Value::as_bool);
        let (Some(true), Some(first), Some(last)) = (in_memory, self.first, self.last) else {
            return Ok(Vec::new());
        };
        let (span_s, growth) = (last.0 - first.0, last.1 - first.1);
        let per_hour = if span_s > 0.0 {
            growth / span_s * 3600.0
        } else {
            0.0
        };
        let text = format!(
            "The recording lies in memory, on tmpfs or ramfs: with its log it grew from {} to {}, {} an hour. \
             No finding is made of it. Record to a disk, or bound it with --max-size.",
            bytes(first.1),
            bytes(last.1),
            bytes(per_hour)
        );
        Ok(vec![Diagnosis {
            id: ID,
            severity: Severity::Info,
            boot: scene.boot_at,
            from_s: first.0,
            until_s: None,
            held_s: span_s,
            text,
            evidence: map(json!({
                "series": ["recorder/file_bytes", "recorder/log_bytes"],
                "first_bytes": first.1,
                "last_bytes": last.1,
                "bytes_per_hour": per_hour,
            })),
        }])
    }
}
