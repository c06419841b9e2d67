//! One error type: each variant is something the caller can do differently.

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
    /// The disk is full; what was written before is whole.
    #[error(
        "{}: no space left to write records: free some, then run the same command with --resume; nothing that was \
         finished is lost",
        file.display()
    )]
    Full {
        /// The file.
        file: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The file that is written to is no longer in its folder.
    #[error(
        "{}: was removed, moved or replaced while the run wrote to it, and what it wrote cannot be found there: run again \
         into a folder that stays",
        file.display()
    )]
    Gone {
        /// The file.
        file: PathBuf,
    },
    /// Another run writes to the same folder.
    #[error("{}: another run is writing here: wait for it, or choose another --out", dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder holds a run, and nobody asked to go on with it.
    #[error("{}: holds {records} records of an earlier run: {remedy}", dir.display())]
    Occupied {
        /// The folder.
        dir: PathBuf,
        /// Results recorded.
        records: usize,
        /// What to do instead.
        remedy: &'static str,
    },
    /// The folder's run was started otherwise.
    #[error(
        "{}: cannot be resumed, this differs from how it was started:\n  {}\nstart it as it was, or choose another --out",
        dir.display(),
        differences.join("\n  ")
    )]
    OtherRun {
        /// The folder.
        dir: PathBuf,
        /// One line for each option: its name, what it was, what it is.
        differences: Vec<String>,
    },
    /// A line of the records is not what curt writes.
    #[error("{}, line {line}: {reason}", file.display())]
    Record {
        /// The records.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// An option, or an arm, that cannot be honoured.
    #[error("{option}: expected {expected}, got {got}")]
    Option {
        /// The option as the command line or the arm file names it.
        option: String,
        /// What it takes.
        expected: String,
        /// What it was given.
        got: String,
    },
    /// Shards that do not make one run.
    #[error("these shards cannot be merged: {reason}")]
    Shards {
        /// What does not fit.
        reason: String,
    },
    /// An arm that fails on every item has a cause that more items do not mend.
    #[error("arm {arm}: {failures} failures in a row, the last: {last}")]
    ArmFails {
        /// The arm.
        arm: String,
        /// Failures in a row.
        failures: usize,
        /// The last one's words.
        last: String,
    },
    /// Questions that nobody took: the arm is not wrong there, and its figures are not whole.
    #[error(
        "arm {arm}: {questions} questions could not be asked, the last: {last}; the same command with --resume asks them"
    )]
    Unanswered {
        /// The arm of the last.
        arm: String,
        /// How many.
        questions: usize,
        /// What the last one said.
        last: String,
    },
    /// A server that no question can be put to.
    #[error("arm {arm}: {reason}")]
    Server {
        /// The arm.
        arm: String,
        /// What it said, and what to do.
        reason: String,
    },
    /// What the runtime says.
    #[error(transparent)]
    Runtime(#[from] curt::Error),
    /// What the workload says.
    #[error(transparent)]
    Workload(#[from] curt_workload::Error),
}

/// The result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn option(
        option: impl Into<String>,
        expected: impl Into<String>,
        got: impl ToString,
    ) -> Self {
        Error::Option {
            option: option.into(),
            expected: expected.into(),
            got: got.to_string(),
        }
    }

    pub(crate) fn io(
        file: impl Into<PathBuf>,
        action: &'static str,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let file = file.into();
        move |source| Error::Io {
            file,
            action,
            source,
        }
    }
}
