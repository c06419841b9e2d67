//! `curt doctor`: what this machine has, and whether it computes what it should.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use curt::engine::{AskOptions, Engine, EngineOptions, Question};
use curt::files::read_text;
use curt::session::Provider;
use curt::{Attention, SamplingDefaults};
use serde::Deserialize;

use crate::profile::ProfileArgs;
use curt_command::attention::AttentionName;
use curt_command::output::one_line;
use curt_command::provider::{self, ProviderArgs};
use curt_command::{locate, out};

/// File of a package that holds greedy transcripts made by its recipe.
const TRANSCRIPT: &str = "transcript.json";
/// Most bytes of it: some hundred prompts of some thousand tokens.
const TRANSCRIPT_BYTES: u64 = 16 << 20;

/// What `curt doctor` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Package folder, or the name of one in curt's cache. Without it, the shipped package.
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,
    /// Threads inside one operator. Without it, as many as there are cores.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Whether paths share one copy of their prompt's keys and values.
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    attention: AttentionName,
    #[command(flatten)]
    providers: ProviderArgs,
    #[command(flatten)]
    profile: ProfileArgs,
}

#[derive(Deserialize)]
struct Transcript {
    onnxruntime: String,
    prompts: Vec<TranscribedPrompt>,
}

#[derive(Deserialize)]
struct TranscribedPrompt {
    ids: Vec<u32>,
    greedy: Vec<u32>,
}

/// Runs `curt doctor`. Fails where the replay differs.
pub fn run(args: Args) -> Result<()> {
    let line = |name: &str, value: String| out!("{name:<16}{}", one_line(&value));
    line("curt", env!("CARGO_PKG_VERSION").into())?;
    line(
        "machine",
        format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    )?;
    if let Some(model) = cpu_model() {
        line("processor", model)?;
    }
    line(
        "cores",
        std::thread::available_parallelism().map_or("not known".into(), |n| n.to_string()),
    )?;
    line("ISA", isa().join(" "))?;
    let device = args.profile.device()?;
    if let Some(profile) = &device.profile {
        let by = device.by.as_deref().unwrap_or("asked for");
        line(
            "profile",
            format!("{}: {} ({by})", profile.name, profile.device),
        )?;
        for [what, value, why, record] in profile.lines() {
            line("", format!("{what}: {value} ({why}; {record})"))?;
        }
    }
    for said in &device.notes {
        line("", said.clone())?;
    }
    locate::load_library()?;
    let library = curt::session::library_info()?;
    line(
        "ONNX Runtime",
        format!("{} ({})", library.version, library.file.display()),
    )?;
    line(
        "its EPs",
        format!(
            "{} (compiled in, which does not mean usable)",
            library.providers.join(", ")
        ),
    )?;
    let here: Vec<String> = Provider::compiled_in().map(|p| p.to_string()).collect();
    line("curt's EPs", here.join(", "))?;

    let dir = locate::package(args.package.as_deref())?;
    let options = args.providers.apply(device.open(EngineOptions {
        threads: args.threads,
        attention: args.attention.into(),
        ..EngineOptions::default()
    }))?;
    let mut engine = locate::open_engine_with(&dir, &options)?;
    line("package", dir.display().to_string())?;
    for said in engine
        .probed()
        .iter()
        .flat_map(|p| provider::probe_in_words(p))
    {
        line("probe", said)?;
    }
    for row in &engine.placement().providers {
        if let (true, Some(why)) = (row.requested, &row.reason) {
            line("not used", format!("{}: {why}", row.name))?;
        }
    }
    if let Some(placed) = provider::in_words(engine.placement()) {
        line("placement", placed)?;
    }
    line("attention", engine.attention().in_words())?;
    let rows = engine.probe_row_invariance()?;
    line(
        "rows",
        if rows.invariant {
            format!(
                "invariant to their batch (bit-identical at {:?} rows, {} steps)",
                rows.batches, rows.steps
            )
        } else {
            format!(
                "depend on their batch: logits differ by up to {:.2e} at {:?} rows; what a path says can depend on the \
                 paths beside it",
                rows.max_difference, rows.batches
            )
        },
    )?;
    if engine.attention().shared {
        // A transcript is of another runtime, whose sums are the graph's own.
        drop(engine);
        let options = EngineOptions {
            attention: Attention::Dense,
            ..options
        };
        engine = locate::open_engine_with(&dir, &options)?;
    }
    replay(&dir, &mut engine)
}

