//! The command line of `memsoak-analyze`.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use memsoak_schema::Recording;

use crate::findings::{Analysis, analyse};
use crate::load::Quantity;
use crate::report::{quantity_of, rate_words};
use crate::series_csv::{self, TrendLine};
use crate::verdict::{Judgement, RULES, Verdict};
use crate::{info, report, salvage, show};

const EXIT_CODES: &str = "Exit codes: 0 judged and clean, 1 findings at --fail-on, 2 failure, \
3 too little to judge.";

const EXAMPLES: &str = "\
Examples:
  memsoak-analyze report soak.db --out report
  memsoak-analyze report soak.db --out report --baseline healthy.db
  memsoak-analyze compare healthy.db soak.db
  memsoak-analyze trends soak.db --explain slabinfo/UDP/slab_bytes";

/// Judges the trends of a recording and renders charts and a text for a bug report.
#[derive(Debug, Parser)]
#[command(name = "memsoak-analyze", version, max_term_width = 80)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{EXIT_CODES}\n\n{EXAMPLES}"))]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write report.md, report.json and charts
    Report(ReportArgs),
    /// List every judged series, of a recording or of CSV files
    Trends(TrendsArgs),
    /// A classical tool (free, slabtop, ...) as it would have looked
    Show {
        /// The recording
        file: PathBuf,
        /// free, meminfo, top, mem-info, buddyinfo, pagetypeinfo, zoneinfo,
        /// slabinfo, slabtop, vmstat, vmallocinfo, pmap PID, kmemleak, kmsg,
        /// cgroups, or a source
        view: String,
        /// The process, for pmap
        pid: Option<i64>,
        /// When: RFC 3339, +2h30m from the start, -10m from the end, or a mark
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        at: Option<String>,
        /// Sort by this key of the tool (slabtop: c; top: SWAP)
        #[arg(long, value_name = "KEY")]
        sort: Option<String>,
    },
    /// What changed in a view between two times
    Diff {
        /// The recording
        file: PathBuf,
        /// As for show
        view: String,
        /// The process, for pmap
        pid: Option<i64>,
        /// The earlier time, as for show
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        from: String,
        /// The later time
        #[arg(
            long,
            value_name = "TIME",
            allow_hyphen_values = true,
            default_value = "-0s"
        )]
        to: String,
    },
    /// Tell what grows faster in one recording than in another
    Compare(CompareArgs),
    /// What a recording holds: boots, runs, gaps, the state of each source
    Info {
        /// The recording
        file: PathBuf,
    },
    /// Write what a torn, cut or altered copy still gives into a new recording
    Salvage(SalvageArgs),
}

#[derive(Debug, Args)]
struct SalvageArgs {
    /// The damaged recording; its log is read where FILE-wal is beside it
    file: PathBuf,
    /// The new recording
    out: PathBuf,
    /// Leave out host names, users and command lines
    #[arg(long)]
    scrub: bool,
}

#[derive(Debug, Args)]
struct ReportArgs {
    /// The recording
    file: PathBuf,
    /// The folder to write to; created where it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A recording of a healthy run: what grows there too is no news
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// From which verdict on to exit with 1
    #[arg(long, value_name = "VERDICT", default_value = "leak")]
    fail_on: FailOn,
}

#[derive(Debug, Args)]
struct CompareArgs {
    /// The recording to compare with, of a run about as long
    base: PathBuf,
    /// The recording to judge
    new: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// List all that varies, not only what grows faster or is called
    #[arg(long)]
    all: bool,
    /// From which verdict on to exit with 1
    #[arg(long, value_name = "VERDICT", default_value = "leak")]
    fail_on: FailOn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Leak,
    Suspect,
    Never,
}

#[derive(Debug, Args)]
struct TrendsArgs {
    /// The recording
    #[arg(required_unless_present = "csv", conflicts_with = "csv")]
    file: Option<PathBuf>,
    /// Judge series from CSV files, plain or gzip: `seconds,value`, or
    /// `id,t_s,value` with optional columns `restart` and `source`
    #[arg(long, value_name = "FILE", num_args = 1..)]
    csv: Vec<PathBuf>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Say why this series was or was not called a leak
    #[arg(long, value_name = "SERIES", conflicts_with = "json")]
    explain: Option<String>,
    /// List the constant and steady ones too
    #[arg(long)]
    all: bool,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let done = act(cli.command, &mut out).and_then(|code| {
        out.flush()?;
        Ok(code)
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Nobody reading the rest of a list is no failure.
            if let Some(io) = error.downcast_ref::<io::Error>()
                && io.kind() == io::ErrorKind::BrokenPipe
            {
                return ExitCode::SUCCESS;
            }
            // Names of files stand in it, and those can hold anything.
            let text = memsoak_schema::printable(format!("{error:#}").as_bytes());
            let _ = writeln!(io::stderr(), "memsoak-analyze: {text}");
            ExitCode::from(2)
        }
    }
}

