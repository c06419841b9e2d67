//! `curt collect`: paths of a workload with graded answers, written as they come.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use curt_train::collect::{CollectOptions, Progress, collect};
use curt_workload::{Part, Workload};
use indicatif::{ProgressBar, ProgressStyle};

use curt_command::attention::AttentionName;
use curt_command::{locate, note, out, signal};

/// What `curt collect` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Package folder, or the name of one in curt's cache. Without it, the shipped package.
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,
    /// Workload folder.
    #[arg(long, value_name = "DIR")]
    workload: PathBuf,
    /// Folder to write to. One that was begun is gone on with.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Part of the workload.
    #[arg(long, value_name = "PART", default_value = "train")]
    part: PartName,
    /// Paths of each item.
    #[arg(long, value_name = "N", default_value_t = 16)]
    paths: usize,
    /// Estimate, after so many tokens of a path, how often it comes out right when sampled on. One length or several.
    #[arg(
        long,
        value_name = "L,L2",
        value_delimiter = ',',
        requires = "rollouts"
    )]
    prefix: Vec<usize>,
    /// Continuations of each such prefix.
    #[arg(long, value_name = "R", requires = "prefix")]
    rollouts: Option<usize>,
    /// Also write the means that `curt train-head` reads of the cache at these generated tokens of a path, while it is there. A
    /// package with formats is asked in full, and its paths begin with the reasoning.
    /// Training rebuilds others, and what attention pooling reads (all but `--pooling mean`).
    #[arg(long, value_name = "L[,L]", value_delimiter = ',')]
    check_at: Vec<usize>,
    /// Take the first M items only; a later run may take more.
    #[arg(long, value_name = "M")]
    limit: Option<usize>,
    /// With an item's id and a path's number, decides what the path draws.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Items drawn at once. Each takes the memory of one more model, and many small steps use several cores better than one.
    #[arg(long, value_name = "J", default_value = "1", value_parser = curt_command::jobs)]
    jobs: NonZeroUsize,
    /// Threads inside one operator. Without it, the cores, shared among the jobs.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Whether paths share one copy of their prompt's keys and values.
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    attention: AttentionName,
}

/// `--part`
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PartName {
    /// What heads may learn from.
    Train,
    /// What nothing has seen.
    HeldOut,
}

impl From<PartName> for Part {
    fn from(name: PartName) -> Self {
        match name {
            PartName::Train => Part::Train,
            PartName::HeldOut => Part::HeldOut,
        }
    }
}

/// Runs `curt collect`.
pub fn run(args: Args) -> Result<()> {
    let workload = Workload::open(&args.workload, None)?;
    let jobs = args.jobs.get();
    let threads = match args.threads {
        None if jobs > 1 => {
            let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
            Some((cores / jobs).max(1))
        }
        named => named,
    };
    let dir = locate::package(args.package.as_deref())?;
    note!("loading {}", dir.display());
    let mut engines = (0..jobs)
        .map(|_| locate::open_engine(Some(&dir), threads, args.attention))
        .collect::<Result<Vec<_>>>()?;
    let mut check_at = args.check_at;
    check_at.sort_unstable();
    check_at.dedup();
    let options = CollectOptions {
        dir: args.out,
        workload_dir: args.workload,
        part: args.part.into(),
        paths: args.paths,
        prefix_tokens: args.prefix,
        rollouts: args.rollouts.unwrap_or(0),
        check_at,
        limit: args.limit,
        seed: args.seed,
        cancel: signal::cancelled_by_ctrl_c(),
    };
    let mut view = View::new();
    let collected = collect(&mut engines, &workload, &options, &mut |p| view.show(p));
    view.bar.finish_and_clear();
    let collected = collected.with_context(|| {
        format!(
            "collecting to {}: what is written stays, the same command goes on",
            options.dir.display()
        )
    })?;
    out!("{}: {}", options.dir.display(), summary(&collected))
}

fn summary(p: &Progress) -> String {
    let mut text = format!("{} of {} items", p.done, p.items);
    if p.resumed > 0 {
        text.push_str(&format!(" ({} from before)", p.resumed));
    }
    if p.paths > 0 {
        text.push_str(&format!(
            ", {} paths, {:.1} % right, {:.1} tokens a path, {:.0} tokens/s",
            p.paths,
            1e2 * p.correct as f64 / p.paths as f64,
            p.tokens as f64 / p.paths as f64,
            p.tokens as f64 / p.elapsed.as_secs_f64(),
        ));
    }
    text
}

/// A bar on a terminal; elsewhere a line now and then.
struct View {
    bar: ProgressBar,
    said: Instant,
}

/// How often a log gets a line.
const LOG_EVERY: Duration = Duration::from_secs(30);

impl View {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} {pos}/{len} items, {eta} left, {msg}")
        {
            bar.set_style(style);
        }
        Self {
            bar,
            said: Instant::now(),
        }
    }

    fn show(&mut self, p: &Progress) {
        if let Some(pass) = p.rebuilding {
            self.bar.set_length(pass.of as u64);
            self.bar.set_position(pass.done as u64);
            self.bar.set_message("earlier items' caches rebuilt");
            if self.bar.is_hidden() && self.said.elapsed() >= LOG_EVERY {
                self.said = Instant::now();
                note!("{} of {} earlier items' caches rebuilt", pass.done, pass.of);
            }
            return;
        }
        if p.paths == 0 {
            self.bar.set_length(p.items as u64);
            // What earlier runs did says nothing about the rate of this one.
            self.bar.set_position(p.done as u64);
            self.bar.reset_eta();
        }
        self.bar.set_position(p.done as u64);
        self.bar.set_message(summary(p));
        if self.bar.is_hidden() && (p.paths == 0 || self.said.elapsed() >= LOG_EVERY) {
            self.said = Instant::now();
            note!("{}{}", summary(p), left(p));
        }
    }
}

/// Time left at this run's rate, once there is one.
fn left(p: &Progress) -> String {
    let new = p.done - p.resumed;
    if new == 0 {
        return String::new();
    }
    let seconds = p.elapsed.as_secs_f64() / new as f64 * (p.items - p.done) as f64;
    format!(", {:.0} min left", seconds / 60.0)
}
