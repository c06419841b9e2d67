//! What this crate refuses, and what ONNX Runtime does.

use ort::sys::OrtStatusPtr;

/// What went wrong. The words of ONNX Runtime, and of the system's loader, are the error's source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No usable ONNX Runtime library.
    #[error(
        "no usable ONNX Runtime library: {reason}; set ORT_DYLIB_PATH to a libonnxruntime of version 1.24 or newer \
         (`cargo xtask setup` fetches one)"
    )]
    Library {
        /// What was tried.
        reason: String,
        /// How it failed, where another says so.
        source: Option<Source>,
    },
    /// Another library than the one asked for is loaded: a process has one.
    #[error(
        "this process uses {loaded}, so {asked} cannot be loaded: start another process for it"
    )]
    Loaded {
        /// What is loaded, and how.
        loaded: String,
        /// What was asked for.
        asked: String,
    },
    /// The library's own telemetry is to be off, and the environment lets it start.
    #[error(
        "ORT_DISABLE_TELEMETRY is {got}: this library may start its own telemetry; set it to 1 before the process starts \
         threads, or allow it (`LibraryOptions::telemetry`)"
    )]
    Telemetry {
        /// What the variable says.
        got: String,
    },
    /// An execution provider that has to run the graph cannot.
    #[error(
        "execution provider {provider} cannot be used: {reason}; without `Providers::Only` the CPU takes its place, \
         and with it the CPU can be named last, for what the others leave"
    )]
    Provider {
        /// As it was asked for.
        provider: String,
        /// What was said of it.
        reason: String,
    },
    /// ONNX Runtime refused or failed.
    #[error("ONNX Runtime: {action}")]
    Runtime {
        /// What was asked of it.
        action: String,
        /// Its own words.
        source: Source,
    },
    /// An option that cannot be honoured.
    #[error("`{field}`: expected {expected}, got {got}")]
    Option {
        /// The option's field. Messages write fields in backticks, so that a command line can put its flags in their place.
        field: &'static str,
        /// What it takes.
        expected: String,
        /// What it was given.
        got: String,
    },
    /// Bytes that no tensor can lie in.
    #[error("{name}: expected {expected}, got {got}")]
    Memory {
        /// The input or output.
        name: String,
        /// What it needs.
        expected: String,
        /// What there is.
        got: String,
    },
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// The error that another crate or the C API gave.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn runtime(action: impl Into<String>, source: impl Into<Source>) -> Self {
        Error::Runtime {
            action: action.into(),
            source: source.into(),
        }
    }
}

/// Frees `status`; what it says becomes an error.
pub(crate) fn done(status: OrtStatusPtr, action: &str) -> Result<()> {
    // SAFETY: every status comes from a call of the C API just made and is passed on here alone, so that it is freed once.
    unsafe { ort::Error::result_from_status(status) }.map_err(|e| Error::runtime(action, e))
}
