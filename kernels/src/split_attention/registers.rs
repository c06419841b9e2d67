//! Tiles of queries in registers, for any instruction set.

#![allow(
    clippy::needless_range_loop,
    reason = "counted loops over registers, which the compiler unrolls"
)]

use core::marker::PhantomData;

use super::ahead::Ahead;
use super::{BLOCK, Chunk, Scratch, SplitAttention, TILE};
use crate::Dtype;
use crate::element::Element;
use crate::lanes::{Lanes, MAX_LANES, Rows, exp2};

/// For each tile of `$rows` queries, of which the first is `$first`: `$call::<L, T>` with its first query, its first row of the
/// scratch and its states.
macro_rules! each_tile {
    ($call:ident, $l:expr, $chunk:expr, $scratch:expr, $first:expr, $rows:expr, $states:expr, $ahead:expr) => {
        let state_len = SplitAttention::state_len($chunk.head_dim);
        let mut row = 0;
        while row < $rows {
            let tile = tile_of($rows - row);
            let states = &mut $states[($first + row) * state_len..][..tile * state_len];
            let at = ($first + row, row);
            match tile {
                1 => $call::<L, 1>($l, $chunk, $scratch, at, states, $ahead),
                2 => $call::<L, 2>($l, $chunk, $scratch, at, states, $ahead),
                3 => $call::<L, 3>($l, $chunk, $scratch, at, states, $ahead),
                4 => $call::<L, 4>($l, $chunk, $scratch, at, states, $ahead),
                _ => $call::<L, TILE>($l, $chunk, $scratch, at, states, $ahead),
            }
            row += tile;
        }
    };
}

#[inline(always)]
pub(super) fn attend<L: Lanes>(
    l: L,
    chunk: &Chunk<'_>,
    scratch: &mut Scratch<'_>,
    states: &mut [f32],
) {
    let (count, head_dim) = (chunk.count(), chunk.head_dim);
    let read = chunk.positions * head_dim * chunk.dtype.bytes();
    // Staged values have been read: those of the next chunk are next.
    let values = match chunk.dtype {
        Dtype::F32 => &chunk.values[..read],
        _ => following(chunk.values, read),
    };
    // In the loops over the first block's dimensions, and over its positions.
    let columns = |elements: usize| elements.div_ceil(L::LANES * L::COLUMNS);
    let tiles = count.min(BLOCK).div_ceil(TILE);
    let mut values = Ahead::over(values, tiles * head_dim * columns(chunk.positions));
    let keys = following(chunk.keys, read);
    let mut keys = Ahead::over(keys, tiles * chunk.positions * columns(head_dim));
    for first in (0..count).step_by(BLOCK) {
        // All logits before the first sum: the nearest cache holds the keys, and then the values.
        let rows = BLOCK.min(count - first);
        each_tile!(weigh, l, chunk, scratch, first, rows, states, &mut values);
        each_tile!(add_up, l, chunk, scratch, first, rows, states, &mut keys);
    }
}

/// What the next chunk reads, where there is one.
#[inline(always)]
fn following(elements: &[u8], read: usize) -> &[u8] {
    let following = &elements[read..];
    &following[..following.len().min(read)]
}

/// Queries of the next tile where so many are left: whole tiles, and the last ones as even as they can be.
#[inline(always)]
fn tile_of(left: usize) -> usize {
    match left {
        1..=4 | 6 => left,
        5 => 3,
        7 | 8 => 4,
        _ => TILE,
    }
}

/// Keys of one block of dimensions.
struct Block<E> {
    start: *const u8,
    /// Bytes from one key to the next.
    stride: usize,
    element: PhantomData<E>,
}

impl<E> Clone for Block<E> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Block<E> {}

impl<E: Element> Rows for Block<E> {
    #[inline(always)]
    unsafe fn row<L: Lanes>(self, l: L, row: usize) -> L::V {
        // SAFETY: the caller vouches for the row.
        unsafe { E::load(l, self.start.add(row * self.stride)) }
    }
}

