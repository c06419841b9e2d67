//! The machine's Python 3 with pip.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::child;

/// A Python 3 interpreter that can run pip.
#[derive(Debug, Clone)]
pub(crate) struct Python {
    program: PathBuf,
}

/// Names to look for, in order.
const NAMES: [&str; 3] = ["python3", "python", "py"];

impl Python {
    /// The first interpreter on PATH that can run pip.
    pub(crate) fn find() -> Result<Self> {
        Self::find_among(&NAMES, |name, args| answers(Command::new(name).args(args)))
    }

    fn find_among(names: &[&str], succeeds: impl Fn(&str, &[&str]) -> bool) -> Result<Self> {
        let mut without_pip = None;
        for &name in names {
            if !succeeds(
                name,
                &["-c", "import sys; sys.exit(sys.version_info < (3, 9))"],
            ) {
                continue;
            }
            if succeeds(name, &["-m", "pip", "--version"]) {
                return Ok(Self {
                    program: name.into(),
                });
            }
            without_pip.get_or_insert(name);
        }
        match without_pip {
            Some(name) => bail!(
                "`{name}` has no pip, which fetches the ONNX Runtime library; install it \
                 (`apt install python3-pip`, or `{name} -m ensurepip`), or set ORT_DYLIB_PATH to a library you have"
            ),
            None => bail!(
                "no Python 3.9 or newer on this machine's PATH (tried {}), and pip fetches the ONNX Runtime library; \
                 install Python 3 with pip (`apt install python3-pip`), or set ORT_DYLIB_PATH to a library you have",
                names.join(", ")
            ),
        }
    }

    /// The interpreter of the virtual environment in `dir`.
    pub(crate) fn of_venv(dir: &Path) -> Self {
        let program = if cfg!(windows) {
            dir.join("Scripts").join("python.exe")
        } else {
            dir.join("bin").join("python")
        };
        Self { program }
    }

    /// The interpreter.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// A command that runs the interpreter.
    pub(crate) fn command(&self) -> Command {
        Command::new(&self.program)
    }

    /// A command that runs `source`; arguments may be added.
    pub(crate) fn script(&self, source: &str) -> Command {
        let mut command = self.command();
        command.args(["-c", source]);
        command
    }

    /// A command that runs pip. A user's wish to install only into virtual environments is no reason not to download.
    pub(crate) fn pip(&self) -> Command {
        let mut command = self.command();
        command
            .args(["-m", "pip"])
            .env("PIP_REQUIRE_VIRTUALENV", "0")
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
        command
    }

    /// Whether the interpreter runs at all.
    pub(crate) fn runs(&self) -> bool {
        answers(self.command().args(["-c", ""]))
    }

    /// Refuses an interpreter older than `version`, as in `3.11`.
    pub(crate) fn require(&self, version: &str) -> Result<()> {
        let compare =
            "import sys; sys.exit(sys.version_info < tuple(map(int, sys.argv[1].split('.'))))";
        if answers(self.script(compare).arg(version)) {
            return Ok(());
        }
        bail!(
            "`{}` is {}, expected Python {version} or newer",
            self.program.display(),
            self.version()?
        )
    }

    /// Implementation and version, as in `cpython-311`.
    pub(crate) fn version(&self) -> Result<String> {
        let mut command = self.script("import sys; print(sys.implementation.cache_tag)");
        let output = command
            .output()
            .map_err(|error| child::cannot_start(&command, &error))?;
        let version = String::from_utf8(output.stdout).context("Python's version is not text")?;
        Ok(version.trim().to_owned())
    }
}

fn answers(command: &mut Command) -> bool {
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_with_pip_is_taken() {
        let pip = |name: &str, args: &[&str]| args[0] == "-c" || name == "python";
        assert_eq!(
            Python::find_among(&NAMES, pip).unwrap().program,
            Path::new("python")
        );
    }

    #[test]
    fn an_older_python_is_refused() {
        let python = Python {
            program: "python3".into(),
        };
        python.require("3.9").unwrap();
        let error = python.require("99.1").unwrap_err().to_string();
        assert!(
            error.contains("cpython-3") && error.contains("Python 99.1"),
            "{error}"
        );
    }

    #[test]
    fn no_python_says_so() {
        let error = Python::find_among(&NAMES, |_, _| false)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no Python 3.9 or newer") && error.contains("ORT_DYLIB_PATH"),
            "{error}"
        );
    }

    #[test]
    fn a_python_without_pip_says_so() {
        let error = Python::find_among(&NAMES, |_, args| args[0] == "-c")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`python3` has no pip") && error.contains("ORT_DYLIB_PATH"),
            "{error}"
        );
    }
}
