//! The three stages in plain loops: one position and one query at a time.

use super::{GROUP, Queries, Stages, State, Tile, Weights};
use crate::element::{Bf16, Element, F16, F32, I8, PerDtype};
use crate::lanes::exp2_of_one;

pub(super) const STAGES: &Stages = &Stages {
    logits: PerDtype {
        f32: logits::<F32>,
        f16: logits::<F16>,
        bf16: logits::<Bf16>,
        int8: logits::<I8>,
    },
    softmax,
    weighted_sums: PerDtype {
        f32: weighted_sums::<F32>,
        f16: weighted_sums::<F16>,
        bf16: weighted_sums::<Bf16>,
        int8: weighted_sums::<I8>,
    },
};

fn logits<E: Element>(keys: &Tile<'_>, queries: &Queries<'_>, logits: &mut Weights) {
    let padded = queries.rows.len() / GROUP;
    assert!(padded >= keys.head_dim, "queries of a group");
    for (key, logits) in keys.rows(E::BYTES).zip(logits) {
        *logits = [0.0; GROUP];
        let rows = queries.rows.chunks_exact(padded).take(queries.live);
        for (query, logit) in rows.zip(logits) {
            let products = key.chunks_exact(E::BYTES).zip(query);
            *logit = products.map(|(k, q)| E::read(k) * q).sum();
        }
    }
}

fn softmax(positions: usize, weights: &mut Weights, state: &mut State<'_>) {
    for m in 0..GROUP {
        let tile = &mut weights[..positions];
        let before = state.max[m];
        // A NaN is never the larger: it stays in its logit, and from there gets into the sum.
        let max = tile
            .iter()
            .fold(before, |max, w| if w[m] > max { w[m] } else { max });
        let mut sum = 0.0;
        for weight in tile.iter_mut() {
            weight[m] = exp2_of_one(weight[m] - max);
            sum += weight[m];
        }
        state.rescale[m] = exp2_of_one(before - max);
        state.sum[m] = state.sum[m] * state.rescale[m] + sum;
        state.max[m] = max;
    }
}

fn weighted_sums<E: Element>(
    values: &Tile<'_>,
    weights: &Weights,
    state: &State<'_>,
    live: usize,
    sums: &mut [f32],
) {
    let padded = sums.len() / GROUP;
    assert!(padded >= values.head_dim, "sums of a group");
    for (m, sums) in sums.chunks_exact_mut(padded).take(live).enumerate() {
        for sum in sums.iter_mut() {
            *sum *= state.rescale[m];
        }
        for (value, weights) in values.rows(E::BYTES).zip(weights) {
            for (sum, v) in sums.iter_mut().zip(value.chunks_exact(E::BYTES)) {
                *sum += weights[m] * E::read(v);
            }
        }
    }
}
