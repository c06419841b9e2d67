//! `curt ask`: one question, answered by one path or by many.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use curt::answer::Answer;
use curt::format::{SectionEvent, SectionKind};
use curt::paths::{CheckTaken, ReasoningPath};
use curt::vision::Image;
use curt::{
    AskError, AskOptions, EngineOptions, Event, PromptFile, Question, SamplingDefaults, VoteRule,
    Voting,
};
use serde::Serialize;

use crate::checks::CheckArgs;
use crate::fields::as_flags;
use crate::format::{self, FormatArgs};
use crate::profile::ProfileArgs;
use curt_command::attention::AttentionName;
use curt_command::provider::{self, ProviderArgs};
use curt_command::{locate, note, out, output, signal};

/// What `curt ask` takes.
#[derive(clap::Args)]
pub struct Args {
    /// The question; `-` or nothing reads it from standard input.
    question: Option<String>,
    /// Package folder, or the name of one in curt's cache. Without it, the shipped package.
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,
    /// Image that the question is about: JPEG, PNG, WebP, GIF (its first frame) or BMP; `-` reads it from standard input. May
    /// be given several times, where the package takes several.
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,
    /// Most pixels of an image.
    #[arg(long, value_name = "N")]
    max_image_pixels: Option<usize>,
    /// Files of a transformers.js folder that has several of one graph: q4, q8, int8, uint8, fp32, fp16, q4f16 or bnb4; or
    /// GRAPH=TYPE parted by commas.
    #[arg(long, value_name = "TYPE")]
    dtype: Option<String>,
    /// System text, in place of the prompt file's.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Prompt file (TOML): system text, example turns, answer pattern, sampling; or a workload.toml, for its [prompt].
    /// Without it, the package's own.
    #[arg(long, value_name = "FILE")]
    prompt: Option<PathBuf>,
    /// Number of paths sampled from the question.
    #[arg(long, value_name = "N", default_value_t = 1)]
    paths: usize,
    /// How the paths' answers are combined: `majority`, `weighted` (the answer whose paths' scores add up to most) or `none`.
    /// Several paths vote by majority where an answer pattern is known.
    #[arg(long, value_name = "RULE", value_parser = voting)]
    vote: Option<Voting>,
    #[command(flatten)]
    checks: CheckArgs,
    #[command(flatten)]
    format: FormatArgs,
    /// Stop as soon as the paths that still run cannot change the winner.
    #[arg(long)]
    early_vote: bool,
    /// Stop when M paths have finished, and vote on these (short-m@k).
    #[arg(long, value_name = "M")]
    first_finished: Option<usize>,
    /// Regular expression that finds the answer in a path's text: its last match, the first group that took part. Or
    /// \boxed{}.
    #[arg(long, value_name = "RE")]
    answer_pattern: Option<String>,
    /// Divides the logits; 0 is greedy.
    #[arg(long, value_name = "T")]
    temperature: Option<f32>,
    /// Draw from the most probable tokens that together have this probability.
    #[arg(long, value_name = "P")]
    top_p: Option<f32>,
    /// Draw from the K most probable tokens; 0 draws from all.
    #[arg(long, value_name = "K")]
    top_k: Option<u32>,
    /// Draw from tokens at least this fraction as probable as the most probable.
    #[arg(long, value_name = "P")]
    min_p: Option<f32>,
    /// Above 1: makes tokens of the prompt and the path less likely.
    #[arg(long, value_name = "R")]
    repetition_penalty: Option<f32>,
    /// Never repeat N tokens in a row; 0 allows it.
    #[arg(long, value_name = "N")]
    no_repeat_ngram_size: Option<u32>,
    /// Let no path end before prompt and path together have N tokens.
    #[arg(long, value_name = "N")]
    min_length: Option<usize>,
    /// Same seed, same paths.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Most tokens a path may generate.
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Text that ends a path; may be given several times.
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
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
    /// Most bytes of KV cache. Without it, what the system says is available.
    #[arg(long, value_name = "BYTES")]
    max_kv_bytes: Option<u64>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Print the answer alone.
    #[arg(long, short)]
    quiet: bool,
}

