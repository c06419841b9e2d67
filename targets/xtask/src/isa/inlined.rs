//! Whether every vector instruction of the kernels stands where it is used.
//!
//! A function that enables an instruction set takes in the intrinsics it calls. A closure within it is a function of its own
//! that does not enable the set: where the compiler leaves it apart, as it may with one given to `map`, each intrinsic becomes
//! a call, and a loop takes many times as long. The results are the same, so that no other test sees it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::child;

/// Part of the names of intrinsics, which their symbols carry.
const INTRINSICS: &str = "core_arch";

/// Builds the kernels as they ship, and fails where an intrinsic is a function.
pub(super) fn check(target: &Path) -> Result<()> {
    let mut build = child::cargo(["build", "--release", "--package", "curt-kernels", "--lib"]);
    build.arg("--target-dir").arg(target);
    child::succeed(&mut build)?;
    let library = target.join("release/libcurt_kernels.rlib");
    let mut list = Command::new("nm");
    list.arg("--defined-only").arg(&library);
    let output = list
        .output()
        .map_err(|error| child::cannot_start(&list, &error))?;
    let symbols = String::from_utf8(output.stdout).context("what nm printed")?;
    let functions: Vec<&str> = symbols
        .lines()
        .filter(|line| line.contains(INTRINSICS))
        .collect();
    ensure!(
        symbols.contains("split_attention"),
        "nm finds no kernel in {}",
        library.display()
    );
    ensure!(
        functions.is_empty(),
        "intrinsics that were not inlined, each a call: give loops and methods marked `inline(always)` in place of closures\n{}",
        functions.join("\n")
    );
    Ok(())
}
