//! The three stages in registers, for any instruction set.

#![allow(
    clippy::needless_range_loop,
    reason = "counted loops over registers, which the compiler unrolls"
)]

use super::scratch::padded;
use super::{GROUP, Queries, State, Tile, Weights};
use crate::dots::{Held, Rows, dots};
use crate::element::Element;
use crate::lanes::{Lanes, exp2};

#[inline(always)]
pub(super) fn scores<L: Lanes, E: Element>(
    l: L,
    keys: &Tile<'_>,
    queries: &Queries<'_>,
    logits: &mut Weights,
) {
    let held = L::HOLDS_QUERIES && queries.live == GROUP;
    match queries.live {
        GROUP if held && keys.head_dim == 2 * L::LANES => {
            scores_of_held::<L, E, 2>(l, keys, queries, logits)
        }
        GROUP if held && keys.head_dim == 4 * L::LANES => {
            scores_of_held::<L, E, 4>(l, keys, queries, logits)
        }
        1 => scores_of::<L, E, 1>(l, keys, queries, logits),
        2 => scores_of::<L, E, 2>(l, keys, queries, logits),
        3 => scores_of::<L, E, 3>(l, keys, queries, logits),
        _ => scores_of::<L, E, 4>(l, keys, queries, logits),
    }
}

/// As [`scores`], for `M` queries and any head_dim.
#[inline(always)]
fn scores_of<L: Lanes, E: Element, const M: usize>(
    l: L,
    keys: &Tile<'_>,
    queries: &Queries<'_>,
    logits: &mut Weights,
) {
    let keys = Keys::new::<E>(keys);
    let rows = keys.queries(queries);
    for first in (0..keys.len).step_by(L::POSITIONS) {
        // SAFETY: each key has head_dim elements, and so have the GROUP rows of queries; a tile is a multiple of
        // POSITIONS, so that many logits remain from `first` on.
        unsafe {
            let sums = dots::<L, E, M>(l, &keys.from(first), rows, keys.head_dim);
            l.store_sums(logits.as_mut_ptr().add(first).cast(), sums);
        }
    }
    keys.mask_beyond(L::POSITIONS, logits);
}

/// As [`scores`], for [`GROUP`] queries of `W` registers.
#[inline(always)]
fn scores_of_held<L: Lanes, E: Element, const W: usize>(
    l: L,
    keys: &Tile<'_>,
    queries: &Queries<'_>,
    logits: &mut Weights,
) {
    let keys = Keys::new::<E>(keys);
    let rows = keys.queries(queries);
    assert_eq!(keys.head_dim, W * L::LANES, "registers of a key");
    // SAFETY: head_dim is W registers, and as `scores_of`.
    unsafe {
        let queries = Held::<L, W>::load(l, rows);
        for first in (0..keys.len).step_by(L::POSITIONS) {
            let sums = queries.dots::<E>(l, &keys.from(first));
            l.store_sums(logits.as_mut_ptr().add(first).cast(), sums);
        }
    }
    keys.mask_beyond(L::POSITIONS, logits);
}

/// The keys of a tile, seen to be there.
pub(super) struct Keys {
    start: *const u8,
    /// Bytes from one key to the next.
    row: usize,
    /// At least one.
    pub(super) len: usize,
    head_dim: usize,
}

