//! What curt's commands share: [`start`] runs one from `main` to its status, [`attention`] and [`provider`]
//! are options of all that load a model, [`locate`] finds the library and packages on
//! this machine, [`output`] is the one place that writes, [`signal`] says what ctrl-C does.

// `output` is the one place that writes: these panic where the disk is full or the reader has left.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod attention;
mod closed;
pub mod locate;
pub mod output;
pub mod provider;
pub mod signal;

use std::io::Write;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use output::{Closed, ReaderLeft, plain, written};

/// Exit status after a failure.
const FAILED: u8 = 1;
/// Exit status after a wrong command line, as `clap` gives it.
const MISUSED: u8 = 2;
/// Exit status after ctrl-C, as shells give it: 128 + SIGINT.
const INTERRUPTED: u8 = 130;
/// Exit status where the reader of standard output has left, as shells give it: 128 + SIGPIPE.
const READER_LEFT: u8 = 141;

/// Most jobs of a command: each holds a model, and far more than a machine has cores only take its memory.
const MOST_JOBS: usize = 256;

/// A number of things done at once, from the command line.
///
/// # Errors
/// Where it is out of range.
pub fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    let jobs = text.parse().ok().and_then(NonZeroUsize::new);
    jobs.filter(|jobs| jobs.get() <= MOST_JOBS)
        .ok_or_else(|| format!("expected 1 to {MOST_JOBS}"))
}

/// Reads the command line, does the `work` that it asks for, says what went wrong and gives the process's status.
///
/// `in_words` puts an error of the library, which names fields, in the words of the command line.
pub fn start<C: Parser>(
    in_words: impl Fn(&str) -> String,
    work: impl FnOnce(C) -> Result<()>,
) -> ExitCode {
    // Whatever it says: with an empty value or `0`, the library's telemetry would start.
    // SAFETY: `main` calls this first, so that no other thread runs.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
    env_logger::Builder::from_default_env()
        .format(|log, record| {
            // Names of nodes and tensors stand in them.
            let message = record.args().to_string();
            writeln!(log, "{}: {}", record.level(), plain(&message))
        })
        .init();
    // A panic that the library catches is an error and says the same.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !curt::package::panic_is_caught() {
            report(panic);
        }
    }));
    match C::try_parse() {
        Ok(command) => ended(
            signal::handle_ctrl_c().and_then(|()| work(command)),
            in_words,
        ),
        Err(said) if said.use_stderr() => {
            // Where that fails nobody is left to tell.
            let _ = said.print();
            ExitCode::from(MISUSED)
        }
        // Help and the version were asked for.
        Err(_) if closed::stdout_was_closed() => ended(Err(Closed.into()), in_words),
        Err(said) => ended(written(said.print()), in_words),
    }
}

fn ended(outcome: Result<()>, in_words: impl Fn(&str) -> String) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    if error.is::<ReaderLeft>() {
        return ExitCode::from(READER_LEFT);
    }
    note!("curt: {}", in_words(&format!("{error:#}")));
    let interrupted = error.chain().any(|cause| {
        matches!(
            cause.downcast_ref::<curt::Error>(),
            Some(curt::Error::Cancelled { .. })
        )
    });
    ExitCode::from(if interrupted { INTERRUPTED } else { FAILED })
}
