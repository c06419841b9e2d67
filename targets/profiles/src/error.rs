//! What this crate refuses.

use std::path::PathBuf;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No shipped profile and no file has this name.
    #[error("profile {name:?}: expected `auto`, a file, or one of {}; got none of these", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The shipped profiles.
        known: Vec<String>,
    },
    /// A file cannot be read.
    #[error("profile {}: it cannot be read: give a text file of at most 64 KiB", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// A file says what no profile can.
    #[error("profile {name}: {reason}")]
    Invalid {
        /// The profile, or its file.
        name: String,
        /// What was expected and got.
        reason: String,
    },
}

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;
