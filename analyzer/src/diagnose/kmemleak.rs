//! What kmemleak found: its report by stack, and what it said in the kernel's log.

use std::collections::BTreeMap;

use memsoak_schema::Error;
use serde_json::{Value, json};

use super::kernel_log::{Said, texts};
use super::{Diagnosis, Scene, Severity, Watch, map};
use crate::load::{Picture, View};
use crate::words::{bytes, count};

const ID: &str = "kmemleak";

const VIEWS: &[View] = &[View {
    source: "kmemleak",
    metrics: &["objects", "bytes"],
}];

/// Stacks that are told in the text, and in the evidence.
const TOLD: usize = 3;
const LISTED: usize = 20;

/// The most that stood in the report of one stack.
#[derive(Clone, Copy, Debug)]
struct Most {
    first_s: f64,
    objects: f64,
    bytes: f64,
}

#[derive(Default)]
pub(super) struct Kmemleak {
    stacks: BTreeMap<i64, Most>,
    last_s: f64,
}

impl Watch for Kmemleak {
    fn views(&self) -> &'static [View] {
        VIEWS
    }

    fn see(&mut self, _: &Scene<'_>, _: usize, picture: &Picture<'_>) {
        for (entity, values) in picture.entities() {
            let &[objects, bytes] = values else { continue };
            let most = self.stacks.entry(entity).or_insert(Most {
                first_s: picture.t_s,
                objects: 0.0,
                bytes: 0.0,
            });
            // After `clear` what was found is no longer reported: it leaks on.
            most.objects = most.objects.max(objects);
            most.bytes = most.bytes.max(bytes);
            self.last_s = picture.t_s;
        }
    }

    fn tell(self: Box<Self>, scene: &Scene<'_>) -> Result<Vec<Diagnosis>, Error> {
        let said = Said::of(scene, ID);
        let mut stacks: Vec<(i64, Most)> = self.stacks.into_iter().collect();
        stacks.sort_by(|(_, a), (_, b)| b.bytes.total_cmp(&a.bytes));
        let first = stacks
            .iter()
            .map(|(_, most)| most.first_s)
            .chain(said.first().map(|said| said.t_s))
            .fold(f64::INFINITY, f64::min);
        if first.is_infinite() {
            return Ok(Vec::new());
        }
        let last = said
            .last()
            .map_or(self.last_s, |said| said.t_s.max(self.last_s));
        let mut text = match said.first() {
            Some(said) => format!("The kernel said: {}", said.text),
            None => String::new(),
        };
        if said.len() > 1 {
            text.push_str(&format!(" ({} of this kind)", count(said.len(), "report")));
        }
        if !stacks.is_empty() {
            if !text.is_empty() {
                text.push_str(". ");
            }
            text.push_str(&in_words(scene, &stacks));
        }
        Ok(vec![Diagnosis {
            id: ID,
            severity: Severity::Warning,
            boot: scene.boot_at,
            from_s: first,
            until_s: Some(last),
            held_s: last - first,
            text,
            evidence: map(json!({
                "events": said.len(),
                "texts": texts(&said),
                "stacks": stacks
                    .iter()
                    .take(LISTED)
                    .map(|(entity, most)| as_json(scene, *entity, most))
                    .collect::<Vec<_>>(),
            })),
        }])
    }
}

/// The sum, and the stacks that make up most of it.
fn in_words(scene: &Scene<'_>, stacks: &[(i64, Most)]) -> String {
    let sum = |of: fn(&Most) -> f64| stacks.iter().map(|(_, most)| of(most)).sum::<f64>();
    let mut text = format!(
        "kmemleak reports {} with {} in all that nothing points to, from {}; most of it: ",
        things(sum(|most| most.objects)),
        bytes(sum(|most| most.bytes)),
        count(stacks.len(), "stack")
    );
    let told: Vec<String> = stacks
        .iter()
        .take(TOLD)
        .map(|(entity, most)| {
            format!(
                "{} ({}, {})",
                function(scene, *entity),
                things(most.objects),
                bytes(most.bytes)
            )
        })
        .collect();
    text.push_str(&told.join(", "));
    text.push('.');
    text
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of objects"
)]
fn things(n: f64) -> String {
    count(n as usize, "object")
}

/// The function that asked for the objects, and its module.
fn function(scene: &Scene<'_>, entity: i64) -> String {
    let module = scene.label(entity, "module");
    if module.is_empty() {
        scene.name(entity)
    } else {
        format!("{} [{module}]", scene.name(entity))
    }
}

fn as_json(scene: &Scene<'_>, entity: i64, most: &Most) -> Value {
    json!({
        "function": scene.name(entity),
        "module": scene.label(entity, "module"),
        "by": scene.label(entity, "by_comm"),
        "stack": scene.label(entity, "stack"),
        "objects": most.objects,
        "bytes": most.bytes,
        "first_seen_s": most.first_s,
    })
}
