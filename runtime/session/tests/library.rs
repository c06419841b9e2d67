//! Loading the library: once in a process, so that each of these has a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use curt_session::{Error, LibraryOptions, Telemetry, library_info, load_library};

const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

/// Names the library for a test's process.
const LIBRARY: &str = "CURT_SESSION_TEST_LIBRARY";

/// Names what a test's process does in place of the test.
const PART: &str = "CURT_SESSION_TEST_PART";

/// The library's file; says that `test` did not run where there is none.
fn library_or_skip(test: &str) -> Option<PathBuf> {
    match library_info() {
        Ok(info) => Some(info.file),
        Err(error) => {
            skip(test, &error.to_string());
            None
        }
    }
}

fn skip(test: &str, why: &str) {
    use std::io::Write;
    eprintln!("skipped: {test}: {why}");
    if let Some(log) = std::env::var_os("CURT_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(log)
            .expect("CURT_SKIP_LOG names a file that can be written");
        writeln!(log, "{test}\t{why}").expect("the skip log can be written");
    }
}

/// What this process does in place of its test, where it was started by [`alone`].
fn part() -> Option<fn()> {
    let name = std::env::var(PART).ok()?;
    Some(match name.as_str() {
        "loads_again" => loads_again,
        "refuses" => refuses,
        "loads" => loads,
        "allows" => allows,
        _ => panic!("{PART}={name}"),
    })
}

/// Runs `part` in place of `test` in a process of its own, whose home is `home`, behind `before`.
fn alone(
    (test, part): (&str, &str),
    library: &Path,
    home: &Path,
    before: &[&str],
    telemetry: Option<&str>,
) -> Output {
    let this = std::env::current_exe().unwrap();
    let mut line: Vec<_> = before.iter().map(|word| word.into()).collect();
    line.push(this.into_os_string());
    let mut command = Command::new(&line[0]);
    command
        .args(&line[1..])
        .args([test, "--exact", "--nocapture"])
        .env(PART, part)
        .env("HOME", home)
        .env(LIBRARY, library)
        .env_remove("XDG_CACHE_HOME")
        .env_remove(NO_TELEMETRY)
        // Known to the library as machines that build, where it starts no telemetry.
        .env_remove("CI")
        .env_remove("GITHUB_ACTIONS")
        .env_remove("TF_BUILD");
    if let Some(value) = telemetry {
        command.env(NO_TELEMETRY, value);
    }
    command.output().unwrap()
}

/// # Panics
/// Where the other process's test failed, or did not run.
fn passed(output: &Output) {
    let out = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && out.contains("1 passed"),
        "{out}{error}"
    );
}

fn named() -> PathBuf {
    std::env::var_os(LIBRARY).unwrap().into()
}

fn file(file: impl Into<PathBuf>) -> LibraryOptions {
    LibraryOptions {
        file: Some(file.into()),
        ..LibraryOptions::default()
    }
}

#[test]
fn a_failure_is_not_kept_and_a_second_library_is_refused() {
    if let Some(part) = part() {
        return part();
    }
    let test = "a_failure_is_not_kept_and_a_second_library_is_refused";
    let Some(library) = library_or_skip(test) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    passed(&alone(
        (test, "loads_again"),
        &library,
        home.path(),
        &[],
        Some("1"),
    ));
}

fn loads_again() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("libonnxruntime.so");
    std::fs::write(&text, "no library").unwrap();
    let error = load_library(&file(&text)).unwrap_err();
    assert!(std::error::Error::source(&error).is_some(), "{error}");
    for wrong in [dir.path().to_path_buf(), dir.path().join("none")] {
        let error = load_library(&file(&wrong)).unwrap_err();
        assert!(matches!(error, Error::Library { .. }), "{error}");
    }
    load_library(&file(named())).unwrap();
    load_library(&LibraryOptions::default()).unwrap();
    load_library(&file(named().canonicalize().unwrap())).unwrap();
    let error = load_library(&file(&text)).unwrap_err();
    assert!(matches!(error, Error::Loaded { .. }), "{error}");
    assert_eq!(library_info().unwrap().file, named());
}

#[test]
fn telemetry_is_refused_by_value_and_the_environment_is_left_alone() {
    if let Some(part) = part() {
        return part();
    }
    let test = "telemetry_is_refused_by_value_and_the_environment_is_left_alone";
    let Some(library) = library_or_skip(test) else {
        return;
    };
    for value in [None, Some(""), Some("0"), Some("2"), Some("no")] {
        let home = tempfile::tempdir().unwrap();
        passed(&alone((test, "refuses"), &library, home.path(), &[], value));
        assert!(is_empty(home.path()), "{value:?}");
    }
    // Honoured, as it was found: nothing is written.
    for value in ["1", "true", "YES", "y", " on "] {
        let home = tempfile::tempdir().unwrap();
        passed(&alone(
            (test, "loads"),
            &library,
            home.path(),
            &[],
            Some(value),
        ));
        assert!(is_empty(home.path()), "{value:?}");
    }
}

fn refuses() {
    let before = std::env::var_os(NO_TELEMETRY);
    let error = load_library(&file(named())).unwrap_err();
    assert!(matches!(error, Error::Telemetry { .. }), "{error}");
    assert_eq!(std::env::var_os(NO_TELEMETRY), before);
}

fn loads() {
    let before = std::env::var_os(NO_TELEMETRY);
    load_library(&file(named())).unwrap();
    assert_eq!(std::env::var_os(NO_TELEMETRY), before);
}

/// What the values are refused for: with one of them the library does start its telemetry. Off the network.
#[test]
#[cfg(target_os = "linux")]
fn what_is_refused_would_write_to_the_home_folder() {
    if let Some(part) = part() {
        return part();
    }
    let test = "what_is_refused_would_write_to_the_home_folder";
    const OFF_THE_NETWORK: [&str; 2] = ["unshare", "-rn"];
    let Some(library) = library_or_skip(test) else {
        return;
    };
    let apart = Command::new(OFF_THE_NETWORK[0])
        .args([OFF_THE_NETWORK[1], "true"])
        .status();
    if !apart.is_ok_and(|status| status.success()) {
        return skip(test, "no network namespace of our own here");
    }
    let home = tempfile::tempdir().unwrap();
    passed(&alone(
        (test, "allows"),
        &library,
        home.path(),
        &OFF_THE_NETWORK,
        Some("0"),
    ));
    if is_empty(home.path()) {
        skip(test, "this build of the library has no telemetry");
    }
}

fn allows() {
    let allowed = LibraryOptions {
        telemetry: Telemetry::Allowed,
        ..file(named())
    };
    load_library(&allowed).unwrap();
    let error = load_library(&file(named())).unwrap_err();
    assert!(matches!(error, Error::Loaded { .. }), "{error}");
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}
