//! `cargo xtask`: everything a checkout of curt does for itself.
//!
//! `setup` fetches the ONNX Runtime library, `demo` asks the shipped packages, `camera` serves a page that does, `test` runs
//! what this machine can run and lists the rest, `isa` runs the kernel tests on emulated processors, `kotlin` tests curt for
//! Kotlin, `check` is what continuous integration
//! holds the source to. Each does its own set-up on a machine that has only Rust and Python 3 with pip.

mod cache;
mod camera;
mod check;
mod child;
mod debian;
mod demo;
mod isa;
mod kotlin;
mod library;
mod providers;
mod python;
mod recipes;
mod setup;
mod skips;
mod steps;
mod test;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
Usage: cargo xtask <command>

Commands:
  setup                 fetch the ONNX Runtime library into the user's cache; prints ORT_DYLIB_PATH=<file>
  demo [-- QUESTION]    set up, build, and ask the shipped packages: one sees, one prunes; QUESTION is for the second
  camera [-- OPTIONS]   set up, build, and serve a page that asks about what a camera sees
  test                  set up, and run every test that needs no more than that; lists what it skipped and why
  isa                   the kernel tests on every instruction set, most of them emulated (Debian on x86-64)
  providers             other builds of ONNX Runtime into the user's cache, and the tests of execution providers on them
  kotlin                build curt for Kotlin and for Android and run their tests on the JVM (JDK 17 and Maven)
  check                 format, lints, documentation and layering, warnings denied

Environment:
  ORT_DYLIB_PATH        use this ONNX Runtime library (1.24 or newer) instead of fetching one
  CURT_CACHE_DIR        keep fetched and built files here; otherwise $XDG_CACHE_HOME/curt, otherwise ~/.cache/curt
  CURT_REQUIRE=all      `test` also installs the recipe environment, builds the real model and treats a skip as a failure
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<ExitCode> {
    let Some((command, rest)) = args.split_first() else {
        eprint!("{USAGE}");
        return Ok(ExitCode::from(2));
    };
    if !matches!(command.as_str(), "demo" | "camera") && !rest.is_empty() {
        bail!(
            "`{command}` takes no arguments, got `{}`\n{USAGE}",
            rest.join(" ")
        );
    }
    match command.as_str() {
        "setup" => setup::run(),
        "demo" => demo::run(rest),
        "camera" => camera::run(rest),
        "test" => test::run(),
        "isa" => isa::run(),
        "providers" => providers::run(),
        "kotlin" => kotlin::run(),
        "check" => check::run(),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("no command `{other}`\n{USAGE}"),
    }
}
