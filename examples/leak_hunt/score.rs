//! Compares a report with the truth and prints the table.

use serde_json::Value;

use crate::cast::{self, Leaker, Truth};

/// A rate may differ from the truth by this share: what 600 steps of a busy machine allow.
const RATE_TOLERANCE: f64 = 0.20;

/// A finding of the report, as far as it matters here.
struct Finding<'a> {
    json: &'a Value,
    rank: u64,
    name: &'a str,
    verdict: &'a str,
    /// Names of the suspects, the first one first.
    suspects: Vec<&'a str>,
}

impl<'a> Finding<'a> {
    fn new(json: &'a Value) -> Self {
        let text = |key: &str| json[key].as_str().unwrap_or("");
        let suspects = json["suspects"].as_array().map(Vec::as_slice);
        Self {
            json,
            rank: json["rank"].as_u64().unwrap_or(0),
            name: text("name"),
            verdict: text("verdict"),
            suspects: suspects
                .unwrap_or_default()
                .iter()
                .filter_map(|suspect| suspect["comm"].as_str())
                .collect(),
        }
    }

    /// Whether the finding names this process itself, or all of its executable.
    fn is(&self, comm: &str) -> bool {
        // Any program may call itself so; what it was started from tells.
        let exe = self.json["labels"]["exe"].as_str();
        let comm_or_exe = [&self.json["name"], &self.json["labels"]["comm"]];
        exe.is_none_or(|exe| exe == comm) && comm_or_exe.iter().any(|name| **name == comm)
    }

    /// Who is to blame according to the report: the process, or the first suspect.
    fn blames(&self, comm: &str) -> bool {
        self.is(comm) || self.suspects.first() == Some(&comm)
    }

    fn mentions(&self, comm: &str) -> bool {
        self.is(comm) || self.suspects.contains(&comm)
    }

    /// The processes that it names: itself, where it is one, and its suspects.
    fn names(&self) -> impl Iterator<Item = &'a str> {
        let itself = (self.json["source"] == "process").then_some(self.name);
        itself.into_iter().chain(self.suspects.iter().copied())
    }

    fn series(&self) -> &'a str {
        self.json["series"].as_str().unwrap_or("")
    }

    fn slope(&self) -> f64 {
        self.json["slope_per_hour"].as_f64().unwrap_or(f64::NAN)
    }
}

/// Prints how each leaker was found and who else was blamed; returns how much was wrong.
pub(crate) fn print(
    report: &Value,
    leakers: &[&'static Leaker],
    truths: &[Truth],
    beside: &[String],
) -> usize {
    let findings: Vec<Finding> = report["findings"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .map(Finding::new)
        .collect();
    let mut failures = 0;
    println!(
        "\n{:<12} {:>4} {:<8} {:<44} {:>10} {:>6} {:>8}  result",
        "leaker", "rank", "verdict", "found as", "rate/h", "error", "findings"
    );
    for leaker in leakers {
        if let Some(truth) = truth_of(truths, leaker) {
            failures += print_leaker(&findings, leaker, truth, leakers, truths);
        }
    }

    println!();
    // A name of the cast is whole; other programs put their jobs' names behind their own.
    let is_innocent = |name: &str| {
        name.starts_with("leak_hunt")
            || cast::is_innocent(name)
            || beside.iter().any(|begin| name.starts_with(begin.as_str()))
    };
    for finding in &findings {
        for innocent in finding.names().filter(|name| is_innocent(name)) {
            println!(
                "blamed without cause: {innocent}, by {}. {} {}",
                finding.rank,
                finding.verdict,
                finding.series()
            );
            failures += 1;
        }
    }
    let players: Vec<&str> = truths.iter().map(|truth| truth.comm.as_str()).collect();
    for finding in &findings {
        let known =
            players.iter().any(|comm| finding.mentions(comm)) || finding.names().any(is_innocent);
        let owned = |leaker: &&'static Leaker| leaker.owners.contains(&finding.name);
        if !known && !leakers.iter().any(owned) {
            // Another program of this machine may well leak; what is the kernel's needs a suspect.
            let outside = finding.json["source"] == "process";
            println!(
                "{}: {}. {} {} {}",
                if outside {
                    "not of the cast"
                } else {
                    "nobody's"
                },
                finding.rank,
                finding.verdict,
                finding.series(),
                finding.suspects.join(" ")
            );
            failures += usize::from(!outside);
        }
    }
    failures
}

fn truth_of<'a>(truths: &'a [Truth], leaker: &Leaker) -> Option<&'a Truth> {
    let comm = cast::leaker_comm(leaker.kind);
    truths.iter().find(|truth| truth.comm == comm)
}

fn print_leaker(
    findings: &[Finding],
    leaker: &Leaker,
    truth: &Truth,
    leakers: &[&'static Leaker],
    truths: &[Truth],
) -> usize {
    if truth.things_per_hour.is_none() {
        println!("{:<12} could not leak here: left out", leaker.kind);
        return 0;
    }
    let comm = truth.comm.as_str();
    let separate = findings.iter().filter(|found| found.blames(comm)).count();
    let owned = |found: &&Finding| found.is(comm) || leaker.owners.contains(&found.name);
    // The best blames it for memory; the least says what grows and not who.
    let in_bytes = |found: &Finding| found.json["unit"] == "bytes";
    let best = findings.iter().filter(owned).min_by_key(|found| {
        let silent = (!found.mentions(comm), !in_bytes(found), !found.blames(comm));
        (silent, found.rank)
    });
    let Some(found) = best else {
        println!(
            "{:<12} not found; {separate} findings blame it",
            leaker.kind
        );
        return 1;
    };
    // What is the kernel's grows with all leakers that own it, a process with itself alone.
    let together: Vec<&Truth> = if found.is(comm) {
        vec![truth]
    } else {
        let sharing = leakers
            .iter()
            .filter(|other| other.owners.contains(&found.name));
        sharing
            .filter_map(|other| truth_of(truths, other))
            .collect()
    };
    let expected: Option<f64> = together
        .iter()
        .map(|truth| truth.per_hour(found.json["unit"].as_str()?))
        .sum();
    let error = expected.map(|expected| found.slope() / expected - 1.0);

    let mut wrong = Vec::new();
    if found.verdict != "leak" {
        wrong.push("not called a leak".to_owned());
    }
    if truth.per_hour("bytes").is_some() && !in_bytes(found) {
        wrong.push("its memory is not named".to_owned());
    }
    if error.is_some_and(|error| error.abs() > RATE_TOLERANCE) {
        wrong.push("rate is off".to_owned());
    }
    if found.name == cast::HELD_BY_NOBODY {
        // No process can be expected behind it.
    } else if !found.mentions(comm) {
        wrong.push(format!("{comm} (pid {}) is no suspect", truth.pid));
    } else if !found.blames(comm) {
        wrong.push("not the first suspect".to_owned());
    }
    if separate > 1 {
        wrong.push(format!("{separate} findings for one leak"));
    }
    println!(
        "{:<12} {:>4} {:<8} {:<44} {:>10} {:>6} {:>8}  {}",
        leaker.kind,
        found.rank,
        found.verdict,
        found.series(),
        memsoak_analyze::report::quantity_of(found.json["unit"].as_str().unwrap_or(""))
            .format(found.slope()),
        error.map_or_else(
            || "-".to_owned(),
            |error| format!("{:+.0} %", error * 100.0)
        ),
        separate,
        if wrong.is_empty() {
            "ok".to_owned()
        } else {
            wrong.join(", ")
        }
    );
    wrong.len()
}
