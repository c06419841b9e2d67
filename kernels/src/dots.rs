//! Dot products of a few rows of elements with up to four rows of f32.

#![allow(
    clippy::needless_range_loop,
    reason = "counted loops over registers, which the compiler unrolls"
)]

use crate::element::{Element, F32};
use crate::lanes::{GROUP, Lanes};

/// Rows of f32, `stride` elements apart.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    pub(crate) start: *const f32,
    pub(crate) stride: usize,
}

/// The dot products of the elements at each of `keys` with each of `M` rows of `queries`, over `len` elements, for
/// [`Lanes::store_sums`]. What lies in the block beyond `M` is zero.
///
/// # Safety
/// `keys`: `L::POSITIONS` addresses, valid for `len` elements each; `queries` must be valid for `M` rows of `len`.
#[inline(always)]
pub(crate) unsafe fn dots<L: Lanes, E: Element, const M: usize>(
    l: L,
    keys: &[*const u8; 4],
    queries: Rows,
    len: usize,
) -> [L::V; 4] {
    let mut sums = [[l.splat(0.0); GROUP]; 4];
    let whole = len - len % L::LANES;
    for at in (0..whole).step_by(L::LANES) {
        let mut key = [l.splat(0.0); 4];
        for p in 0..L::POSITIONS {
            // SAFETY: `at + LANES` is at most `len`, and the address the caller's promise.
            key[p] = unsafe { E::load(l, keys[p].add(at * E::BYTES)) };
        }
        for m in 0..M {
            // SAFETY: as above.
            let query = unsafe { l.load(queries.start.add(m * queries.stride + at)) };
            for p in 0..L::POSITIONS {
                sums[p][m] = l.fma(key[p], query, sums[p][m]);
            }
        }
    }
    let rest = len - whole;
    if rest > 0 {
        let mut key = [l.splat(0.0); 4];
        for p in 0..L::POSITIONS {
            // SAFETY: `rest` elements are left of every key.
            key[p] = unsafe { E::load_part(l, keys[p].add(whole * E::BYTES), rest) };
        }
        for m in 0..M {
            // SAFETY: `rest` elements are left in every row.
            let query = unsafe {
                let row = queries.start.add(m * queries.stride + whole);
                F32::load_part(l, row.cast(), rest)
            };
            for p in 0..L::POSITIONS {
                sums[p][m] = l.fma(key[p], query, sums[p][m]);
            }
        }
    }
    let mut block = [l.splat(0.0); 4];
    for p in 0..L::POSITIONS {
        block[p] = l.sums_of_four(sums[p]);
    }
    block
}

/// [`GROUP`] rows of `W` registers, kept there.
pub(crate) struct Held<L: Lanes, const W: usize>([[L::V; W]; GROUP]);

impl<L: Lanes, const W: usize> Held<L, W> {
    /// # Safety
    /// `queries` must be valid for [`GROUP`] rows of `W` registers.
    #[inline(always)]
    pub(crate) unsafe fn load(l: L, queries: Rows) -> Self {
        let mut rows = [[l.splat(0.0); W]; GROUP];
        for m in 0..GROUP {
            for w in 0..W {
                // SAFETY: the caller's promise.
                rows[m][w] =
                    unsafe { l.load(queries.start.add(m * queries.stride + w * L::LANES)) };
            }
        }
        Self(rows)
    }

    /// As [`dots`], over `W` registers of elements. Each key is read from its beginning to its end before the next, the
    /// order that hardware prefetchers follow.
    ///
    /// # Safety
    /// As [`dots`].
    #[inline(always)]
    pub(crate) unsafe fn dots<E: Element>(&self, l: L, keys: &[*const u8; 4]) -> [L::V; 4] {
        let mut block = [l.splat(0.0); 4];
        for p in 0..L::POSITIONS {
            let mut sums = [l.splat(0.0); GROUP];
            for w in 0..W {
                // SAFETY: the caller's promise.
                let key = unsafe { E::load(l, keys[p].add(w * L::LANES * E::BYTES)) };
                for m in 0..GROUP {
                    sums[m] = l.fma(key, self.0[m][w], sums[m]);
                }
            }
            block[p] = l.sums_of_four(sums);
        }
        block
    }
}
