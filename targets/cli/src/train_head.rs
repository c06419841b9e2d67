//! `curt train-head`: a stop head, and its controls, from the paths that `curt collect` wrote.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use curt::head::HeadFile;
use curt_train::controls::Kinds;
use curt_train::dataset::Data;
use curt_train::fit::FitOptions;
use curt_train::{Event, PoolingKind, TrainOptions, Trained, report, train};
use curt_workload::Workload;
use indicatif::{ProgressBar, ProgressStyle};

use curt_command::attention::AttentionName;
use curt_command::{locate, note, out, signal};

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
    /// Also write the controls that are trained along into this folder, by name: `kv-only`, `logprob`, `text`,
    /// `logprob-text`; `kv-logprob` where the head reads otherwise.
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
    /// Whether paths share one copy of their prompt's keys and values.
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    attention: AttentionName,
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
    let kinds = Kinds {
        kv: args.inputs.contains(&Input::Kv),
        logprob: args.inputs.contains(&Input::Logprob),
        text: args.inputs.contains(&Input::Text),
    };
    let outputs = Outputs::new(&args.out, kinds, args.controls.as_deref())?;
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
    note!("loading {}", package.display());
    let mut engine = locate::open_engine(Some(&package), args.threads, args.attention)?;
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
        kinds,
        check_at,
        layers,
        pooling: args.pooling.map(|p| match p {
            Pooling::Mean => PoolingKind::Mean,
            Pooling::Attend => PoolingKind::Attend,
        }),
        budget_share: args.budget,
        fit: FitOptions::default(),
        seed: args.seed,
        cancel: signal::cancelled_by_ctrl_c(),
    };
    let clock = Instant::now();
    let mut view = View::new();
    let trained = train(&mut engine, &workload, &data, &options, &mut |event| {
        view.show(&event)
    });
    view.bar.finish_and_clear();
    let mut trained = trained?;
    outputs.write(&mut trained)?;
    out!("{}", report::render(&trained.report).trim_end())?;
    out!(
        "{}: {:.0} s",
        args.out.display(),
        clock.elapsed().as_secs_f64()
    )
}

/// Files to write.
struct Outputs {
    /// The head, and the controls where wanted, in the order in which they are trained.
    heads: Vec<PathBuf>,
    report: PathBuf,
}

impl Outputs {
    /// The files of a head of `kinds` in `out`, and of its controls in the folder `controls`. No two are the same, so that
    /// hours of training do not end with one written over another.
    fn new(out: &Path, kinds: Kinds, controls: Option<&Path>) -> Result<Self> {
        let mut heads = vec![out.to_path_buf()];
        if let Some(dir) = controls {
            let names = kinds.controls().into_iter().map(Kinds::name);
            heads.extend(names.map(|name| dir.join(name).with_extension("safetensors")));
        }
        let report = out.with_extension("report.json");
        let mut seen = BTreeSet::new();
        for file in heads.iter().chain([&report]) {
            if !seen.insert(whole(file)?) {
                bail!(
                    "--out, --controls: expected files of different names, got {} twice: name another --out, or another \
                     folder for the controls",
                    file.display()
                );
            }
        }
        Ok(Self { heads, report })
    }

    /// Writes the heads, and the report beside the first.
    fn write(&self, trained: &mut Trained) -> Result<()> {
        for (number, (head, file)) in trained.heads.iter().zip(&self.heads).enumerate() {
            trained.report.heads[number].file_bytes = Some(write_head(head, file)?);
        }
        let mut text = serde_json::to_string_pretty(&trained.report)?;
        text.push('\n');
        fs::write(&self.report, text).with_context(|| format!("writing {}", self.report.display()))
    }
}

/// `file` with its folder spelt out, as far as that is there.
fn whole(file: &Path) -> Result<PathBuf> {
    let file = std::path::absolute(file).with_context(|| format!("--out: {}", file.display()))?;
    let dir = file.parent().and_then(|dir| dir.canonicalize().ok());
    Ok(match (dir, file.file_name()) {
        (Some(dir), Some(name)) => dir.join(name),
        _ => file,
    })
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
                    note!("{} of {} questions rebuilt", pass.done, pass.of);
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
        self.bar.suspend(|| note!("{line}"));
    }
}
