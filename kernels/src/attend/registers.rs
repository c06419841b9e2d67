//! The three stages in registers, for any instruction set.

#![allow(
    clippy::needless_range_loop,
    reason = "counted loops over registers, which the compiler unrolls"
)]

use super::scratch::padded;
use super::{GROUP, Queries, State, TILE, Tile, Weights};
use crate::dots::{Rows, dots};
use crate::element::Element;
use crate::lanes::{Lanes, MAX_LANES, exp2};

#[inline(always)]
pub(super) fn logits<L: Lanes, E: Element>(
    l: L,
    keys: &Tile<'_>,
    queries: &Queries<'_>,
    logits: &mut Weights,
) {
    match queries.live {
        1 => logits_of::<L, E, 1>(l, keys, queries, logits),
        2 => logits_of::<L, E, 2>(l, keys, queries, logits),
        3 => logits_of::<L, E, 3>(l, keys, queries, logits),
        _ => logits_of::<L, E, 4>(l, keys, queries, logits),
    }
}

/// As [`logits`], for `M` queries.
#[inline(always)]
fn logits_of<L: Lanes, E: Element, const M: usize>(
    l: L,
    keys: &Tile<'_>,
    queries: &Queries<'_>,
    logits: &mut Weights,
) {
    const { assert!(TILE.is_multiple_of(L::POSITIONS)) }
    let keys = Keys::new::<E>(keys);
    let rows = keys.queries(queries);
    for first in (0..keys.len).step_by(L::POSITIONS) {
        // SAFETY: `Keys::new` saw `len` keys of head_dim elements and `Keys::queries` GROUP rows of at least as many.
        // TILE is a multiple of POSITIONS, as asserted, so that POSITIONS rows of logits remain from `first` on.
        unsafe {
            let sums = dots::<L, E, M>(l, &keys.from(first), rows, keys.head_dim);
            l.store_sums(logits.as_mut_ptr().add(first).cast(), sums);
        }
    }
    keys.mask_beyond(L::POSITIONS, logits);
}

/// The keys of a tile.
struct Keys {
    start: *const u8,
    /// Bytes from one key to the next.
    row: usize,
    /// At least one.
    len: usize,
    head_dim: usize,
}

impl Keys {
    /// # Panics
    /// As [`Tile::elements`].
    #[inline(always)]
    fn new<E: Element>(tile: &Tile<'_>) -> Self {
        Self {
            start: tile.elements(E::BYTES).as_ptr(),
            row: tile.head_dim * E::BYTES,
            len: tile.len,
            head_dim: tile.head_dim,
        }
    }

    /// The rows of the queries.
    ///
    /// # Panics
    /// Where they are shorter than the keys.
    #[inline(always)]
    fn queries(&self, queries: &Queries<'_>) -> Rows {
        let stride = padded(self.head_dim);
        assert!(queries.rows.len() >= GROUP * stride, "queries of a group");
        Rows {
            start: queries.rows.as_ptr(),
            stride,
        }
    }

    /// Four keys from `first` on; beyond the last key, the last key again.
    #[inline(always)]
    fn from(&self, first: usize) -> [*const u8; 4] {
        let last = self.len - 1;
        // SAFETY: `new` saw `len` rows, at least one; the index is at most that of the last.
        [0, 1, 2, 3].map(|p| unsafe { self.start.add((first + p).min(last) * self.row) })
    }

    /// Sets to −∞ the logits that the last step, of `positions`, computed beyond the last key.
    #[inline(always)]
    fn mask_beyond(&self, positions: usize, logits: &mut Weights) {
        for logit in &mut logits[self.len..self.len.next_multiple_of(positions)] {
            *logit = [f32::NEG_INFINITY; GROUP];
        }
    }
}