/// Decodes the package's transcripts greedily and compares token by token.
fn replay(dir: &Path, engine: &mut Engine) -> Result<()> {
    let file = dir.join(TRANSCRIPT);
    if !file.exists() {
        return out!("{:<16}none in this package", "transcript");
    }
    let text = read_text(&file, TRANSCRIPT_BYTES, "reading the transcript")?;
    let transcript: Transcript = serde_json::from_str(&text)
        .with_context(|| format!("{}: expected a transcript", file.display()))?;
    if transcript.prompts.is_empty() {
        bail!("{}: expected at least one prompt, got none", file.display());
    }
    let mut same = 0;
    let mut first_difference = None;
    for (i, prompt) in transcript.prompts.iter().enumerate() {
        let options = AskOptions {
            sampling: SamplingDefaults {
                temperature: Some(0.0),
                repetition_penalty: Some(1.0),
                no_repeat_ngram_size: Some(0),
                min_length: Some(0),
                max_tokens: Some(prompt.greedy.len()),
                ..SamplingDefaults::default()
            },
            reuse: false,
            ..AskOptions::default()
        };
        let answer = engine.ask(&Question::Tokens(prompt.ids.clone()), &options, &mut |_| {})?;
        let got = &answer.paths[0].tokens;
        if *got == prompt.greedy {
            same += 1;
        } else if first_difference.is_none() {
            let at = got
                .iter()
                .zip(&prompt.greedy)
                .take_while(|(a, b)| a == b)
                .count();
            first_difference = Some(format!(
                "prompt {i}, token {at}: expected {:?}, got {:?}",
                prompt.greedy.get(at),
                got.get(at)
            ));
        }
    }
    let all = transcript.prompts.len();
    out!(
        "{:<16}{same} of {all} replay token for token (made with ONNX Runtime {})",
        "transcript",
        transcript.onnxruntime
    )?;
    match first_difference {
        None => Ok(()),
        Some(difference) => bail!(
            "this machine does not compute what it should: {difference}. A near-tie between two tokens can fall either \
             way with another ONNX Runtime version or processor; a long row of differences is a broken build"
        ),
    }
}

fn cpu_model() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

/// Instruction sets that matter to inference, of those this processor has.
fn isa() -> Vec<&'static str> {
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        let sets = [
            ("sse4.2", is_x86_feature_detected!("sse4.2")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("fma", is_x86_feature_detected!("fma")),
            ("f16c", is_x86_feature_detected!("f16c")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512bw", is_x86_feature_detected!("avx512bw")),
            ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
            ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
            ("avxvnni", is_x86_feature_detected!("avxvnni")),
        ];
        found.extend(sets.iter().filter(|(_, has)| *has).map(|(name, _)| *name));
    }
    #[cfg(target_arch = "aarch64")]
    {
        let sets = [
            ("neon", std::arch::is_aarch64_feature_detected!("neon")),
            ("fp16", std::arch::is_aarch64_feature_detected!("fp16")),
            (
                "dotprod",
                std::arch::is_aarch64_feature_detected!("dotprod"),
            ),
            ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
            ("bf16", std::arch::is_aarch64_feature_detected!("bf16")),
            ("sve", std::arch::is_aarch64_feature_detected!("sve")),
        ];
        found.extend(sets.iter().filter(|(_, has)| *has).map(|(name, _)| *name));
    }
    if found.is_empty() {
        found.push("none of those known here");
    }
    found
}
