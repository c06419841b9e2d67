//! The options of a response's format, and what is shown of it.

use std::path::PathBuf;

use anyhow::Result;
use curt::answer::{Answer, Escalation, EscalationReason};
use curt::format::{Section, SectionFinish, SectionKind};
use curt::{AskOptions, CalibrationSource, Format, SectionCaps};

use curt_command::{note, out, output};

/// Options of a response's format.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct FormatArgs {
    /// Shape of the response: `direct` (the answer alone), `perception` (what is seen, then the answer), `full` (reasoning
    /// between them), `cascade` (direct; where that is not certain enough, perception, then full; needs `curt calibrate`) or
    /// `auto` (the model chooses, where its package has formats).
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = format)]
    format: Format,
    /// Most tokens of the perception section.
    #[arg(long, value_name = "N")]
    perception_tokens: Option<usize>,
    /// Most tokens of the reasoning section (`<think>` of reasoning models).
    #[arg(long, value_name = "N")]
    reasoning_tokens: Option<usize>,
    /// Most tokens of the answer section.
    #[arg(long, value_name = "N")]
    answer_tokens: Option<usize>,
    /// Time in which the answer should be there: formats that do not fit are not chosen, and sections are closed in time.
    #[arg(long, value_name = "MS")]
    deadline_ms: Option<u64>,
    /// Calibration of the cascade. Without it, the package's own.
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
}

impl FormatArgs {
    /// `options` with what they say.
    pub fn apply(self, options: AskOptions) -> AskOptions {
        AskOptions {
            format: self.format,
            section_caps: SectionCaps {
                perception: self.perception_tokens,
                reasoning: self.reasoning_tokens,
                answer: self.answer_tokens,
            },
            deadline_ms: self.deadline_ms,
            calibration: self.calibration.map(CalibrationSource::File),
            ..options
        }
    }
}

/// The value of `--format`.
fn format(word: &str) -> Result<Format, String> {
    let wrong = "expected auto, direct, perception, full or cascade";
    word.parse().map_err(|_| wrong.into())
}

/// Prints the sections before an answer, each on a line of its own, and the answer's where nothing was found in it.
pub fn print_sections(answer: &Answer, sections: &[Section]) -> Result<()> {
    for section in sections {
        if section.kind == SectionKind::Answer && answer.answer.is_some() {
            continue;
        }
        out!("{}:", section.kind)?;
        output::answer(&section.text)?;
        out!("")?;
    }
    Ok(())
}

/// Says what format the answer has, how it came to it, and what each section cost.
pub fn print_format(answer: &Answer) {
    let Some(format) = &answer.format else { return };
    let mut line = match format.used {
        Some(used) => format!("format: {used}"),
        None => "format: none of the three (sections are missing or out of order)".into(),
    };
    if let Some(read) = format.read_out() {
        line.push_str(&format!(
            ", P(direct) {:.3} (margin {:+.2}), {:.1e} outside the formats",
            read.p_answer, read.margin, read.off_grammar
        ));
    }
    if let Some(confidence) = format.confidence {
        line.push_str(&format!(", accepted at confidence {confidence:.3}"));
    }
    note!("{line}");
    for escalation in &format.escalations {
        note!("  {}", escalated(escalation));
    }
    let speaker = answer.votes.first().map_or(0, |vote| vote.paths[0]);
    let own = answer
        .paths
        .get(speaker)
        .map_or(&[][..], |path| &path.sections);
    for section in format.shared.iter().chain(own) {
        let forced = match section.forced_tokens {
            0 => String::new(),
            n => format!(" ({n} forced)"),
        };
        let ended = match section.finish {
            SectionFinish::Closed => "",
            SectionFinish::Omitted => ", without its closing tag",
            SectionFinish::Cap => ", closed at its cap",
            SectionFinish::Loop => ", closed since it repeated itself",
            SectionFinish::Deadline => ", closed for the deadline",
            SectionFinish::MaxTokens => ", closed for lack of tokens",
            SectionFinish::End => ", cut off",
        };
        let (kind, tokens, ms) = (section.kind, section.tokens, section.ms);
        note!("  {kind:<10} {tokens:>4} tokens{forced}, {ms:.1} ms{ended}");
    }
}

/// What became of an answer of the cascade.
pub fn escalated(escalation: &Escalation) -> String {
    let Escalation {
        from,
        to,
        threshold,
        tokens,
        ms,
        ..
    } = escalation;
    let why = match (escalation.reason, escalation.confidence) {
        (EscalationReason::BelowThreshold, Some(confidence)) => {
            let said = escalation.answer.as_deref().unwrap_or_default();
            format!("{said:?} at confidence {confidence:.3}, below {threshold:.3}")
        }
        _ => "no answer".into(),
    };
    format!("{from}: {why}; on to {to} ({tokens} tokens, {ms:.1} ms)")
}
