//! Logits of int8 keys in integers: the queries are rounded to 16 bits, and everything after that is exact until the sum
//! is made f32.
//!
//! A query's largest number becomes [`LARGEST`], so that each is off by at most half of its 32,512th part, and a logit
//! by Σ|key| times that: a part in 65,024 of what it could be at most.

#![allow(
    clippy::needless_range_loop,
    reason = "counted loops over registers, which the compiler unrolls"
)]

use super::registers::Keys;
use super::{GROUP, Queries, Tile, Weights};
use crate::element::I8;
use crate::lanes::Integers;

/// Rounded queries have their head_dim rounded up to this: the widest step.
pub(super) const PAD: usize = 32;

/// Largest rounded number: both of its bytes fit a signed byte.
const LARGEST: f32 = 127.0 * 256.0;

/// Largest head_dim: 128 × 32,512 × 512 is below 2³¹.
pub(super) const MAX_HEAD_DIM: usize = 512;

/// Smaller numbers are rounded to 0: what they are divided by could not be inverted.
const LEAST: f32 = 1e-30;

/// The queries of a group, rounded.
#[derive(Clone, Copy)]
pub(super) struct Rounded<'a> {
    /// `[GROUP, head_dim rounded up to PAD]`, in the order that the variant reads; zeros where there is nothing.
    pub(super) rows: &'a [i16],
    /// What 1 stands for in each query.
    pub(super) steps: &'a [f32; GROUP],
}

/// Rounds a group's queries, each zero-padded to the same length. One that is not finite has no largest number: it
/// becomes zeros that stand for NaN, for each of its logits would be infinite or NaN, and −∞ if any then all.
#[inline(always)]
pub(super) fn round<L: Integers>(
    queries: &Queries<'_>,
    rows: &mut [i16],
    steps: &mut [f32; GROUP],
) {
    rows.fill(0);
    let (padded, len) = (queries.rows.len() / GROUP, rows.len() / GROUP);
    for m in 0..GROUP {
        let query = &queries.rows[m * padded..(m + 1) * padded];
        let row = &mut rows[m * len..(m + 1) * len];
        let Some(numbers) = numbers(query, &mut steps[m]) else {
            continue;
        };
        for (rounded, number) in row.iter_mut().zip(numbers) {
            *rounded = number;
        }
        if L::SPLIT {
            row.chunks_exact_mut(L::STEP).for_each(split);
        }
    }
}

/// A query's numbers, rounded, and what 1 stands for in them; `None` where one is not finite.
#[inline(always)]
pub(super) fn numbers(query: &[f32], step: &mut f32) -> Option<impl Iterator<Item = i16>> {
    // As integers, for floats of one sign are in their order and NaN lies above: a maximum without an order of its own.
    let largest = query.iter().fold(0, |max, x| max.max(x.abs().to_bits()));
    let largest = f32::from_bits(largest);
    if !largest.is_finite() {
        *step = f32::NAN;
        return None;
    }
    let inverse = if largest < LEAST {
        0.0
    } else {
        LARGEST / largest
    };
    *step = largest / LARGEST;
    Some(query.iter().map(move |&x| {
        // SAFETY: every x is finite, not NaN, for `largest` is; the product is at most LARGEST and an ulp.
        let integer: i32 = unsafe { (x * inverse).round_ties_even().to_int_unchecked() };
        integer as i16
    }))
}

/// A number's high and low byte, both signed: `256 * high + low` is the number.
#[inline(always)]
pub(super) fn bytes(number: i16) -> [u8; 2] {
    let high = (number + 128) >> 8;
    [high as u8, (number - (high << 8)) as u8]
}

/// High bytes, then low bytes, as [`bytes`] has them.
fn split(step: &mut [i16]) {
    let mut halves = [0u8; 2 * PAD];
    let (high, low) = halves.split_at_mut(step.len());
    for ((&number, high), low) in step.iter().zip(high).zip(low) {
        [*high, *low] = bytes(number);
    }
    for (number, pair) in step.iter_mut().zip(halves.as_chunks().0) {
        *number = i16::from_ne_bytes(*pair);
    }
}

/// As the plain stage of logits.
#[inline(always)]
pub(super) fn scores<L: Integers>(
    l: L,
    keys: &Tile<'_>,
    queries: &Rounded<'_>,
    logits: &mut Weights,
) {
    // What models have, as constants: the queries stay in registers then, and the loop over steps is unrolled.
    match keys.head_dim {
        32 => scores_of(l, keys, 32, queries, logits),
        64 => scores_of(l, keys, 64, queries, logits),
        128 => scores_of(l, keys, 128, queries, logits),
        head_dim => scores_of(l, keys, head_dim, queries, logits),
    }
}

#[inline(always)]
fn scores_of<L: Integers>(
    l: L,
    keys: &Tile<'_>,
    head_dim: usize,
    queries: &Rounded<'_>,
    logits: &mut Weights,
) {
    let stride = head_dim.next_multiple_of(PAD);
    let keys = Keys::new::<I8>(keys);
    assert!(
        queries.rows.len() >= GROUP * stride,
        "rounded queries of a group"
    );
    let steps = l.splat_group(queries.steps);
    let whole = head_dim - head_dim % L::STEP;
    for first in (0..keys.len).step_by(L::POSITIONS) {
        let addresses = keys.from(first);
        let mut block = [l.integer_sums_of_four([l.no_sums(); GROUP]); 4];
        for p in 0..L::POSITIONS {
            let mut sums = [l.no_sums(); GROUP];
            // SAFETY: each key has head_dim bytes; the queries have GROUP rows of `stride`, a multiple of STEP and no
            // less than head_dim.
            unsafe {
                for at in (0..whole).step_by(L::STEP) {
                    let key = l.load_key(addresses[p].add(at));
                    for m in 0..GROUP {
                        let query = queries.rows.as_ptr().add(m * stride + at);
                        sums[m] = l.multiply_add(key, query, sums[m]);
                    }
                }
                if whole < head_dim {
                    let mut padded = [0u8; PAD];
                    let rest = head_dim - whole;
                    let from = addresses[p].add(whole);
                    core::ptr::copy_nonoverlapping(from, padded.as_mut_ptr(), rest);
                    let key = l.load_key(padded.as_ptr());
                    for m in 0..GROUP {
                        let query = queries.rows.as_ptr().add(m * stride + whole);
                        sums[m] = l.multiply_add(key, query, sums[m]);
                    }
                }
            }
            block[p] = l.integer_sums_of_four(sums);
        }
        // SAFETY: a tile is a multiple of POSITIONS, so that many logits remain from `first` on.
        unsafe { l.store_integer_sums(logits.as_mut_ptr().add(first).cast(), block, steps) };
    }
    keys.mask_beyond(L::POSITIONS, logits);
}
