//! The wheel: made, installed in an empty environment, and asked.

use std::path::Path;
use std::process::Command;

use crate::c::succeeded;
use crate::header::folder;
use crate::support::{checkout, library_or_skip, skip};

#[test]
fn the_wheel_is_installed_in_an_empty_environment_and_asked() {
    let test = "the_wheel_is_installed_in_an_empty_environment_and_asked";
    if !library_or_skip(test) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let environment = dir.join("environment");
    let mut made = Command::new("python3");
    made.args(["-m", "venv"]).arg(&environment);
    if !made.output().is_ok_and(|output| output.status.success()) {
        skip(test, "python3 cannot make a virtual environment here");
        return;
    }
    let python = environment.join("bin/python");
    let run = |args: &[&str], paths: &[&Path]| {
        let library = std::env::current_exe().unwrap();
        let mut command = Command::new(&python);
        command
            .args(args)
            .args(paths)
            // What this test stands in, or leaves there, is no part of the wheel.
            .current_dir(dir)
            .env("CURT_FFI_LIBRARY", library.with_file_name("libcurt_ffi.so"))
            .env("CURT_CHECKOUT", checkout().canonicalize().unwrap())
            // Importing the package sets it.
            .env_remove("ORT_DISABLE_TELEMETRY");
        succeeded(&mut command);
    };
    // Nothing is fetched: the library is the one that ORT_DYLIB_PATH names.
    let build = [
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--wheel-dir",
    ];
    run(&build, &[dir, &folder().join("python")]);
    let wheel = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let wheel = wheel.filter(|file| file.extension().is_some_and(|extension| extension == "whl"));
    let [wheel] = <[_; 1]>::try_from(wheel.collect::<Vec<_>>()).unwrap();
    let install = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps"];
    run(&install, &[&wheel]);
    let tests = folder().join("python/tests/test_curt.py");
    run(&["-W", "error"], &[&tests]);
}
