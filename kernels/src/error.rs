//! What can be wrong with a shape.

use core::fmt;

/// A length or stride that disagrees with what the buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShapeError {
    /// The operation that refused.
    pub op: &'static str,
    /// What was compared, with its unit.
    pub what: &'static str,
    /// The value the operation needs (a minimum where the message says so).
    pub expected: usize,
    /// The value it was given.
    pub got: usize,
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}: expected {}, got {}",
            self.op, self.what, self.expected, self.got
        )
    }
}

impl core::error::Error for ShapeError {}
