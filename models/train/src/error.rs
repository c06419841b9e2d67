//! One error type for the crate: each variant is something a caller can do differently.

use std::path::{Path, PathBuf};

/// What went wrong, with the operands and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of collected data holds what it must not.
    #[error("{}: {field}: expected {expected}, got {got}", file.display())]
    Data {
        /// The file.
        file: PathBuf,
        /// The field, or the line.
        field: String,
        /// What is needed there.
        expected: String,
        /// What is there.
        got: String,
    },
    /// A folder was begun with other settings.
    #[error(
        "{}: {field} was {recorded} when this folder was begun and is {asked} now: go on with the old settings, or name \
         another `out`", file.display()
    )]
    Settings {
        /// The file of settings.
        file: PathBuf,
        /// The settings that differ.
        field: String,
        /// What is in the file.
        recorded: String,
        /// What is asked for.
        asked: String,
    },
    /// Another process writes there.
    #[error("{}: another process is writing to it", file.display())]
    Locked {
        /// The file.
        file: PathBuf,
    },
    /// There is not enough data for what is asked.
    #[error("{}: {what}: at least {needed} needed, {got} there: collect more", file.display())]
    TooLittle {
        /// The file of data.
        file: PathBuf,
        /// What there is too little of.
        what: String,
        /// How many are needed.
        needed: usize,
        /// How many there are.
        got: usize,
    },
    /// Queries would have to be rotated as the package's keys are, and how that is, is not known.
    #[error("{}: {why}: train a head of means with `pooling` mean", package.display())]
    Rotation {
        /// The package.
        package: PathBuf,
        /// What was found of its rotation.
        why: String,
    },
    /// A fit with nothing to fit to, or one that came out as no number.
    #[error(
        "{what}: expected {expected}, got {got}: collect more questions, or name another check point"
    )]
    Fit {
        /// What was fitted.
        what: String,
        /// What is needed.
        expected: String,
        /// What there is.
        got: String,
    },
    /// The autodiff library refused or failed.
    #[error("training: {0}")]
    Autodiff(#[from] candle_core::Error),
    /// A file could not be read or written.
    #[error("{}: {action}", file.display())]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// What was being done.
        action: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// An option that cannot be honoured.
    #[error("`{field}`: expected {expected}, got {got}")]
    Option {
        /// The option's field, as in [`curt::Error::Option`].
        field: &'static str,
        /// What it takes.
        expected: String,
        /// What it was given.
        got: String,
    },
    /// The runtime refused or failed.
    #[error(transparent)]
    Runtime(#[from] curt::Error),
    /// The workload refused or failed.
    #[error(transparent)]
    Workload(#[from] curt_workload::Error),
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn data(
        file: &Path,
        field: impl Into<String>,
        expected: impl ToString,
        got: impl ToString,
    ) -> Self {
        Error::Data {
            file: file.into(),
            field: field.into(),
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }

    pub(crate) fn io(file: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let file = file.into();
        move |source| Error::Io {
            file,
            action,
            source,
        }
    }

    pub(crate) fn option(field: &'static str, expected: impl ToString, got: impl ToString) -> Self {
        Error::Option {
            field,
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }
}
