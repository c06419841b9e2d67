//! `cargo xtask kotlin`: builds curt for Kotlin on the JVM, and for Android against its public classes; their tests ask the shipped
//! packages, those of Android under Robolectric.
//!
//! Needs a JDK from 17 on and Maven, which fetches the compiler and the libraries from its central repository once.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Result, ensure};

use crate::child;
use crate::setup::{self, Setup};
use crate::steps::Steps;

/// The steps of a full test run.
pub(crate) const STEP: &str = "curt for Kotlin";
const ANDROID: &str = "curt for Android";

/// The command itself.
pub(crate) fn run() -> Result<ExitCode> {
    let mut steps = Steps::default();
    let outcome = steps
        .run("set-up", setup::ensure)
        .and_then(|setup| all(&mut steps, &setup));
    steps.print_table()?;
    outcome.map(|()| ExitCode::SUCCESS)
}

/// One step for each module, after the library.
pub(crate) fn all(steps: &mut Steps, setup: &Setup) -> Result<()> {
    let mut maven = Command::new("mvn");
    maven.arg("--version").stdout(Stdio::null());
    ensure!(
        child::status(&mut maven).is_ok_and(|status| status.success()),
        "curt for Kotlin needs Maven and a JDK: apt-get install maven default-jdk-headless"
    );
    let mut library = child::cargo(["build", "--package", "curt-ffi"]);
    steps.run("the C library", || child::succeed(&mut library))?;
    for (name, module) in [
        (STEP, "targets/ffi/kotlin"),
        (ANDROID, "targets/android/curt"),
    ] {
        let mut test = Command::new("mvn");
        test.current_dir(child::checkout().join(module))
            .args(["--quiet", "--batch-mode", "test"])
            .env("CURT_CHECKOUT", child::checkout())
            .env(
                "CURT_FFI_LIBRARY_DIR",
                child::checkout().join("target/debug"),
            );
        setup.apply(&mut test);
        steps.run(name, || child::succeed(&mut test))?;
    }
    Ok(())
}
