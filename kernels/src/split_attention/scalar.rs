//! One query and one position at a time.

use super::{Chunk, Loops, Scratch, SplitAttention};
use crate::element::{Bf16, Element, F16, F32, I8, PerDtype};
use crate::lanes::{MAX_LANES, exp2_of_one};

pub(super) const LOOPS: &Loops = &Loops {
    stage: PerDtype {
        f32: stage::<F32>,
        f16: stage::<F16>,
        bf16: stage::<Bf16>,
        int8: stage::<I8>,
    },
    attend,
    merge,
    finish,
};

/// Keys and values as f32, in their own order.
fn stage<E: Element>(chunk: &Chunk<'_>, scratch: &mut Scratch<'_>) {
    for (from, to) in [
        (chunk.keys, &mut *scratch.keys),
        (chunk.values, &mut *scratch.values),
    ] {
        let from = from.chunks_exact(E::BYTES);
        let to = to[..chunk.positions * chunk.head_dim].iter_mut();
        for (to, from) in to.zip(from) {
            *to = E::read(from);
        }
    }
}

fn attend(chunk: &Chunk<'_>, scratch: &mut Scratch<'_>, states: &mut [f32]) {
    let head_dim = chunk.head_dim;
    let queries = chunk.queries.chunks_exact(head_dim).enumerate();
    let states = states.chunks_exact_mut(SplitAttention::state_len(head_dim));
    for ((at, query), state) in queries.zip(states) {
        let (sums, tail) = state.split_at_mut(head_dim);
        let weights = &mut scratch.weights[..chunk.seen(at)];
        for (weight, key) in weights.iter_mut().zip(scratch.keys.chunks_exact(head_dim)) {
            *weight = key.iter().zip(query).map(|(k, q)| k * q).sum();
        }
        // A NaN is never the larger: it stays in its logit, and from there gets into the sum.
        let max = weights
            .iter()
            .fold(f32::MIN, |max, &x| if x > max { x } else { max });
        sums.fill(0.0);
        let mut total = 0.0;
        for (weight, value) in weights
            .iter_mut()
            .zip(scratch.values.chunks_exact(head_dim))
        {
            *weight = exp2_of_one(*weight - max);
            total += *weight;
            for (sum, v) in sums.iter_mut().zip(value) {
                *sum += *weight * v;
            }
        }
        tail[..MAX_LANES].fill(max);
        tail[MAX_LANES..].fill(total);
    }
}

fn merge(states: &mut [f32], others: &[f32], head_dim: usize) {
    let len = SplitAttention::state_len(head_dim);
    for (state, other) in states.chunks_exact_mut(len).zip(others.chunks_exact(len)) {
        let (before, others) = (state[head_dim], other[head_dim]);
        let largest = if others > before { others } else { before };
        let (kept, added) = (exp2_of_one(before - largest), exp2_of_one(others - largest));
        for (sum, &more) in state.iter_mut().zip(other) {
            *sum = kept * *sum + added * more;
        }
        state[head_dim..][..MAX_LANES].fill(largest);
    }
}

fn finish(states: &[f32], head_dim: usize, out: &mut [f32]) {
    let len = SplitAttention::state_len(head_dim);
    for (state, out) in states.chunks_exact(len).zip(out.chunks_exact_mut(head_dim)) {
        let inverse = 1.0 / state[head_dim + MAX_LANES];
        for (out, sum) in out.iter_mut().zip(state) {
            *out = sum * inverse;
        }
    }
}
