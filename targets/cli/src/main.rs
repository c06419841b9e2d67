//! The `curt` command.

// `curt_command::output` is the one place that writes: these panic where the disk is full or the reader has left.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod ablate;
mod ask;
mod calibrate;
mod checks;
#[cfg(feature = "train")]
mod collect;
mod doctor;
mod fields;
mod format;
mod inspect;
mod profile;
mod serve;
#[cfg(feature = "train")]
mod train_head;
mod workload;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs quantized language models on edge devices, in as few tokens as the question deserves.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Ask a question.
    Ask(Box<ask::Args>),
    /// Say what pruning does to a workload of your own, and whether it may be shipped.
    Ablate(Box<ablate::Args>),
    /// Answer over HTTP, as OpenAI's clients ask.
    Serve(Box<serve::Args>),
    /// Find when the cascade may accept a cheap answer, on a workload of your own.
    Calibrate(calibrate::Args),
    /// Look over a workload, or make one of a known question set.
    #[command(subcommand)]
    Workload(workload::WorkloadCommand),
    /// Say what is in a package.
    Inspect(inspect::Args),
    /// Say what this machine has, and whether it computes what it should.
    Doctor(doctor::Args),
    /// Sample paths of a workload and grade their answers, for training a head.
    #[cfg(feature = "train")]
    Collect(collect::Args),
    /// Train a stop head on collected paths.
    #[cfg(feature = "train")]
    TrainHead(train_head::Args),
}

fn main() -> ExitCode {
    curt_command::start(fields::as_flags, |cli: Cli| match cli.command {
        Command::Ask(args) => ask::run(*args),
        Command::Ablate(args) => ablate::run(*args),
        Command::Serve(args) => serve::run(*args),
        Command::Calibrate(args) => calibrate::run(args),
        Command::Workload(command) => workload::run(command),
        Command::Inspect(args) => inspect::run(args),
        Command::Doctor(args) => doctor::run(args),
        #[cfg(feature = "train")]
        Command::Collect(args) => collect::run(args),
        #[cfg(feature = "train")]
        Command::TrainHead(args) => train_head::run(args),
    })
}