/// Writes the chunk's keys to the scratch, transposed, beyond the last of which, up to a whole register, stands anything; and
/// its values where they are not f32 already.
#[inline(always)]
pub(super) fn stage<L: Lanes, E: Element>(l: L, chunk: &Chunk<'_>, scratch: &mut Scratch<'_>) {
    let (head_dim, stride) = (chunk.head_dim, scratch.chunk);
    let (keys, to) = (chunk.keys, &mut *scratch.keys);
    let key_bytes = head_dim * E::BYTES;
    assert!(chunk.positions <= stride && to.len() >= head_dim * stride);
    assert!(stride.is_multiple_of(L::LANES) && head_dim.is_multiple_of(L::LANES));
    for first in (0..chunk.positions).step_by(L::LANES) {
        if (first + L::LANES) * key_bytes <= keys.len() {
            for dim in (0..head_dim).step_by(L::LANES) {
                // SAFETY: LANES keys from `first` on are there, as just seen, each of head_dim elements, a multiple of
                // LANES; and so are LANES rows of `stride` from `dim` on, of which `first` + LANES is within: `stride`
                // is a multiple of LANES too, and larger than `first`.
                unsafe {
                    let rows = Block::<E> {
                        start: keys.as_ptr().add(first * key_bytes + dim * E::BYTES),
                        stride: key_bytes,
                        element: PhantomData,
                    };
                    let to = to.as_mut_ptr().add(dim * stride + first);
                    l.transpose(rows, to, stride);
                }
            }
        } else {
            for position in first..chunk.positions {
                let key = &keys[position * key_bytes..][..key_bytes];
                for (row, x) in to.chunks_exact_mut(stride).zip(key.chunks_exact(E::BYTES)) {
                    row[position] = E::read(x);
                }
            }
        }
    }
    if chunk.dtype != Dtype::F32 {
        let values = &chunk.values[..chunk.positions * key_bytes];
        let to = &mut scratch.values[..chunk.positions * head_dim];
        for (from, to) in values
            .chunks_exact(L::LANES * E::BYTES)
            .zip(to.chunks_exact_mut(L::LANES))
        {
            // SAFETY: either chunk is a register of elements.
            unsafe { l.store(to.as_mut_ptr(), E::load(l, from.as_ptr())) };
        }
    }
}

/// The bytes of elements.
#[inline(always)]
fn bytes_of(elements: &[f32]) -> &[u8] {
    // SAFETY: any bytes of an initialised slice may be read as such.
    unsafe { core::slice::from_raw_parts(elements.as_ptr().cast(), size_of_val(elements)) }
}

/// How many keys each of `T` queries from `first` on sees; the most and the fewest.
#[inline(always)]
fn seen<const T: usize>(chunk: &Chunk<'_>, first: usize) -> ([usize; T], usize, usize) {
    let mut seen = [0; T];
    for i in 0..T {
        seen[i] = chunk.seen(first + i);
    }
    let most = seen.iter().fold(0, |most, &n| most.max(n));
    let least = seen.iter().fold(most, |least, &n| least.min(n));
    (seen, most, least)
}

/// Of `T` queries from `first` on: the weights, to the scratch's rows from `row` on, and the states' tails.
#[inline(always)]
fn weigh<L: Lanes, const T: usize>(
    l: L,
    chunk: &Chunk<'_>,
    scratch: &mut Scratch<'_>,
    (first, row): (usize, usize),
    states: &mut [f32],
    ahead: &mut Ahead,
) {
    let (head_dim, stride) = (chunk.head_dim, scratch.chunk);
    let (seen, most, _) = seen::<T>(chunk, first);
    let queries = &chunk.queries[first * head_dim..][..T * head_dim];
    let weights = &mut scratch.weights[row * stride..][..T * stride];
    let keys = &scratch.keys[..head_dim * stride];
    assert!(most <= stride && stride.is_multiple_of(L::LANES));

    let mut at = 0;
    while at < most {
        let registers = (most - at).div_ceil(L::LANES);
        // SAFETY: `queries` holds T rows of head_dim, `keys` head_dim rows and `weights` T rows of `stride`, of which
        // `registers` registers from `at` on are within: `at` is a multiple of LANES below `most`, and `stride` a
        // multiple of LANES no less than `most`.
        unsafe {
            let queries = (queries.as_ptr(), head_dim);
            let keys = keys.as_ptr().add(at);
            let to = weights.as_mut_ptr().add(at);
            at += L::LANES
                * if registers >= 4 && L::COLUMNS == 4 {
                    logits::<L, T, 4>(l, queries, keys, to, stride, ahead)
                } else if registers >= 2 {
                    logits::<L, T, 2>(l, queries, keys, to, stride, ahead)
                } else {
                    logits::<L, T, 1>(l, queries, keys, to, stride, ahead)
                };
        }
    }

    let state_len = SplitAttention::state_len(head_dim);
    for i in 0..T {
        let row = &mut weights[i * stride..][..stride];
        let (max, sum) = softmax(l, row, seen[i]);
        let tail = &mut states[i * state_len + head_dim..][..2 * MAX_LANES];
        let (maxima, sums) = tail.split_at_mut(MAX_LANES);
        maxima.fill(max);
        sums.fill(sum);
    }
}

