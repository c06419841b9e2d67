//! A few outputs of up to four rows at a time, in registers, for any instruction set.

use super::Layer;
use crate::dots::{Rows, dots};
use crate::element::F32;
use crate::lanes::{GROUP, Lanes};

#[inline(always)]
pub(super) fn apply<L: Lanes>(l: L, layer: &Layer<'_>, out: &mut [f32]) {
    let outputs = layer.bias.len();
    let rows = layer.input.len() / layer.inputs;
    for first_output in (0..outputs).step_by(L::POSITIONS) {
        for first_row in (0..rows).step_by(GROUP) {
            match rows - first_row {
                1 => block::<L, 1>(l, layer, first_output, first_row, out),
                2 => block::<L, 2>(l, layer, first_output, first_row, out),
                3 => block::<L, 3>(l, layer, first_output, first_row, out),
                _ => block::<L, 4>(l, layer, first_output, first_row, out),
            }
        }
    }
}

/// `L::POSITIONS` outputs of `M` rows, or as many outputs as there are.
#[inline(always)]
fn block<L: Lanes, const M: usize>(
    l: L,
    layer: &Layer<'_>,
    first_output: usize,
    first_row: usize,
    out: &mut [f32],
) {
    let outputs = layer.bias.len();
    // Beyond the last output, the last output again.
    let weights = [0, 1, 2, 3].map(|p| {
        let output = (first_output + p).min(outputs - 1);
        layer.weights[output * layer.inputs..].as_ptr().cast()
    });
    let rows = Rows {
        start: layer.input[first_row * layer.inputs..].as_ptr(),
        stride: layer.inputs,
    };
    let mut sums = [0.0; 4 * GROUP];
    // SAFETY: `Dense::apply` saw a row of weights for each output and whole rows of input, all `inputs` long; `apply`
    // above calls with `M` rows left from `first_row` on. `sums` holds POSITIONS × GROUP, POSITIONS being 4 at most.
    unsafe {
        let block = dots::<L, F32, M>(l, &weights, rows, layer.inputs);
        l.store_sums(sums.as_mut_ptr(), block);
    }
    for (p, sums) in sums.chunks_exact(GROUP).take(L::POSITIONS).enumerate() {
        let output = first_output + p;
        if output < outputs {
            for (m, sum) in sums.iter().take(M).enumerate() {
                out[(first_row + m) * outputs + output] = sum + layer.bias[output];
            }
        }
    }
}