/// Runs `curt ask`.
pub fn run(args: Args) -> Result<()> {
    let images = images(&args.image)?;
    let question = question(args.question.as_deref(), &args.image)?;
    let prompt = args.prompt.as_deref().map(PromptFile::read).transpose()?;
    let dir = match &args.package {
        None if !images.is_empty() => locate::vision_package()?,
        named => locate::package(named.as_deref())?,
    };
    let mut device = args.profile.device()?;
    let engine_options = args.providers.apply(device.open(EngineOptions {
        threads: args.threads,
        attention: args.attention.into(),
        dtype: args.dtype,
        ..EngineOptions::default()
    }))?;
    let mut engine = locate::open_engine_with(&dir, &engine_options)?;
    // Until here ctrl-C ends the process: there is nothing to lose yet.
    let cancel = signal::cancelled_by_ctrl_c();
    let defaults = AskOptions::default();
    let options = args.format.apply(AskOptions {
        prompt,
        system: args.system,
        paths: args.paths,
        vote: args.vote.unwrap_or_default(),
        answer_pattern: args.answer_pattern,
        sampling: SamplingDefaults {
            temperature: args.temperature,
            top_k: args.top_k,
            top_p: args.top_p,
            min_p: args.min_p,
            repetition_penalty: args.repetition_penalty,
            no_repeat_ngram_size: args.no_repeat_ngram_size,
            min_length: args.min_length,
            max_tokens: args.max_tokens,
        },
        seed: args.seed,
        stop: args.stop,
        prune: args.checks.options()?,
        early_vote: args.early_vote,
        first_finished: args.first_finished,
        max_kv_bytes: args.max_kv_bytes,
        max_image_pixels: args.max_image_pixels.unwrap_or(defaults.max_image_pixels),
        cancel,
        ..defaults
    });
    let options = device.ask(options, engine.package());
    let mut view = View {
        // Of paths that may be dropped, none is shown before the vote.
        stream: !args.json && !args.quiet && io::stdout().is_terminal() && options.prune.is_off(),
        report: !args.json && !args.quiet,
        paths: options.paths,
    };
    let mut question = Question::Text(question);
    if !images.is_empty() {
        question = question.about(images);
    }
    let answer = engine.ask(&question, &options, &mut |event| view.show(&event));
    if view.stream {
        out!("")?;
    }
    let (mut answer, error) = match answer {
        Ok(answer) => (answer, None),
        Err(AskError {
            error,
            partial: Some(answer),
        }) => (*answer, Some(error)),
        Err(AskError { error, .. }) => return Err(error.into()),
    };
    answer.notes.append(&mut device.notes);
    if args.json {
        output::json(&Answered {
            error: error.as_ref().map(ToString::to_string),
            answer: &answer,
        })?;
    } else if args.quiet && error.is_some() && options.paths > 1 {
        // What several paths together would have answered is not known.
    } else if args.quiet {
        print_answer(answer.answer.as_deref().unwrap_or(&answer.text))?;
    } else {
        print_text(&answer, view.stream)?;
        print_cost(&answer);
    }
    match error {
        None => Ok(()),
        Some(error) => Err(error.into()),
    }
}

