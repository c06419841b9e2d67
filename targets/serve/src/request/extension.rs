//! curt's own options, under `curt` in a request.

use std::path::Path;

use curt::paths::{Keep, SignalName, VoteRule};
use curt::{AskOptions, CalibrationSource, PruneOptions, SectionCaps, Voting};
use serde_json::Value;

use crate::facts::{Facts, Named};
use crate::fields::{Fields, shown};
use crate::options::Limits;
use crate::refusal::Refusal;

/// Check points of a request, at most.
const CHECKS: usize = 16;

/// Reads `fields` into `options`.
///
/// A calibration or a head is named, never given as a file: a request opens none.
pub(super) fn read(
    mut fields: Fields,
    facts: &Facts,
    limits: &Limits,
    options: &mut AskOptions,
) -> Result<(), Refusal> {
    if let Some(paths) = fields.count("paths")? {
        if paths == 0 || paths > limits.paths {
            return Err(fields.refuse("paths", format!("1 to {}", limits.paths), paths));
        }
        options.paths = paths;
    }
    options.prune = PruneOptions {
        keep: listed(&mut fields, "keep", keep)?,
        check_at: listed(&mut fields, "check_at", whole)?,
        signals: listed(&mut fields, "signal", |value| signal(value, facts))?,
    };
    if let Some(format) = fields.text("format")? {
        options.format = format
            .parse()
            .map_err(|error: curt::Error| Refusal::of_engine(&error, false))?;
    }
    options.section_caps = SectionCaps {
        perception: fields.count("perception_tokens")?,
        reasoning: fields.count("reasoning_tokens")?,
        answer: fields.count("answer_tokens")?,
    };
    options.deadline_ms = fields.count("deadline_ms")?.map(|ms| ms as u64);
    if let Some(name) = fields.text("calibration")? {
        options.calibration = match facts.calibrations.get(&name) {
            Some(Named { file, .. }) => Some(CalibrationSource::File(file.clone())),
            None => {
                let known: Vec<_> = facts.calibrations.keys().collect();
                return Err(fields.refuse(
                    "calibration",
                    format!("one of {known:?}"),
                    shown(&name.into()),
                ));
            }
        };
    }
    if let Some(vote) = fields.text("vote")? {
        options.vote = match vote.as_str() {
            "majority" => Voting::By(VoteRule::Majority),
            "weighted" => Voting::By(VoteRule::ScoreWeighted),
            "none" => Voting::Off,
            _ => {
                let expected = "\"majority\", \"weighted\" or \"none\"";
                return Err(fields.refuse("vote", expected, shown(&vote.into())));
            }
        };
    }
    options.early_vote = fields.bool("early_vote")?.unwrap_or(false);
    options.first_finished = fields.count("first_finished")?;
    options.reuse = fields.bool("reuse")?.unwrap_or(options.reuse);
    fields.end()
}

/// One value or a list of them, each as `read` has it, or what it expected.
fn listed<T>(
    fields: &mut Fields,
    field: &str,
    read: impl Fn(&Value) -> Result<T, String>,
) -> Result<Vec<T>, Refusal> {
    let given = fields.list(field);
    if given.len() > CHECKS {
        return Err(fields.refuse(field, format!("at most {CHECKS}"), given.len()));
    }
    given
        .iter()
        .map(|value| read(value).map_err(|expected| fields.refuse(field, expected, shown(value))))
        .collect()
}

fn keep(value: &Value) -> Result<Keep, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let expected = "a number of paths, \"25%\", \">=0.5\" or \"all\"";
    text.parse().map_err(|_| expected.into())
}

fn whole(value: &Value) -> Result<usize, String> {
    let whole = value.as_u64().and_then(|n| usize::try_from(n).ok());
    whole.ok_or_else(|| "whole numbers of tokens".into())
}

/// A signal, its head found among those that the server knows.
fn signal(value: &Value, facts: &Facts) -> Result<SignalName, String> {
    let known: Vec<_> = facts.heads.keys().collect();
    let expected = || {
        format!("\"confidence\", \"confidence:TOKENS\", \"random\", or \"head:NAME\" of {known:?}")
    };
    match value.as_str().map(str::parse) {
        Some(Ok(SignalName::Head(name))) => match facts.heads.get(&name) {
            Some(Named { file, .. }) => Ok(SignalName::Head(path(file))),
            None => Err(expected()),
        },
        Some(Ok(SignalName::Oracle) | Err(_)) | None => Err(expected()),
        Some(Ok(other)) => Ok(other),
    }
}

fn path(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}
