//! `curt workload`: looks over a workload before a run is spent on it, and makes one of a known question set.

use std::collections::HashSet;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;
use curt_workload::import::{self, Layout};
use curt_workload::{Error, Item, Part, Workload};

use curt_command::{note, out};

/// What `curt workload` can do.
#[derive(clap::Subcommand)]
pub enum WorkloadCommand {
    /// Look at every line, and say what is in it.
    Check(CheckArgs),
    /// Make a workload of a known question set.
    Import(ImportArgs),
}

/// What `curt workload check` takes.
#[derive(clap::Args)]
pub struct CheckArgs {
    /// Folder with workload.toml, or a .jsonl or .csv file.
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
    /// Prompt file, in place of the folder's own; a bare file needs one.
    #[arg(long, value_name = "FILE")]
    prompt: Option<PathBuf>,
}

/// What `curt workload import` takes.
#[derive(clap::Args)]
pub struct ImportArgs {
    /// How the files are laid out.
    #[arg(long)]
    format: Format,
    /// The set's folder, or one file of it.
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Folder to make; it must not be there yet.
    #[arg(value_name = "OUT_DIR")]
    out: PathBuf,
    /// Keep this many items of each part, from the first.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// `--format`
#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// JSON lines of question and answer, which ends in "#### N"; a file, or a folder with train.jsonl and test.jsonl.
    Gsm8k,
    /// Problem and solution with \boxed{}; folders train and test, or JSON lines.
    Math,
    /// A folder with the v2 questions, annotations and images of train2014 or val2014 or both.
    Vqav2,
    /// A folder with problems.json and images.
    Scienceqa,
}

impl Format {
    fn layout(self) -> Layout {
        match self {
            Format::Gsm8k => Layout::Gsm8k,
            Format::Math => Layout::Math,
            Format::Vqav2 => Layout::VqaV2,
            Format::Scienceqa => Layout::ScienceQa,
        }
    }
}

/// Runs `curt workload`.
pub fn run(command: WorkloadCommand) -> Result<()> {
    match command {
        WorkloadCommand::Check(args) => check(&args),
        WorkloadCommand::Import(args) => import(&args),
    }
}

fn check(args: &CheckArgs) -> Result<()> {
    let workload = match Workload::open(&args.path, args.prompt.as_deref()) {
        Ok(workload) => workload,
        Err(Error::Invalid { problems }) => {
            for problem in &problems {
                note!("{problem}");
            }
            let noun = if problems.len() == 1 {
                "problem"
            } else {
                "problems"
            };
            bail!("{}: {} {noun}", args.path.display(), problems.len());
        }
        Err(error) => return Err(error.into()),
    };
    print_contents(&workload)
}

fn print_contents(workload: &Workload) -> Result<()> {
    let mut about: Vec<String> = Vec::new();
    about.extend(workload.licence().map(String::from));
    about.extend(workload.recipe().map(|recipe| format!("made by {recipe}")));
    about.extend(workload.seed().map(|seed| format!("seed {seed}")));
    let about = if about.is_empty() {
        String::new()
    } else {
        format!(" ({})", about.join(", "))
    };
    out!("{}{about}", workload.name())?;
    for (name, part) in [("train", Part::Train), ("held out", Part::HeldOut)] {
        out!("  {name:<9} {}", counted(workload.part(part)))?;
    }
    out!("  {:<9} {}", "scorer", workload.scorer().name())?;
    match &workload.prompt().answer_pattern {
        Some(pattern) => out!("  {:<9} {pattern}", "answer")?,
        None => out!(
            "  {:<9} no pattern: the whole text is the answer, and paths cannot vote",
            "answer"
        )?,
    }
    out!("  {:<9} {}", "digest", workload.digest())?;
    if workload.part(Part::Train).is_empty() {
        out!("no train part: it can be measured on, and no head can be trained on it")?;
    }
    if workload.part(Part::HeldOut).is_empty() {
        out!("no held-out part: heads can be trained on it, and nothing can be measured on it")?;
    }
    Ok(())
}

fn counted(items: &[Item]) -> String {
    let units: HashSet<&str> = items.iter().map(Item::unit).collect();
    let images = items.iter().filter(|item| item.image.is_some()).count();
    let mut text = format!("{} items, {} groups", items.len(), units.len());
    if images > 0 {
        text.push_str(&format!(", {images} with an image"));
    }
    text
}

fn import(args: &ImportArgs) -> Result<()> {
    let made = import::import(args.format.layout(), &args.input, &args.out, args.limit)?;
    out!(
        "{}: {} items to train on, {} held out",
        args.out.display(),
        made.train,
        made.held_out
    )?;
    if made.in_both > 0 {
        out!(
            "{} of the train part left out: the held-out part asks the same",
            made.in_both
        )?;
    }
    out!(
        "look over its prompt in workload.toml before a run: it was written for the layout, not for your model"
    )
}