/// Where a register is wider than one position, a last one that is only part filled has −∞ in the rest:
/// [`Keys::mask_beyond`] put it there.
#[inline(always)]
pub(super) fn softmax<L: Lanes>(
    l: L,
    positions: usize,
    weights: &mut Weights,
    state: &mut State<'_>,
) {
    let at_once = L::LANES / GROUP;
    let weights = weights.as_flattened_mut();
    let registers = positions.div_ceil(at_once) * L::LANES;
    let weights = &mut weights[..registers];
    let pair = 2 * L::LANES;
    // Two sums and two maxima, so that an addition or comparison need not wait for the one before it.
    let mut largest = [l.splat_group(state.max); 2];
    let pairs = weights.chunks_exact(pair);
    let rest = pairs.remainder();
    // A NaN is never the larger: it stays in its logit, and from there gets into the sum.
    for weight in pairs {
        // SAFETY: `weight` is two registers long.
        let logits = unsafe {
            [
                l.load(weight.as_ptr()),
                l.load(weight.as_ptr().add(L::LANES)),
            ]
        };
        largest = [
            l.larger(logits[0], largest[0]),
            l.larger(logits[1], largest[1]),
        ];
    }
    if !rest.is_empty() {
        // SAFETY: `weights` is whole registers, so that what pairs leave over is one.
        largest[0] = l.larger(unsafe { l.load(rest.as_ptr()) }, largest[0]);
    }
    let max = l.largest_over_positions(l.larger(largest[0], largest[1]));
    let newest = l.splat_group(&max);
    let mut sums = [l.splat(0.0); 2];
    let mut pairs = weights.chunks_exact_mut(pair);
    for weight in pairs.by_ref() {
        let at = weight.as_mut_ptr();
        // SAFETY: `weight` is two registers long.
        let new = unsafe {
            let next = at.add(L::LANES);
            let new = [weights_of(l, at, newest), weights_of(l, next, newest)];
            l.store(at, new[0]);
            l.store(next, new[1]);
            new
        };
        sums = [l.add(sums[0], new[0]), l.add(sums[1], new[1])];
    }
    let rest = pairs.into_remainder();
    if !rest.is_empty() {
        // SAFETY: `weights` is whole registers, so that what pairs leave over is one.
        let new = unsafe { weights_of(l, rest.as_ptr(), newest) };
        // SAFETY: as where it was loaded.
        unsafe { l.store(rest.as_mut_ptr(), new) };
        sums[0] = l.add(sums[0], new);
    }
    let sum = l.add(sums[0], sums[1]);
    let sum = l.sum_over_positions(sum);
    const { assert!(L::LANES <= MAX_LANES) }
    let mut rescale = [0.0; MAX_LANES];
    // SAFETY: `rescale` holds LANES elements, as asserted.
    unsafe {
        let change = exp2(l, l.sub(l.splat_group(state.max), newest));
        l.store(rescale.as_mut_ptr(), change);
    }
    for m in 0..GROUP {
        state.rescale[m] = rescale[m];
        state.sum[m] = state.sum[m] * rescale[m] + sum[m];
    }
    *state.max = max;
}

/// The weights of one register of logits.
///
/// # Safety
/// `logits` must be valid for LANES elements.
#[inline(always)]
unsafe fn weights_of<L: Lanes>(l: L, logits: *const f32, max: L::V) -> L::V {
    // SAFETY: the caller vouches for LANES elements.
    let logits = unsafe { l.load(logits) };
    exp2(l, l.sub(logits, max))
}

#[inline(always)]
pub(super) fn weighted_sums<L: Lanes, E: Element>(
    l: L,
    values: &Tile<'_>,
    weights: &Weights,
    state: &State<'_>,
    live: usize,
    sums: &mut [f32],
) {
    match live {
        1 => weighted_sums_of::<L, E, 1>(l, values, weights, state, sums),
        2 => weighted_sums_of::<L, E, 2>(l, values, weights, state, sums),
        3 => weighted_sums_of::<L, E, 3>(l, values, weights, state, sums),
        _ => weighted_sums_of::<L, E, 4>(l, values, weights, state, sums),
    }
}