/// The value of `--vote`.
fn voting(word: &str) -> Result<Voting, String> {
    match word {
        "majority" => Ok(Voting::By(VoteRule::Majority)),
        "weighted" => Ok(Voting::By(VoteRule::ScoreWeighted)),
        "none" => Ok(Voting::Off),
        _ => Err("expected majority, weighted or none".into()),
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Answered<'a> {
    /// What broke the question off; paths that ran then are `interrupted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(flatten)]
    answer: &'a Answer,
}

fn question(given: Option<&str>, images: &[PathBuf]) -> Result<String> {
    match given {
        Some(text) if text != "-" => Ok(text.to_string()),
        _ if images.iter().any(|file| file.as_os_str() == "-") => {
            bail!("standard input is read for an image: give the question as an argument")
        }
        None if io::stdin().is_terminal() => {
            note!("curt: type the question, then ctrl-D");
            read_question()
        }
        _ => read_question(),
    }
}

/// Most bytes of an image on standard input; what an image file may have follows from its pixels.
const IMAGE_BYTES: u64 = 1 << 30;

fn images(files: &[PathBuf]) -> Result<Vec<Image>> {
    let of_input = files.iter().filter(|file| file.as_os_str() == "-");
    if of_input.count() > 1 {
        bail!("standard input has one image at the most");
    }
    files
        .iter()
        .map(|file| {
            if file.as_os_str() != "-" {
                return Ok(Image::File(file.clone()));
            }
            let mut bytes = Vec::new();
            let input = io::stdin().lock();
            input
                .take(IMAGE_BYTES + 1)
                .read_to_end(&mut bytes)
                .context("reading the image from standard input")?;
            if bytes.len() as u64 > IMAGE_BYTES {
                bail!("expected an image of at most {IMAGE_BYTES} bytes, got more");
            }
            Ok(Image::Encoded {
                name: "-".into(),
                bytes: bytes.into(),
            })
        })
        .collect()
}

/// Most bytes of a question. What is longer than any context is refused before a tokenizer sees it.
const QUESTION_BYTES: u64 = 64 << 20;

fn read_question() -> Result<String> {
    read_text(io::stdin().lock())
        .context("reading the question from standard input")
        .map(without_line_end)
}

/// All that `from` has, without the byte order mark that some shells put before it.
fn read_text(from: impl Read) -> Result<String> {
    let mut bytes = Vec::new();
    from.take(QUESTION_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > QUESTION_BYTES {
        bail!("expected at most {QUESTION_BYTES} bytes, got more");
    }
    Ok(curt::files::text(Path::new("-"), bytes)?)
}

/// `text` without the one line end that a shell or an editor puts after the last line.
fn without_line_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

/// What a person sees while the paths decode.
struct View {
    /// Print path 0's text as it grows.
    stream: bool,
    /// Say what is planned.
    report: bool,
    paths: usize,
}

impl View {
    fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Planned(plan) if self.report => {
                let kv = &plan.kv;
                note!(
                    "KV cache: {}{} × {} tokens{} × {}{} = {}; logits: {}",
                    match kv.shared_tokens {
                        0 => String::new(),
                        n => format!("({n} shared tokens + "),
                    },
                    counted(kv.rows, "row"),
                    kv.capacity_tokens - kv.shared_tokens,
                    if kv.shared_tokens > 0 { ")" } else { "" },
                    bytes(kv.bytes_per_token),
                    match kv.copies {
                        1 => String::new(),
                        n => format!(" × {n} copies"),
                    },
                    bytes(kv.bytes),
                    bytes(plan.logits_bytes)
                );
                if self.paths > 1 && self.stream {
                    note!("path 0 of {}:", self.paths);
                }
            }
            Event::Text { path: 0, text } if self.stream => {
                // A terminal that is gone shows itself at the final print.
                let _ = output::answer(text);
            }
            Event::Section { path: 0, section } if self.stream => show_section(section),
            Event::Escalated(escalation) if self.report => {
                note!("{}", format::escalated(escalation));
            }
            Event::Checked { check, paths } if self.report => show_check(check, paths),
            _ => {}
        }
    }
}

/// A section as it comes; the answer is printed when it is known.
fn show_section(section: &SectionEvent<'_>) {
    // A terminal that is gone shows itself at the final print.
    let _ = match section {
        SectionEvent::Began(kind) => output::answer(&format!("{kind}: ")),
        SectionEvent::Text(_, text) => output::answer(text),
        SectionEvent::Ended(section) if section.kind == SectionKind::Answer => Ok(()),
        SectionEvent::Ended(_) => output::answer("\n"),
    };
}

/// One line a path, the best first.
fn show_check(check: &CheckTaken, paths: &[ReasoningPath]) {
    note!(
        "check at {} tokens by {}: {} of {} go on ({:.2} ms)",
        check.at_tokens,
        check.signal,
        check.kept,
        check.scored,
        check.score_ms
    );
    let mut scored: Vec<_> = paths
        .iter()
        .filter_map(|p| Some((p.id, p.scores.last().filter(|s| s.check == check.check)?)))
        .collect();
    scored.sort_by(|a, b| b.1.score.total_cmp(&a.1.score).then(a.0.cmp(&b.0)));
    for kept in [true, false] {
        let these: Vec<String> = scored
            .iter()
            .filter(|(_, score)| score.kept == kept)
            .map(|(path, score)| format!("{path} ({:.2})", score.score))
            .collect();
        if !these.is_empty() {
            let what = if kept { "go on" } else { "dropped" };
            note!("  {what:<8} {}", these.join(", "));
        }
    }
}

/// A text of the model, and the line end after it.
fn print_answer(text: &str) -> Result<()> {
    output::answer(text)?;
    out!("")
}

fn print_text(answer: &Answer, streamed: bool) -> Result<()> {
    let several = answer.paths.len() > 1;
    for note in &answer.notes {
        note!("note: {}", as_flags(note));
    }
    if !streamed && (!several || answer.votes.is_empty()) {
        for path in &answer.paths {
            if several {
                out!("path {}:", path.id)?;
            }
            if path.sections.is_empty() {
                print_answer(&path.text)?;
            } else {
                format::print_sections(answer, &path.sections)?;
            }
        }
    } else if !streamed {
        let shared = answer.format.as_ref().map_or(&[][..], |f| &f.shared);
        format::print_sections(answer, shared)?;
        let own = &answer.paths[answer.votes[0].paths[0]].sections;
        if own.is_empty() {
            print_answer(&answer.text)?;
        } else {
            format::print_sections(answer, own)?;
        }
    }
    if several && !answer.votes.is_empty() {
        let voters: Vec<_> = answer.paths.iter().filter(|p| p.finish.votes()).collect();
        let silent = voters.iter().filter(|p| p.answer.is_none()).count();
        for vote in &answer.votes {
            let of = voters.len();
            note!("{:>4} of {of}: {}", vote.paths.len(), vote.answer);
        }
        if silent > 0 {
            note!("{silent:>4} of {}: no answer", voters.len());
        }
    }
    if let Some(found) = &answer.answer {
        out!("answer: {found}")?;
    }
    Ok(())
}

