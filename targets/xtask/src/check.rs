//! `cargo xtask check`: what the source itself is held to.

use std::process::{Command, ExitCode, Stdio};

use anyhow::Result;

use crate::child;
use crate::steps::Steps;

/// Runs every check; stops at the first that fails.
pub(crate) fn run() -> Result<ExitCode> {
    let mut steps = Steps::default();
    let outcome = checks()
        .into_iter()
        .try_for_each(|(name, mut command)| steps.run(name, || child::succeed(&mut command)));
    steps.print_table()?;
    outcome.map(|()| ExitCode::SUCCESS)
}

fn checks() -> [(&'static str, Command); 6] {
    let mut lock = child::cargo(["metadata", "--locked", "--format-version", "1"]);
    lock.stdout(Stdio::null());
    let mut doc = child::cargo(["doc", "--workspace", "--no-deps"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    [
        ("Cargo.lock is up to date", lock),
        ("format", child::cargo(["fmt", "--all", "--check"])),
        (
            "clippy",
            child::cargo([
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ]),
        ),
        (
            "kernels without std",
            child::cargo([
                "check",
                "--package",
                "curt-kernels",
                "--no-default-features",
            ]),
        ),
        ("documentation", doc),
        (
            "layering",
            child::cargo(["test", "--package", "xtask", "--test", "layering"]),
        ),
    ]
}