fn act(command: Command, out: &mut impl Write) -> anyhow::Result<u8> {
    match command {
        Command::Report(args) => write_report(&args, out),
        Command::Trends(args) => match &args.file {
            Some(file) => trends(file, &args, out),
            None => csv_trends(&args, out),
        },
        Command::Show {
            file,
            view,
            pid,
            at,
            sort,
        } => {
            let recording = Recording::open(&file)?;
            let shown = show::show(&recording, &view, at.as_deref(), &show::Ask { sort, pid })?;
            write_shown(&shown, out)
        }
        Command::Diff {
            file,
            view,
            pid,
            from,
            to,
        } => {
            let recording = Recording::open(&file)?;
            let ask = show::Ask { sort: None, pid };
            let shown = show::diff(&recording, &view, &from, &to, &ask)?;
            write_shown(&shown, out)
        }
        Command::Compare(args) => compare(&args, out),
        Command::Info { file } => {
            out.write_all(info::describe(&file)?.as_bytes())?;
            Ok(0)
        }
        Command::Salvage(args) => {
            let told = salvage::salvage(&args.file, &args.out, args.scrub)?;
            out.write_all(told.as_bytes())?;
            Ok(0)
        }
    }
}

/// The view alone goes to stdout, as from the tool itself; of when it is, to stderr.
fn write_shown(shown: &show::Shown, out: &mut impl Write) -> anyhow::Result<u8> {
    writeln!(io::stderr(), "{}", shown.of)?;
    out.write_all(shown.text.as_bytes())?;
    Ok(0)
}

/// A spinner on a terminal, nothing elsewhere.
fn spinner() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn write_report(args: &ReportArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    let bar = spinner();
    let written = report::write(&args.file, args.baseline.as_deref(), &args.out, |what| {
        bar.set_message(format!("reading {what}"));
    });
    bar.finish_and_clear();
    let (report, paths) = written?;
    writeln!(out, "verdict: {}", report.verdict)?;
    for finding in &report.findings {
        let rate = rate_words(
            quantity_of(finding.unit),
            finding.slope_per_hour,
            finding.slope_low,
            finding.slope_high,
        );
        writeln!(
            out,
            "{:>3}. {:<8} {}  {rate}",
            finding.rank, finding.verdict, finding.series
        )?;
    }
    for one in report.critical() {
        let at = one.at.as_deref().unwrap_or("an unknown time");
        writeln!(out, "critical: {} at {at}", one.id)?;
    }
    for path in paths {
        writeln!(out, "wrote {}", path.display())?;
    }
    Ok(exit_code(args.fail_on, report.verdict))
}

fn exit_code(fail_on: FailOn, verdict: &str) -> u8 {
    match (fail_on, verdict) {
        (_, "inconclusive") => 3,
        (FailOn::Leak | FailOn::Suspect, "leak") | (FailOn::Suspect, "suspect") => 1,
        _ => 0,
    }
}

fn compare(args: &CompareArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    let bar = spinner();
    let compared = report::compare(&args.base, &args.new, |what| {
        bar.set_message(format!("reading {what}"));
    });
    bar.finish_and_clear();
    let compared = compared?;
    if args.json {
        serde_json::to_writer(&mut *out, &compared)?;
        writeln!(out)?;
    } else {
        out.write_all(compared.in_words(args.all).as_bytes())?;
    }
    Ok(exit_code(args.fail_on, compared.verdict))
}

fn trends(file: &Path, args: &TrendsArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    let recording = Recording::open(file)?;
    let bar = spinner();
    let analysis = analyse(&recording, |what| {
        bar.set_message(format!("reading {what}"))
    });
    bar.finish_and_clear();
    let analysis = analysis?;
    if let Some(series) = &args.explain {
        return explain(&analysis, series, out);
    }
    let mut judged: Vec<_> = analysis
        .judged
        .iter()
        .filter(|one| args.all || args.json || one.judgement.verdict != Verdict::Steady)
        .collect();
    judged
        .sort_by(|a, b| (a.judgement.verdict, &a.name.id).cmp(&(b.judgement.verdict, &b.name.id)));
    for one in &judged {
        if args.json {
            serde_json::to_writer(&mut *out, &TrendLine::new(&one.name.id, &one.judgement))?;
            writeln!(out)?;
        } else {
            let quantity = report::quantity(one.name.quantity);
            writeln!(
                out,
                "{:<11} {:>14}/h {:>14}  {}",
                one.judgement.verdict,
                quantity.format(one.slope_per_hour()),
                quantity.format(one.judgement.growth),
                one.name.id
            )?;
        }
    }
    if !args.json {
        writeln!(
            out,
            "{} series judged, {} of them vary",
            analysis.series(),
            analysis.judged.len()
        )?;
    }
    Ok(if analysis.could_judge() { 0 } else { 3 })
}

