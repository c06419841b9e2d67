//! Means of cached values over positions.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod registers;
mod scalar;

use crate::scales::HeadScales;
use crate::{Dtype, Isa, KvView, ShapeError};

/// `sums[d] += Σ_s values[s, d]`: `[positions, head_dim]` elements in `values`, unscaled, and head_dim sums.
type AddRows = unsafe fn(&[u8], &mut [f32]);

/// By dtype: f32, f16, bf16, int8.
type Loops = [AddRows; 4];

/// Mean pooling, chosen for one instruction set. Holding one proves that the processor has it.
#[derive(Debug, Clone, Copy)]
pub struct Mean {
    isa: Isa,
    loops: &'static Loops,
}

impl Mean {
    /// The variant for `isa`; `None` where this processor or this build does not have it.
    pub fn new(isa: Isa) -> Option<Self> {
        if !isa.is_available() {
            return None;
        }
        let loops = match isa {
            Isa::Scalar => &scalar::LOOPS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &avx2::LOOPS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => &avx512::LOOPS,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => &neon::LOOPS,
            _ => return None,
        };
        Some(Self { isa, loops })
    }

    /// The widest variant of this processor.
    pub fn best() -> Self {
        Isa::available()
            .filter_map(Self::new)
            .last()
            .unwrap_or(Self {
                isa: Isa::Scalar,
                loops: &scalar::LOOPS,
            })
    }

    /// The instruction set it was chosen for.
    pub fn isa(self) -> Isa {
        self.isa
    }

    /// `out[d]` = mean over all positions of the view of `values[head, position, d]`.
    ///
    /// # Shapes
    /// `values`: `[kv_heads, len, head_dim]`, the span to average ([`KvView::window`]). `out`: `[head_dim]`.
    ///
    /// # Edge cases
    /// No positions: zeros. NaN and infinities go into their element as they do into a sum; the sum is f32 and starts
    /// at +0, so the mean of negative zeros is +0.
    ///
    /// # Errors
    /// [`ShapeError`] where `head` is not below `kv_heads` or `out` is not head_dim long.
    pub fn pool(self, values: &KvView<'_>, head: usize, out: &mut [f32]) -> Result<(), ShapeError> {
        let [kv_heads, len, head_dim] = values.shape();
        let refuse = |what, expected, got| {
            Err(ShapeError {
                op: "Mean::pool",
                what,
                expected,
                got,
            })
        };
        if out.len() != head_dim {
            return refuse("elements of the result", head_dim, out.len());
        }
        let Some(bytes) = values.head(head) else {
            return refuse("head (below)", kv_heads, head);
        };
        out.fill(0.0);
        if len == 0 || head_dim == 0 {
            return Ok(());
        }
        // SAFETY: `new` checked that the processor has the variant's instruction set, the only requirement of these
        // otherwise safe functions.
        unsafe { (self.loops[values.dtype() as usize])(bytes, out) };
        let positions = len as f32;
        for (dim, out) in out.iter_mut().enumerate() {
            *out = *out / positions * values.head_scales(head).at(dim);
        }
        Ok(())
    }

    /// `sums[h, d] += values[h, position, d]`: the mean token by token, its division left to the caller.
    ///
    /// # Shapes
    /// `values`: `[kv_heads, len, head_dim]`. `sums`: `[kv_heads, head_dim]`.
    ///
    /// # Errors
    /// [`ShapeError`] where `position` is not below `len` or `sums` is not `kv_heads * head_dim` long.
    pub fn add(
        self,
        values: &KvView<'_>,
        position: usize,
        sums: &mut [f32],
    ) -> Result<(), ShapeError> {
        let [kv_heads, len, head_dim] = values.shape();
        let refuse = |what, expected, got| {
            Err(ShapeError {
                op: "Mean::add",
                what,
                expected,
                got,
            })
        };
        if position >= len {
            return refuse("position (below)", len, position);
        }
        if sums.len() != kv_heads.saturating_mul(head_dim) {
            let channels = kv_heads.saturating_mul(head_dim);
            return refuse("elements of the sums", channels, sums.len());
        }
        if head_dim == 0 {
            return Ok(());
        }
        let row = values.window(position, 1)?;
        for (head, sums) in sums.chunks_exact_mut(head_dim).enumerate() {
            let Some(bytes) = row.head(head) else {
                return refuse("head (below)", kv_heads, head);
            };
            if row.dtype() == Dtype::I8 {
                add_scaled(bytes, row.head_scales(head), sums);
            } else {
                // SAFETY: as in `pool`.
                unsafe { (self.loops[row.dtype() as usize])(bytes, sums) };
            }
        }
        Ok(())
    }
}

/// One position of int8 values: too few for a variant of its own.
fn add_scaled(values: &[u8], scales: HeadScales<'_>, sums: &mut [f32]) {
    for (dim, (sum, &v)) in sums.iter_mut().zip(values).enumerate() {
        *sum += f32::from(v as i8) * scales.at(dim);
    }
}
