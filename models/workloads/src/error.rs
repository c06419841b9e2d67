//! What can be wrong with a workload: one error type, and the list of its faulty lines.

use std::fmt;
use std::path::PathBuf;

/// What went wrong, with the operands and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
    /// What stands at the path is no workload.
    #[error("{}: expected {expected}, got {got}", path.display())]
    Layout {
        /// The path.
        path: PathBuf,
        /// What a workload has there.
        expected: String,
        /// What is there.
        got: String,
    },
    /// The workload was read, and some of it cannot be used.
    #[error("{}", summary(problems))]
    Invalid {
        /// Every fault, in the order of files and lines. Never empty.
        problems: Vec<Problem>,
    },
    /// The prompt file could not be read.
    #[error(transparent)]
    Prompt(#[from] curt::Error),
    /// An answer could not be graded.
    #[error("item {item}: {scorer} scorer: {reason}")]
    Grade {
        /// The item's id.
        item: String,
        /// The scorer's name.
        scorer: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// A file that is to be imported does not have the layout it was said to have.
    #[error("{}: {place}: expected {expected}, got {got}", file.display())]
    Import {
        /// The file.
        file: PathBuf,
        /// The line, record or field.
        place: String,
        /// What the layout has there.
        expected: String,
        /// What is there.
        got: String,
    },
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// One fault of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file it stands in.
    pub file: PathBuf,
    /// Its line, from 1; `None` where the fault is of the file as a whole.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}: {}", self.what, self.remedy)
    }
}

/// The first problem in full, and how many more there are.
fn summary(problems: &[Problem]) -> String {
    match problems {
        [] => "no problem".into(),
        [only] => only.to_string(),
        [first, rest @ ..] => format!(
            "{first} (and {} more: `curt workload check` lists them)",
            rest.len()
        ),
    }
}
