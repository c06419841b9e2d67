//! Arm files: TOML with placeholders for options of the command line.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::Value;

use super::Arm;
use crate::error::{Error, Result};

const BUILT_IN: &str = include_str!("builtin.toml");

/// For packages whose responses have formats.
const OF_FORMATS: &str = include_str!("formats.toml");

/// Most bytes of an arm file.
const LARGEST: u64 = 1 << 20;

/// Arms as a file writes them.
#[derive(Debug, Clone)]
pub struct ArmFile {
    name: String,
    arms: Vec<toml::Table>,
    /// Whether an arm whose options were not given is left out; else it is refused.
    leaves_out: bool,
}

/// An arm that was left out, and the option that would bring it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The arm.
    pub arm: String,
    /// The placeholder without a value.
    pub option: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    arm: Vec<toml::Table>,
}

impl Skipped {
    /// What on the command line would bring it.
    pub fn remedy(&self) -> String {
        remedy(&self.option)
    }
}

/// The command line's way to give a placeholder its value.
fn remedy(option: &str) -> String {
    match option.split_once('.') {
        Some(("head", role)) => format!("--head {role}=FILE"),
        Some(("twice-at" | "twice-keep", _)) => "--check-at with a list of two".into(),
        None if option == "calibration" => {
            "a calibration: `curt calibrate` makes one, --calibration names another".into()
        }
        Some((name, "1")) => format!("--{name}"),
        Some((name, count)) => format!("--{name} with {count} values"),
        None => format!("--{option}"),
    }
}

impl ArmFile {
    /// The arms that curt brings.
    ///
    /// # Errors
    /// None that a release of curt can have: a test expands them.
    pub fn built_in() -> Result<Self> {
        Self::parse("the built-in arms", BUILT_IN, true)
    }

    /// The arms that curt brings for packages whose responses have formats.
    ///
    /// # Errors
    /// As [`Self::built_in`].
    pub fn of_formats() -> Result<Self> {
        Self::parse("the built-in arms of formats", OF_FORMATS, true)
    }

    /// Reads a file of arms.
    ///
    /// # Errors
    /// [`curt::Error`] where it is no regular file or cannot be read, [`Error::Option`] where it is no TOML of `[[arm]]` tables.
    pub fn read(file: &Path) -> Result<Self> {
        let text = curt::files::read_text(file, LARGEST, "the arm file cannot be read")?;
        Self::parse(&file.display().to_string(), &text, false)
    }

    fn parse(name: &str, text: &str, leaves_out: bool) -> Result<Self> {
        let written: Written = toml::from_str(text).map_err(|error| {
            // Not as the parser shows it, with the line itself: a password may stand there.
            let before = error
                .span()
                .map_or("", |span| text.get(..span.start).unwrap_or_default());
            let line = before.matches('\n').count() + 1;
            let got = format!("{}, in line {line}", error.message());
            Error::option(name, "TOML of [[arm]] tables", got)
        })?;
        Ok(Self {
            name: name.into(),
            arms: written.arm,
            leaves_out,
        })
    }

    /// The arms with every `$name` replaced by its value in `options`, and those that were left out for lack of one.
    ///
    /// # Errors
    /// [`Error::Option`] for a table that is no arm, and, in a file of the user's, for an option without a value.
    pub fn expand(&self, options: &BTreeMap<String, Value>) -> Result<(Vec<Arm>, Vec<Skipped>)> {
        let mut arms = Vec::new();
        let mut skipped = Vec::new();
        for written in &self.arms {
            let name = written.get("name").and_then(Value::as_str).unwrap_or("?");
            let place = || format!("{}: arm {name:?}", self.name);
            let mut value = Value::Table(written.clone());
            if let Err(option) = fill(&mut value, options) {
                if !self.leaves_out {
                    return Err(Error::option(
                        place(),
                        format!("{} for its `${option}`", remedy(&option)),
                        "none",
                    ));
                }
                skipped.push(Skipped {
                    arm: name.into(),
                    option,
                });
                continue;
            }
            arms.push(value.try_into::<Arm>().map_err(|error| {
                Error::option(place(), "the fields of an arm", error.message())
            })?);
        }
        Ok((arms, skipped))
    }
}

/// Replaces placeholders; fails with the name of one that has no value.
fn fill(value: &mut Value, options: &BTreeMap<String, Value>) -> std::result::Result<(), String> {
    match value {
        Value::String(text) => {
            if let Some(name) = text.strip_prefix('$') {
                *value = options.get(name).cloned().ok_or_else(|| name.to_string())?;
            }
        }
        Value::Array(items) => {
            for item in items {
                fill(item, options)?;
            }
        }
        Value::Table(table) => {
            for (_, item) in table.iter_mut() {
                fill(item, options)?;
            }
        }
        _ => {}
    }
    Ok(())
}
