//! The options of pruning: when paths are scored, by what, and who goes on.

use std::num::NonZeroUsize;

use anyhow::{Result, bail};
use curt::PruneOptions;
use curt::paths::{Keep, SignalName};

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
        value_parser = ratio,
        group = "who"
    )]
    keep_ratio: Vec<f64>,
    /// Paths go on whose score is at least this.
    #[arg(long, value_name = "SCORE", value_parser = score, group = "who")]
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
    /// What they ask for.
    pub fn options(&self) -> Result<PruneOptions> {
        if self.head == ["none"] {
            return Ok(PruneOptions::default());
        }
        if self.head.iter().any(|name| name == "none") {
            bail!("--head: `none` stands alone: there is no check then");
        }
        if self.confidence_window.is_some() && !self.head.iter().any(|name| name == "confidence") {
            bail!("--confidence-window: expected `--head confidence`, the signal that it is for");
        }
        let keep = self.keep.iter().map(|&k| Keep::Top(k));
        let keep = keep.chain(self.keep_ratio.iter().map(|&ratio| Keep::Ratio(ratio)));
        let keep = keep.chain(self.keep_at_least.map(Keep::AtLeast));
        Ok(PruneOptions {
            keep: keep.collect(),
            check_at: self.check_at.clone(),
            signals: self.head.iter().map(|name| self.signal(name)).collect(),
        })
    }

    fn signal(&self, name: &str) -> SignalName {
        match name {
            "random" => SignalName::Random,
            "confidence" => SignalName::Confidence(self.confidence_window),
            head => SignalName::Head(head.into()),
        }
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    number(text, "a number above 0, at most 1", |r| r > 0.0 && r <= 1.0)
}

fn score(text: &str) -> Result<f64, String> {
    number(text, "a score from 0 to 1", |s| (0.0..=1.0).contains(&s))
}

fn number(text: &str, expected: &str, fine: impl Fn(f64) -> bool) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if fine(number) => Ok(number),
        _ => Err(format!("expected {expected}")),
    }
}
