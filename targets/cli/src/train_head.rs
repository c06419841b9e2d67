//! `curt train-head`: a stop head, and its controls, from the paths that `curt collect` wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use curt::head::HeadFile;
use curt_train::controls::Kinds;
use curt_train::data::Data;
use curt_train::fit::FitOptions;
use curt_train::{Event, PoolingKind, TrainOptions, Trained, report, train};
use curt_workload::Workload;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{locate, signal};

/// What `curt train-head` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Folder that `curt collect` wrote.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Head file to write. What was found goes beside it, as `.report.json`.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What the head reads.
    #[arg(
        long,
        value_name = "INPUT[,INPUT]",
        value_delimiter = ',',
        default_value = "kv,logprob"
    )]
    inputs: Vec<Input>,
    /// Check point, in generated tokens; several: one head is trained at all of them. Without it, found.
    #[arg(long, value_name = "L[,L]", value_delimiter = ',')]
    check_at: Vec<usize>,
    /// Layers of the cache that are read. Without it, found.
    #[arg(long, value_name = "LAYER[,LAYER]", value_delimiter = ',')]
    layers: Vec<usize>,
    /// How the cache is pooled. Without it, both are tried, and means are taken where no difference is found.
    #[arg(long, value_name = "POOLING")]
    pooling: Option<Pooling>,
    /// Share of all paths' tokens that a question may spend, where the check point is found.
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    budget: f64,
    /// Also write the controls that are trained along, by name, into this folder.
    #[arg(long, value_name = "DIR")]
    controls: Option<PathBuf>,
    /// Package folder, where it is not where it was.
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,
    /// Workload folder, where it is not where it was.
    #[arg(long, value_name = "DIR")]
    workload: Option<PathBuf>,
    /// Decides splits, first weights, batches and dropout.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Threads of the model while keys and values are rebuilt. Training itself takes one core.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// `--inputs`
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Input {
    /// Means of the cached values.
    Kv,
    /// Statistics of the prefix's log-probabilities.
    Logprob,
    /// Tokens and pairs of neighbours, of prefix and question.
    Text,
}

/// `--pooling`
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pooling {
    /// Means of the cached values over the prefix and its last tokens.
    Mean,
    /// Attention of learned queries over keys and values.
    Attend,
}

/// Runs `curt train-head`.
pub fn run(args: Args) -> Result<()> {
    let data = Data::read(&args.data)?;
    let places = data.settings.places.clone();
    let place = |named: &Option<PathBuf>, recorded: Option<PathBuf>, option: &str| {
        named.clone().or(recorded).with_context(|| {
            format!(
                "{option}: expected a folder, since {} does not say where it lay",
                args.data.display()
            )
        })
    };
    let package = place(
        &args.package,
        places.as_ref().map(|p| p.package.clone()),
        "--package",
    )?;
    let workload = place(&args.workload, places.map(|p| p.workload), "--workload")?;
    let workload = Workload::open(&workload, None)?;
    let mut engine = locate::open_engine(Some(&package), args.threads)?;
    if !(args.budget > 0.0 && args.budget <= 1.0) {
        bail!(
            "--budget: expected a share above 0, at most 1, got {}",
            args.budget
        );
    }
    let mut check_at = args.check_at;
    check_at.sort_unstable();
    check_at.dedup();
    let mut layers = args.layers;
    layers.sort_unstable();
    layers.dedup();
    let options = TrainOptions {
        name: stem(&args.out)?,
        kinds: Kinds {
            kv: args.inputs.contains(&Input::Kv),
            logprob: args.inputs.contains(&Input::Logprob),
            text: args.inputs.contains(&Input::Text),
        },
        check_at,
        layers,
        pooling: args.pooling.map(|p| match p {
            Pooling::Mean => PoolingKind::Mean,
            Pooling::Attend => PoolingKind::Attend,
        }),
        budget_share: args.budget,
        fit: FitOptions::default(),
        seed: args.seed,
        cancel: signal::cancelled_by_ctrl_c()?,
    };
    let clock = Instant::now();
    let mut view = View::new();
    let trained = train(&mut engine, &workload, &data, &options, &mut |event| {
        view.show(&event)
    });
    view.bar.finish_and_clear();
    let mut trained = trained?;
    write(&mut trained, &args.out, args.controls.as_deref())?;
    print!("{}", report::render(&trained.report));
    println!(
        "{}: {:.0} s",
        args.out.display(),
        clock.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Writes the head, the controls where wanted, and the report beside the head.
fn write(trained: &mut Trained, out: &Path, controls: Option<&Path>) -> Result<()> {
    for (number, head) in trained.heads.iter().enumerate() {
        let file = match (number, controls) {
            (0, _) => out.to_path_buf(),
            (_, Some(dir)) => dir.join(&head.header.name).with_extension("safetensors"),
            (_, None) => continue,
        };
        trained.report.heads[number].file_bytes = Some(write_head(head, &file)?);
    }
    let file = out.with_extension("report.json");
    let mut text = serde_json::to_string_pretty(&trained.report)?;
    text.push('\n');
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))
}

fn write_head(head: &HeadFile, file: &Path) -> Result<u64> {
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    }
    head.write(file)?;
    Ok(fs::metadata(file)?.len())
}

fn stem(file: &Path) -> Result<String> {
    let stem = file.file_stem().map(|s| s.to_string_lossy().into_owned());
    stem.with_context(|| format!("--out: expected a file, got {}", file.display()))
}

/// A bar on a terminal while keys and values are rebuilt, then a line for each thing found.
struct View {
    bar: ProgressBar,
    said: Instant,
}

/// How often a log gets a line.
const LOG_EVERY: Duration = Duration::from_secs(30);

impl View {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}, {eta} left") {
            bar.set_style(style);
        }
        Self {
            bar,
            said: Instant::now(),
        }
    }

    fn show(&mut self, event: &Event<'_>) {
        let line = match event {
            Event::Rebuilding(pass) => {
                self.bar.set_length(pass.of as u64);
                self.bar.set_position(pass.done as u64);
                self.bar.set_message("questions rebuilt");
                if self.bar.is_hidden() && self.said.elapsed() >= LOG_EVERY {
                    self.said = Instant::now();
                    eprintln!("{} of {} questions rebuilt", pass.done, pass.of);
                }
                return;
            }
            Event::CheckPoint(p) => format!("check at {}: {:.3}", p.at_tokens, p.auroc),
            Event::Layers(set) => format!("layers {:?}: {:.3}", set.layers, set.auroc),
            Event::Text(t) => format!(
                "text, {} + {} n-grams, {} hidden, decay {}: {:.3}",
                t.prefix_ngrams, t.prompt_ngrams, t.fit.hidden, t.fit.weight_decay, t.auroc
            ),
            Event::Head(h) => format!("{}: {:.3}", h.name, h.measured.auroc_within_question),
        };
        self.bar.suspend(|| eprintln!("{line}"));
    }
}
