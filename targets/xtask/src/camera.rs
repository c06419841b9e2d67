//! `cargo xtask camera`: the page that asks about what a camera sees.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::child;
use crate::setup;

/// What is built: as for the demo, so that a newcomer compiles once.
const BUILD: [&str; 4] = [
    "--workspace",
    "--no-default-features",
    "--bin",
    "camera-vqa",
];

/// Sets up, builds, and serves the page until ctrl-C. `words`: what the example itself takes.
pub(crate) fn run(words: &[String]) -> Result<ExitCode> {
    let words = words.strip_prefix(&["--".to_owned()]).unwrap_or(words);
    let setup = setup::ensure()?;
    child::succeed(&mut child::cargo(["build"].into_iter().chain(BUILD)))
        .context("camera-vqa does not build")?;
    // Cargo has put it beside this program, which has the same profile.
    let this = std::env::current_exe().context("cannot say where this program lies")?;
    let example = format!("camera-vqa{}", std::env::consts::EXE_SUFFIX);
    let mut command = Command::new(this.with_file_name(example));
    command.current_dir(child::checkout()).args(words);
    let status = child::status(setup.apply(&mut command))?;
    // A process that a signal ended has no code.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}
