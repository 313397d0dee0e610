//! `MANIFEST.toml`: what a capture says of the machine and the moment that its files are of.
//!
//! Keys and values only, a small part of TOML: numbers, basic strings, and lists of strings with one
//! on a line. It lies in the folder of a capture, or in the one above it where several captures of
//! one machine share it. Unknown keys are passed over.

use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::root::Root;

/// The file's name.
pub const NAME: &str = "MANIFEST.toml";

/// What a manifest says; what it does not say is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Kernel release.
    pub kernel: Option<String>,
    /// Machine architecture (`aarch64`).
    pub arch: Option<String>,
    /// Bytes of a page.
    pub page_bytes: Option<u32>,
    /// Clock ticks a second in `/proc/PID/stat`.
    pub user_hz: Option<u32>,
    /// Processors.
    pub cpus: Option<u32>,
    /// The kernel's boot id.
    pub boot_id: Option<String>,
    /// A hash that tells the same machine from another without naming it.
    pub machine: Option<String>,
    /// The effective user that captured.
    pub uid: Option<u32>,
    /// Wall time when capturing began, in us since 1970.
    pub time_us: Option<i64>,
    /// Whether that time is a whole second only.
    pub is_time_coarse: bool,
    /// CLOCK_BOOTTIME when capturing began, in us.
    pub boottime_us: Option<i64>,
    /// How long capturing took, in us.
    pub took_us: Option<i64>,
    /// Files that are not whole, each with the reason.
    pub cut: Vec<String>,
    /// Files that are not there, each with the reason.
    pub refused: Vec<String>,
}

impl Manifest {
    /// The manifest of a capture; `None` when it has none.
    ///
    /// # Errors
    /// A sentence when it cannot be understood.
    pub fn of(root: &Root) -> Result<Option<Self>, String> {
        if let Some(text) = root.text(NAME) {
            return Self::parse(&text).map(Some);
        }
        let Some(text) = root.text(&format!("../{NAME}")) else {
            return Ok(None);
        };
        // What several captures share is the machine, not the moment.
        Self::parse(&text).map(|shared| {
            Some(Self {
                time_us: None,
                boottime_us: None,
                took_us: None,
                ..shared
            })
        })
    }

