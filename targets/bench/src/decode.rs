//! `curt-bench decode`: prefill once, fork, decode N paths greedily, time each phase.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use curt::files::read_text;
use curt::generate::{Decoder, DecoderPlan, MemoryLimits, Room, Sampling};
use curt::paths::{AllDrawn, Ending, Launch, PathId, ReasoningPath, Watch, launch};
use curt::session::SessionOptions;
use curt::{Package, metrics};
use serde::Serialize;

use curt_command::attention::AttentionName;
use curt_command::{locate, out, signal};

/// Most bytes of a list of token ids.
const IDS_BYTES: u64 = 16 << 20;

/// What `curt-bench decode` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Package folder, or the name of one in curt's cache. Without it, the shipped package.
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,
    /// Numbers of paths, one measurement each.
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "1,8,16"
    )]
    batch: Vec<usize>,
    /// Tokens of the prompt, drawn from the vocabulary by a fixed rule.
    #[arg(long, value_name = "N", default_value_t = 190)]
    prompt_tokens: usize,
    /// The prompt's token ids, a JSON list, in place of drawn ones.
    #[arg(long, value_name = "FILE")]
    prompt_ids: Option<PathBuf>,
    /// Greedy token ids that every path must begin with, a JSON list: checked before anything is timed.
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Tokens each path generates.
    #[arg(long, value_name = "N", default_value_t = 64)]
    new_tokens: usize,
    /// Measurements of each batch, after one that warms up and is checked.
    #[arg(long, value_name = "N", default_value_t = 1)]
    repeat: usize,
    /// Threads inside one operator. Without it, as many as there are cores.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Whether paths share one copy of their prompt's keys and values.
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    attention: AttentionName,
    /// Do not warm up: the first run is the measurement, and is checked after.
    #[arg(long)]
    cold: bool,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// One measurement.
#[derive(Serialize)]
struct Measurement {
    runtime: &'static str,
    package: String,
    batch: usize,
    prompt_tokens: usize,
    new_tokens: usize,
    threads: usize,
    /// Which attention ran: `shared` or `dense`.
    attention: &'static str,
    load_ms: f64,
    prefill_ms: f64,
    fork_ms: f64,
    decode_ms: f64,
    /// Prefill, fork and decode.
    wall_ms: f64,
    /// Of decoding, what attention took where it is curt's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    attention_ms: Option<f64>,
    /// From the beginning of `main` to the first token, in a cold run.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_token_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_resident_bytes: Option<u64>,
}

