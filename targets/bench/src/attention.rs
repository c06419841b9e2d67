//! `curt-bench attention`: decoding with a shared prompt and with a cache for each path, in turn.
//!
//! Every measurement is a process of its own (`curt-bench decode`), so that peaks of memory are those of one attention; the
//! two attentions of a round follow each other, and ratios are taken within a round.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use curt::Package;
use serde::Deserialize;
use time::macros::format_description;

use crate::head::machine::{self, Machine};
use crate::head::peers;
use curt_command::{locate, note, out};

/// Folder of the records, from the checkout's root.
const RECORDS: &str = "targets/records";

/// Bytes that the machine's read bandwidth is measured on: more than its caches hold.
const READ_BYTES: usize = 1 << 30;

/// What `curt-bench attention` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Package folder, or the name of one in curt's cache.
    #[arg(long, value_name = "DIR")]
    package: PathBuf,
    /// Numbers of paths.
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "1,16,64"
    )]
    batch: Vec<usize>,
    /// Tokens of the prompt.
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "190,1024,2048"
    )]
    prompt_tokens: Vec<usize>,
    /// Tokens each path generates.
    #[arg(long, value_name = "N", default_value_t = 24)]
    new_tokens: usize,
    /// Rounds: each measures both attentions once.
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Threads inside one operator. Without it, as many as there are cores.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Write `targets/records/DEVICE/DATE-shared-prompt.md`.
    #[arg(long, value_name = "DEVICE")]
    record: Option<String>,
}

/// What is read of a measurement.
#[derive(Debug, Clone, Deserialize)]
struct Measured {
    attention: String,
    prefill_ms: f64,
    fork_ms: f64,
    decode_ms: f64,
    attention_ms: Option<f64>,
    peak_resident_bytes: Option<u64>,
}

/// Both attentions of one round.
struct Round {
    dense: Measured,
    shared: Measured,
    load: Option<f64>,
}

