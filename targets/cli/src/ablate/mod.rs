//! `curt ablate`: what pruning does to a workload of one's own, and whether it may be shipped.

mod arms;
mod compare;
mod plan;
mod progress;
mod report;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Subcommand, ValueEnum};
use curt::{AskOptions, EngineOptions, SamplingDefaults};
use curt_ablate::record::Folder;
use curt_ablate::run::{EngineRespondent, Respond, Respondents, ServerRespondent};
use curt_workload::Workload;

use arms::ArmArgs;
use curt_command::attention::AttentionName;
use curt_command::provider::ProviderArgs;
use curt_command::{locate, note, signal};
use progress::View;

/// What `curt ablate` takes.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_long_help = arms::ARM_FILES
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Workload: a folder with `workload.toml`, or a JSONL or CSV file of items with --prompt.
    #[arg(long, value_name = "DIR|FILE", required = true)]
    workload: Option<PathBuf>,
    /// Prompt file (TOML) for a workload that is a bare file.
    #[arg(long, value_name = "FILE")]
    prompt: Option<PathBuf>,
    /// Part of the workload that is asked.
    #[arg(long, value_enum, default_value_t = Part::HeldOut)]
    part: Part,
    /// Package folder, or the name of one in curt's cache. Without it, the shipped package.
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,
    #[command(flatten)]
    arms: ArmArgs,
    /// How arms are measured.
    #[arg(long, value_enum, default_value_t = Measured::Replay)]
    measure: Measured,
    /// Largest p95 of the time from question to answer that is accepted.
    #[arg(long, value_name = "MS")]
    latency_budget_ms: Option<f64>,
    /// Largest drop of accuracy against the baseline that is accepted, in points.
    #[arg(long, value_name = "POINTS", default_value_t = 1.0)]
    max_accuracy_drop: f64,
    /// Folder of the records and the report.
    #[arg(long, value_name = "DIR", default_value = "ablation")]
    out: PathBuf,
    /// Ask each item so many times, each with a seed of its own.
    #[arg(long, value_name = "R", default_value_t = 1)]
    repeat: u32,
    /// Ask the first M items only.
    #[arg(long, value_name = "M")]
    limit: Option<usize>,
    /// Go on with the run in --out.
    #[arg(long)]
    resume: bool,
    /// Run the i-th of n parts of the items; `curt ablate merge` joins them.
    #[arg(long, value_name = "I/N", value_parser = plan::shard)]
    shard: Option<(usize, usize)>,
    /// Seed of the first repeat; the next has the next.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Items asked side by side, each by an engine of its own with the memory of one more model. Their times are those of
    /// questions that slow each other: a latency budget needs one job.
    #[arg(long, value_name = "J", default_value = "1", value_parser = curt_command::jobs)]
    jobs: NonZeroUsize,
    /// Threads inside one operator. Without it, as many as there are cores, shared among the jobs.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Whether paths share one copy of their prompt's keys and values.
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    attention: AttentionName,
    #[command(flatten)]
    providers: ProviderArgs,
    /// Divides the logits, in place of the workload's.
    #[arg(long, value_name = "T")]
    temperature: Option<f32>,
    /// Most tokens a path may generate, in place of the workload's.
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Most bytes of KV cache. Without it, what the system says is available.
    #[arg(long, value_name = "BYTES")]
    max_kv_bytes: Option<u64>,
}

/// What is done with records.
#[derive(Subcommand)]
enum Command {
    /// Join the records of shards, or make records small enough to commit.
    Merge {
        /// Folders or files of records: every shard of one run.
        #[arg(value_name = "DIR", required = true)]
        shards: Vec<PathBuf>,
        /// Folder for the merged records and their report.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Leave out paths and texts and pack the rest.
        #[arg(long)]
        without_paths: bool,
    },
    /// Hold two runs of the same questions against each other, arm for arm.
    Compare(compare::Args),
    /// Show the table of records, or make their summary and report anew.
    Report(report::Args),
}

/// `--measure`
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measured {
    /// Sample full paths once and derive every arm from them; times of derived arms are modelled.
    Replay,
    /// Run every arm.
    Run,
}

/// `--part`
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// What heads are trained on.
    Train,
    /// What they have not seen.
    HeldOut,
}

