//! Where things lie on this machine: the ONNX Runtime library and packages.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use curt::EngineOptions;

use crate::attention::AttentionName;
use curt::session::LibraryOptions;

/// ONNX Runtime version that `cargo xtask setup` fetches.
const ONNXRUNTIME: &str = "1.31.1";

/// The shipped package, from the top of a checkout.
const SHIPPED: &str = "models/packages/reasoner";

/// The shipped package that sees, from the same place.
const SHIPPED_VISION: &str = "models/packages/vqa";

/// curt's folder in the user's cache: `CURT_CACHE_DIR`, else `XDG_CACHE_HOME/curt`, else `~/.cache/curt`.
pub(crate) fn cache_dir() -> Option<PathBuf> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    variable("CURT_CACHE_DIR")
        // The XDG specification: a relative path is to be ignored.
        .or_else(|| {
            variable("XDG_CACHE_HOME")
                .filter(|d| d.is_absolute())
                .map(|d| d.join("curt"))
        })
        .or_else(|| variable("HOME").map(|d| d.join(".cache/curt")))
}

/// Loads ONNX Runtime: `ORT_DYLIB_PATH`, else beside the executable, else what `cargo xtask setup` has fetched.
///
/// # Errors
/// Where there is no library, or it is too old.
pub fn load_library() -> Result<()> {
    let named = std::env::var_os("ORT_DYLIB_PATH").is_some_and(|v| !v.is_empty());
    let fetched = if named { None } else { fetched_library() };
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.join(library_name())))
        .filter(|file| file.exists());
    curt::session::load_library(&LibraryOptions {
        file: if named { None } else { beside.or(fetched) },
        ..LibraryOptions::default()
    })?;
    Ok(())
}

fn library_name() -> String {
    format!(
        "{}onnxruntime{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    )
}

fn fetched_library() -> Option<PathBuf> {
    let folder = format!(
        "onnxruntime/{ONNXRUNTIME}-{}-{}",
        std::env::consts::OS,
        std::env::consts::ARCH
    );
    Some(cache_dir()?.join(folder).join(library_name())).filter(|file| file.exists())
}

/// The folder of a package: a path, or the name of one in the user's cache; without either the shipped one.
///
/// # Errors
/// Where there is no such folder.
pub fn package(named: Option<&Path>) -> Result<PathBuf> {
    let Some(named) = named else {
        let shipped = Path::new(SHIPPED);
        if shipped.is_dir() {
            return Ok(shipped.into());
        }
        bail!("no --package given, and {SHIPPED} is not here: name a package folder");
    };
    if named.exists() {
        return Ok(named.into());
    }
    let cached = cache_dir().map(|d| d.join("packages").join(named));
    match cached {
        Some(dir) if dir.is_dir() => Ok(dir),
        Some(dir) => bail!(
            "package {}: neither a folder here nor {}",
            named.display(),
            dir.display()
        ),
        None => bail!("package {}: no such folder", named.display()),
    }
}

/// The shipped package that sees.
///
/// # Errors
/// Where it is not here.
pub fn vision_package() -> Result<PathBuf> {
    let shipped = Path::new(SHIPPED_VISION);
    if shipped.is_dir() {
        return Ok(shipped.into());
    }
    bail!(
        "no --package given, and {SHIPPED_VISION} is not here: name a package folder that takes images"
    );
}

/// Opens a package with its graph loaded.
///
/// # Errors
/// As [`load_library`], [`package`] and [`curt::Engine::open`].
pub fn open_engine(
    named: Option<&Path>,
    threads: Option<usize>,
    attention: AttentionName,
) -> Result<curt::Engine> {
    let options = EngineOptions {
        threads,
        attention: attention.into(),
        ..EngineOptions::default()
    };
    open_engine_with(&package(named)?, &options)
}

/// Opens the package in `dir` with its graph loaded.
///
/// # Errors
/// As [`load_library`] and [`curt::Engine::open`].
pub fn open_engine_with(dir: &Path, options: &EngineOptions) -> Result<curt::Engine> {
    load_library()?;
    curt::Engine::open(dir, options).with_context(|| format!("opening {}", dir.display()))
}