impl Keys {
    /// # Panics
    /// As [`Tile::elements`].
    #[inline(always)]
    pub(super) fn new<E: Element>(tile: &Tile<'_>) -> Self {
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
    pub(super) fn from(&self, first: usize) -> [*const u8; 4] {
        let last = self.len - 1;
        // SAFETY: `new` has seen `len` rows, and that they are one at least.
        [0, 1, 2, 3].map(|p| unsafe { self.start.add((first + p).min(last) * self.row) })
    }

    /// −∞ for what the last step of `positions` computed beyond the last key.
    #[inline(always)]
    pub(super) fn mask_beyond(&self, positions: usize, logits: &mut Weights) {
        for logit in &mut logits[self.len..self.len.next_multiple_of(positions)] {
            *logit = [f32::NEG_INFINITY; GROUP];
        }
    }
}

#[inline(always)]
pub(super) fn weigh<L: Lanes>(
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
    // Two of each, so that one addition or comparison does not wait for the one before.
    let mut largest = [l.splat_group(state.max); 2];
    let pairs = weights.chunks_exact(pair);
    let rest = pairs.remainder();
    // A NaN is never the larger: it stays in its logit, and gets into the sum with it.
    for weight in pairs {
        // SAFETY: the chunk is two registers.
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
        // SAFETY: the rest of a number of registers is one.
        largest[0] = l.larger(unsafe { l.load(rest.as_ptr()) }, largest[0]);
    }
    let max = l.largest_over_positions(l.larger(largest[0], largest[1]));
    let newest = l.splat_group(&max);
    let mut sums = [l.splat(0.0); 2];
    let mut pairs = weights.chunks_exact_mut(pair);
    for weight in pairs.by_ref() {
        let at = weight.as_mut_ptr();
        // SAFETY: the chunk is two registers.
        let new = unsafe {
            let next = at.add(L::LANES);
            let new = [
                weigh_register(l, at, newest),
                weigh_register(l, next, newest),
            ];
            l.store(at, new[0]);
            l.store(next, new[1]);
            new
        };
        sums = [l.add(sums[0], new[0]), l.add(sums[1], new[1])];
    }
    let rest = pairs.into_remainder();
    if !rest.is_empty() {
        // SAFETY: the rest of a number of registers is one.
        let new = unsafe { weigh_register(l, rest.as_ptr(), newest) };
        // SAFETY: as above.
        unsafe { l.store(rest.as_mut_ptr(), new) };
        sums[0] = l.add(sums[0], new);
    }
    let sum = l.add(sums[0], sums[1]);
    let sum = l.sum_over_positions(sum);
    let mut rescale = [0.0; 16];
    // SAFETY: no register has more than 16 lanes.
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

/// The weights of a register of logits.
///
/// # Safety
/// As [`Lanes::load`].
#[inline(always)]
unsafe fn weigh_register<L: Lanes>(l: L, logits: *const f32, max: L::V) -> L::V {
    // SAFETY: the caller's promise.
    let logits = unsafe { l.load(logits) };
    exp2(l, l.sub(logits, max))
}

#[inline(always)]
pub(super) fn mix<L: Lanes, E: Element>(
    l: L,
    values: &Tile<'_>,
    weights: &Weights,
    state: &State<'_>,
    live: usize,
    sums: &mut [f32],
) {
    match live {
        1 => mix_of::<L, E, 1>(l, values, weights, state, sums),
        2 => mix_of::<L, E, 2>(l, values, weights, state, sums),
        3 => mix_of::<L, E, 3>(l, values, weights, state, sums),
        _ => mix_of::<L, E, 4>(l, values, weights, state, sums),
    }
}

#[inline(always)]
fn mix_of<L: Lanes, E: Element, const M: usize>(
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
    // SAFETY: `values` holds `len` rows of head_dim elements, of which those up to `at` plus the columns' width exist;
    // `sums` holds GROUP rows of `stride`, which is no less.
    unsafe {
        if L::COLUMNS == 4 {
            while at + 4 * L::LANES <= whole {
                columns.mix::<L, E, M, 4>(l, at, None);
                at += 4 * L::LANES;
            }
        }
        while at + 2 * L::LANES <= whole {
            columns.mix::<L, E, M, 2>(l, at, None);
            at += 2 * L::LANES;
        }
        if at < whole {
            columns.mix::<L, E, M, 1>(l, at, None);
        }
        if whole < values.head_dim {
            columns.mix::<L, E, M, 1>(l, whole, Some(values.head_dim - whole));
        }
    }
}

/// Values and the sums they go to.
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
    /// Adds up `C` registers of each position for `M` queries, from dimension `at` on; of the only register, only the
    /// first `part` elements.
    ///
    /// # Safety
    /// Every position's values must reach that far, and be as many as the weights. So must the sums, in whole registers.
    #[inline(always)]
    unsafe fn mix<L: Lanes, E: Element, const M: usize, const C: usize>(
        &self,
        l: L,
        at: usize,
        part: Option<usize>,
    ) {
        let mut sums = [[l.splat(0.0); C]; M];
        for m in 0..M {
            for c in 0..C {
                // SAFETY: the sums reach that far.
                let before = unsafe { l.load(self.sums.add(m * self.stride + at + c * L::LANES)) };
                sums[m][c] = l.mul(before, l.splat(self.rescale[m]));
            }
        }
        for (s, weights) in self.weights.iter().enumerate() {
            let mut value = [l.splat(0.0); C];
            for c in 0..C {
                // SAFETY: there is a position for each weight, and its values reach that far.
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
                // SAFETY: as above.
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