fn print_cost(answer: &Answer) {
    for image in &answer.images {
        let seen = match image.encode_ms {
            Some(ms) => format!("seen in {ms:.0} ms"),
            None => "seen before".into(),
        };
        note!(
            "{}: {} x {} pixels, {}, {}, {seen}",
            image.name,
            image.width,
            image.height,
            counted(image.tiles, "tile"),
            counted(image.tokens, "token"),
        );
        for said in &image.notes {
            note!("note: {}: {said}", image.name);
        }
    }
    let tokens = &answer.tokens;
    let times = &answer.times;
    let reused = if tokens.reused > 0 {
        format!(" ({} from the cache)", tokens.reused)
    } else {
        String::new()
    };
    note!(
        "{} of prompt{reused}, {} generated by {}",
        counted(tokens.prompt, "token"),
        counted(tokens.generated, "token"),
        counted(answer.paths.len(), "path"),
    );
    if let Some(saved) = saved(answer) {
        note!("{saved}");
    }
    format::print_format(answer);
    for line in answer.probe.iter().flat_map(provider::probe_in_words) {
        note!("probe: {line}");
    }
    if let Some(placed) = provider::in_words(&answer.placement) {
        note!("{placed}");
    }
    let mut line = format!(
        "load {:.0} ms, prefill {:.1} ms, fork {:.1} ms, decode {:.1} ms ({:.0} tokens/s)",
        times.load_ms,
        times.prefill_ms,
        times.fork_ms,
        times.decode_ms,
        // A path's first token comes from the prefill's logits.
        tokens.generated.saturating_sub(answer.paths.len()) as f64 / times.decode_ms * 1e3,
    );
    if let (Some(check), Some(compact)) = (times.check_ms, times.compact_ms) {
        line.push_str(&format!(", check {check:.2} ms, compact {compact:.2} ms"));
    }
    if let Some(vote) = times.vote_ms {
        line.push_str(&format!(", vote {vote:.2} ms"));
    }
    if let Some(peak) = answer.peak_resident_bytes {
        line.push_str(&format!(", peak {}", bytes(peak)));
    }
    note!("{line}");
}

/// What pruning saved, as far as this one run can say: the paths that went on tell how long the others would have been.
fn saved(answer: &Answer) -> Option<String> {
    let lengths = |wanted: bool| {
        let these = answer
            .paths
            .iter()
            .filter(move |p| p.finish.votes() == wanted);
        these.map(|p| p.tokens.len())
    };
    let (whole, cut) = (lengths(true).count(), lengths(false).count());
    if whole == 0 || cut == 0 {
        return None;
    }
    let mean = lengths(true).sum::<usize>() as f64 / whole as f64;
    let rest: f64 = lengths(false).map(|n| (mean - n as f64).max(0.0)).sum();
    let spent = answer.tokens.generated as f64;
    Some(format!(
        "about {rest:.0} tokens saved of {:.0} ({:.0} %), had {} gone on to the mean {mean:.0} tokens of the {whole} others",
        spent + rest,
        100.0 * rest / (spent + rest),
        counted(cut, "path"),
    ))
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Bytes in the unit that leaves one to three digits.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::{QUESTION_BYTES, read_text, without_line_end};

    #[test]
    fn a_question_from_elsewhere_is_bounded_and_has_no_mark() {
        assert_eq!(read_text(&b"\xef\xbb\xbfhi\n"[..]).unwrap(), "hi\n");
        let error = format!("{:#}", read_text(&b"h\xff"[..]).unwrap_err());
        assert!(error.contains("UTF-8"), "{error}");
        let error = read_text(std::io::repeat(b'a')).unwrap_err().to_string();
        assert!(error.contains(&QUESTION_BYTES.to_string()), "{error}");
    }

    #[test]
    fn only_the_last_line_end_goes() {
        for (given, asked) in [
            ("    x = 1\n", "    x = 1"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            ("a \r", "a \r"),
            ("  ", "  "),
            ("", ""),
        ] {
            assert_eq!(without_line_end(given.into()), asked, "{given:?}");
        }
    }
}
