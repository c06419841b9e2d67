//! `cargo xtask demo`: from a cold clone to an answer.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, anyhow};

use crate::child;
use crate::setup;

/// The shipped package of texts, from the checkout's root.
const PACKAGE: &str = "models/packages/reasoner";

/// Sixteen paths, of which the package's head lets four go on.
const PRUNING: [&str; 4] = ["--paths", "16", "--keep", "4"];

/// The shipped package that sees, and what it looks at.
const SEES: &str = "models/packages/vqa";
const PICTURE: [&str; 2] = ["--image", "models/packages/vqa/sample.jpg"];

/// What is built: the command without training, whose autodiff library takes longer to compile than all the rest, in the
/// profile and with the features of dependencies that `cargo test --workspace` has, so that a newcomer compiles once.
const BUILD: [&str; 4] = ["--workspace", "--no-default-features", "--bin", "curt"];

/// Asks about a picture, then a question whose paths are pruned, both the packages' own; or the user's question alone, whose
/// paths are pruned.
pub(crate) fn run(words: &[String]) -> Result<ExitCode> {
    let words = words.strip_prefix(&["--".to_owned()]).unwrap_or(words);
    let own = |package: &str| question_of(&child::checkout().join(package).join("prompt.toml"));
    let mut asked = Vec::new();
    if words.is_empty() {
        asked.push((SEES, &PICTURE[..], own(SEES)?));
        asked.push((PACKAGE, &PRUNING[..], own(PACKAGE)?));
    } else {
        asked.push((PACKAGE, &PRUNING[..], words.join(" ")));
    }
    let setup = setup::ensure()?;
    child::succeed(&mut child::cargo(["build"].into_iter().chain(BUILD)))
        .context("curt does not build")?;
    for (package, options, question) in asked {
        eprintln!(
            "\n$ curt ask --package {package} {} \"{question}\"\n",
            options.join(" ")
        );
        let status = child::status(setup.apply(&mut ask(package, options, &question)?))?;
        if !status.success() {
            // A process that a signal ended has no code.
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Ok(ExitCode::from(code.unwrap_or(1)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Cargo has put it beside this program, which has the same profile.
fn ask(package: &str, options: &[&str], question: &str) -> Result<Command> {
    let this = std::env::current_exe().context("cannot say where this program lies")?;
    let curt = format!("curt{}", std::env::consts::EXE_SUFFIX);
    let mut command = Command::new(this.with_file_name(curt));
    command
        .current_dir(child::checkout())
        .args(["ask", "--package", package])
        .args(options)
        .args(["--", question]);
    Ok(command)
}

/// The question that a package brings for its own demonstration: key `question` of its prompt file.
fn question_of(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read {}; is the checkout complete?", file.display()))?;
    let table: toml::Table =
        toml::from_str(&text).with_context(|| format!("{} is not TOML", file.display()))?;
    match table.get("question").and_then(toml::Value::as_str) {
        Some(question) if !question.trim().is_empty() => Ok(question.to_owned()),
        _ => Err(anyhow!(
            "{} has no text under `question`; ask one of your own: cargo xtask demo -- \"QUESTION\"",
            file.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_brings_its_question() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("prompt.toml");
        std::fs::write(&file, "question = \"1 + 1?\"\n[sampling]\nseed = 1\n").unwrap();
        assert_eq!(question_of(&file).unwrap(), "1 + 1?");
    }

    #[test]
    fn a_prompt_file_without_one_names_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("prompt.toml");
        for text in ["", "question = 3", "question = \" \""] {
            std::fs::write(&file, text).unwrap();
            assert!(
                question_of(&file)
                    .unwrap_err()
                    .to_string()
                    .contains("cargo xtask demo --"),
                "{text}"
            );
        }
        std::fs::write(&file, "question = ").unwrap();
        assert!(
            question_of(&file)
                .unwrap_err()
                .to_string()
                .contains("not TOML")
        );
        let missing = question_of(&dir.path().join("none"))
            .unwrap_err()
            .to_string();
        assert!(missing.contains("none"), "{missing}");
    }
}