fn explain(analysis: &Analysis, series: &str, out: &mut impl Write) -> anyhow::Result<u8> {
    let Some(one) = analysis.judged.iter().find(|one| one.name.id == series) else {
        anyhow::bail!(
            "no judged series \"{}\" that varies; `trends FILE --all` lists them",
            series.escape_debug()
        );
    };
    out.write_all(explanation(&one.name.id, &one.judgement, one.name.quantity).as_bytes())?;
    Ok(0)
}

/// Why a series has its verdict, for a person: what was measured, each rule with its reason, and
/// what would change the verdict.
fn explanation(id: &str, judgement: &Judgement, kind: Quantity) -> String {
    let quantity = report::quantity(kind);
    let per_hour = |slope: f64| quantity.format(3600.0 * slope);
    let early = if judgement.too_early.is_some() {
        ", growing, too early to say"
    } else {
        ""
    };
    let mut text = format!(
        "{id}: {}{early}\n  slope {}/h (95 % interval {} to {}), growth {}\n  a leak of {} over this run would have been called with 95 % chance\n",
        judgement.verdict,
        per_hour(judgement.slope_per_s),
        per_hour(judgement.slope_low_per_s),
        per_hour(judgement.slope_high_per_s),
        quantity.format(judgement.growth),
        quantity.format(judgement.smallest_growth),
    );
    for evidence in &judgement.evidence {
        let reason = RULES
            .iter()
            .find(|rule| rule.name == evidence.rule)
            .map_or("", |rule| rule.why);
        let sign = if evidence.passed { "+" } else { "-" };
        text += &format!("  {sign} {:<20} {}\n", evidence.rule, evidence.text);
        if !reason.is_empty() {
            text += &format!("  {:22} {reason}\n", "");
        }
    }
    if let Some(load) = &judgement.load {
        text += &format!("  beside the load: {}\n", report::load_words(load, kind));
    }
    if let Some(change) = &judgement.would_change {
        text += &format!("  what would change it: {change}\n");
    }
    text
}

/// The explanation of every series of this name; what the values count is not known, so numbers
/// stand as they are.
fn explain_csv(files: &[PathBuf], series: &str, out: &mut impl Write) -> anyhow::Result<u8> {
    let mut found = String::new();
    for path in files {
        series_csv::judge_csv(path, &mut |id: &str, judgement: Judgement| {
            if id == series {
                let id = memsoak_schema::printable(id.as_bytes());
                found += &explanation(&id, &judgement, Quantity::Count);
            }
        })?;
    }
    if found.is_empty() {
        anyhow::bail!(
            "no series \"{}\"; without --explain all are listed",
            series.escape_debug()
        );
    }
    out.write_all(found.as_bytes())?;
    Ok(0)
}

fn csv_trends(args: &TrendsArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    if let Some(series) = &args.explain {
        return explain_csv(&args.csv, series, out);
    }
    let mut judged = 0_u64;
    let mut written: io::Result<()> = Ok(());
    for path in &args.csv {
        series_csv::judge_csv(path, &mut |id: &str, judgement: Judgement| {
            if written.is_err() {
                return;
            }
            let long_enough =
                !matches!(judgement.verdict, Verdict::TooShort | Verdict::Unjudgeable);
            judged += u64::from(long_enough);
            let line = TrendLine::new(id, &judgement);
            written = if args.json {
                serde_json::to_writer(&mut *out, &line)
                    .map_err(io::Error::from)
                    .and_then(|()| writeln!(out))
            } else {
                writeln!(
                    out,
                    "{:<11} {:>14.6}/h  {}",
                    line.verdict,
                    line.slope_per_hour,
                    memsoak_schema::printable(id.as_bytes())
                )
            };
        })?;
    }
    written?;
    Ok(if judged > 0 { 0 } else { 3 })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::verdict::{Cells, Traits, judge};

    #[test]
    fn an_explanation_names_each_rule_with_its_reason_and_what_would_change_the_verdict() {
        let t: Vec<f64> = (0..600).map(|i| 60.0 * f64::from(i)).collect();
        let v: Vec<f64> = t
            .iter()
            .map(|t| 1e8 + 4096.0 * (500.0 * f64::from(*t >= 18_000.0)) + 4096.0 * (t / 60.0 % 7.0))
            .collect();
        let judgement = judge(&Cells::from_samples(&t, &v), &Traits::default());
        let text = explanation("slabinfo/x/slab_bytes", &judgement, Quantity::Bytes);
        assert!(text.starts_with("slabinfo/x/slab_bytes: step\n"), "{text}");
        assert!(text.contains("- shape_margin"), "{text}");
        assert!(
            text.contains("what would change it: growth after the last step"),
            "{text}"
        );
        for evidence in &judgement.evidence {
            let rule = RULES
                .iter()
                .find(|r| r.name == evidence.rule)
                .expect("in the table");
            assert!(text.contains(rule.why), "{text}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
