//! From an arm to what the runtime is asked. A field that a new kind of arm needs is read here, and nowhere in the runner.

use std::sync::Arc;

use curt::paths::{Check, Keep, Signal};
use curt::{AskOptions, SamplingDefaults};

use super::engine::Heads;
use crate::arm::Arm;
use crate::error::{Error, Result};
use crate::record::{Measure, Run};

/// Whether the arm is derived from a sample rather than run.
pub fn is_derived(measure: Measure, arm: &Arm) -> bool {
    measure == Measure::Replay && arm.is_sampled()
}

/// What scores a sample, so that every derived arm of `run` can be made of it: each signal at each of its check points,
/// in ascending order.
pub fn check_points(run: &Run) -> Vec<(usize, String)> {
    let mut points: Vec<(usize, String)> = Vec::new();
    let derived = run.arms.iter().filter(|arm| is_derived(run.measure, arm));
    for check in derived
        .flat_map(|arm| &arm.checks)
        .filter(|check| check.signal != "oracle")
    {
        let point = (check.at, check.signal.clone());
        if !points.contains(&point) {
            points.push(point);
        }
    }
    points.sort();
    points
}

/// How the sample of an item is asked for.
pub(super) fn sample_options(
    run: &Run,
    heads: &Heads,
    base: &AskOptions,
    seed: u64,
) -> Result<AskOptions> {
    let derived = run.arms.iter().filter(|arm| is_derived(run.measure, arm));
    Ok(AskOptions {
        paths: derived.map(|arm| arm.paths).max().unwrap_or(1),
        checks: check_points(run)
            .iter()
            .map(|(at, name)| check(*at, name, Keep::All, heads))
            .collect::<Result<_>>()?,
        seed,
        ..base.clone()
    })
}

/// How `arm` asks with `paths` paths.
pub(super) fn arm_options(
    arm: &Arm,
    paths: usize,
    heads: &Heads,
    base: &AskOptions,
    seed: u64,
) -> Result<AskOptions> {
    let greedy = SamplingDefaults {
        temperature: Some(0.0),
        ..SamplingDefaults::default()
    };
    Ok(AskOptions {
        paths,
        vote: (paths > 1).then(|| arm.vote.into()),
        sampling: if arm.greedy {
            greedy.or(base.sampling)
        } else {
            base.sampling
        },
        checks: arm
            .checks
            .iter()
            .map(|c| check(c.at, &c.signal, c.keep.into(), heads))
            .collect::<Result<_>>()?,
        early_vote: arm.early_vote && paths > 1,
        first_finished: arm.first_finished.filter(|_| paths > 1),
        seed,
        ..base.clone()
    })
}

fn check(at_tokens: usize, name: &str, keep: Keep, heads: &Heads) -> Result<Check> {
    let wrong = |expected: &str| Error::option(format!("signal {name:?}"), expected, name);
    let signal = match name.split_once(':') {
        None if name == "confidence" => Signal::Confidence {
            window_tokens: None,
        },
        None if name == "random" => Signal::Random,
        Some(("confidence", window)) => Signal::Confidence {
            window_tokens: Some(window.parse().map_err(|_| wrong("\"confidence:TOKENS\""))?),
        },
        Some(("head", head)) => {
            let head = heads
                .get(head)
                .ok_or_else(|| wrong("a head that was given by --head NAME=FILE"))?;
            Signal::Head(Arc::clone(head))
        }
        _ if name == "oracle" => {
            return Err(wrong(
                "a signal that is known before the path ends: only --measure replay can",
            ));
        }
        _ => return Err(wrong("a signal")),
    };
    Ok(Check {
        at_tokens,
        signal,
        keep,
    })
}
