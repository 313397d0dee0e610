//! What `doctor` found, as text and as JSON.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

use memsoak_schema::printable;
use serde_json::json;

use super::Diagnosis;

/// As text.
pub(super) fn text(diagnosis: &Diagnosis) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = sources(diagnosis, &mut out);
    let _ = around(diagnosis, &mut out);
    out
}

fn sources(diagnosis: &Diagnosis, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "{:<14} {:<8} {:>8} {:>9}  why, and what to do",
        "source", "state", "CPU us", "every s"
    )?;
    for finding in &diagnosis.findings {
        let said: Vec<&str> = [&finding.reason, &finding.advice]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let line = format!(
            "{:<14} {:<8} {:>8} {:>9}  {}",
            finding.source,
            finding.state.as_str(),
            finding.cpu_us,
            seconds(finding.interval_us),
            printable(said.join("; ").as_bytes())
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(
        out,
        "\nCPU is of a second read. What is missing is looked for again at its interval."
    )
}

fn around(diagnosis: &Diagnosis, out: &mut String) -> std::fmt::Result {
    let around = &diagnosis.around;
    writeln!(out, "\nuser           uid {}", around.uid)?;
    for capability in &around.capabilities {
        let held = if capability.is_held {
            "held"
        } else {
            "not held"
        };
        writeln!(
            out,
            "{:<22} {held:<8} for {}",
            capability.name,
            capability.sources.join(", ")
        )?;
    }
    if !around.capabilities.is_empty() {
        let names: Vec<String> = around
            .capabilities
            .iter()
            .map(|capability| capability.name.to_lowercase())
            .collect();
        writeln!(
            out,
            "These suffice instead of root: setcap {}+ep on the program, or\n\
             AmbientCapabilities= in its service.",
            names.join(",")
        )?;
    }
    let folder = printable(around.folder.as_os_str().as_bytes());
    let free = around.free_bytes.map_or_else(
        || "not there, or not to be entered".to_owned(),
        |bytes| format!("{} MiB free", bytes >> 20),
    );
    writeln!(out, "\nroom           {free} in {folder}")?;
    let lock = around.lock_bytes.map_or_else(
        || "without limit".to_owned(),
        |bytes| format!("up to {} KiB", bytes >> 10),
    );
    writeln!(out, "memory lock    {lock}")?;
    for probe in &around.probes {
        writeln!(
            out,
            "probe          {:<14} {}",
            probe.name,
            probe.reason.as_deref().unwrap_or("possible")
        )?;
    }
    Ok(())
}

/// An interval in seconds, with a part of one only where there is one.
fn seconds(us: i64) -> String {
    if us % 1_000_000 == 0 {
        (us / 1_000_000).to_string()
    } else {
        format!("{}.{}", us / 1_000_000, us % 1_000_000 / 100_000)
    }
}

/// As JSON.
pub(super) fn json(diagnosis: &Diagnosis) -> String {
    let around = &diagnosis.around;
    let text = |path: &std::path::Path| printable(path.as_os_str().as_bytes());
    let sources: Vec<_> = diagnosis
        .findings
        .iter()
        .map(|finding| {
            json!({
                "source": finding.source,
                "state": finding.state.as_str(),
                "reason": finding.reason,
                "advice": finding.advice,
                "cpu_us": finding.cpu_us,
                "bytes": finding.bytes,
                "interval_us": finding.interval_us,
                "capabilities": finding.capabilities,
            })
        })
        .collect();
    let capabilities: Vec<_> = around
        .capabilities
        .iter()
        .map(|capability| {
            json!({
                "name": capability.name,
                "held": capability.is_held,
                "sources": capability.sources,
            })
        })
        .collect();
    let probes: Vec<_> = around
        .probes
        .iter()
        .map(|probe| {
            json!({
                "name": probe.name,
                "path": text(&probe.path),
                "possible": probe.reason.is_none(),
                "reason": probe.reason,
            })
        })
        .collect();
    let all = json!({
        "format": "memsoak-doctor/1",
        "uid": around.uid,
        "sources": sources,
        "capabilities": capabilities,
        "folder": text(&around.folder),
        "free_bytes": around.free_bytes,
        "lock_bytes": around.lock_bytes,
        "probes": probes,
    });
    format!("{all:#}\n")
}