/// Of `T` queries from `first` on: the sums of values, by the weights in the scratch's rows from `row` on.
#[inline(always)]
fn add_up<L: Lanes, const T: usize>(
    l: L,
    chunk: &Chunk<'_>,
    scratch: &Scratch<'_>,
    (first, row): (usize, usize),
    states: &mut [f32],
    ahead: &mut Ahead,
) {
    let (head_dim, stride) = (chunk.head_dim, scratch.chunk);
    let (seen, most, least) = seen::<T>(chunk, first);
    let weights = &scratch.weights[row * stride..][..T * stride];
    let state_len = SplitAttention::state_len(head_dim);
    let states = &mut states[..T * state_len];
    let from = match chunk.dtype {
        Dtype::F32 => &chunk.values[..most * head_dim * size_of::<f32>()],
        _ => bytes_of(&scratch.values[..most * head_dim]),
    };
    assert!(most <= stride);
    let mut dim = 0;
    while dim < head_dim {
        let registers = (head_dim - dim) / L::LANES;
        // SAFETY: `weights` holds T rows of `stride`, no fewer than any of `seen`; `from` as many rows of head_dim f32 as
        // the most of them, and the states T rows of more than head_dim, of which the registers that are taken from
        // `dim` on are within.
        unsafe {
            let weights = (weights.as_ptr(), stride);
            let values = (from.as_ptr().cast::<f32>().add(dim), head_dim);
            let to = states.as_mut_ptr().add(dim);
            let seen = (least, &seen);
            dim += L::LANES
                * if registers >= 4 && L::COLUMNS == 4 {
                    sums::<L, T, 4>(l, weights, values, seen, to, state_len, ahead)
                } else if registers >= 2 {
                    sums::<L, T, 2>(l, weights, values, seen, to, state_len, ahead)
                } else {
                    sums::<L, T, 1>(l, weights, values, seen, to, state_len, ahead)
                };
        }
    }
}

/// Logits of `T` queries with `W` registers of keys; `W`.
///
/// # Safety
/// `queries` must be valid for T rows of as many elements as it says, `keys` for as many rows of W registers, and `to` for
/// T of them, rows `stride` elements apart.
#[inline(always)]
unsafe fn logits<L: Lanes, const T: usize, const W: usize>(
    l: L,
    (queries, head_dim): (*const f32, usize),
    keys: *const f32,
    to: *mut f32,
    stride: usize,
    ahead: &mut Ahead,
) -> usize {
    let mut sums = [[l.splat(0.0); W]; T];
    // SAFETY: of each row W registers, as the caller vouches for.
    unsafe {
        for dim in 0..head_dim {
            ahead.step(l, dim);
            let mut key = [l.splat(0.0); W];
            for j in 0..W {
                key[j] = l.load(keys.add(dim * stride + j * L::LANES));
            }
            for i in 0..T {
                let query = l.splat(*queries.add(i * head_dim + dim));
                for j in 0..W {
                    sums[i][j] = l.fma(query, key[j], sums[i][j]);
                }
            }
        }
        for i in 0..T {
            for j in 0..W {
                l.store(to.add(i * stride + j * L::LANES), sums[i][j]);
            }
        }
    }
    W
}

