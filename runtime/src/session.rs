//! How ONNX Runtime is loaded and runs a graph: the public part of `curt-session`, the one crate that names it.

pub use curt_session::{
    BoundGraph, CancelToken, Error, LibraryInfo, LibraryOptions, MAX_THREADS, Memory, Placement,
    Provider, ProviderPlacement, Providers, SessionOptions, Telemetry, TensorSpec,
};

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
