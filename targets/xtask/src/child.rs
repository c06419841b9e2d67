//! Running other programs, with errors that name them.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Result, anyhow, bail};

/// The checkout this program was built from.
pub(crate) fn checkout() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .ancestors()
        .nth(2)
        .unwrap_or(manifest)
        .to_path_buf()
}

/// A cargo command in the checkout: the same cargo that runs this program.
pub(crate) fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(checkout()).args(args);
    command
}

/// Runs `command` to its end and says how it ended.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command
        .status()
        .map_err(|error| cannot_start(command, &error))
}

/// Runs `command` to its end; an error unless it succeeded.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if status.success() {
        return Ok(());
    }
    bail!("`{}` failed: {status}", display(command))
}

/// The error for a program that did not start.
pub(crate) fn cannot_start(command: &Command, error: &std::io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::NotFound => anyhow!(
            "`{}` is not on this machine's PATH",
            command.get_program().display()
        ),
        _ => anyhow!("cannot start `{}`: {error}", display(command)),
    }
}

/// The command as one would type it, with long scripts cut short.
pub(crate) fn display(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program
        .file_name()
        .unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned();
    for arg in command.get_args() {
        let arg = arg.to_string_lossy();
        line.push(' ');
        if arg.contains('\n') {
            line.push_str("'...'");
        } else if arg.is_empty() || arg.contains(char::is_whitespace) {
            line.push_str(&format!("\"{arg}\""));
        } else {
            line.push_str(&arg);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkout_holds_this_crate() {
        assert!(checkout().join("targets/xtask/src/child.rs").is_file());
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = succeed(&mut Command::new("curt-no-such-program")).unwrap_err();
        assert!(
            error.to_string().contains("curt-no-such-program"),
            "{error}"
        );
    }

    #[test]
    fn a_failure_shows_the_command_and_its_status() {
        let error =
            succeed(cargo(["no-such-command", "two words"]).stderr(std::process::Stdio::null()))
                .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("cargo no-such-command \"two words\""),
            "{error}"
        );
        assert!(error.to_string().contains("101"), "{error}");
    }
}
