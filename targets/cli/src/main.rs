//! The `curt` command.

mod ablate;
mod ask;
mod bench;
mod checks;
#[cfg(feature = "train")]
mod collect;
mod doctor;
mod fields;
mod inspect;
mod locate;
mod signal;
#[cfg(feature = "train")]
mod train_head;
mod workload;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit status after a failure.
const FAILED: u8 = 1;
/// Exit status after ctrl-C, as shells give it: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

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
    /// Measure.
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    // Whatever it says: with an empty value or `0`, the library's telemetry would start.
    // SAFETY: nothing else runs yet.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
    #[cfg(unix)]
    // SAFETY: nothing else runs yet. Rust ignores SIGPIPE, so that printing to a reader that has left would panic; with
    // the system's own handling the process ends there, as other commands do.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
    env_logger::init();
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Ask(args) => ask::run(*args),
        Command::Ablate(args) => ablate::run(*args),
        Command::Workload(command) => workload::run(command),
        Command::Inspect(args) => inspect::run(args),
        Command::Doctor(args) => doctor::run(args),
        #[cfg(feature = "train")]
        Command::Collect(args) => collect::run(args),
        #[cfg(feature = "train")]
        Command::TrainHead(args) => train_head::run(args),
        Command::Bench(bench) => bench::run(bench),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("curt: {}", fields::as_flags(&format!("{error:#}")));
            let interrupted = error.chain().any(|cause| {
                matches!(
                    cause.downcast_ref::<curt::Error>(),
                    Some(curt::Error::Cancelled { .. })
                )
            });
            ExitCode::from(if interrupted { INTERRUPTED } else { FAILED })
        }
    }
}
