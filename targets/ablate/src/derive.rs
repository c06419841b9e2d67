//! Derived arms: what a policy would have made of paths that were sampled to their ends.

use std::collections::BTreeMap;

use curt::AnswerKind;
use curt::paths::{Ending, Fate, FinishReason, Policy, Replayed, SignalName, Trace, replay};
use curt_workload::Item;

use crate::arm::{Arm, ArmCheck};
use crate::error::{Error, Result};
use crate::record::{Derived, PathRecord, Record, Sample, SampledPath, Times};

/// Phase of the tokens before an arm's first check, and of all tokens of an arm without one.
pub(crate) const LAUNCH: &str = "launch";
/// Phase of the tokens after an arm's first check.
pub(crate) const RESUME: &str = "resume";

/// What `arm` would have done with `item`, of which `sample` was taken and whose answers are of this `kind`. `done`: the
/// records of this item and repeat so far, which an arm of `fewer` paths is paid from.
///
/// # Errors
/// [`Error::Option`] where the arm needs a score that the sample lacks, or an arm that is not done.
pub fn derive(
    arm: &Arm,
    item: &Item,
    kind: &AnswerKind,
    sample: &Sample,
    done: &[Record],
) -> Result<Record> {
    let mut record = Record::unanswered(arm, sample.index, item, sample.repeat);
    record.error.clone_from(&sample.error);
    if sample.error.is_some() {
        return Ok(record);
    }
    let launched = launched(arm, sample, done)?;
    let Some(paths) = sample
        .paths
        .get(..launched)
        .filter(|paths| !paths.is_empty())
    else {
        return Err(Error::option(
            format!("arm {:?}: paths", arm.name),
            format!("a sample of at least {launched} paths"),
            sample.paths.len(),
        ));
    };
    let replayed = replay(&policy(arm), &traces(arm, kind, sample, paths)?)?;

    // One path needs no vote: it is graded as it is, even where the pattern found no answer in its text.
    let speaker = match replayed.votes.first() {
        Some(vote) => vote.paths.first().copied(),
        None => (launched == 1).then_some(0),
    };
    record.answer = speaker.and_then(|path| paths[path].answer.clone());
    record.correct = speaker.is_some_and(|path| paths[path].correct);
    let finished = |path: &usize| replayed.fates[*path] == Fate::Finished;
    record.finished = (0..launched).filter(finished).count();
    record.finished_correct = (0..launched)
        .filter(finished)
        .filter(|&p| paths[p].correct)
        .count();
    record.prompt_tokens = Some(sample.prompt_tokens);
    record.tokens = phases(arm, &replayed.tokens);
    record.unused_tokens = Some(
        (0..launched)
            .filter(|p| !finished(p))
            .map(|p| replayed.tokens[p])
            .sum(),
    );
    record.kv_bytes = sample.kv_bytes.map(|bytes| {
        let shared = sample.kv_shared_bytes.unwrap_or(0).min(bytes);
        shared + (bytes - shared) / sample.paths.len() as u64 * launched as u64
    });
    record.derived = Some(work(arm, sample, &replayed));
    record.paths = (0..launched)
        .map(|path| path_record(arm, sample, &replayed, path))
        .collect::<Result<_>>()?;
    if arm.is_full() && launched == sample.paths.len() {
        // The sample is this arm, but for its checks: their time is known and taken off, their energy is not.
        record.times = sample.times.map(without_checks);
    }
    Ok(record)
}

/// Paths that the arm launches on this item.
pub(crate) fn launched(arm: &Arm, sample: &Sample, done: &[Record]) -> Result<usize> {
    let Some(of) = arm.fewer_of() else {
        return Ok(arm.paths.min(sample.paths.len()));
    };
    let lengths: Vec<usize> = sample.paths.iter().map(|path| path.tokens).collect();
    fewer(arm, of, &lengths, done)
}

/// Full paths, of these lengths in order, that the tokens of arm `of` on this item buy; the last is paid in full.
pub(crate) fn fewer(arm: &Arm, of: &str, lengths: &[usize], done: &[Record]) -> Result<usize> {
    let paid = done
        .iter()
        .find(|record| record.arm == of)
        .and_then(Record::generated)
        .ok_or_else(|| {
            Error::option(
                format!("arm {:?}: fewer", arm.name),
                format!("tokens of arm {of:?}"),
                "none",
            )
        })?;
    let mut spent = 0;
    let bought = lengths.iter().take(arm.paths).take_while(|&&tokens| {
        let goes_on = spent < paid;
        spent += tokens;
        goes_on
    });
    Ok(bought.count().max(1))
}

