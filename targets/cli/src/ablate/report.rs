//! What is made of records: the table, and the files beside them.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::ValueEnum;
use curt_ablate::record::{Folder, Records, read_records};
use curt_ablate::report::{Table, page, plot};
use curt_ablate::summary::Summary;

use curt_command::{note, out, output};

const SUMMARY: &str = "summary.json";
const PAGE: &str = "report.html";

/// The heading over the paths of questions on the page, where the records hold their texts.
const PATHS: &str = ">Worst questions<";

/// What `curt ablate report` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Folder or file of records.
    #[arg(value_name = "DIR")]
    records: PathBuf,
    /// What is made. Without it, the table; with --out, the files.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Arms that a table or the plot shows. Without it, all.
    #[arg(long, value_name = "NAME[,NAME]", value_delimiter = ',')]
    arms: Vec<String>,
    /// Folder for summary.json and report.html.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Held to another drop of accuracy, in points.
    #[arg(long, value_name = "POINTS")]
    max_accuracy_drop: Option<f64>,
    /// Held to another p95 of the time to the answer.
    #[arg(long, value_name = "MS")]
    latency_budget_ms: Option<f64>,
    /// Held against another arm than the run was.
    #[arg(long, value_name = "ARM")]
    baseline: Option<String>,
    /// The verdict is about another arm.
    #[arg(long, value_name = "ARM")]
    candidate: Option<String>,
}

/// `--format`
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The table and the verdict.
    Text,
    /// summary.json and report.html, in --out or else beside the records.
    Files,
    /// The whole table in Markdown.
    Markdown,
    /// The columns that a README has room for.
    Readme,
    /// The summary, as JSON.
    Json,
    /// The plot of accuracy against tokens.
    Svg,
}

/// Runs `curt ablate report`.
pub fn run(args: &Args) -> Result<()> {
    let mut records = read_records(&args.records)?;
    let judged_otherwise = judge(args, &mut records)?;
    records.run.validate()?;
    say(&records.notes);
    let mut summary = Summary::of(&records);
    let makes_files = matches!(args.format, Some(Format::Files)) || args.out.is_some();
    if !args.arms.is_empty() && makes_files {
        bail!("--arms: files hold every arm; leave it out, or name another --format");
    }
    show(&args.arms, &mut summary)?;
    match (args.format, &args.out) {
        (Some(Format::Files), _) | (None, Some(_)) => {
            let dir = target(args, &records, &summary, judged_otherwise)?;
            conclude(&dir, &records)?;
            print(&summary)?;
        }
        (Some(_), Some(out)) => bail!(
            "--out {}: only --format files writes files; leave out one of the two",
            out.display()
        ),
        (Some(Format::Text) | None, None) => print(&summary)?,
        (Some(Format::Markdown), None) => out!("{}", Table::of(&summary).markdown())?,
        (Some(Format::Readme), None) => out!("{}", Table::readme(&summary).markdown())?,
        (Some(Format::Json), None) => output::json(&summary)?,
        (Some(Format::Svg), None) => match plot(&summary) {
            Some(svg) => out!("{}", svg.trim_end())?,
            None => bail!(
                "{}: expected an arm with an accuracy and tokens, got none",
                args.records.display()
            ),
        },
    }
    Ok(())
}

/// Leaves `arms` in `summary`, in its own order; all where none is named.
fn show(arms: &[String], summary: &mut Summary) -> Result<()> {
    let known: Vec<&str> = summary.arms.iter().map(|arm| arm.name.as_str()).collect();
    if let Some(unknown) = arms.iter().find(|arm| !known.contains(&arm.as_str())) {
        bail!(
            "--arms: expected arms of the records ({}), got {unknown:?}",
            known.join(", ")
        );
    }
    if !arms.is_empty() {
        summary.arms.retain(|arm| arms.contains(&arm.name));
    }
    Ok(())
}

/// Holds the records to what the command line says. Whether that is not what the run was held to.
fn judge(args: &Args, records: &mut Records) -> Result<bool> {
    let was = records.run.clone();
    let run = &mut records.run;
    run.max_accuracy_drop = args.max_accuracy_drop.unwrap_or(run.max_accuracy_drop);
    run.latency_budget_ms = args.latency_budget_ms.or(run.latency_budget_ms);
    for (option, given, arm) in [
        ("--baseline", &args.baseline, &mut run.baseline),
        ("--candidate", &args.candidate, &mut run.candidate),
    ] {
        let Some(given) = given else { continue };
        let arms: Vec<&str> = run.arms.iter().map(|a| a.name.as_str()).collect();
        if !arms.contains(&given.as_str()) {
            bail!(
                "{option}: expected an arm of the records ({}), got {given:?}",
                arms.join(", ")
            );
        }
        arm.clone_from(given);
    }
    Ok(*run != was)
}

/// Where the files go, if nothing is lost there.
fn target(
    args: &Args,
    records: &Records,
    summary: &Summary,
    judged_otherwise: bool,
) -> Result<PathBuf> {
    let beside = match args.records.is_dir() {
        true => args.records.as_path(),
        false => match args.records.parent() {
            Some(dir) if dir != Path::new("") => dir,
            _ => Path::new("."),
        },
    };
    let dir = args.out.as_deref().unwrap_or(beside);
    let same = |a: &Path, b: &Path| match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    };
    if !same(dir, beside) {
        if let Some(other) = Folder::new(dir).records() {
            bail!(
                "{}: expected a folder without records of its own, whose report this would replace; choose another --out",
                other.display()
            );
        }
    } else if judged_otherwise && dir.join(SUMMARY).exists() {
        bail!(
            "{}: expected the limits and arms that the run was held to, whose summary and report are there, got others; \
             give --out DIR for these, or leave out --format files",
            dir.display()
        );
    }
    let shown = dir.join(PAGE);
    // A pipe of that name would never end.
    let there = match shown.is_file() {
        true => std::fs::read_to_string(&shown).unwrap_or_default(),
        false => String::new(),
    };
    if there.contains(PATHS) && !page(summary, records).contains(PATHS) {
        bail!(
            "{}: shows paths and their texts, which {} no longer hold; give another --out, or remove the file",
            shown.display(),
            args.records.display()
        );
    }
    Ok(dir.into())
}

/// Writes what is made of `records` into `dir`.
pub fn conclude(dir: &Path, records: &Records) -> Result<Summary> {
    let summary = Summary::of(records);
    let folder = Folder::new(dir);
    folder.make()?;
    folder.write(
        SUMMARY,
        (serde_json::to_string_pretty(&summary)? + "\n").as_bytes(),
    )?;
    folder.write(PAGE, page(&summary, records).as_bytes())?;
    Ok(summary)
}

/// The table, what a reader has to know of it, and the verdict.
pub fn print(summary: &Summary) -> Result<()> {
    out!("{}", Table::of(summary).text())?;
    for note in &summary.notes {
        out!("note: {note}")?;
    }
    out!("\n{}", summary.verdict.sentence)
}

/// What a reader has to know of the records themselves.
pub fn say(notes: &[String]) {
    for note in notes {
        note!("note: {note}");
    }
}
