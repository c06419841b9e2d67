//! The settings of a dataset: `collect.toml`, what its paths were collected with.

use std::path::{Path, PathBuf};

use curt::{Format, SamplingDefaults};
use curt_workload::Part;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The file of settings, in the folder that is collected to.
pub const SETTINGS_FILE: &str = "collect.toml";

/// [`Settings::part`] of the part that heads may learn from.
pub const TRAIN_PART: &str = "train";

/// [`Settings::part`] of the part that they are judged by.
pub const HELD_OUT_PART: &str = "held_out";

/// Everything that decides what is collected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of the package's folder.
    pub package: String,
    /// [`curt::Package::fingerprint`].
    pub package_fingerprint: String,
    /// The workload's name.
    pub workload: String,
    /// [`curt_workload::Workload::digest`].
    pub workload_digest: String,
    /// [`TRAIN_PART`] or [`HELD_OUT_PART`].
    pub part: String,
    /// Paths of each item.
    pub paths: usize,
    /// With an item's id and a path's number, decides what the path draws.
    pub seed: u64,
    /// Prefix lengths of the Monte-Carlo rates, in generated tokens.
    pub prefix_tokens: Vec<usize>,
    /// Continuations of each prefix.
    pub rollouts: usize,
    /// Version of ONNX Runtime: another may round otherwise, and then draws other tokens. Absent, and not compared, in
    /// folders begun before it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onnxruntime: Option<String>,
    /// `shared` where paths had one copy of their prompt's keys and values; else each had its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<String>,
    /// The format of the responses, of a package that has formats: paths are those of the reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// How tokens are drawn, with nothing left open: `curt collect` fills in every field.
    pub sampling: SamplingDefaults,
    /// Where package and workload lay. Not compared: a moved folder is the same folder.
    #[serde(default)]
    pub places: Option<Places>,
}

/// Folders on the machine that collected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Places {
    /// The package.
    pub package: PathBuf,
    /// The workload.
    pub workload: PathBuf,
}

impl Settings {
    /// The workload's part by its name; `None` for a name that is none.
    pub fn workload_part(&self) -> Option<Part> {
        match self.part.as_str() {
            TRAIN_PART => Some(Part::Train),
            HELD_OUT_PART => Some(Part::HeldOut),
            _ => None,
        }
    }

    /// Reads the settings of the folder `dir`.
    ///
    /// # Errors
    /// [`Error::Io`] where there are none, [`Error::Data`] where they cannot be understood.
    pub fn read(dir: &Path) -> Result<Self> {
        let file = dir.join(SETTINGS_FILE);
        let text = std::fs::read_to_string(&file).map_err(Error::io(
            &file,
            "the settings cannot be read: is this a folder that `curt collect` made?",
        ))?;
        let settings: Self = toml::from_str(&text).map_err(|e| {
            let got = e.to_string();
            Error::data(&file, "TOML", "the settings of `curt collect`", got.trim())
        })?;
        let sampling = &settings.sampling;
        if sampling.temperature.is_none() || sampling.max_tokens.is_none() {
            let expected =
                "a temperature and max_tokens: heads say what their paths were drawn with";
            return Err(Error::data(&file, "sampling", expected, "none"));
        }
        if settings.workload_part().is_none() {
            let expected = format!("{TRAIN_PART} or {HELD_OUT_PART}");
            return Err(Error::data(&file, "part", expected, settings.part));
        }
        if settings.paths < 2 {
            return Err(Error::data(&file, "paths", "at least 2", settings.paths));
        }
        Ok(settings)
    }
}

/// Refuses check points that are not ascending from 1 token up.
pub(crate) fn validate_check_points(check_at: &[usize]) -> Result<()> {
    if check_at.first() == Some(&0) || check_at.windows(2).any(|w| w[0] >= w[1]) {
        return Err(Error::option(
            "check_at",
            "check points from 1 token up, ascending",
            format!("{check_at:?}"),
        ));
    }
    Ok(())
}
