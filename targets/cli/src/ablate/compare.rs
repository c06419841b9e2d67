//! `curt ablate compare`: what changed between two runs of the same questions.

use std::path::PathBuf;

use anyhow::Result;
use curt_ablate::record::read_records;
use curt_ablate::report::Table;
use curt_ablate::summary::Summary;
use curt_ablate::{compare, record::Records};

use super::report::say;
use curt_command::out;

/// What `curt ablate compare` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Records before the change.
    #[arg(value_name = "DIR")]
    before: PathBuf,
    /// Records after it.
    #[arg(value_name = "DIR")]
    after: PathBuf,
    /// Arms that are held against themselves. Without it, those that both runs have.
    #[arg(long, value_name = "NAME[,NAME]", value_delimiter = ',')]
    arms: Vec<String>,
    /// Largest drop of accuracy that is accepted, in points.
    #[arg(long, value_name = "POINTS", default_value_t = 1.0)]
    max_accuracy_drop: f64,
    /// Print tables in Markdown.
    #[arg(long)]
    markdown: bool,
}

/// Runs `curt ablate compare`.
pub fn run(args: &Args) -> Result<()> {
    let places = [args.before.as_path(), args.after.as_path()];
    let mut arms = args.arms.clone();
    if arms.is_empty() {
        let [before, after] = [read_records(places[0])?, read_records(places[1])?];
        let has =
            |records: &Records, name: &str| records.run.arms.iter().any(|arm| arm.name == name);
        let names = before.run.arms.iter().map(|arm| arm.name.clone());
        arms = names.filter(|name| has(&after, name)).collect();
    }
    for (at, arm) in arms.iter().enumerate() {
        let mut records = compare(places, arm)?;
        records.run.max_accuracy_drop = args.max_accuracy_drop;
        if at == 0 {
            say(&records.notes);
        } else {
            out!("")?;
        }
        let summary = Summary::of(&records);
        let table = Table::of(&summary);
        if args.markdown {
            out!(
                "### {arm}\n\n{}\n\n{}",
                table.markdown().trim_end(),
                summary.verdict.sentence
            )?;
        } else {
            out!("{arm}\n{}\n{}", table.text(), summary.verdict.sentence)?;
        }
    }
    Ok(())
}
