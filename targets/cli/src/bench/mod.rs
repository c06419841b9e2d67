//! `curt bench`: measurements that check their answer before they time it.

mod decode;

use anyhow::Result;
use clap::Subcommand;

/// What can be measured.
#[derive(Subcommand)]
pub enum Bench {
    /// Prefill and decode speed at several numbers of paths.
    Decode(decode::Args),
}

/// Runs a benchmark.
pub fn run(bench: Bench) -> Result<()> {
    match bench {
        Bench::Decode(args) => decode::run(args),
    }
}
