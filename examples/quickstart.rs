//! Records this machine for about a minute while a small leaker of its own runs, analyses the
//! recording, and prints the verdict, the findings and where the charts are.
//!
//! ```text
//! cargo run --release --example quickstart [-- --seconds 60]
//! ```

#![allow(
    clippy::print_stdout,
    reason = "an example talks to the person who runs it"
)]

use std::hint::black_box;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, bail};
use memsoak_analyze::report::{self, quantity_of, rate_words};
use memsoak_record::run;

/// The leaker's name as the kernel will show it.
const LEAKER: &str = "quick-leaker";
/// The name of the healthy one beside it, which must not be called a leak.
const STEADY: &str = "quick-steady";
/// What the leaker keeps at each step: a prime number of pages, to be told from anything else.
const STEP_BYTES: usize = 17 * 4096;
const STEP: Duration = Duration::from_millis(100);

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let name = args.first().map(Path::new).and_then(Path::file_name);
    match name.and_then(|name| name.to_str()) {
        Some(LEAKER) => leak(),
        Some(STEADY) => allocate_and_free(),
        _ => {}
    }
    let seconds = match args.get(1).map(String::as_str) {
        None => 60,
        Some("--seconds") => args
            .get(2)
            .and_then(|seconds| seconds.parse().ok())
            .context("--seconds needs a number")?,
        Some(other) => bail!("unknown option {other}; there is only --seconds N"),
    };

    let folder = PathBuf::from("target/quickstart");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let _children = [spawn(&folder, LEAKER)?, spawn(&folder, STEADY)?];

    let db = folder.join("soak.db");
    println!(
        "Recording this machine for {seconds} s into {} ...",
        db.display()
    );
    run::run(&run::Options {
        db: db.clone(),
        interval: Duration::from_millis(250),
        duration: Some(Duration::from_secs(seconds)),
        every: Vec::new(),
        without: Vec::new(),
        root: PathBuf::from("/"),
        labels: vec![("made-by".to_owned(), "quickstart".to_owned())],
        cpu_budget: 0.05,
        probes: Vec::new(),
        min_free: None,
        max_size: None,
    })?;

    let out = folder.join("report");
    let (report, written) = report::write(&db, None, &out, |_| {})?;
    println!("\nverdict: {}", report.verdict);
    for finding in &report.findings {
        let rate = rate_words(
            quantity_of(finding.unit),
            finding.slope_per_hour,
            finding.slope_low,
            finding.slope_high,
        );
        println!(
            "{:>3}. {:<8} {}  {rate}",
            finding.rank, finding.verdict, finding.series
        );
    }
    #[expect(clippy::cast_precision_loss, reason = "a few hundred MiB")]
    let planted = STEP_BYTES as f64 / STEP.as_secs_f64() * 3600.0;
    println!(
        "\nThe built-in leaker ({LEAKER}) keeps {}/h, nearly: its steps take a little longer than planned.",
        quantity_of("bytes").format(planted)
    );
    for path in written {
        println!("wrote {}", path.display());
    }
    let named = report.findings.iter().any(|finding| finding.name == LEAKER);
    if !named {
        bail!("the leaker was not named; a longer recording may show it: --seconds 60");
    }
    Ok(())
}

/// A process that ends with this one.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts this program under another name: the kernel takes a process's name from the file.
fn spawn(folder: &Path, name: &str) -> anyhow::Result<Guard> {
    let link = folder.join(name);
    std::os::unix::fs::symlink(std::env::current_exe()?, &link)?;
    let link = std::path::absolute(&link)?;
    let child = Command::new(&link)
        .spawn()
        .with_context(|| format!("cannot start {}", link.display()))?;
    Ok(Guard(child))
}

fn leak() -> ! {
    let parent = parent_id();
    let mut kept = Vec::new();
    while parent_id() == parent {
        kept.push(black_box(vec![1_u8; STEP_BYTES]));
        std::thread::sleep(STEP);
    }
    std::process::exit(0)
}

fn allocate_and_free() -> ! {
    let parent = parent_id();
    while parent_id() == parent {
        let work = black_box(vec![1_u8; 8 << 20]);
        std::thread::sleep(STEP * 3);
        drop(work);
        std::thread::sleep(STEP * 2);
    }
    std::process::exit(0)
}