/// As [`weighted_sums`], for `M` queries.
#[inline(always)]
fn weighted_sums_of<L: Lanes, E: Element, const M: usize>(
    l: L,
    values: &Tile<'_>,
    weights: &Weights,
    state: &State<'_>,
    sums: &mut [f32],
) {
    let stride = sums.len() / GROUP;
    let whole = values.head_dim - values.head_dim % L::LANES;
    assert!(
        stride >= values.head_dim.next_multiple_of(L::LANES),
        "sums of a group"
    );
    let columns = Columns {
        values: values.elements(E::BYTES).as_ptr(),
        row: values.head_dim * E::BYTES,
        weights: &weights[..values.len],
        rescale: state.rescale,
        sums: sums.as_mut_ptr(),
        stride,
    };
    let mut at = 0;
    // SAFETY: `Tile::elements` saw a row of head_dim elements for each weight, and `sums` is GROUP rows of `stride`, as
    // asserted head_dim in whole registers or more. Each call takes registers from `at` on that the condition before it
    // keeps below `whole`; the last one, of which only a part is values, below `stride`.
    unsafe {
        if L::COLUMNS == 4 {
            while at + 4 * L::LANES <= whole {
                columns.add::<L, E, M, 4>(l, at, None);
                at += 4 * L::LANES;
            }
        }
        while at + 2 * L::LANES <= whole {
            columns.add::<L, E, M, 2>(l, at, None);
            at += 2 * L::LANES;
        }
        if at < whole {
            columns.add::<L, E, M, 1>(l, at, None);
        }
        if whole < values.head_dim {
            columns.add::<L, E, M, 1>(l, whole, Some(values.head_dim - whole));
        }
    }
}

/// Values, their weights, and the sums they go to.
struct Columns<'a> {
    values: *const u8,
    /// Bytes from one position to the next.
    row: usize,
    weights: &'a [[f32; GROUP]],
    rescale: &'a [f32; GROUP],
    sums: *mut f32,
    /// Elements from one query's sums to the next's.
    stride: usize,
}

impl Columns<'_> {
    /// Adds `C` registers of each position, from dimension `at` on, to the sums of `M` queries. With `part`, `C` is 1 and
    /// only so many elements of the register are values.
    ///
    /// # Safety
    /// There must be a row of values for each weight, with elements up to `at + C × LANES`, or `at + part`; and sums up
    /// to `at + C × LANES` in each of `M` rows.
    #[inline(always)]
    unsafe fn add<L: Lanes, E: Element, const M: usize, const C: usize>(
        &self,
        l: L,
        at: usize,
        part: Option<usize>,
    ) {
        let mut sums = [[l.splat(0.0); C]; M];
        for m in 0..M {
            for c in 0..C {
                // SAFETY: the caller vouches for sums up to `at + C × LANES`.
                let before = unsafe { l.load(self.sums.add(m * self.stride + at + c * L::LANES)) };
                sums[m][c] = l.mul(before, l.splat(self.rescale[m]));
            }
        }
        for (s, weights) in self.weights.iter().enumerate() {
            let mut value = [l.splat(0.0); C];
            for c in 0..C {
                // SAFETY: the caller vouches for a row of values for each weight, and for its elements.
                value[c] = unsafe {
                    let address = self
                        .values
                        .add(s * self.row + (at + c * L::LANES) * E::BYTES);
                    match part {
                        None => E::load(l, address),
                        Some(count) => E::load_part(l, address, count),
                    }
                };
            }
            for m in 0..M {
                let weight = l.splat(weights[m]);
                for c in 0..C {
                    sums[m][c] = l.fma(value[c], weight, sums[m][c]);
                }
            }
        }
        for m in 0..M {
            for c in 0..C {
                // SAFETY: as where they were loaded.
                unsafe {
                    l.store(
                        self.sums.add(m * self.stride + at + c * L::LANES),
                        sums[m][c],
                    )
                };
            }
        }
    }
}
