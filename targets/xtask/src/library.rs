//! The ONNX Runtime library: which file, and how it comes into the cache.
//!
//! The library is taken out of the official Python wheel, which is the only public package that carries it for every
//! platform listed here. The wheel is checked against the pin below before anything in it is read.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, anyhow, bail, ensure};
use sha2::{Digest, Sha256};

use crate::cache::{self, Lock};
use crate::child;
use crate::python::Python;

/// The ONNX Runtime release that curt is built and tested with.
pub(crate) const VERSION: &str = "1.31.1";

/// One wheel, and the library in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pin {
    /// Operating system and architecture, as in [`std::env::consts`].
    platform: &'static str,
    /// The wheel's platform tag, which pip wants exactly.
    tag: &'static str,
    /// SHA-256 of the wheel.
    wheel_sha256: &'static str,
    /// Path of the library inside the wheel.
    member: &'static str,
    /// The library's name in the cache.
    library: &'static str,
    /// Size of the library: shows on later runs that the file is whole.
    library_bytes: u64,
}

const PINS: [Pin; 5] = [
    Pin {
        platform: "linux-x86_64",
        tag: "manylinux_2_28_x86_64",
        wheel_sha256: "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536",
        member: "onnxruntime/capi/libonnxruntime.so.1.31.1",
        library: "libonnxruntime.so",
        library_bytes: 29_352_200,
    },
    Pin {
        platform: "linux-aarch64",
        tag: "manylinux_2_28_aarch64",
        wheel_sha256: "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc",
        member: "onnxruntime/capi/libonnxruntime.so.1.31.1",
        library: "libonnxruntime.so",
        library_bytes: 25_265_040,
    },
    Pin {
        platform: "macos-aarch64",
        tag: "macosx_14_0_arm64",
        wheel_sha256: "96dd2564b10ea7153ad9c207e7cd8e5917cb3ba521e0e0a62ac03486fdc8d56c",
        member: "onnxruntime/capi/libonnxruntime.1.31.1.dylib",
        library: "libonnxruntime.dylib",
        library_bytes: 33_037_336,
    },
    Pin {
        platform: "windows-x86_64",
        tag: "win_amd64",
        wheel_sha256: "ae8a9a351efda685cc59a66226cdefaa37a126c1d66872ca23a2de9425326130",
        member: "onnxruntime/capi/onnxruntime.dll",
        library: "onnxruntime.dll",
        library_bytes: 19_288_376,
    },
    Pin {
        platform: "windows-aarch64",
        tag: "win_arm64",
        wheel_sha256: "fe8b9ac1ae8e894e12c47ee82e4f6dfc1835768133687257866469fda80d0bf1",
        member: "onnxruntime/capi/onnxruntime.dll",
        library: "onnxruntime.dll",
        library_bytes: 19_171_640,
    },
];

/// What goes into the cache beside the library: the provider bridge that plug-in EPs need, and the licences.
const UNPACK: &str = include_str!("unpack_wheel.py");

impl Pin {
    /// The pin for the machine this runs on.
    pub(crate) fn here() -> Result<Self> {
        let libc = if cfg!(target_env = "musl") {
            "-musl"
        } else {
            ""
        };
        Self::of(&format!(
            "{}-{}{libc}",
            std::env::consts::OS,
            std::env::consts::ARCH
        ))
    }

    fn of(platform: &str) -> Result<Self> {
        PINS.into_iter()
            .find(|pin| pin.platform == platform)
            .ok_or_else(|| {
                let known = PINS.map(|pin| pin.platform).join(", ");
                anyhow!(
                    "no ONNX Runtime library is pinned for {platform} (there is one for {known}); \
                 build or install ONNX Runtime 1.24 or newer and set ORT_DYLIB_PATH to its library"
                )
            })
    }

    fn wheel(&self) -> String {
        format!("onnxruntime-{VERSION}-cp312-cp312-{}.whl", self.tag)
    }

    fn folder(&self) -> String {
        format!("{VERSION}-{}", self.platform)
    }

    /// Where the library lies once it is installed under `cache`.
    fn place(&self, cache: &Path) -> PathBuf {
        cache
            .join("onnxruntime")
            .join(self.folder())
            .join(self.library)
    }
}

/// The library under `cache`, if it is there and whole.
pub(crate) fn installed(cache: &Path, pin: &Pin) -> Option<PathBuf> {
    let library = pin.place(cache);
    let whole = std::fs::metadata(&library)
        .is_ok_and(|meta| meta.is_file() && meta.len() == pin.library_bytes);
    whole.then_some(library)
}

