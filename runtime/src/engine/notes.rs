//! What was asked for and is not quite what is done.

use std::time::Duration;

use super::AskOptions;
use super::settings::Settings;
use crate::answer::FormatTaken;
use crate::package::{Attention, AttentionReport, Package};
use crate::paths::Signal;
use crate::session::Placement;

/// Notes on `options`, where a path has room for `most_tokens` tokens.
pub(super) fn notes(
    package: &Package,
    attention: &AttentionReport,
    placement: &Placement,
    options: &AskOptions,
    settings: &Settings,
    most_tokens: usize,
    system_moved: bool,
) -> Vec<String> {
    let mut notes = package.notes().to_vec();
    // A shared prompt is asked for by everybody, f16 by somebody.
    if let (Attention::SharedF16, false, Some(why)) =
        (attention.asked, attention.shared, &attention.why)
    {
        notes.push(format!(
            "paths do not share their prompt's keys and values, nor are these kept in f16: {why}"
        ));
    }
    for provider in &placement.providers {
        if let (true, Some(why)) = (provider.requested, &provider.reason) {
            notes.push(format!("{} runs nothing: {why}", provider.name));
        }
    }
    if system_moved {
        notes.push(
            "the chat template takes no system message: the system text stands before the first question".into(),
        );
    }
    for &at in &options.show_kv_at {
        if at >= most_tokens {
            notes.push(format!(
                "the cache was not shown at {at} tokens: the context leaves room for {most_tokens} tokens of a path"
            ));
        }
    }
    for check in &settings.checks {
        if check.at_tokens >= most_tokens {
            notes.push(format!(
                "the check at {} tokens was not reached: the context leaves room for {most_tokens} tokens of a path",
                check.at_tokens
            ));
        }
        let Signal::Head(head) = &check.signal else {
            continue;
        };
        let header = head.header();
        if header.sampling != settings.sampling {
            let of = &header.sampling;
            notes.push(format!(
                "head {:?} was trained on paths drawn otherwise: temperature {}, top-k {}, top-p {}, min-p {}, repetition \
                 penalty {}",
                header.name, of.temperature, of.top_k, of.top_p, of.min_p, of.repetition_penalty
            ));
        }
        if !header.check_at_tokens.contains(&check.at_tokens) {
            notes.push(format!(
                "head {:?} was trained at {:?} tokens and scores at {} here",
                header.name, header.check_at_tokens, check.at_tokens
            ));
        }
    }
    notes
}

/// Notes on the format of what came, `total` after the question.
pub(super) fn of_format(
    options: &AskOptions,
    format: Option<&FormatTaken>,
    total: Duration,
) -> Vec<String> {
    let mut notes = Vec::new();
    let Some(format) = format else {
        return notes;
    };
    if !format.known {
        notes.push(
            "the package has no formats.toml: its model may not know the sections that `format` has it write, and what it \
             costs to be right in one format says nothing of another"
                .into(),
        );
    }
    if let Some(ms) = options.deadline_ms
        && total > Duration::from_millis(ms)
    {
        let late = total - Duration::from_millis(ms);
        notes.push(format!(
            "the answer came {:.0} ms after `deadline_ms`: an answer is always brought to its end",
            late.as_secs_f64() * 1e3
        ));
    }
    notes
}
