//! Sums in registers, for any instruction set.

#![allow(
    clippy::needless_range_loop,
    reason = "counted loops over registers, which the compiler unrolls"
)]

use crate::element::Element;
use crate::lanes::{LINE, Lanes, MAX_LANES};

/// How far ahead memory is asked for, in bytes: small elements are added up faster than the processor fetches by itself.
const AHEAD: usize = 2048;

#[inline(always)]
pub(super) fn add_rows<L: Lanes, E: Element>(l: L, values: &[u8], sums: &mut [f32]) {
    let head_dim = sums.len();
    let rows = Rows {
        start: values.as_ptr(),
        row: head_dim * E::BYTES,
        count: values.len() / (head_dim * E::BYTES),
    };
    let whole = head_dim - head_dim % L::LANES;
    let mut at = 0;
    // SAFETY: `values` holds `count` rows of head_dim elements, and there are head_dim sums. Each call takes elements
    // from `at` to `at` plus the lanes of its registers, which the condition before it keeps below `whole` or, for the
    // last, below head_dim.
    unsafe {
        while at + 8 * L::LANES <= whole {
            rows.add::<L, E, 8>(l, at, sums.as_mut_ptr());
            at += 8 * L::LANES;
        }
        if at + 4 * L::LANES <= whole {
            rows.add::<L, E, 4>(l, at, sums.as_mut_ptr());
            at += 4 * L::LANES;
        }
        if at + 2 * L::LANES <= whole {
            rows.add::<L, E, 2>(l, at, sums.as_mut_ptr());
            at += 2 * L::LANES;
        }
        if at < whole {
            rows.add::<L, E, 1>(l, at, sums.as_mut_ptr());
        }
        if whole < head_dim {
            rows.add_part::<L, E>(l, whole, &mut sums[whole..]);
        }
    }
}

/// Positions of one head.
struct Rows {
    start: *const u8,
    /// Bytes from one position to the next.
    row: usize,
    count: usize,
}

impl Rows {
    /// Adds `C` registers of each row, from dimension `at` on, to the sums there.
    ///
    /// # Safety
    /// Each of the `count` rows, and the sums, must have `at + C × LANES` elements.
    #[inline(always)]
    unsafe fn add<L: Lanes, E: Element, const C: usize>(&self, l: L, at: usize, sums: *mut f32) {
        let mut totals = [l.splat(0.0); C];
        for c in 0..C {
            // SAFETY: the caller vouches for `at + C × LANES` sums.
            totals[c] = unsafe { l.load(sums.add(at + c * L::LANES)) };
        }
        for s in 0..self.count {
            for line in (0..C * L::LANES * E::BYTES).step_by(LINE) {
                let ahead = s * self.row + at * E::BYTES + line + AHEAD;
                l.prefetch(self.start.wrapping_add(ahead));
            }
            for c in 0..C {
                // SAFETY: the caller vouches for `at + C × LANES` elements in each of `count` rows.
                let value = unsafe {
                    let row = self.start.add(s * self.row);
                    E::load(l, row.add((at + c * L::LANES) * E::BYTES))
                };
                totals[c] = l.add(totals[c], value);
            }
        }
        for c in 0..C {
            // SAFETY: as where they were loaded.
            unsafe { l.store(sums.add(at + c * L::LANES), totals[c]) };
        }
    }

    /// Adds the elements from `at` to the row's end, which fill no register, to `sums`.
    ///
    /// # Safety
    /// Each of the `count` rows must have `at + sums.len()` elements, and `sums` fewer than LANES.
    #[inline(always)]
    unsafe fn add_part<L: Lanes, E: Element>(&self, l: L, at: usize, sums: &mut [f32]) {
        const { assert!(L::LANES <= MAX_LANES) }
        let mut totals = [0.0; MAX_LANES];
        totals[..sums.len()].copy_from_slice(sums);
        // SAFETY: `totals` holds LANES elements, as asserted; the caller vouches for the rows.
        unsafe {
            let mut total = l.load(totals.as_ptr());
            for s in 0..self.count {
                let row = self.start.add(s * self.row + at * E::BYTES);
                total = l.add(total, E::load_part(l, row, sums.len()));
            }
            l.store(totals.as_mut_ptr(), total);
        }
        sums.copy_from_slice(&totals[..sums.len()]);
    }
}