/// Runs `curt ablate`.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Some(Command::Merge {
            shards,
            out,
            without_paths,
        }) => merge(&shards, &out, without_paths),
        Some(Command::Compare(args)) => compare::run(&args),
        Some(Command::Report(args)) => report::run(&args),
        None => ablate(args),
    }
}

fn ablate(args: Args) -> Result<()> {
    let given = args
        .workload
        .as_deref()
        .context("--workload: expected a folder or a file, got nothing")?;
    let workload = Workload::open(given, args.prompt.as_deref())?;
    let dir = locate::package(args.package.as_deref())?;
    let package =
        curt::Package::open(&dir).with_context(|| format!("opening {}", dir.display()))?;
    let mut plan = plan::plan(&args, &workload, &package)?;
    for note in &plan.notes {
        note!("{note}");
    }
    let asked = plan::asked(&plan.run, &args, &workload);
    note!("loading {}", dir.display());
    let clock = Instant::now();
    let options = args.providers.apply(EngineOptions {
        threads: plan.run.threads,
        attention: args.attention.into(),
        ..EngineOptions::default()
    })?;
    let mut engines = vec![locate::open_engine_with(&dir, &options)?];
    let load_ms = clock.elapsed().as_secs_f64() * 1e3;
    let attention = engines[0].attention();
    plan.run.attention = attention.shared.then(|| attention.name().into());
    for _ in 1..args.jobs.get() {
        engines.push(locate::open_engine_with(&dir, &options)?);
    }
    if options.providers.any_beside_cpu() {
        let rows = engines[0].placement().providers.iter();
        plan.run.providers = rows.map(|row| (row.name.clone(), row.nodes)).collect();
    }
    plan.run.onnxruntime = Some(curt::session::library_info()?.version.clone());
    let cancel = signal::cancelled_by_ctrl_c();
    let base = AskOptions {
        sampling: sampling(&args),
        max_kv_bytes: args.max_kv_bytes,
        cancel: cancel.clone(),
        ..AskOptions::default()
    };
    let of_servers = sampling(&args)
        .or(workload.prompt().sampling)
        .or(package.sampling());
    let environment = |name: &str| std::env::var(name).ok();
    let mut respondents = Vec::new();
    for engine in engines {
        let (heads, base, cancel) = (plan.heads.clone(), base.clone(), cancel.clone());
        respondents.push(Respondents {
            engine: EngineRespondent::new(engine, load_ms, &plan.run, &workload, heads, base),
            servers: ServerRespondent::new(&plan.run, &workload, of_servers, cancel, &environment)?,
        });
    }
    report::say(&respondents[0].servers.notes());
    let mut respondents: Vec<&mut dyn Respond> = respondents
        .iter_mut()
        .map(|respondents| respondents as &mut dyn Respond)
        .collect();
    let folder = Folder::new(&args.out);
    let mut view = View::new(&plan.run);
    let mut writer = curt_ablate::run::run(
        &plan.run,
        &asked,
        &folder,
        args.resume,
        &mut respondents,
        &mut |progress| view.show(progress),
    )
    .map_err(runtimes_own)?;
    view.end();
    // As long as the writer is there, no other run can begin in this folder.
    let summary = report::conclude(folder.dir(), &writer.records()?)?;
    drop(writer);
    report::print(&summary)
}

/// The runtime's error as itself, so that the end of the process tells ctrl-C from a failure.
fn runtimes_own(error: curt_ablate::Error) -> anyhow::Error {
    match error {
        curt_ablate::Error::Runtime(error) => error.into(),
        other => other.into(),
    }
}

fn sampling(args: &Args) -> SamplingDefaults {
    SamplingDefaults {
        temperature: args.temperature,
        max_tokens: args.max_tokens,
        ..SamplingDefaults::default()
    }
}

fn merge(shards: &[PathBuf], out: &Path, without_paths: bool) -> Result<()> {
    let merged = curt_ablate::merge(shards)?;
    // The records first: where the folder holds some already, nothing in it is touched.
    if without_paths {
        merged.clone().without_paths().write(out, true)?;
    } else {
        merged.write(out, false)?;
    }
    report::say(&merged.notes);
    report::print(&report::conclude(out, &merged)?)
}