/// The library under `cache`, installed with `fetch` if it is not there or not whole. `fetch` puts the pinned wheel
/// into the folder it is given.
///
/// Everything happens in a folder of its own that is renamed into place when it is complete, so whoever looks finds
/// the whole library or none, whenever the process is interrupted and however many run at once.
pub(crate) fn install(
    cache: &Path,
    pin: &Pin,
    python: &Python,
    fetch: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    if let Some(library) = installed(cache, pin) {
        return Ok(library);
    }
    let dir = cache.join("onnxruntime");
    let _lock = Lock::acquire(&dir)?;
    if let Some(library) = installed(cache, pin) {
        return Ok(library);
    }
    remove_leftovers(&dir)?;
    let staging = dir.join(format!(".staging-{}", std::process::id()));
    let outcome = stage(&staging, pin, python, fetch).and_then(|unpacked| {
        let place = dir.join(pin.folder());
        cache::remove(&place)?;
        std::fs::rename(&unpacked, &place)
            .with_context(|| format!("cannot move {} to {}", unpacked.display(), place.display()))
    });
    let tidied = cache::remove(&staging);
    outcome.and(tidied)?;
    installed(cache, pin).ok_or_else(|| {
        anyhow!(
            "{} is not there although it was just installed",
            pin.place(cache).display()
        )
    })
}

/// Fetches, verifies and unpacks into `staging`; returns the folder to move into place.
fn stage(
    staging: &Path,
    pin: &Pin,
    python: &Python,
    fetch: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let unpacked = staging.join("unpacked");
    std::fs::create_dir_all(&unpacked)
        .with_context(|| format!("cannot make the folder {}", unpacked.display()))?;
    fetch(staging)?;
    let wheel = staging.join(pin.wheel());
    verify_sha256(&wheel, pin.wheel_sha256)?;
    child::succeed(
        python
            .script(UNPACK)
            .arg(&wheel)
            .arg(&unpacked)
            .arg(pin.member)
            .arg(pin.library),
    )
    .with_context(|| format!("cannot unpack {}", pin.wheel()))?;
    let library = unpacked.join(pin.library);
    let got = std::fs::metadata(&library)
        .with_context(|| format!("no {} in {}", pin.member, pin.wheel()))?
        .len();
    ensure!(
        got == pin.library_bytes,
        "{} in {} has {got} bytes, expected {}: the pin in targets/xtask/src/library.rs disagrees with itself",
        pin.member,
        pin.wheel(),
        pin.library_bytes
    );
    Ok(unpacked)
}

fn remove_leftovers(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry.with_context(|| format!("cannot list {}", dir.display()))?;
        if entry.file_name().to_string_lossy().starts_with(".staging-") {
            cache::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Has pip put the pinned wheel into `dir`, whatever Python's own version and platform are.
pub(crate) fn download(python: &Python, pin: &Pin, dir: &Path) -> Result<()> {
    eprintln!("fetching ONNX Runtime {VERSION} for {}", pin.platform);
    let mut pip = python.pip();
    pip.args([
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--implementation",
        "cp",
        "--python-version",
        "3.12",
    ])
    .args(["--platform", pin.tag, "--retries", "2", "--dest"])
    .arg(dir)
    .arg(format!("onnxruntime=={VERSION}"))
    .stdout(Stdio::from(std::io::stderr()));
    child::succeed(&mut pip).with_context(|| {
        format!(
            "cannot fetch the ONNX Runtime library: pip did not get {wheel} (its own words are above). Either\n\
             \x20 - connect to the network, or point pip at a mirror (PIP_INDEX_URL), and run this again;\n\
             \x20 - copy {wheel} into a folder and set PIP_FIND_LINKS to that folder (and PIP_NO_INDEX=1); or\n\
             \x20 - set ORT_DYLIB_PATH to an ONNX Runtime library you have, version 1.24 or newer",
            wheel = pin.wheel()
        )
    })
}

/// Refuses `file` unless its SHA-256 is `expected`, in lower-case hex.
pub(crate) fn verify_sha256(file: &Path, expected: &str) -> Result<()> {
    let got = sha256(file)?;
    if got == expected {
        return Ok(());
    }
    bail!(
        "{} is not the file that curt pins, and was not used\n\
         \x20 sha256 expected {expected}\n\
         \x20 sha256 got      {got}\n\
         the package index, or a folder in PIP_FIND_LINKS, serves another file under this name: take it from the \
         official index, or set ORT_DYLIB_PATH to a library you trust",
        file.file_name().unwrap_or(file.as_os_str()).display()
    )
}

/// SHA-256 of a file, in lower-case hex.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => hash.update(&buffer[..bytes]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

#[cfg(test)]
mod tests;
