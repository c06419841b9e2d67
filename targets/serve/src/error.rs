//! Why there is no server.

use std::net::SocketAddr;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option that cannot be honoured.
    #[error("`{field}`: expected {expected}, got {got}")]
    Option {
        /// The option's field.
        field: &'static str,
        /// What it takes.
        expected: String,
        /// What it was given.
        got: String,
    },
    /// It cannot listen there.
    #[error("{address}: cannot listen there: is another server running?")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's words.
        source: std::io::Error,
    },
    /// The system has no thread or timer for it.
    #[error("the system has no thread or timer for a server")]
    System {
        /// The system's words.
        source: std::io::Error,
    },
    /// What the package says.
    #[error(transparent)]
    Engine(#[from] curt::Error),
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn option(field: &'static str, expected: impl ToString, got: impl ToString) -> Self {
        Error::Option {
            field,
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }
}
