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

/// The dot products of `L::POSITIONS` keys with `M` queries, all `len` elements long, in the form that
/// [`Lanes::store_sums`] takes. Those of queries beyond `M`, up to [`GROUP`], are zero.
///
/// # Safety
/// The first `L::POSITIONS` of `keys` must be valid for `len` elements each, and `queries` for `M` rows of `len`.
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
            // SAFETY: the caller vouches for `len` elements, and `at + LANES` is at most `len`.
            key[p] = unsafe { E::load(l, keys[p].add(at * E::BYTES)) };
        }
        for m in 0..M {
            // SAFETY: the caller vouches for `M` rows of `len`, and `at + LANES` is at most `len`.
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
            // SAFETY: the caller vouches for `len` elements, of which `rest` follow the first `whole`.
            key[p] = unsafe { E::load_part(l, keys[p].add(whole * E::BYTES), rest) };
        }
        for m in 0..M {
            // SAFETY: as for the keys: `rest` elements follow the first `whole` of every row.
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
