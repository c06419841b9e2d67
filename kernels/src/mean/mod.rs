//! Means of cached values over positions.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod registers;
mod scalar;

use crate::element::PerDtype;
use crate::isa::chosen_for_an_isa;
use crate::kv::common_shape;
use crate::{Isa, KvView, ShapeError};

/// `sums[d] += Σ_s values[s, d]`: `[positions, head_dim]` elements in `values`, unscaled, and head_dim sums.
type AddRows = unsafe fn(&[u8], &mut [f32]);

type Loops = PerDtype<AddRows>;

/// Mean pooling, chosen for one instruction set. Holding one proves that the processor has it.
#[derive(Debug, Clone, Copy)]
pub struct Mean {
    isa: Isa,
    loops: &'static Loops,
}

chosen_for_an_isa!(Mean, loops: &'static Loops = LOOPS);

impl Mean {
    /// `out[d]` = mean over the positions of all segments of `values[head, position, d]`.
    ///
    /// # Shapes
    /// `values`: the segments of one row, each `[kv_heads, its len, head_dim]`, cut to the span to average
    /// ([`KvView::window`]). `out`: `[head_dim]`.
    ///
    /// # Precision
    /// Positions are added up in f32, one after the other: where the segments meet does not change a bit.
    ///
    /// # Edge cases
    /// No positions: zeros. NaN and infinities count as they do in a sum; the sum starts at +0, so the mean of negative
    /// zeros is +0.
    ///
    /// # Errors
    /// [`ShapeError`] where there is no segment, where they differ in more than their length, where `head` is not below
    /// `kv_heads`, or where `out` is not head_dim long.
    pub fn pool(
        self,
        values: &[KvView<'_>],
        head: usize,
        out: &mut [f32],
    ) -> Result<(), ShapeError> {
        const OP: &str = "Mean::pool";
        let (first, [_, len, head_dim]) = common_shape(OP, values, head)?;
        if out.len() != head_dim {
            return Err(ShapeError {
                op: OP,
                what: "elements of the result",
                expected: head_dim,
                got: out.len(),
            });
        }
        out.fill(0.0);
        if len == 0 || head_dim == 0 {
            return Ok(());
        }
        let add_rows = self.loops.of(first.dtype());
        for bytes in values.iter().filter_map(|segment| segment.head(head)) {
            // SAFETY: `new` saw that the processor has the variant's instruction set, all that these functions need.
            unsafe { add_rows(bytes, out) };
        }
        let positions = len as f32;
        let scales = first.head_scales(head);
        for (dim, out) in out.iter_mut().enumerate() {
            *out = *out / positions * scales.at(dim);
        }
        Ok(())
    }
}
