//! The Python recipes: their environment, and the steps of a full test run that need it.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::cache::{self, Lock};
use crate::child;
use crate::library::sha256;
use crate::python::Python;
use crate::setup::Setup;
use crate::skips::SkipLog;
use crate::steps::{Steps, say};

/// The folder of the recipes, from the checkout's root.
const RECIPES: &str = "models/recipes";

const SMOLLM2: &str = "recipes: build SmolLM2";
const PYTEST: &str = "recipes: pytest";
const REFERENCE: &str = "recipes: references made anew agree";
const REASONER: &str = "recipes: reasoner, smoke run";

/// The steps that need the recipe environment, in the order they run.
pub(crate) const STEPS: [&str; 4] = [SMOLLM2, PYTEST, REFERENCE, REASONER];

const PYTEST_WITH_SKIPS: &str = include_str!("pytest_with_skips.py");

/// Installs the environment, then runs every step of [`STEPS`].
pub(crate) fn run(steps: &mut Steps, setup: &Setup, log: &SkipLog) -> Result<()> {
    let python = steps.run("recipe environment", || environment(&setup.cache))?;
    let recipe = |file: &str, args: &[&str]| recipe(&python, setup, log, file, args);
    steps.run(SMOLLM2, || recipe("smollm2/make.py", &[]))?;
    steps.run(PYTEST, || {
        let mut pytest = python.script(PYTEST_WITH_SKIPS);
        child::succeed(in_checkout(&mut pytest, setup, log).arg(RECIPES))
    })?;
    steps.run(REFERENCE, || recipe("reference/make.py", &["--check"]))?;
    steps.run(REASONER, || {
        let out = std::env::temp_dir().join(format!("curt-reasoner-{}", std::process::id()));
        let outcome = recipe(
            "reasoner/make.py",
            &["--smoke", "--out", &out.to_string_lossy()],
        );
        outcome.and(cache::remove(&out))
    })
}

fn recipe(python: &Python, setup: &Setup, log: &SkipLog, file: &str, args: &[&str]) -> Result<()> {
    let file = Path::new(RECIPES).join(file);
    ensure!(
        child::checkout().join(&file).is_file(),
        "{} is not there, and CURT_REQUIRE=all runs it",
        file.display()
    );
    let mut command = python.command();
    child::succeed(in_checkout(&mut command, setup, log).arg(file).args(args))
}

fn in_checkout<'c>(command: &'c mut Command, setup: &Setup, log: &SkipLog) -> &'c mut Command {
    setup
        .apply(command)
        .current_dir(child::checkout())
        .env("CURT_SKIP_LOG", log.path())
}

/// The Python of the virtual environment that the recipes run in, made if it is not there or not complete. Another
/// `pyproject.toml` or another Python is another environment.
fn environment(cache: &Path) -> Result<Python> {
    let project = child::checkout().join(RECIPES).join("pyproject.toml");
    let requirements = requirements(&project)?;
    let host = Python::find()?;
    let dir = cache.join(format!(
        "recipes-{}-{}",
        &sha256(&project)?[..12],
        host.version()?
    ));
    let _lock = Lock::acquire(&dir)?;
    let venv = dir.join("venv");
    let complete = dir.join("complete");
    let python = Python::of_venv(&venv);
    if complete.is_file() && python.runs() {
        return Ok(python);
    }
    say(&format!(
        "installing {} packages and what they need into {}",
        requirements.len(),
        dir.display()
    ))?;
    cache::remove(&complete)?;
    cache::remove(&venv)?;
    child::succeed(host.command().args(["-m", "venv"]).arg(&venv)).context(
        "cannot make a virtual environment; where Python comes without `venv`, install it (`apt install python3-venv`)",
    )?;
    let mut pip = python.pip();
    pip.arg("install")
        .args(&requirements)
        .stdout(Stdio::from(std::io::stderr()));
    if !std::io::stderr().is_terminal() {
        pip.arg("--quiet");
    }
    child::succeed(&mut pip)
        .with_context(|| format!("cannot install what {} asks for", project.display()))?;
    // Written last, so that an interrupted installation is not taken for a whole one.
    std::fs::write(&complete, "")
        .with_context(|| format!("cannot write {}", complete.display()))?;
    mention_others(cache, &dir)?;
    Ok(python)
}

/// What to install: the project's dependencies and those of its extra `test`.
fn requirements(project: &PathBuf) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(project).with_context(|| {
        format!(
            "cannot read {}, which CURT_REQUIRE=all installs from",
            project.display()
        )
    })?;
    let table: toml::Table =
        toml::from_str(&text).with_context(|| format!("{} is not TOML", project.display()))?;
    let section = table
        .get("project")
        .with_context(|| format!("{} has no [project]", project.display()))?;
    let extra = section
        .get("optional-dependencies")
        .and_then(|extras| extras.get("test"));
    let mut requirements = Vec::new();
    for list in [section.get("dependencies"), extra].into_iter().flatten() {
        for entry in list
            .as_array()
            .with_context(|| format!("{}: dependencies must be a list", project.display()))?
        {
            let entry = entry
                .as_str()
                .with_context(|| format!("{}: `{entry}` is not text", project.display()))?;
            requirements.push(entry.to_owned());
        }
    }
    ensure!(
        !requirements.is_empty(),
        "{} lists no dependencies",
        project.display()
    );
    Ok(requirements)
}

/// Environments take gigabytes: name those of other versions of the project file, which nothing here removes.
fn mention_others(cache: &Path, dir: &Path) -> Result<()> {
    for entry in
        std::fs::read_dir(cache).with_context(|| format!("cannot list {}", cache.display()))?
    {
        let path = entry
            .with_context(|| format!("cannot list {}", cache.display()))?
            .path();
        let other = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("recipes-"));
        if other && path != dir {
            say(&format!(
                "{} is of another version of the recipes; remove it if no checkout uses it",
                path.display()
            ))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(text: &str) -> Result<Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pyproject.toml");
        std::fs::write(&file, text).unwrap();
        requirements(&file)
    }

    #[test]
    fn dependencies_and_the_test_extra() {
        let text = "[project]\ndependencies = [\"a==1\"]\n\
                    [project.optional-dependencies]\ntest = [\"pytest==8\"]\nbench = [\"c==3\"]\n";
        assert_eq!(project(text).unwrap(), ["a==1", "pytest==8"]);
    }

    #[test]
    fn a_project_file_without_dependencies_is_refused() {
        for text in [
            "",
            "[project]\n",
            "[project]\ndependencies = []\n",
            "[project]\ndependencies = \"a\"\n",
            "a = ",
        ] {
            assert!(project(text).is_err(), "{text:?}");
        }
    }
}
