//! One weight and one row at a time.

use super::Layer;

pub(super) fn apply(layer: &Layer<'_>, out: &mut [f32]) {
    let (inputs, outputs) = (layer.inputs, layer.bias.len());
    for (input, out) in layer
        .input
        .chunks_exact(inputs)
        .zip(out.chunks_exact_mut(outputs))
    {
        let weights = layer.weights.chunks_exact(inputs).zip(layer.bias);
        for (out, (weights, bias)) in out.iter_mut().zip(weights) {
            let sum: f32 = weights.iter().zip(input).map(|(w, x)| w * x).sum();
            *out = sum + bias;
        }
    }
}