/// Runs `curt-bench decode`.
pub fn run(args: Args) -> Result<()> {
    let started = Instant::now();
    let dir = locate::package(args.package.as_deref())?;
    locate::load_library()?;
    let largest = args.batch.iter().copied().max().unwrap_or(1);
    let package = Package::open(&dir)?;
    let prompt = match &args.prompt_ids {
        Some(file) => ids(file)?,
        None => (0..args.prompt_tokens as u64)
            .map(|i| {
                (i.wrapping_mul(2_654_435_761) >> 8) as u32 % package.text().vocabulary() as u32
            })
            .collect(),
    };
    let expected = args.expect.as_deref().map(ids).transpose()?;
    if expected.as_ref().is_some_and(Vec::is_empty) {
        bail!("--expect: expected at least one token id, got an empty list");
    }
    if args.new_tokens < 2 || args.batch.contains(&0) {
        bail!("--new-tokens takes 2 or more, --batch 1 or more");
    }
    if args.cold && (args.batch.len() > 1 || args.repeat != 1) {
        bail!("--cold measures one --batch once: only the first run of a process is cold");
    }
    let (layout, attention) = package.graph().attention(args.attention.into());
    let room = Room {
        rows: largest,
        prompt_tokens: prompt.len(),
        prefill_tokens: prompt.len(),
        capacity_tokens: prompt.len() + args.new_tokens,
    };
    let limits = MemoryLimits {
        bytes: metrics::available_bytes(),
        ..MemoryLimits::default()
    };
    let plan = DecoderPlan::new(&package, layout, room, limits)?.kv;
    let options = SessionOptions {
        threads: args.threads,
        ..SessionOptions::default()
    };
    let mut decoder = Decoder::open(&package, plan, &options)?;
    let cancel = signal::cancelled_by_ctrl_c();
    let load_ms = started.elapsed().as_secs_f64() * 1e3;
    if !args.json {
        out!(
            "{:>6} {:>12} {:>14} {:>9} {:>12} {:>14} {:>10}",
            "paths",
            "prefill ms",
            "prefill tok/s",
            "fork ms",
            "decode ms",
            "decode tok/s",
            "wall ms"
        )?;
    }
    let mut reference: Option<Vec<u32>> = expected;
    for &batch in &args.batch {
        for round in 0..args.repeat + usize::from(!args.cold) {
            let mut first = FirstToken {
                started,
                after: None,
            };
            decoder.restart(plan, 0, None)?;
            let clock = Instant::now();
            decoder.prefill(&prompt, &cancel)?;
            let prefill_ms = clock.elapsed().as_secs_f64() * 1e3;
            let spent = decoder.kv().attention_time();
            let launched = Launch {
                paths: batch,
                prompt: &prompt,
                sampling: Sampling::default(),
                seed: 0,
                max_tokens: args.new_tokens,
                context_tokens: package.context_tokens(),
                eos_ids: &[],
                reading: None,
                checks: &[],
                show_kv_at: &[],
                ending: Ending::default(),
                cancel: &cancel,
            };
            let done = launch(&mut decoder, &launched, &mut AllDrawn, &mut first)?.whole()?;
            let wall_ms = clock.elapsed().as_secs_f64() * 1e3;
            check(&done.paths, &mut reference)?;
            if round == 0 && !args.cold {
                continue;
            }
            let measurement = Measurement {
                runtime: "curt",
                package: dir
                    .file_name()
                    .map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
                batch,
                prompt_tokens: prompt.len(),
                new_tokens: args.new_tokens,
                threads: args
                    .threads
                    .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
                attention: attention.name(),
                load_ms,
                prefill_ms,
                fork_ms: done.fork.as_secs_f64() * 1e3,
                decode_ms: done.decode.as_secs_f64() * 1e3,
                wall_ms,
                attention_ms: spent
                    .zip(decoder.kv().attention_time())
                    .map(|(before, after)| (after - before).as_secs_f64() * 1e3),
                first_token_ms: args
                    .cold
                    .then(|| first.after.map(|t| t.as_secs_f64() * 1e3))
                    .flatten(),
                peak_resident_bytes: metrics::peak_resident_bytes(),
            };
            print(&measurement, args.json)?;
        }
    }
    Ok(())
}

/// Greedy paths of one prompt are all the same, at every number of paths, and begin as the reference does.
fn check(paths: &[ReasoningPath], reference: &mut Option<Vec<u32>>) -> Result<()> {
    let reference = reference.get_or_insert_with(|| paths[0].tokens.clone());
    for path in paths {
        let same = path
            .tokens
            .iter()
            .zip(reference.iter())
            .take_while(|(a, b)| a == b)
            .count();
        let wanted = reference.len().min(path.tokens.len());
        if same < wanted {
            bail!(
                "nothing is timed: path {} of {} differs from the reference at token {same}: expected {}, got {}",
                path.id,
                paths.len(),
                reference[same],
                path.tokens[same]
            );
        }
    }
    Ok(())
}

fn ids(file: impl AsRef<std::path::Path>) -> Result<Vec<u32>> {
    let file = file.as_ref();
    let text = read_text(file, IDS_BYTES, "reading token ids")?;
    serde_json::from_str(&text)
        .with_context(|| format!("{}: expected a JSON list of token ids", file.display()))
}

fn print(m: &Measurement, json: bool) -> Result<()> {
    if json {
        out!("{}", serde_json::to_string(m)?)?;
        return Ok(());
    }
    // The first token comes from the prefill's logits: the model runs once less than there are tokens.
    let steps = (m.new_tokens - 1) * m.batch;
    out!(
        "{:>6} {:>12.1} {:>14.0} {:>9.2} {:>12.1} {:>14.0} {:>10.1}",
        m.batch,
        m.prefill_ms,
        m.prompt_tokens as f64 / m.prefill_ms * 1e3,
        m.fork_ms,
        m.decode_ms,
        steps as f64 / m.decode_ms * 1e3,
        m.wall_ms
    )?;
    Ok(())
}

/// Notes when the first token was taken.
struct FirstToken {
    /// The process's beginning.
    started: Instant,
    after: Option<Duration>,
}

impl Watch for FirstToken {
    fn token(&mut self, _path: PathId, _token: u32) {
        self.after.get_or_insert_with(|| self.started.elapsed());
    }
}
