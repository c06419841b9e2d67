//! Maximum and sum of exponentials over a row of logits.
//!
//! The loops are written once, in independent lanes, and compiled for each instruction set: they vectorise as they are.
//! Nothing is fused or reordered, so every variant gives the same bits, and what a path draws does not depend on the
//! processor.

mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::Isa;

/// e^x for x ≤ 0, within one unit in the last place; exactly 1 at 0, and 0 below −87.
///
/// The same function that [`Softmax::exp_sum`] adds up.
pub fn exp_of_non_positive(x: f32) -> f32 {
    scalar::exp_of_non_positive(x)
}

/// Reductions over logits, chosen for one instruction set. Holding one proves that the processor has it.
///
/// ```
/// use curt_kernels::Softmax;
///
/// let softmax = Softmax::best();
/// let logits = [1.0, 3.0, f32::NEG_INFINITY];
/// let (max, faults) = softmax.max_and_faults(&logits);
/// assert_eq!((max, faults), (3.0, 0));
/// // The probability of the largest.
/// assert!((1.0 / softmax.exp_sum(&logits, max, 1.0) - 0.88).abs() < 0.01);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Softmax {
    isa: Isa,
    max_and_faults: unsafe fn(&[f32]) -> (f32, usize),
    exp_sum: unsafe fn(&[f32], f32, f32) -> f64,
}

impl Softmax {
    /// The variant for `isa`; `None` where this processor or this build does not have it.
    pub fn new(isa: Isa) -> Option<Self> {
        if !isa.is_available() {
            return None;
        }
        match isa {
            // AArch64's baseline has Advanced SIMD: the plain loops compile to it.
            Isa::Scalar | Isa::Neon => Some(Self {
                isa,
                max_and_faults: scalar::max_and_faults,
                exp_sum: scalar::exp_sum,
            }),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Some(Self {
                isa,
                max_and_faults: x86::max_and_faults_avx2,
                exp_sum: x86::exp_sum_avx2,
            }),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Some(Self {
                isa,
                max_and_faults: x86::max_and_faults_avx512,
                exp_sum: x86::exp_sum_avx512,
            }),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => None,
        }
    }

    /// The widest variant of this processor.
    pub fn best() -> Self {
        Isa::available()
            .filter_map(Self::new)
            .last()
            .unwrap_or(Self {
                isa: Isa::Scalar,
                max_and_faults: scalar::max_and_faults,
                exp_sum: scalar::exp_sum,
            })
    }

    /// The instruction set it was chosen for.
    pub fn isa(self) -> Isa {
        self.isa
    }

    /// The largest logit, and how many are NaN or +∞. −∞ is a mask and no fault; the maximum of nothing is −∞.
    pub fn max_and_faults(self, logits: &[f32]) -> (f32, usize) {
        // SAFETY: `new` saw that the processor has the variant's instruction set, all that these functions need.
        unsafe { (self.max_and_faults)(logits) }
    }

    /// Σ e^((logit − max) · scale). `max` must be the largest logit and `scale` positive.
    pub fn exp_sum(self, logits: &[f32], max: f32, scale: f32) -> f64 {
        // SAFETY: as in `max_and_faults`.
        unsafe { (self.exp_sum)(logits, max, scale) }
    }
}
