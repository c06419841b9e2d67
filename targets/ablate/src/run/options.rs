//! From an arm to what the runtime is asked. A field that a new kind of arm needs is read here, and nowhere in the runner.

use std::collections::BTreeMap;
use std::sync::Arc;

use curt::head::StopHead;
use curt::paths::{Check, Keep, SignalName};
use curt::{AskOptions, CalibrationSource, Format, SamplingDefaults, Voting};

use crate::arm::Arm;
use crate::error::{Error, Result};
use crate::record::Run;

/// Stop heads by the name that arms use.
pub type Heads = BTreeMap<String, Arc<StopHead>>;

/// How the sample of an item is asked for.
pub(super) fn sample_options(
    run: &Run,
    heads: &Heads,
    base: &AskOptions,
    seed: u64,
) -> Result<AskOptions> {
    Ok(AskOptions {
        paths: run.sample_paths().unwrap_or(1),
        checks: run
            .check_points()
            .iter()
            .map(|(at, name)| check(*at, name, Keep::All, heads))
            .collect::<Result<_>>()?,
        seed,
        ..base.clone()
    })
}

/// How `arm` asks with `paths` paths. `formats`: the package's responses have formats.
pub(super) fn arm_options(
    arm: &Arm,
    paths: usize,
    heads: &Heads,
    base: &AskOptions,
    seed: u64,
    formats: bool,
) -> Result<AskOptions> {
    let greedy = SamplingDefaults {
        temperature: Some(0.0),
        ..SamplingDefaults::default()
    };
    Ok(AskOptions {
        paths,
        vote: match paths {
            0 | 1 => Voting::Off,
            _ => Voting::By(arm.vote),
        },
        sampling: if arm.greedy {
            greedy.or(base.sampling)
        } else {
            base.sampling
        },
        checks: arm
            .checks
            .iter()
            .map(|c| check(c.at, &c.signal, c.keep, heads))
            .collect::<Result<_>>()?,
        early_vote: arm.early_vote && paths > 1,
        first_finished: arm.first_finished.filter(|_| paths > 1),
        format: match arm.format {
            Some(format) => format,
            // What paths vote on is their reasoning.
            None if formats && paths > 1 => Format::Full,
            None => base.format,
        },
        calibration: arm
            .calibration
            .as_ref()
            .map(|file| CalibrationSource::File(file.into())),
        seed,
        ..base.clone()
    })
}

fn check(at_tokens: usize, name: &SignalName, keep: Keep, heads: &Heads) -> Result<Check> {
    let signal = name.resolve(|head| {
        heads.get(head).map(Arc::clone).ok_or_else(|| {
            let expected = "a head that was given by --head NAME=FILE";
            Error::option(format!("signal \"{name}\""), expected, head)
        })
    })?;
    Ok(Check {
        at_tokens,
        signal,
        keep,
    })
}
