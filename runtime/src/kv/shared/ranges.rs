//! A buffer of which tasks that run together write ranges of their own.

use std::marker::PhantomData;

/// Elements that several threads write, each in ranges that nobody else touches meanwhile.
pub(super) struct Ranges<'a, T> {
    start: *mut T,
    len: usize,
    borrowed: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for a mutable borrow, whose parts are handed out under the conditions of `range`.
unsafe impl<T: Send> Send for Ranges<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Ranges<'_, T> {}

impl<'a, T> Ranges<'a, T> {
    pub(super) fn new(elements: &'a mut [T]) -> Self {
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
    pub(super) unsafe fn range(&self, start: usize, len: usize) -> &mut [T] {
        assert!(
            start <= self.len && len <= self.len - start,
            "a range of {} elements",
            self.len
        );
        // SAFETY: within the borrowed slice, as just seen, and the caller's alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}
