//! `cargo xtask sanitize`: the C programs of `targets/ffi/tests` under AddressSanitizer, ThreadSanitizer and
//! UndefinedBehaviorSanitizer.
//!
//! The programs are compiled by clang. The library they call is built with the same sanitizer, where rustc has it: a flag of
//! the unstable compiler, which the stable one takes for this build alone. It goes to a folder of its own.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Result, ensure};

use crate::child;
use crate::setup::{self, Setup};
use crate::steps::Steps;

/// The step of a full test run.
pub(crate) const STEP: &str = "C interface under sanitizers";

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A sanitizer: what clang calls it, and what rustc is told.
struct Sanitizer {
    name: &'static str,
    rust_flags: Option<&'static str>,
}

const SANITIZERS: [Sanitizer; 3] = [
    // Rust defines what C leaves undefined: there is nothing to build the library with.
    Sanitizer {
        name: "undefined",
        rust_flags: None,
    },
    Sanitizer {
        name: "address",
        rust_flags: Some("-Zsanitizer=address"),
    },
    Sanitizer {
        name: "thread",
        // The standard library is the one that was compiled without: what it does between threads, it does in generic code
        // that is compiled here.
        rust_flags: Some("-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer"),
    },
];

/// The command itself.
pub(crate) fn run() -> Result<ExitCode> {
    let mut steps = Steps::default();
    let outcome = steps
        .run("set-up", setup::ensure)
        .and_then(|setup| all(&mut steps, &setup));
    steps.print_table()?;
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Whether clang is here.
pub(crate) fn is_possible() -> bool {
    let mut clang = Command::new("clang");
    clang.arg("--version").stdout(Stdio::null());
    cfg!(all(target_os = "linux", target_arch = "x86_64"))
        && child::status(&mut clang).is_ok_and(|status| status.success())
}

/// One step for each sanitizer.
pub(crate) fn all(steps: &mut Steps, setup: &Setup) -> Result<()> {
    ensure!(
        is_possible(),
        "the sanitizers need clang, on x86-64 Linux: apt-get install clang"
    );
    for sanitizer in &SANITIZERS {
        let name = format!("C interface, {} sanitizer", sanitizer.name);
        steps.run(&name, || under(sanitizer, setup))?;
    }
    Ok(())
}

fn under(sanitizer: &Sanitizer, setup: &Setup) -> Result<()> {
    let mut tests = child::cargo(["test", "--package", "curt-ffi", "--test", "suite", "c::"]);
    setup.apply(&mut tests);
    tests.env("CURT_FFI_SANITIZER", sanitizer.name);
    if let Some(flags) = sanitizer.rust_flags {
        let folder = child::checkout()
            .join("target/sanitizers")
            .join(sanitizer.name);
        let mut build = child::cargo(["rustc", "--package", "curt-ffi", "--lib"]);
        build
            .args(["--crate-type", "cdylib", "--target", TARGET, "--target-dir"])
            .arg(&folder)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", flags);
        child::succeed(&mut build)?;
        tests.env("CURT_FFI_LIBRARY_DIR", folder.join(TARGET).join("debug"));
    }
    child::succeed(&mut tests)
}
