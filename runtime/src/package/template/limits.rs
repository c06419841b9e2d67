//! What values may take of a rendering's time and memory.

use minijinja::{Error, ErrorKind, State};

/// How deep values may lie in each other.
pub(super) const DEPTH: usize = 100;
/// Bytes that one unit of minijinja's fuel pays for.
pub(super) const BYTES_PER_FUEL: usize = 64;

pub(super) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// Takes what `bytes` cost.
pub(super) fn pay(state: &State<'_, '_>, bytes: usize, bytes_per_fuel: usize) -> Result<(), Error> {
    state.consume_fuel((bytes / bytes_per_fuel) as u64)
}
