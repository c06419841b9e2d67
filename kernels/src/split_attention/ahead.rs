//! Memory that is read next, asked for while something else is computed.

use crate::lanes::{LINE, Lanes};

/// Steps from one request to the next: often enough that the requests do not queue, seldom enough that they cost little.
const EVERY: usize = 4;

/// What is left to be asked for.
pub(super) struct Ahead {
    at: *const u8,
    lines: usize,
    /// Cache lines that one request asks for.
    each: usize,
}

impl Ahead {
    /// All of `bytes`, in the course of so many steps.
    #[inline(always)]
    pub(super) fn over(bytes: &[u8], steps: usize) -> Self {
        let lines = bytes.len().div_ceil(LINE);
        Self {
            at: bytes.as_ptr(),
            lines,
            each: lines.div_ceil((steps / EVERY).max(1)),
        }
    }

    /// Step `number` of a loop.
    #[inline(always)]
    pub(super) fn step<L: Lanes>(&mut self, l: L, number: usize) {
        if number.is_multiple_of(EVERY) {
            let lines = self.each.min(self.lines);
            for _ in 0..lines {
                l.prefetch(self.at);
                self.at = self.at.wrapping_add(LINE);
            }
            self.lines -= lines;
        }
    }
}
