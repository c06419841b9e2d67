//! How ONNX Runtime is loaded and runs a graph: the public part of `curt-session`, the one crate that names it.

use serde::{Deserialize, Serialize};

pub use curt_session::{
    BoundGraph, CancelToken, Error, LibraryInfo, LibraryOptions, MAX_THREADS, Memory, Placement,
    Provider, ProviderPlacement, Providers, SessionOptions, Telemetry, TensorSpec,
};

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// The provider that was chosen.
    pub chosen: String,
    /// Whether an earlier probe had found it.
    pub remembered: bool,
    /// Why the outcome is not remembered, where it was to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_remembered: Option<String>,
    /// Every provider that was tried, the CPU first.
    pub tried: Vec<Tried>,
}

/// One provider's part. Times are wall time in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// As a command line has it.
    pub provider: String,
    /// Why it was not chosen, where that is not its speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Loading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_ms: Option<f64>,
    /// Prefill of 32 positions, the second time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefill_ms: Option<f64>,
    /// A step of one row: the median of eight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_ms: Option<f64>,
    /// A step of eight rows: the median of eight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_step_ms: Option<f64>,
}

/// Loads ONNX Runtime. A process has one: later calls find it loaded, and are refused where they ask for another. Opening
/// an engine calls it with its options.
///
/// # Errors
/// [`crate::Error::Session`] where there is no library or it is too old, where its telemetry would start and is to be
/// off, or where another is loaded. A later call can succeed.
pub fn load_library(options: &LibraryOptions) -> crate::Result<()> {
    Ok(curt_session::load_library(options)?)
}

/// The library in use, loaded by default options if none was.
///
/// # Errors
/// As [`load_library`].
pub fn library_info() -> crate::Result<LibraryInfo> {
    Ok(curt_session::library_info()?)
}

impl From<Error> for crate::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Cancelled => crate::Error::Cancelled { tokens: 0 },
            Error::Option {
                field,
                expected,
                got,
            } => crate::Error::Option {
                field,
                expected,
                got,
            },
            other => crate::Error::Session(other),
        }
    }
}
