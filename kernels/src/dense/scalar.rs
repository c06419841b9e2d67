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
            let products = weights.iter().zip(input).map(|(w, x)| w * x);
            // From +0: `sum` would start at −0.
            let sum = products.fold(0.0, |sum, x| sum + x);
            *out = sum + bias;
        }
    }
}
