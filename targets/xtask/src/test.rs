//! `cargo xtask test`: everything this machine can test, and a list of the rest.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::child;
use crate::isa;
use crate::kotlin;
use crate::providers;
use crate::python::Python;
use crate::recipes;
use crate::setup::{self, Setup};
use crate::skips::{self, Skip, SkipLog};
use crate::steps::{Steps, say};

/// The folder that says which of OpenAI's clients the server is held to, from the checkout's root.
const OPENAI_CLIENT: &str = "targets/serve/tests/client";

/// What a skipped test means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Require {
    /// It is listed.
    Nothing,
    /// It is a failure, unless hardware is lacking.
    All,
}

impl Require {
    fn parse(value: Option<&str>) -> Result<Self> {
        match value {
            None | Some("") => Ok(Self::Nothing),
            Some("all") => Ok(Self::All),
            Some(other) => bail!("CURT_REQUIRE={other}: expected `all`, or unset"),
        }
    }
}

/// Runs the tests; stops at the first step that fails, and lists steps and skips in any case.
pub(crate) fn run() -> Result<ExitCode> {
    let require = Require::parse(std::env::var("CURT_REQUIRE").ok().as_deref())?;
    let log = SkipLog::create()?;
    let mut steps = Steps::default();
    let mut skips = Vec::new();
    let outcome = match require {
        Require::Nothing => plain(&mut steps, &mut skips, &log),
        Require::All => full(&mut steps, &mut skips, &log),
    };
    steps.print_table()?;
    skips.extend(log.read()?);
    let (report, failures) = skips::report(&skips, skips::cpu_flags().as_ref());
    say(&format!("\n{report}"))?;
    outcome?;
    match require {
        Require::All if failures > 0 => {
            bail!(
                "{failures} skipped, of those listed above, although CURT_REQUIRE=all; only lacking hardware may be"
            )
        }
        Require::Nothing if failures > 0 => {
            say("CURT_REQUIRE=all cargo xtask test sets up what they need")?
        }
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The tests that need no more than the ONNX Runtime library.
fn plain(steps: &mut Steps, skips: &mut Vec<Skip>, log: &SkipLog) -> Result<()> {
    for name in recipes::STEPS {
        skips.push(Skip {
            name: name.to_owned(),
            why: "needs the recipe environment".to_owned(),
        });
    }
    skips.push(Skip {
        name: isa::STEP.to_owned(),
        why: "needs an emulator and a standard library for AArch64; `cargo xtask isa` fetches them"
            .to_owned(),
    });
    skips.push(Skip {
        name: kotlin::STEP.to_owned(),
        why: "needs Maven and a JDK; `cargo xtask kotlin` runs it".to_owned(),
    });
    let setup = steps.run("set-up", setup::ensure)?;
    steps.run("cargo test", || {
        cargo_test(&setup, &Fetched::default(), skips, log)
    })
}

/// Everything, with the recipe environment and the real model.
fn full(steps: &mut Steps, skips: &mut Vec<Skip>, log: &SkipLog) -> Result<()> {
    let setup = steps.run("set-up", setup::ensure)?;
    recipes::run(steps, &setup, log)?;
    isa::all(steps, &setup.cache)?;
    kotlin::all(steps, &setup)?;
    let client = steps.run("OpenAI's client", || {
        recipes::environment(&setup.cache, "openai-client", OPENAI_CLIENT)
    })?;
    let libraries = steps.run(providers::STEP, || {
        providers::ensure_libraries(&setup.cache)
    })?;
    let fetched = Fetched {
        libraries: Some(libraries),
        client: Some(client),
    };
    steps.run("cargo test", || cargo_test(&setup, &fetched, skips, log))
}

/// What the tests find where everything is required.
#[derive(Default)]
struct Fetched {
    /// Folder of other builds of ONNX Runtime.
    libraries: Option<PathBuf>,
    /// A Python that has OpenAI's client.
    client: Option<Python>,
}

/// Runs every Rust test, passing on what it prints, and notes the ignored ones.
fn cargo_test(
    setup: &Setup,
    fetched: &Fetched,
    skips: &mut Vec<Skip>,
    log: &SkipLog,
) -> Result<()> {
    let mut command = child::cargo(["test", "--workspace", "--no-fail-fast"]);
    if let Some(client) = &fetched.client {
        command.env("CURT_OPENAI_PYTHON", client.program());
    }
    setup.apply(&mut command).env("CURT_SKIP_LOG", log.path());
    if let Some(libraries) = &fetched.libraries {
        command.env(providers::VARIABLE, libraries);
    }
    let ended = by_line(&mut command, |line| {
        skips.extend(skips::ignored(line));
        say(line)
    })?;
    if ended {
        Ok(())
    } else {
        bail!(
            "`{}` failed; the tests that did are named above",
            child::display(&command)
        )
    }
}

/// Runs `command` and hands each line that it prints to `take`. Whether it succeeded.
fn by_line(command: &mut Command, mut take: impl FnMut(&str) -> Result<()>) -> Result<bool> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| child::cannot_start(command, &error))?;
    let lines = child
        .stdout
        .take()
        .context("a piped child has no standard output")?;
    let copied = BufReader::new(lines).split(b'\n').try_for_each(|line| {
        let line = line.context("cannot read what the tests print")?;
        take(&String::from_utf8_lossy(&line))
    });
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for `{}`", child::display(command)))?;
    copied?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_all_or_nothing_can_be_required() {
        assert_eq!(Require::parse(None).unwrap(), Require::Nothing);
        assert_eq!(Require::parse(Some("")).unwrap(), Require::Nothing);
        assert_eq!(Require::parse(Some("all")).unwrap(), Require::All);
        assert!(
            Require::parse(Some("most"))
                .unwrap_err()
                .to_string()
                .contains("`all`")
        );
    }

    #[test]
    fn output_comes_line_by_line_and_the_status_is_kept() {
        let mut seen = Vec::new();
        let mut note = |line: &str| {
            seen.push(line.to_owned());
            Ok(())
        };
        assert!(by_line(&mut child::cargo(["--version"]), &mut note).unwrap());
        let mut unknown = child::cargo(["no-such-command"]);
        assert!(!by_line(unknown.stderr(Stdio::null()), &mut note).unwrap());
        assert_eq!(seen.len(), 1);
        assert!(seen[0].starts_with("cargo "), "{seen:?}");
    }
}
