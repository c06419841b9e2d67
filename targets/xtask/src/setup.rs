//! `cargo xtask setup`: what every other command needs first.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::cache;
use crate::library::{self, Pin, VERSION};
use crate::python::Python;

/// A machine on which curt can be built and run.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The ONNX Runtime library, absolute.
    pub(crate) library: PathBuf,
    /// The user's cache folder, absolute.
    pub(crate) cache: PathBuf,
}

impl Setup {
    /// Tells `command` where the library and the cache are.
    pub(crate) fn apply<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env("ORT_DYLIB_PATH", &self.library)
            .env("ORT_DISABLE_TELEMETRY", "1")
            .env("CURT_CACHE_DIR", &self.cache)
    }
}

/// Does the set-up, or finds it done.
pub(crate) fn ensure() -> Result<Setup> {
    let cache = cache::dir()?;
    let library = match chosen_library(std::env::var_os("ORT_DYLIB_PATH"))? {
        Some(library) => library,
        None => fetched_library(&cache)?,
    };
    Ok(Setup { library, cache })
}

/// The command itself. Prints a line for the shell to standard output, the rest to standard error.
pub(crate) fn run() -> Result<ExitCode> {
    let chosen = std::env::var_os("ORT_DYLIB_PATH").is_some_and(|path| !path.is_empty());
    let setup = ensure()?;
    if chosen {
        eprintln!("ONNX Runtime: the library that ORT_DYLIB_PATH names");
    } else {
        eprintln!("ONNX Runtime {VERSION}: ready");
    }
    println!("ORT_DYLIB_PATH={}", setup.library.display());
    Ok(ExitCode::SUCCESS)
}

/// The library the user chose with ORT_DYLIB_PATH, if any. It is used as it is, once it is known to be a file.
fn chosen_library(value: Option<OsString>) -> Result<Option<PathBuf>> {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    // Absolute, since children run in other folders.
    let library = std::path::absolute(&value)
        .with_context(|| format!("ORT_DYLIB_PATH={}", value.display()))?;
    ensure!(
        library.is_file(),
        "ORT_DYLIB_PATH names {}, which is not a file; correct it, or unset it to have the library fetched",
        library.display()
    );
    Ok(Some(library))
}

fn fetched_library(cache: &std::path::Path) -> Result<PathBuf> {
    let pin = Pin::here()?;
    if let Some(library) = library::installed(cache, &pin) {
        return Ok(library);
    }
    let python = Python::find()?;
    library::install(cache, &pin, &python, |dir| {
        library::download(&python, &pin, dir)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_library_wins() {
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join("libmine.so");
        std::fs::write(&library, "").unwrap();
        assert_eq!(
            chosen_library(Some(library.clone().into())).unwrap(),
            Some(library)
        );
    }

    #[test]
    fn a_library_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().join("missing.so"), dir.path().to_path_buf()] {
            let error = chosen_library(Some(path.clone().into()))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(path.to_str().unwrap()) && error.contains("unset it"),
                "{error}"
            );
        }
    }

    #[test]
    fn unset_and_empty_mean_fetch() {
        assert_eq!(chosen_library(None).unwrap(), None);
        assert_eq!(chosen_library(Some("".into())).unwrap(), None);
    }

    #[test]
    fn children_learn_where_things_are() {
        let setup = Setup {
            library: "/l".into(),
            cache: "/c".into(),
        };
        let mut command = Command::new("x");
        setup.apply(&mut command);
        let envs: Vec<_> = command
            .get_envs()
            .map(|(k, v)| (k.to_str().unwrap(), v.unwrap().to_str().unwrap()))
            .collect();
        let expected = [
            ("CURT_CACHE_DIR", "/c"),
            ("ORT_DISABLE_TELEMETRY", "1"),
            ("ORT_DYLIB_PATH", "/l"),
        ];
        assert_eq!(envs, expected);
    }
}
