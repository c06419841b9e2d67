//! Logits of int8 keys by matrix products of bytes (FEAT_I8MM): four keys with four queries at once.
//!
//! A product takes eight bytes of two keys and of two queries. Half as many instructions as dot products of bytes, and
//! their sums need no adding up across lanes; the integers are the same, and so is every bit of a logit.

#![allow(
    clippy::needless_range_loop,
    reason = "counted loops over registers, which the compiler unrolls"
)]

use core::arch::aarch64::*;
use core::arch::asm;

use super::registers::Keys;
use super::rounded::{self, PAD, Rounded};
use super::{GROUP, Queries, Tile, Weights};
use crate::element::I8;

/// Keys taken at once.
const POSITIONS: usize = 4;

/// Bytes of a key in a product.
const DEPTH: usize = 8;

/// Bytes of a register.
const REGISTER: usize = 16;

/// Bytes of [`DEPTH`] numbers of all queries: high bytes of two queries in each of two registers, then the low bytes.
const STEP: usize = 2 * GROUP * DEPTH;

/// As [`rounded::round`], in the order of [`STEP`].
#[target_feature(enable = "neon")]
pub(super) fn round(queries: &Queries<'_>, rows: &mut [i16], steps: &mut [f32; GROUP]) {
    rows.fill(0);
    let padded = queries.rows.len() / GROUP;
    let (pairs, _) = rows.as_chunks_mut::<{ STEP / 2 }>();
    for m in 0..GROUP {
        let query = &queries.rows[m * padded..(m + 1) * padded];
        let Some(numbers) = rounded::numbers(query, &mut steps[m]) else {
            continue;
        };
        for (d, number) in numbers.enumerate() {
            let Some(step) = pairs.get_mut(d / DEPTH) else {
                break;
            };
            let at = m / 2 * REGISTER + m % 2 * DEPTH + d % DEPTH;
            for (half, byte) in rounded::bytes(number).into_iter().enumerate() {
                let at = half * STEP / 2 + at;
                let mut pair = step[at / 2].to_ne_bytes();
                pair[at % 2] = byte;
                step[at / 2] = i16::from_ne_bytes(pair);
            }
        }
    }
}

/// As the plain stage of logits.
#[target_feature(enable = "neon,i8mm")]
pub(super) fn scores(keys: &Tile<'_>, queries: &Rounded<'_>, logits: &mut Weights) {
    let head_dim = keys.head_dim;
    let keys = Keys::new::<I8>(keys);
    let needed = head_dim.next_multiple_of(PAD) / DEPTH * STEP;
    assert!(
        size_of_val(queries.rows) >= needed,
        "rounded queries of a group"
    );
    let queries_at: *const i8 = queries.rows.as_ptr().cast();
    let whole = head_dim - head_dim % REGISTER;
    for first in (0..keys.len).step_by(POSITIONS) {
        let addresses = keys.from(first);
        // Of two keys and two queries: the first key with both, then the second. `[pairs of keys, registers of a step]`
        let mut sums = [[vdupq_n_s32(0); 4]; POSITIONS / 2];
        // SAFETY: each key has head_dim bytes, and the queries STEP for each DEPTH of them, up to a multiple of PAD; a tile
        // is a multiple of POSITIONS, so that many logits remain from `first` on.
        unsafe {
            for at in (0..whole).step_by(REGISTER) {
                let key = addresses.map(|address| vld1q_s8(address.add(at).cast()));
                multiply(&mut sums, key, queries_at.add(at / DEPTH * STEP));
            }
            if whole < head_dim {
                let key = addresses.map(|address| {
                    let mut padded = [0u8; REGISTER];
                    let rest = head_dim - whole;
                    let from = address.add(whole);
                    core::ptr::copy_nonoverlapping(from, padded.as_mut_ptr(), rest);
                    vld1q_s8(padded.as_ptr().cast())
                });
                multiply(&mut sums, key, queries_at.add(whole / DEPTH * STEP));
            }
            let steps = vld1q_f32(queries.steps.as_ptr());
            for (pair, [high01, high23, low01, low23]) in sums.into_iter().enumerate() {
                let of_key = [
                    [first_halves(high01, high23), first_halves(low01, low23)],
                    [second_halves(high01, high23), second_halves(low01, low23)],
                ];
                for (p, [high, low]) in of_key.into_iter().enumerate() {
                    let sum = vfmaq_n_f32(vcvtq_f32_s32(low), vcvtq_f32_s32(high), 256.0);
                    let at = logits.as_mut_ptr().add(first + 2 * pair + p);
                    vst1q_f32(at.cast(), vmulq_f32(sum, steps));
                }
            }
        }
    }
    keys.mask_beyond(POSITIONS, logits);
}

/// Adds the products of [`REGISTER`] bytes of each key with the queries.
///
/// # Safety
/// `queries` must be valid for two of [`STEP`].
#[inline]
#[target_feature(enable = "neon,i8mm")]
unsafe fn multiply(
    sums: &mut [[int32x4_t; 4]; POSITIONS / 2],
    key: [int8x16_t; POSITIONS],
    queries: *const i8,
) {
    for half in 0..2 {
        let keys = [[key[0], key[1]], [key[2], key[3]]].map(|[a, b]| {
            let [a, b] = [vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)];
            vreinterpretq_s8_s64(match half {
                0 => vzip1q_s64(a, b),
                _ => vzip2q_s64(a, b),
            })
        });
        for register in 0..4 {
            // SAFETY: the caller's promise.
            let query = unsafe { vld1q_s8(queries.add(half * STEP + register * REGISTER)) };
            for pair in 0..POSITIONS / 2 {
                sums[pair][register] = smmla(sums[pair][register], keys[pair], query);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn first_halves(a: int32x4_t, b: int32x4_t) -> int32x4_t {
    let [a, b] = [vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)];
    vreinterpretq_s32_s64(vzip1q_s64(a, b))
}

#[inline]
#[target_feature(enable = "neon")]
fn second_halves(a: int32x4_t, b: int32x4_t) -> int32x4_t {
    let [a, b] = [vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)];
    vreinterpretq_s32_s64(vzip2q_s64(a, b))
}

/// Products of two rows of eight bytes with two rows, each onto a lane. Its intrinsic is unstable.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn smmla(mut sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction is of the features that this function enables, and touches registers alone.
    unsafe {
        asm!(
            "smmla {sums:v}.4s, {a:v}.16b, {b:v}.16b",
            sums = inout(vreg) sums,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}
