//! What made-up recordings are diagnosed with, and what the report tells of them.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod conditions;
#[path = "../support/made_up_soak/mod.rs"]
mod made_up_soak;
mod report;
#[path = "../support/story.rs"]
mod story;
