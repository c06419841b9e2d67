//! A fully connected layer in f32.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod registers;
mod scalar;

use crate::isa::chosen_for_an_isa;
use crate::{Isa, ShapeError};

/// The operands, of lengths that fit each other; nothing is empty.
struct Layer<'a> {
    /// `[outputs, inputs]`
    weights: &'a [f32],
    /// `[outputs]`
    bias: &'a [f32],
    /// `[rows, inputs]`
    input: &'a [f32],
    /// Inputs of one row.
    inputs: usize,
}

/// Writes `[rows, outputs]`.
type Apply = unsafe fn(&Layer<'_>, &mut [f32]);

/// A fully connected layer, chosen for one instruction set. Holding one proves that the processor has it.
#[derive(Debug, Clone, Copy)]
pub struct Dense {
    isa: Isa,
    apply: Apply,
}

chosen_for_an_isa!(Dense, apply: Apply = apply);

impl Dense {
    /// `out[r, o] = bias[o] + Σ_i weights[o, i] · input[r, i]`. The weights are read once for up to four rows.
    ///
    /// # Shapes
    /// `weights`: `[outputs, inputs]`, `bias`: `[outputs]`, `input`: `[rows, inputs]`, `out`: `[rows, outputs]`. `bias`
    /// says how many outputs there are, `input` and `rows` how many inputs.
    ///
    /// # Edge cases
    /// No inputs: the bias. The products are added up in f32 from +0, each variant in its own order, and the bias is
    /// added last. NaN and infinities count as they do in a sum.
    ///
    /// # Errors
    /// [`ShapeError`] where a slice has not the length of its shape.
    pub fn apply(
        self,
        weights: &[f32],
        bias: &[f32],
        input: &[f32],
        rows: usize,
        out: &mut [f32],
    ) -> Result<(), ShapeError> {
        let refuse = |what, expected, got| {
            Err(ShapeError {
                op: "Dense::apply",
                what,
                expected,
                got,
            })
        };
        let outputs = bias.len();
        let results = rows.saturating_mul(outputs);
        if out.len() != results {
            return refuse("elements of the result", results, out.len());
        }
        if rows == 0 || outputs == 0 {
            return Ok(());
        }
        let inputs = input.len() / rows;
        if inputs * rows != input.len() {
            return refuse("elements of the input", inputs * rows, input.len());
        }
        if weights.len() != outputs.saturating_mul(inputs) {
            return refuse("weights", outputs.saturating_mul(inputs), weights.len());
        }
        if inputs == 0 {
            for out in out.chunks_exact_mut(outputs) {
                out.copy_from_slice(bias);
            }
            return Ok(());
        }
        let layer = Layer {
            weights,
            bias,
            input,
            inputs,
        };
        // SAFETY: `new` saw that the processor has the variant's instruction set, all that these functions need.
        unsafe { (self.apply)(&layer, out) };
        Ok(())
    }
}
