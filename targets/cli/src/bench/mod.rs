//! `curt bench`: measurements that check their answer before they time it.

mod decode;
mod head;

use anyhow::Result;
use clap::Subcommand;

/// What can be measured.
#[derive(Subcommand)]
pub enum Bench {
    /// Prefill and decode speed at several numbers of paths.
    Decode(decode::Args),
    /// The stop head's pooling of keys and values, against the machine's read bandwidth and two other implementations.
    Head(head::Args),
}

/// Runs a benchmark.
pub fn run(bench: Bench) -> Result<()> {
    match bench {
        Bench::Decode(args) => decode::run(args),
        Bench::Head(args) => head::run(args),
    }
}
