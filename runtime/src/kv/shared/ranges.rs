//! A buffer of which tasks that run together write ranges of their own.

use std::marker::PhantomData;

/// Elements that several threads write, each in ranges that nobody else touches meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Ranges<'a> {
    start: *mut f32,
    len: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: it stands for a mutable borrow, whose parts are handed out under the conditions of `range`.
unsafe impl Send for Ranges<'_> {}
// SAFETY: as above.
unsafe impl Sync for Ranges<'_> {}

impl<'a> Ranges<'a> {
    pub(super) fn new(elements: &'a mut [f32]) -> Self {
        Self {
            start: elements.as_mut_ptr(),
            len: elements.len(),
            borrowed: PhantomData,
        }
    }

    /// `len` elements from `start` on.
    ///
    /// # Panics
    /// Past the end.
    ///
    /// # Safety
    /// While the result lives, nobody else may read or write any of these elements.
    #[expect(
        clippy::mut_from_ref,
        reason = "ranges that do not overlap are borrows of their own"
    )]
    pub(super) unsafe fn range(&self, start: usize, len: usize) -> &mut [f32] {
        assert!(
            start <= self.len && len <= self.len - start,
            "a range of {} elements",
            self.len
        );
        // SAFETY: within the borrowed slice, as just seen, and the caller's alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}