fn policy(arm: &Arm) -> Policy {
    Policy {
        checks: arm
            .checks
            .iter()
            .map(|check| (check.at, check.keep))
            .collect(),
        ending: Ending {
            early_vote: arm.early_vote,
            first_finished: arm.first_finished,
            vote: arm.vote,
        },
    }
}

fn traces(
    arm: &Arm,
    kind: &AnswerKind,
    sample: &Sample,
    paths: &[SampledPath],
) -> Result<Vec<Trace>> {
    paths
        .iter()
        .map(|path| {
            Ok(Trace {
                tokens: path.tokens,
                answer: path.answer.as_deref().map(|answer| kind.found(answer)),
                scores: arm
                    .checks
                    .iter()
                    .map(|check| score(arm, check, sample, path))
                    .collect::<Result<_>>()?,
            })
        })
        .collect()
}

/// The path's score at `check`; `None` where it had ended by then.
fn score(arm: &Arm, check: &ArmCheck, sample: &Sample, path: &SampledPath) -> Result<Option<f64>> {
    if check.signal == SignalName::Oracle {
        return Ok(Some(f64::from(u8::from(path.correct))));
    }
    let index = sample
        .checks
        .iter()
        .position(|c| c.signal == check.signal && c.at == check.at);
    match index {
        Some(index) => Ok(path.scores.get(index).copied().flatten()),
        None => Err(Error::option(
            format!("arm {:?}: checks", arm.name),
            format!("a sample scored by {} at {} tokens", check.signal, check.at),
            "none",
        )),
    }
}

/// Tokens before and after the arm's first check.
pub(crate) fn phases(arm: &Arm, tokens: &[usize]) -> BTreeMap<String, usize> {
    let all: usize = tokens.iter().sum();
    let Some(first) = arm.checks.first() else {
        return BTreeMap::from([(LAUNCH.into(), all)]);
    };
    let launch: usize = tokens.iter().map(|&n| n.min(first.at)).sum();
    BTreeMap::from([(LAUNCH.into(), launch), (RESUME.into(), all - launch)])
}

fn work(arm: &Arm, sample: &Sample, replayed: &Replayed) -> Derived {
    let dropped = replayed
        .fates
        .iter()
        .filter(|fate| matches!(fate, Fate::Dropped(_)))
        .count();
    let check_ms = arm
        .checks
        .iter()
        .map(|check| {
            let known = sample
                .checks
                .iter()
                .find(|c| c.signal == check.signal && c.at == check.at)?;
            let rows = replayed.rows.get(check.at - 1).copied().unwrap_or(0);
            Some(if known.scored == 0 {
                0.0
            } else {
                known.score_ms? / known.scored as f64 * rows as f64
            })
        })
        .sum();
    Derived {
        launched: replayed.tokens.len(),
        steps: replayed.rows.len().saturating_sub(1),
        // A path's last token is not run through the model, unless a check looked at it.
        row_steps: replayed
            .tokens
            .iter()
            .map(|&n| n.saturating_sub(1))
            .sum::<usize>()
            + dropped,
        check_ms: if arm.checks.is_empty() {
            None
        } else {
            check_ms
        },
    }
}

fn path_record(arm: &Arm, sample: &Sample, replayed: &Replayed, path: usize) -> Result<PathRecord> {
    let sampled = &sample.paths[path];
    let tokens = replayed.tokens[path];
    let (finish, last_check) = match replayed.fates[path] {
        Fate::Dropped(check) => (FinishReason::Dropped, check + 1),
        Fate::Decided => (FinishReason::Decided, arm.checks.len()),
        Fate::Finished | Fate::Running => (sampled.finish, arm.checks.len()),
    };
    let mut last = None;
    for check in arm.checks[..last_check]
        .iter()
        .filter(|check| check.at <= tokens)
    {
        if check.at < sampled.tokens {
            last = score(arm, check, sample, sampled)?.or(last);
        }
    }
    Ok(PathRecord {
        tokens,
        finish,
        score: last,
        answer: None,
        correct: None,
        text: None,
        cut_from_bytes: None,
    })
}

fn without_checks(times: Times) -> Times {
    let checks = times.check_ms.unwrap_or(0.0) + times.compact_ms.unwrap_or(0.0);
    Times {
        total_ms: times.total_ms - checks,
        check_ms: None,
        compact_ms: None,
        ..times
    }
}
