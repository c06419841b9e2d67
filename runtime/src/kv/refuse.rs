//! What a cache refuses.

use curt_kernels::ShapeError;

use crate::error::Result;

/// # Errors
/// [`ShapeError`] where `index` is not below `count`.
pub(super) fn check_index(what: &'static str, index: usize, count: usize) -> Result<()> {
    if index < count {
        return Ok(());
    }
    Err(shape(what, count.saturating_sub(1), index).into())
}

pub(super) fn shape(what: &'static str, expected: usize, got: usize) -> ShapeError {
    ShapeError {
        op: "KvCache",
        what,
        expected,
        got,
    }
}