    /// Parses the text of one.
    ///
    /// # Errors
    /// A sentence that names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut manifest = Self::default();
        let mut lines = text.lines().enumerate();
        while let Some((at, line)) = lines.next() {
            let wrong = |what: &str| {
                let line: String = line.chars().take(80).collect();
                format!("{NAME} line {}: {what}: {}", at + 1, line.escape_debug())
            };
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', '[']) {
                continue;
            }
            let (key, value) = line
                .split_once('=')
                .ok_or_else(|| wrong("no key and value"))?;
            let value = value.trim();
            if value == "[" {
                let items = lines
                    .by_ref()
                    .map(|(_, item)| item.trim())
                    .take_while(|item| *item != "]")
                    .map(|item| serde_json::from_str(item.trim_end_matches(',')))
                    .collect::<Result<Vec<String>, _>>()
                    .map_err(|_| wrong("a list of something else than strings"))?;
                match key.trim() {
                    "cut" => manifest.cut = items,
                    "refused" => manifest.refused = items,
                    _ => {}
                }
                continue;
            }
            // JSON's numbers and strings are TOML's.
            let text = || {
                serde_json::from_str::<String>(value)
                    .map(Some)
                    .map_err(|_| wrong("no string"))
            };
            let number = || value.parse::<i64>().map_err(|_| wrong("no number"));
            let small = || {
                u32::try_from(number()?)
                    .map(Some)
                    .map_err(|_| wrong("not in range"))
            };
            match key.trim() {
                "kernel" => manifest.kernel = text()?,
                "arch" => manifest.arch = text()?,
                "boot_id" => manifest.boot_id = text()?,
                "machine" => manifest.machine = text()?,
                "page_bytes" => manifest.page_bytes = small()?,
                "user_hz" => manifest.user_hz = small()?,
                "cpus" => manifest.cpus = small()?,
                "uid" => manifest.uid = small()?,
                "boottime_us" => manifest.boottime_us = Some(number()?),
                "took_us" => manifest.took_us = Some(number()?),
                "time" => {
                    let time = text()?.unwrap_or_default();
                    let parsed = DateTime::parse_from_rfc3339(&time)
                        .map_err(|_| wrong("no time as RFC 3339 has it"))?;
                    manifest.time_us = Some(parsed.timestamp_micros());
                    manifest.is_time_coarse = !time.contains('.');
                }
                _ => {}
            }
        }
        if manifest
            .page_bytes
            .is_some_and(|bytes| !bytes.is_power_of_two())
        {
            return Err(format!("{NAME}: page_bytes is no power of two"));
        }
        Ok(manifest)
    }

    /// Its text.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let mut line = |key: &str, value: Option<serde_json::Value>| {
            if let Some(value) = value {
                let _ = writeln!(out, "{key} = {value}");
            }
        };
        line("kernel", self.kernel.clone().map(Into::into));
        line("arch", self.arch.clone().map(Into::into));
        line("page_bytes", self.page_bytes.map(Into::into));
        line("user_hz", self.user_hz.map(Into::into));
        line("cpus", self.cpus.map(Into::into));
        line("machine", self.machine.clone().map(Into::into));
        line("boot_id", self.boot_id.clone().map(Into::into));
        line("uid", self.uid.map(Into::into));
        let time = self
            .time_us
            .and_then(DateTime::<Utc>::from_timestamp_micros)
            .map(|time| time.to_rfc3339_opts(SecondsFormat::Micros, true));
        line("time", time.map(Into::into));
        line("boottime_us", self.boottime_us.map(Into::into));
        line("took_us", self.took_us.map(Into::into));
        for (key, items) in [("cut", &self.cut), ("refused", &self.refused)] {
            let _ = writeln!(out, "{key} = [");
            for item in items {
                let _ = writeln!(out, "  {},", serde_json::Value::from(item.as_str()));
            }
            out.push_str("]\n");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rendered_is_read_again() {
        let manifest = Manifest {
            kernel: Some("6.1.0-\"odd\"\n".to_owned()),
            arch: Some("aarch64".to_owned()),
            page_bytes: Some(16_384),
            user_hz: Some(100),
            cpus: Some(2),
            boot_id: Some("a-b".to_owned()),
            machine: Some("0123".to_owned()),
            uid: Some(0),
            time_us: Some(1_700_000_000_123_456),
            is_time_coarse: false,
            boottime_us: Some(5),
            took_us: Some(7),
            cut: vec!["proc/vmallocinfo: longer than \"that\"".to_owned()],
            refused: vec!["proc/slabinfo: permission denied".to_owned(), String::new()],
        };
        assert_eq!(Manifest::parse(&manifest.render()), Ok(manifest));
    }

    #[test]
    fn what_it_does_not_know_is_passed_over_and_what_is_wrong_is_named() {
        let text =
            "# by hand\nnote = \"x\"\nother = [\n  \"a\",\n]\ntime = \"2026-01-02T03:04:05Z\"\n";
        let manifest = Manifest::parse(text);
        assert_eq!(
            manifest,
            Ok(Manifest {
                time_us: Some(1_767_323_045_000_000),
                is_time_coarse: true,
                ..Manifest::default()
            })
        );
        for (text, what) in [
            ("kernel = \"a\"\npage_bytes = many\n", "line 2: no number"),
            ("page_bytes = 5000\n", "no power of two"),
            ("arch = arm\n", "no string"),
            ("time = \"yesterday\"\n", "RFC 3339"),
            ("hello\n", "no key and value"),
            ("cpus = -1\n", "not in range"),
        ] {
            let error = Manifest::parse(text).expect_err(text);
            assert!(error.contains(what), "{error}");
        }
    }
}