/// Runs `curt-bench attention`.
pub fn run(args: Args) -> Result<()> {
    let dir = locate::package(Some(&args.package))?;
    let package = Package::open(&dir)?;
    let (_, report) = package.graph().attention(curt::Attention::Shared);
    if !report.shared {
        bail!(
            "{}: its paths cannot share a prompt: {}",
            dir.display(),
            report.in_words()
        );
    }
    if args.rounds == 0 || args.new_tokens < 2 {
        bail!("--rounds takes 1 or more, --new-tokens 2 or more");
    }
    let per_token = package.graph().geometry().bytes_per_token();
    let bandwidth = read_bandwidth();
    let mut lines = vec![
        "| prompt | paths | dense step, ms | shared step, ms | step, times | prefill, times | fork, ms | peak, MiB | attention, GB/s |"
            .to_owned(),
        "|---|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    lines.iter().try_for_each(|line| out!("{line}"))?;
    let mut loads = Vec::new();
    for &prompt in &args.prompt_tokens {
        for &batch in &args.batch {
            let mut rounds = Vec::new();
            for round in 0..args.rounds {
                note!("{prompt} tokens, {batch} paths, round {}", round + 1);
                let load = machine::load();
                let dense = measure(&args, &dir, prompt, batch, "dense")?;
                let shared = measure(&args, &dir, prompt, batch, "shared")?;
                rounds.push(Round {
                    dense,
                    shared,
                    load,
                });
            }
            loads.extend(rounds.iter().filter_map(|round| round.load));
            // Keys and values of prompt and suffixes, each read once a step; the suffix is on average half as long as it gets.
            let read = per_token as f64 * (prompt as f64 + (batch * args.new_tokens) as f64 / 2.0);
            let line = row(&rounds, (prompt, batch), args.new_tokens - 1, read);
            out!("{line}")?;
            lines.push(line);
        }
    }
    let (least, most) = loads
        .iter()
        .fold((f64::INFINITY, 0.0f64), |(a, b), &x| (a.min(x), b.max(x)));
    let note = format!(
        "Load before a round: {least:.1} to {most:.1}. One thread reads {bandwidth:.1} GB/s from memory."
    );
    out!("{note}")?;
    match &args.record {
        Some(device) => write(device, &args, &lines, &note),
        None => Ok(()),
    }
}

/// One process: a warm run whose tokens are checked, then the measurement.
fn measure(
    args: &Args,
    dir: &Path,
    prompt: usize,
    batch: usize,
    attention: &str,
) -> Result<Measured> {
    let mut command = Command::new(std::env::current_exe().context("this program's own file")?);
    command
        .arg("decode")
        .arg("--json")
        .arg("--package")
        .arg(dir);
    for (option, value) in [
        ("--batch", batch),
        ("--prompt-tokens", prompt),
        ("--new-tokens", args.new_tokens),
    ] {
        command.arg(option).arg(value.to_string());
    }
    command.args(["--attention", attention]);
    if let Some(threads) = args.threads {
        command.arg("--threads").arg(threads.to_string());
    }
    let output = command.output().context("running curt-bench decode")?;
    if !output.status.success() {
        bail!(
            "curt-bench decode, {attention}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let measured: Measured =
        serde_json::from_slice(&output.stdout).context("a measurement of curt-bench decode")?;
    if measured.attention != attention {
        bail!("expected {attention} attention, got {}", measured.attention);
    }
    Ok(measured)
}

/// Medians over the rounds.
fn row(rounds: &[Round], (prompt, batch): (usize, usize), steps: usize, read: f64) -> String {
    let median = |of: &dyn Fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
    };
    let steps = steps as f64;
    let mib = |m: &Measured| m.peak_resident_bytes.unwrap_or(0) as f64 / f64::from(1 << 20);
    let speed = |r: &Round| read * steps / (r.shared.attention_ms.unwrap_or(f64::NAN) * 1e6);
    format!(
        "| {prompt} | {batch} | {:.1} | {:.1} | {:.2} | {:.2} | {:.2} → {:.3} | {:.0} → {:.0} | {:.1} |",
        median(&|r| r.dense.decode_ms / steps),
        median(&|r| r.shared.decode_ms / steps),
        median(&|r| r.dense.decode_ms / r.shared.decode_ms),
        median(&|r| r.dense.prefill_ms / r.shared.prefill_ms),
        median(&|r| r.dense.fork_ms),
        median(&|r| r.shared.fork_ms),
        median(&|r| mib(&r.dense)),
        median(&|r| mib(&r.shared)),
        median(&speed),
    )
}

/// GB/s that one thread reads from memory: the best of several passes.
fn read_bandwidth() -> f64 {
    let bytes = vec![1u8; READ_BYTES];
    let pass = || {
        let clock = std::time::Instant::now();
        std::hint::black_box(peers::read(std::hint::black_box(&bytes)));
        READ_BYTES as f64 / clock.elapsed().as_secs_f64() / 1e9
    };
    (0..5).map(|_| pass()).fold(0.0, f64::max)
}

fn write(device: &str, args: &Args, lines: &[String], note: &str) -> Result<()> {
    let date = time::OffsetDateTime::now_utc()
        .format(format_description!("[year]-[month]-[day]"))
        .context("today's date")?;
    let commit = machine::commit();
    let list = |of: &[usize]| {
        of.iter()
            .map(usize::to_string)
            .collect::<Vec<_>>()
            .join(",")
    };
    let text = format!(
        "# Paths that share their prompt, {device}, {date}\n\n\
         `curt-bench attention --package {package} --batch {batch} --prompt-tokens {prompt} --new-tokens {new} --rounds \
         {rounds} --record {device}` at {commit}.\n\n\
         * {machine}.\n* {note}\n\
         * *dense*: each path has all keys and values, read by GroupQueryAttention of ONNX Runtime {version}; *shared*: \
         one copy of the prompt's, read by curt's own attention. Each measurement is a process that has run once to warm \
         up, and whose greedy tokens are the same on every path; dense and shared follow each other, ratios are taken \
         within a round, all figures are medians. *attention*: bytes of keys and values over the time that curt's \
         attention takes, in all layers and on all threads.\n\n{table}\n",
        package = args.package.display(),
        batch = list(&args.batch),
        prompt = list(&args.prompt_tokens),
        new = args.new_tokens,
        rounds = args.rounds,
        commit = commit.get(..12).unwrap_or(&commit),
        machine = Machine::here().describe(),
        version = {
            locate::load_library()?;
            curt::session::library_info()?.version
        },
        table = lines.join("\n"),
    );
    let folder = Path::new(RECORDS).join(device);
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let file = folder.join(format!("{date}-shared-prompt.md"));
    std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    out!("wrote {}", file.display())?;
    Ok(())
}
