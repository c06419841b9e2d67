//! The Python recipes: their environment, and the steps of a full test run that need it.

use std::io::IsTerminal;
use std::path::Path;
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
    let python = steps.run("recipe environment", || {
        environment(&setup.cache, "recipes", RECIPES)
    })?;
    let recipe = |file: &str, args: &[&str]| recipe(&python, setup, log, file, args);
    // f32 too: transformers runs no other, and the references of both are compared.
    let precisions = ["--precision", "int8", "int4", "fp32"];
    steps.run(SMOLLM2, || recipe("smollm2/make.py", &precisions))?;
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

/// The Python of the virtual environment `name`, with what the `pyproject.toml` in the checkout's folder `of` asks for,
/// made if it is not there or not complete. Another `pyproject.toml` or another Python is another environment.
pub(crate) fn environment(cache: &Path, name: &str, of: &str) -> Result<Python> {
    let file = child::checkout().join(of).join("pyproject.toml");
    let project = Project::read(&file)?;
    let host = Python::find()?;
    host.require(&project.python)
        .with_context(|| format!("the environment of {of} cannot be made"))?;
    let dir = cache.join(format!(
        "{name}-{}-{}",
        &sha256(&file)?[..12],
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
        project.dependencies.len(),
        dir.display()
    ))?;
    cache::remove(&complete)?;
    cache::remove(&venv)?;
    child::succeed(host.command().args(["-m", "venv"]).arg(&venv)).context(
        "cannot make a virtual environment; where Python comes without `venv`, install it (`apt install python3-venv`)",
    )?;
    let mut pip = python.pip();
    // Most of the ten thousand files are never imported; those that are get compiled then.
    pip.args(["install", "--no-compile"])
        .args(&project.dependencies)
        .stdout(Stdio::from(std::io::stderr()));
    if !std::io::stderr().is_terminal() {
        pip.arg("--quiet");
    }
    child::succeed(&mut pip)
        .with_context(|| format!("cannot install what {} asks for", file.display()))?;
    // Written last, so that an interrupted installation is not taken for a whole one.
    std::fs::write(&complete, "")
        .with_context(|| format!("cannot write {}", complete.display()))?;
    mention_others(cache, name, &dir)?;
    Ok(python)
}

/// What the recipes' project file asks for.
#[derive(Debug, PartialEq, Eq)]
struct Project {
    /// Oldest Python, as in `3.11`, from `requires-python = ">=3.11"`.
    python: String,
    /// One pip requirement each.
    dependencies: Vec<String>,
}

impl Project {
    fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| {
            format!(
                "cannot read {}, which CURT_REQUIRE=all installs from",
                file.display()
            )
        })?;
        Self::parse(&text).with_context(|| format!("{} is not what xtask expects", file.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let table: toml::Table = toml::from_str(text)?;
        let project = table.get("project").context("no [project]")?;
        let python = project.get("requires-python").and_then(toml::Value::as_str);
        let python = python
            .and_then(|range| range.strip_prefix(">="))
            .context("requires-python is not `>=VERSION`")?;
        let dependencies = project.get("dependencies").and_then(toml::Value::as_array);
        let dependencies = dependencies
            .context("no list under project.dependencies")?
            .iter()
            .map(|entry| {
                entry
                    .as_str()
                    .map(str::to_owned)
                    .with_context(|| format!("dependency `{entry}` is not text"))
            });
        Ok(Self {
            python: python.trim().to_owned(),
            dependencies: dependencies.collect::<Result<_>>()?,
        })
    }
}

/// Environments take gigabytes: name those of other versions of the project file, which nothing here removes.
fn mention_others(cache: &Path, name: &str, dir: &Path) -> Result<()> {
    for entry in
        std::fs::read_dir(cache).with_context(|| format!("cannot list {}", cache.display()))?
    {
        let path = entry
            .with_context(|| format!("cannot list {}", cache.display()))?
            .path();
        let other = path
            .file_name()
            .is_some_and(|found| found.to_string_lossy().starts_with(&format!("{name}-")));
        if other && path != dir {
            say(&format!(
                "{} is of another version of {name}; remove it if no checkout uses it",
                path.display()
            ))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_file_says_what_to_install() {
        let text = "[project]\nrequires-python = \">=3.11\"\ndependencies = [\"a==1\", \"b==2\"]\n";
        let expected = Project {
            python: "3.11".into(),
            dependencies: vec!["a==1".into(), "b==2".into()],
        };
        assert_eq!(Project::parse(text).unwrap(), expected);
    }

    #[test]
    fn what_it_lacks_is_named() {
        let python = "[project]\nrequires-python = \">=3.11\"\n";
        for (text, lacks) in [
            (String::new(), "[project]"),
            (
                "[project]\nrequires-python = \"3\"".to_owned(),
                "requires-python",
            ),
            (python.to_owned(), "project.dependencies"),
            (format!("{python}dependencies = [1]"), "dependency `1`"),
        ] {
            let error = Project::parse(&text).unwrap_err().to_string();
            assert!(error.contains(lacks), "{error}");
        }
    }

    #[test]
    fn the_real_one_is_understood() {
        let project =
            Project::read(&child::checkout().join(RECIPES).join("pyproject.toml")).unwrap();
        assert!(
            project
                .dependencies
                .iter()
                .any(|dependency| dependency.starts_with("pytest")),
            "{project:?}"
        );
    }
}
