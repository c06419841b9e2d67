//! `cargo xtask providers`: other builds of ONNX Runtime, and software that plays a graphics card, for the tests of
//! execution providers.
//!
//! All of it goes into one folder of the cache, which those tests find as `CURT_PROVIDER_LIBRARIES`. What comes from an
//! index is pinned by its digest; Debian's packages are signed.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};

use crate::cache::{self, Lock};
use crate::child;
use crate::debian::{self, Apt};
use crate::library;
use crate::python::Python;
use crate::setup;
use crate::steps::{Steps, say};

/// The step of a full test run.
pub(crate) const STEP: &str = "libraries of other execution providers";

/// Named by what is in it: other contents, another folder.
const FOLDER: &str = "providers-1";

/// A wheel, and the folder that all its libraries go to.
struct Wheel {
    folder: &'static str,
    requirement: &'static str,
    tag: &'static str,
    sha256: &'static str,
    /// Its library among several, which the tests call `libonnxruntime.so`.
    library: Option<&'static str>,
}

const WHEELS: [Wheel; 4] = [
    // CUDA and TensorRT are compiled in; neither they nor a device are on this machine as a rule.
    Wheel {
        folder: "gpu",
        requirement: "onnxruntime-gpu==1.31.1",
        tag: "manylinux_2_28_x86_64",
        sha256: "05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7",
        library: Some("libonnxruntime.so.1.31.1"),
    },
    // The last release before the one whose functions curt calls.
    Wheel {
        folder: "old",
        requirement: "onnxruntime==1.23.2",
        tag: "manylinux_2_28_x86_64",
        sha256: "0f9b4ae77f8e3c9bee50c27bc1beede83f786fe1d52e99ac85aa8d65a01e9b77",
        library: Some("libonnxruntime.so.1.23.2"),
    },
    // Of another processor than these tests run on.
    Wheel {
        folder: "other",
        requirement: "onnxruntime==1.31.1",
        tag: "manylinux_2_28_aarch64",
        sha256: "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc",
        library: Some("libonnxruntime.so.1.31.1"),
    },
    // A plugin that has a device on every processor of Intel.
    Wheel {
        folder: "openvino",
        requirement: "onnxruntime-ep-openvino==1.8.1",
        tag: "manylinux_2_28_x86_64",
        sha256: "3832643158c8c187fcab6db661cde2a8c06a2b3559d95d0f2411ac0e51c5e924",
        library: None,
    },
];

/// The one public build for Linux that has WebGPU compiled in.
const NODE: &str = "onnxruntime-node@1.30.0";
const NODE_SHA256: &str = "6e3390d6b783e7be946fad629292799da28d0b42f84856e50d2c1b0383291e75";
const NODE_LIBRARY: &str = "package/bin/napi-v6/linux/x64/libonnxruntime.so.1";

/// Vulkan on the processor. Debian 12's is too old for WebGPU, so that Debian 13's comes with its own C library.
const MESA: [&str; 3] = ["mesa-vulkan-drivers", "libvulkan1", "libstdc++6"];

/// Takes every shared library out of a wheel into one folder.
const LIBRARIES: &str = "\
import pathlib, shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for info in wheel.infolist():
        name = pathlib.PurePosixPath(info.filename).name
        if '.so' in name and 'pybind' not in name:
            with wheel.open(info) as source, open(pathlib.Path(sys.argv[2], name), 'wb') as sink:
                shutil.copyfileobj(source, sink)
";

/// The command itself: fetches, and runs the tests.
pub(crate) fn run() -> Result<ExitCode> {
    let mut steps = Steps::default();
    let outcome = (|| {
        let setup = steps.run("set-up", setup::ensure)?;
        let folder = steps.run(STEP, || ensure_libraries(&setup.cache))?;
        steps.run("tests of execution providers", || {
            let mut command = child::cargo(["test", "--package", "curt-cli", "providers::"]);
            setup.apply(&mut command);
            child::succeed(command.env(VARIABLE, folder))
        })
    })();
    steps.print_table()?;
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Names the folder to the tests.
pub(crate) const VARIABLE: &str = "CURT_PROVIDER_LIBRARIES";

/// The folder of the libraries, fetched if it is not there.
pub(crate) fn ensure_libraries(cache: &Path) -> Result<PathBuf> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "the tests of execution providers run on x86-64 Linux alone"
    );
    let place = cache.join(FOLDER);
    let _lock = Lock::acquire(&cache.join("providers"))?;
    if place.is_dir() {
        return Ok(place);
    }
    let staging = cache.join("providers").join("staging");
    cache::remove(&staging)?;
    let made = fetch(&staging).and_then(|()| {
        std::fs::rename(staging.join("made"), &place)
            .with_context(|| format!("cannot make {}", place.display()))
    });
    cache::remove(&staging)?;
    made.map(|()| place)
}

fn fetch(staging: &Path) -> Result<()> {
    let python = Python::find()?;
    let made = staging.join("made");
    for wheel in &WHEELS {
        let (fetched, folder) = (staging.join(wheel.folder), made.join(wheel.folder));
        folder_of(&fetched)?;
        folder_of(&folder)?;
        say(wheel.requirement)?;
        child::succeed(
            python
                .pip()
                .args(["download", "--quiet", "--no-deps", "--only-binary=:all:"])
                .args(["--implementation", "cp", "--python-version", "3.12"])
                .args(["--platform", wheel.tag, "--dest"])
                .arg(&fetched)
                .arg(wheel.requirement)
                .stdout(Stdio::from(std::io::stderr())),
        )?;
        let file = only_file(&fetched)?;
        library::verify_sha256(&file, wheel.sha256)?;
        child::succeed(python.script(LIBRARIES).arg(&file).arg(&folder))?;
        if let Some(library) = wheel.library {
            rename(&folder.join(library), &folder.join("libonnxruntime.so"))?;
        }
    }
    say(NODE)?;
    let node = staging.join("node");
    folder_of(&node)?;
    child::succeed(
        Command::new("npm")
            .args(["pack", "--silent", NODE])
            .current_dir(&node)
            .stdout(Stdio::from(std::io::stderr())),
    )
    .context("npm brings the build of ONNX Runtime that has WebGPU")?;
    let archive = only_file(&node)?;
    library::verify_sha256(&archive, NODE_SHA256)?;
    child::succeed(
        Command::new("tar")
            .args(["--extract", "--gzip", "--file"])
            .arg(&archive)
            .arg("--directory")
            .arg(&node)
            .arg(NODE_LIBRARY),
    )?;
    folder_of(&made.join("webgpu"))?;
    rename(
        &node.join(NODE_LIBRARY),
        &made.join("webgpu/libonnxruntime.so"),
    )?;
    let mesa = made.join("mesa");
    folder_of(&mesa)?;
    let apt = Apt::new(staging.join("apt"), "amd64", &["trixie"])?;
    for package in apt.download_all(&MESA)? {
        debian::unpack(&package, &mesa, &[])?;
    }
    apt.remove()
}

fn folder_of(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to)
        .with_context(|| format!("cannot move {} to {}", from.display(), to.display()))
}

/// The one file that was put into `folder`.
fn only_file(folder: &Path) -> Result<PathBuf> {
    let files: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    let [file] = &files[..] else {
        anyhow::bail!(
            "expected one file in {}, got {}",
            folder.display(),
            files.len()
        );
    };
    Ok(file.clone())
}
