//! How often the verdicts are right, beside the tests that people reach for first.
//!
//! ```sh
//! cargo run --release -p memsoak-analyze --example accuracy                  # the own collection
//! cargo run --release -p memsoak-analyze --example accuracy -- FOLDER        # and labelled series
//! cargo run --release -p memsoak-analyze --example accuracy -- --simulate    # and simulations
//! cargo run --release -p memsoak-analyze --example accuracy -- FOLDER --simulate --bless docs/ACCURACY.md
//! ```
//!
//! Every table is Markdown; `--bless` puts those that were measured between their markers in a
//! document. `--floor` exits with 1 when a figure lies below its floor. `--calls FILE` writes what
//! memsoak says of each labelled series. docs/ACCURACY.md says what the figures mean.

#![allow(clippy::print_stdout, reason = "an example talks to people")]

mod case;
mod corpus;
mod cost;
mod families;
mod figures;
mod floors;
mod methods;
mod random;
mod score;
mod simulate;
#[path = "../../tests/support/mod.rs"]
mod support;
mod table;

use anyhow::{Context, bail};
use methods::Judged;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use table::Figures;

const USAGE: &str = "usage: accuracy [FOLDER] [--simulate] [--floor] [--bless DOCUMENT.md] \
    [--calls OUT.csv] [--per-family 40] [--seed 1]";

struct Options {
    folder: Option<PathBuf>,
    simulate: bool,
    floor: bool,
    bless: Option<PathBuf>,
    calls: Option<PathBuf>,
    per_family: usize,
    seed: u64,
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self {
            folder: None,
            simulate: false,
            floor: false,
            bless: None,
            calls: None,
            per_family: 40,
            seed: 1,
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut next = || arguments.next().context(USAGE);
            match argument.as_str() {
                "--simulate" => options.simulate = true,
                "--floor" => options.floor = true,
                "--bless" => options.bless = Some(next()?.into()),
                "--calls" => options.calls = Some(next()?.into()),
                "--per-family" => options.per_family = next()?.parse().context(USAGE)?,
                "--seed" => options.seed = next()?.parse().context(USAGE)?,
                path if !path.starts_with('-') && options.folder.is_none() => {
                    options.folder = Some(path.into());
                }
                _ => bail!(USAGE),
            }
        }
        Ok(options)
    }
}

fn main() -> anyhow::Result<ExitCode> {
    // What this program asks of a second process of itself, to see its memory alone.
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, path] = words.as_slice()
        && word == "--peak-of"
    {
        println!("{}", cost::peak_of(path.as_ref())?);
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options::parse(words.into_iter())?;
    let mut measured: Vec<Figures> = Vec::new();
    let mut show = |name, title: &str, text: String| {
        println!("## {title}\n\n{text}");
        measured.push(Figures { name, text });
    };

    let own: Vec<Judged> = families::collection(options.per_family, options.seed)
        .map(methods::judge)
        .collect();
    show("own", "The own collection", figures::own_by_method(&own));
    show(
        "own-kinds",
        "The own collection by family",
        figures::by_kind(&own),
    );

    let labelled = match &options.folder {
        Some(folder) => read_folder(folder, options.calls.as_deref())?,
        None => None,
    };
    if let Some(labelled) = &labelled {
        show(
            "corpus",
            "Labelled series by method",
            figures::by_method(labelled),
        );
        show(
            "corpus-words",
            "Called and suspected",
            figures::by_word(labelled),
        );
        show(
            "corpus-kinds",
            "Labelled series by kind",
            figures::by_kind(labelled),
        );
    }
    if options.simulate {
        show("noise", "Nothing but noise", simulate::noise(options.seed));
        show(
            "coverage",
            "Interval of a known slope",
            simulate::coverage(options.seed),
        );
        show(
            "smallest",
            "The smallest leak that is named",
            simulate::smallest(options.seed),
        );
        show("cost", "Cost", cost::measure(options.seed)?);
    }
    if let Some(document) = &options.bless {
        table::bless(document, &measured)?;
        println!("wrote {}", document.display());
    }
    if options.floor {
        let below = figures::below_floors(&own, labelled.as_deref());
        for line in &below {
            println!("below its floor: {line}");
        }
        if !below.is_empty() {
            return Ok(ExitCode::from(1));
        }
        println!("every figure is at its floor or above");
    }
    Ok(ExitCode::SUCCESS)
}

/// The labelled series, judged; `None` where the folder is not there, which is said.
fn read_folder(
    folder: &std::path::Path,
    calls: Option<&std::path::Path>,
) -> anyhow::Result<Option<Vec<Judged>>> {
    if !folder.is_dir() {
        println!(
            "{}: no such folder, so there are no figures of labelled series\n",
            folder.display()
        );
        return Ok(None);
    }
    let mut judged = Vec::new();
    let mut lines = "id,label,slope_per_hour,slope_low,slope_high\n".to_owned();
    let missing = corpus::read(folder, |case| {
        let id = case.series.id.clone();
        let one = methods::judge(case);
        let call = &one.calls[methods::MEMSOAK];
        let word = match (call.leak, call.suspect) {
            (true, _) => "leak",
            (_, true) => "suspect",
            _ => "no",
        };
        let _ = writeln!(
            lines,
            "{id},{word},{},{},{}",
            call.slope, call.low, call.high
        );
        judged.push(one);
    })?;
    if missing > 0 {
        println!("{missing} labels have no series\n");
    }
    if let Some(path) = calls {
        std::fs::write(path, lines).with_context(|| format!("{}", path.display()))?;
    }
    Ok(Some(judged))
}
