//! `curt-bench`: measurements that check their answer before they time it.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod attention;
mod decode;
mod head;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures curt on this machine.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
}

/// What can be measured.
#[derive(Subcommand)]
enum Bench {
    /// Decoding with a shared prompt and with a cache for each path, in turn.
    Attention(attention::Args),
    /// Prefill and decode speed at several numbers of paths.
    Decode(decode::Args),
    /// The stop head's pooling of keys and values, against the machine's read bandwidth and two other implementations.
    Head(head::Args),
}

fn main() -> ExitCode {
    curt_command::start(str::to_owned, |cli: Cli| match cli.bench {
        Bench::Attention(args) => attention::run(args),
        Bench::Decode(args) => decode::run(args),
        Bench::Head(args) => head::run(args),
    })
}
