//! What is known of a package before it is asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use curt::format::{CALIBRATION_FILE, Calibration, Grammar, Origin, ResponseFormat};
use curt::head::{StopHead, head_files};
use curt::{Engine, Package};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::options::ServeOptions;

/// Name of the package's own calibration.
pub(crate) const OWN_CALIBRATION: &str = "package";

/// What is known of the package that answers.
pub(crate) struct Facts {
    /// What the model is called.
    pub(crate) model: String,
    pub(crate) fingerprint: String,
    pub(crate) vision: bool,
    /// Formats that the package was trained to write.
    pub(crate) formats: Vec<ResponseFormat>,
    pub(crate) calibrations: BTreeMap<String, Named<Calibrated>>,
    pub(crate) heads: BTreeMap<String, Named<Trained>>,
    context_tokens: usize,
    question: Option<String>,
}

/// A file that a request may name, and what is told of it.
pub(crate) struct Named<T> {
    pub(crate) file: PathBuf,
    told: T,
}

/// What a calibration gave on the items that it was fitted on.
#[derive(Serialize)]
pub(crate) struct Calibrated {
    accuracy: f64,
    tokens: f64,
    full_accuracy: f64,
    full_tokens: f64,
}

/// When a head scores.
#[derive(Serialize)]
pub(crate) struct Trained {
    check_at_tokens: Vec<usize>,
    calibrated: bool,
}

impl Facts {
    /// # Errors
    /// [`Error::Option`] for a calibration or head of another package; those of its files.
    pub(crate) fn of(engine: &Engine, options: &ServeOptions) -> Result<Self> {
        let package = engine.package();
        let own = package.dir().join(CALIBRATION_FILE);
        let own = own.is_file().then(|| (OWN_CALIBRATION.to_string(), own));
        let calibrations = own.into_iter().chain(options.calibrations.iter().cloned());
        let heads = head_files(package.dir()).into_iter();
        let heads = heads.filter_map(|file| Some((stem(&file)?, file)));
        let grammar = Grammar::of(package);
        let formats = ResponseFormat::ALL.into_iter();
        let known = grammar.origin() != Origin::Assumed;
        Ok(Self {
            model: match &options.model {
                Some(model) => model.clone(),
                None => name_of(package.dir()),
            },
            fingerprint: package.fingerprint()?,
            vision: package.image_processor().is_some(),
            formats: formats
                .filter(|format| known && grammar.sections(*format).is_some())
                .collect(),
            calibrations: named(calibrations, |file| calibrated(file, package))?,
            heads: named(heads.chain(options.heads.iter().cloned()), |file| {
                trained(file, package)
            })?,
            context_tokens: package.context_tokens(),
            question: package.prompt().and_then(|prompt| prompt.question.clone()),
        })
    }

    /// As `/v1/models` tells them.
    pub(crate) fn told(&self) -> Value {
        let calibrations: BTreeMap<_, _> = self
            .calibrations
            .iter()
            .map(|(name, it)| (name, &it.told))
            .collect();
        let heads: BTreeMap<_, _> = self
            .heads
            .iter()
            .map(|(name, it)| (name, &it.told))
            .collect();
        json!({
            "id": self.model,
            "object": "model",
            "created": 0,
            "owned_by": "curt",
            "curt": {
                "vision": self.vision,
                "formats": self.formats,
                "calibrations": calibrations,
                "heads": heads,
                "context_tokens": self.context_tokens,
                "question": self.question,
                "fingerprint": self.fingerprint,
            },
        })
    }
}

fn named<T>(
    files: impl Iterator<Item = (String, PathBuf)>,
    told: impl Fn(&Path) -> Result<T>,
) -> Result<BTreeMap<String, Named<T>>> {
    files
        .map(|(name, file)| {
            let told = told(&file)?;
            Ok((name, Named { file, told }))
        })
        .collect()
}

fn calibrated(file: &Path, package: &Package) -> Result<Calibrated> {
    let measured = Calibration::open(file, package)?.measured;
    Ok(Calibrated {
        accuracy: measured.accuracy,
        tokens: measured.tokens,
        full_accuracy: measured.full_accuracy,
        full_tokens: measured.full_tokens,
    })
}

fn trained(file: &Path, package: &Package) -> Result<Trained> {
    let head = StopHead::open(file, package)?;
    Ok(Trained {
        check_at_tokens: head.header().check_at_tokens.clone(),
        calibrated: head.header().calibration.is_some(),
    })
}

fn stem(file: &Path) -> Option<String> {
    Some(file.file_stem()?.to_str()?.to_owned())
}

/// The last name of a folder, also where it is `.`.
fn name_of(dir: &Path) -> String {
    let whole = dir.canonicalize().unwrap_or_else(|_| dir.into());
    let name = whole
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "curt".into())
}

/// A file that a request may name, from `NAME=FILE`.
///
/// # Errors
/// [`Error::Option`] for anything else. `field`: what it is given as.
pub fn name_and_file(field: &'static str, text: &str) -> Result<(String, PathBuf)> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok((name.into(), file.into()))
        }
        _ => Err(Error::option(field, "NAME=FILE", format!("{text:?}"))),
    }
}