/// Turns the first `seen` logits of a row into weights; the largest logit and the sum of the weights. What stands behind
/// them, up to a whole register, is lost.
#[inline(always)]
fn softmax<L: Lanes>(l: L, row: &mut [f32], seen: usize) -> (f32, f32) {
    let padded = seen.next_multiple_of(L::LANES);
    let row = &mut row[..padded];
    row[seen..].fill(f32::NEG_INFINITY);
    // Not −∞: e^(−∞ − −∞) would be NaN.
    let mut largest = l.splat(f32::MIN);
    for register in row.chunks_exact(L::LANES) {
        // SAFETY: the chunk is one register.
        largest = l.larger(unsafe { l.load(register.as_ptr()) }, largest);
    }
    let max = l
        .largest_over_positions(largest)
        .into_iter()
        .fold(f32::MIN, |a, b| if b > a { b } else { a });
    let mut sum = l.splat(0.0);
    for register in row.chunks_exact_mut(L::LANES) {
        // SAFETY: the chunk is one register.
        unsafe {
            let logit = l.load(register.as_ptr());
            let weight = exp2(l, l.sub(logit, l.splat(max)));
            sum = l.add(sum, weight);
            l.store(register.as_mut_ptr(), weight);
        }
    }
    let [a, b, c, d] = l.sum_over_positions(sum);
    (max, (a + b) + (c + d))
}

/// Sums of `W` registers of values by the weights of `T` queries; `W`. Query i sees the first `seen[i]` positions, and all
/// see the first `least`.
///
/// # Safety
/// `weights` must be valid for T rows of as many elements as any of `seen`, `values` for as many rows of W registers, and
/// `to` for T of them, rows as far apart as they and `to_stride` say.
#[inline(always)]
unsafe fn sums<L: Lanes, const T: usize, const W: usize>(
    l: L,
    (weights, stride): (*const f32, usize),
    (values, head_dim): (*const f32, usize),
    (least, seen): (usize, &[usize; T]),
    to: *mut f32,
    to_stride: usize,
    ahead: &mut Ahead,
) -> usize {
    let mut sums = [[l.splat(0.0); W]; T];
    // SAFETY: of each row W registers, as the caller vouches for.
    unsafe {
        for position in 0..least {
            ahead.step(l, position);
            let mut value = [l.splat(0.0); W];
            for j in 0..W {
                value[j] = l.load(values.add(position * head_dim + j * L::LANES));
            }
            for i in 0..T {
                let weight = l.splat(*weights.add(i * stride + position));
                for j in 0..W {
                    sums[i][j] = l.fma(weight, value[j], sums[i][j]);
                }
            }
        }
        for i in 0..T {
            for position in least..seen[i] {
                let weight = l.splat(*weights.add(i * stride + position));
                for j in 0..W {
                    let value = l.load(values.add(position * head_dim + j * L::LANES));
                    sums[i][j] = l.fma(weight, value, sums[i][j]);
                }
            }
        }
        for i in 0..T {
            for j in 0..W {
                l.store(to.add(i * to_stride + j * L::LANES), sums[i][j]);
            }
        }
    }
    W
}

#[inline(always)]
pub(super) fn merge<L: Lanes>(l: L, states: &mut [f32], others: &[f32], head_dim: usize) {
    let len = SplitAttention::state_len(head_dim);
    assert!(head_dim.is_multiple_of(L::LANES));
    for (state, other) in states.chunks_exact_mut(len).zip(others.chunks_exact(len)) {
        let (state, other) = (state.as_mut_ptr(), other.as_ptr());
        // SAFETY: each is `len` elements: head_dim, a multiple of LANES, and twice MAX_LANES, which is no less.
        unsafe {
            let [max, total] = [0, MAX_LANES].map(|tail| head_dim + tail);
            let (before, others) = (l.load(state.add(max)), l.load(other.add(max)));
            let largest = l.larger(others, before);
            let kept = exp2(l, l.sub(before, largest));
            let added = exp2(l, l.sub(others, largest));
            l.store(state.add(max), largest);
            for at in (0..head_dim).step_by(L::LANES).chain([total]) {
                let sum = l.mul(kept, l.load(state.add(at)));
                l.store(state.add(at), l.fma(added, l.load(other.add(at)), sum));
            }
        }
    }
}

#[inline(always)]
pub(super) fn finish<L: Lanes>(l: L, states: &[f32], head_dim: usize, out: &mut [f32]) {
    let len = SplitAttention::state_len(head_dim);
    for (state, out) in states.chunks_exact(len).zip(out.chunks_exact_mut(head_dim)) {
        let (sums, tail) = state.split_at(head_dim);
        let inverse = l.splat(1.0 / tail[MAX_LANES]);
        for (out, sum) in out
            .chunks_exact_mut(L::LANES)
            .zip(sums.chunks_exact(L::LANES))
        {
            // SAFETY: both chunks are one register.
            unsafe { l.store(out.as_mut_ptr(), l.mul(l.load(sum.as_ptr()), inverse)) };
        }
    }
}
