//! Sums in registers, for any instruction set.

#![allow(
    clippy::needless_range_loop,
    reason = "counted loops over registers, which the compiler unrolls"
)]

use crate::element::Element;
use crate::lanes::Lanes;

#[inline(always)]
pub(super) fn add_rows<L: Lanes, E: Element>(l: L, values: &[u8], sums: &mut [f32]) {
    let rows = Rows {
        start: values.as_ptr(),
        row: sums.len() * E::BYTES,
        count: values.len() / (sums.len() * E::BYTES),
    };
    let head_dim = sums.len();
    let whole = head_dim - head_dim % L::LANES;
    let mut at = 0;
    // SAFETY: there are `count` rows of head_dim elements, and as many sums, of which those from `at` on, as many as the
    // registers take, exist.
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
    /// Rows and sums must reach that far.
    #[inline(always)]
    unsafe fn add<L: Lanes, E: Element, const C: usize>(&self, l: L, at: usize, sums: *mut f32) {
        let mut totals = [l.splat(0.0); C];
        for c in 0..C {
            // SAFETY: the caller's promise.
            totals[c] = unsafe { l.load(sums.add(at + c * L::LANES)) };
        }
        for s in 0..self.count {
            for c in 0..C {
                // SAFETY: the caller's promise.
                let value = unsafe {
                    let row = self.start.add(s * self.row);
                    E::load(l, row.add((at + c * L::LANES) * E::BYTES))
                };
                totals[c] = l.add(totals[c], value);
            }
        }
        for c in 0..C {
            // SAFETY: the caller's promise.
            unsafe { l.store(sums.add(at + c * L::LANES), totals[c]) };
        }
    }

    /// As [`Self::add`], the elements from `at` on that fill no register.
    ///
    /// # Safety
    /// Rows must reach as far as the sums, which are fewer than a register has lanes.
    #[inline(always)]
    unsafe fn add_part<L: Lanes, E: Element>(&self, l: L, at: usize, sums: &mut [f32]) {
        let mut totals = [0.0; 16];
        totals[..sums.len()].copy_from_slice(sums);
        // SAFETY: no register has more than 16 lanes; the rows are the caller's promise.
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
