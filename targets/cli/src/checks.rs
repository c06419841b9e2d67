//! The options of pruning: when paths are scored, by what, and who goes on.

use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::{Result, bail};
use curt::Package;
use curt::head::StopHead;
use curt::paths::{Check, Keep, Signal};

use curt_command::locate;

/// Name of the head that is used where none is named.
pub const DEFAULT_HEAD: &str = "kv";

/// Options of pruning.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct CheckArgs {
    /// Paths that go on after each check point. One number for several check points is the last one's; those before it
    /// keep in equal ratios.
    #[arg(long, value_name = "K[,K]", value_delimiter = ',', group = "who")]
    keep: Vec<usize>,
    /// Share of the launched paths that goes on after each check point.
    #[arg(
        long,
        value_name = "RATIO[,RATIO]",
        value_delimiter = ',',
        group = "who"
    )]
    keep_ratio: Vec<f64>,
    /// Paths go on whose score is at least this.
    #[arg(long, value_name = "SCORE", group = "who")]
    keep_at_least: Option<f64>,
    /// Check points, in generated tokens. Without it, where the head was trained.
    #[arg(long, value_name = "TOKENS[,TOKENS]", value_delimiter = ',')]
    check_at: Vec<usize>,
    /// What paths are scored by: `random`, `confidence`, `none`, a head of the package by name (`kv` where nothing is
    /// said), or head files, one for all check points or one for each.
    #[arg(long, value_name = "HEAD[,HEAD]", value_delimiter = ',')]
    head: Vec<String>,
    /// Tokens that `confidence` averages over. Without it, the whole prefix.
    #[arg(long, value_name = "TOKENS")]
    confidence_window: Option<NonZeroUsize>,
}

impl CheckArgs {
    /// The checks they ask for, none where nothing is asked.
    pub fn checks(&self, package: &Package, paths: usize) -> Result<Vec<Check>> {
        if self.head == ["none"] {
            return Ok(Vec::new());
        }
        let who =
            !self.keep.is_empty() || !self.keep_ratio.is_empty() || self.keep_at_least.is_some();
        if !who && self.check_at.is_empty() && self.head.is_empty() {
            return Ok(Vec::new());
        }
        if paths < 2 {
            bail!("--paths: expected at least 2, since a check chooses among paths, got {paths}");
        }
        let signals = self.signals(package)?;
        let confidence = |s: &Signal| matches!(s, Signal::Confidence { .. });
        if self.confidence_window.is_some() && !signals.iter().any(confidence) {
            bail!("--confidence-window: expected `--head confidence`, the signal that it is for");
        }
        let at = if self.check_at.is_empty() {
            trained_at(&signals)?
        } else {
            self.check_at.clone()
        };
        if signals.len() > 1 && signals.len() != at.len() {
            bail!(
                "--head: expected one for all check points or one for each of {}, got {}",
                at.len(),
                signals.len()
            );
        }
        let signal = |i: usize| signals[i.min(signals.len() - 1)].clone();
        at.iter()
            .enumerate()
            .map(|(i, &at_tokens)| {
                Ok(Check {
                    at_tokens,
                    keep: self.who(i, at.len(), paths)?,
                    signal: signal(i),
                })
            })
            .collect()
    }

    fn signals(&self, package: &Package) -> Result<Vec<Signal>> {
        let default = [DEFAULT_HEAD.to_string()];
        let named = if self.head.is_empty() {
            &default[..]
        } else {
            &self.head
        };
        named
            .iter()
            .map(|name| match name.as_str() {
                "random" => Ok(Signal::Random),
                "confidence" => Ok(Signal::Confidence {
                    window_tokens: self.confidence_window,
                }),
                "none" => bail!("--head: `none` stands alone: there is no check then"),
                name => {
                    let head = StopHead::open(&locate::head(name, package.dir())?, package)?;
                    Ok(Signal::Head(Arc::new(head)))
                }
            })
            .collect()
    }

    fn who(&self, index: usize, checks: usize, paths: usize) -> Result<Keep> {
        if let Some(score) = self.keep_at_least {
            return Ok(Keep::AtLeast(score));
        }
        if !self.keep_ratio.is_empty() {
            let ratio = of_check("--keep-ratio", &self.keep_ratio, index, checks, 1.0)?;
            return Ok(Keep::Ratio(ratio));
        }
        if !self.keep.is_empty() {
            let keep: Vec<f64> = self.keep.iter().map(|&k| k as f64).collect();
            let keep = of_check("--keep", &keep, index, checks, paths as f64)?;
            return Ok(Keep::Top(keep.round() as usize));
        }
        bail!(
            "--keep: expected how many paths go on (or --keep-ratio or --keep-at-least), since a check is \
             asked for; got none of them"
        )
    }
}

/// The value of check `index`: its own, or, of one value for all, the step of a geometric course from `launched` to it.
pub fn of_check(
    option: &str,
    values: &[f64],
    index: usize,
    checks: usize,
    launched: f64,
) -> Result<f64> {
    if values.len() == checks {
        return Ok(values[index]);
    }
    if values.len() != 1 {
        bail!(
            "{option}: expected one value, or one for each of {checks} check points, got {}",
            values.len()
        );
    }
    let share = (index + 1) as f64 / checks as f64;
    Ok(launched * (values[0] / launched).powf(share))
}

fn trained_at(signals: &[Signal]) -> Result<Vec<usize>> {
    let mut at = Vec::new();
    for signal in signals {
        match signal {
            Signal::Head(head) if signals.len() == 1 => {
                at.clone_from(&head.header().check_at_tokens);
            }
            Signal::Head(head) => at.extend(head.header().check_at_tokens.first()),
            _ => bail!(
                "--check-at: expected when paths are scored, in generated tokens, since {:?} does not say it; got nothing",
                signal.name()
            ),
        }
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_for_several_check_points_steps_down_in_equal_ratios() {
        let keep = |i| of_check("--keep", &[4.0], i, 2, 16.0).unwrap();
        assert_eq!([keep(0), keep(1)], [8.0, 4.0]);
        assert_eq!(of_check("--keep", &[9.0, 4.0], 0, 2, 16.0).unwrap(), 9.0);
        assert!(of_check("--keep", &[9.0, 4.0], 0, 3, 16.0).is_err());
    }
}
