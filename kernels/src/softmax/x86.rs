//! The loops of `scalar`, compiled for wider registers.

use super::scalar;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn max_and_faults_avx2(logits: &[f32]) -> (f32, usize) {
    scalar::max_and_faults(logits)
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn exp_sum_avx2(logits: &[f32], max: f32, scale: f32) -> f64 {
    scalar::exp_sum(logits, max, scale)
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn max_and_faults_avx512(logits: &[f32]) -> (f32, usize) {
    scalar::max_and_faults(logits)
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn exp_sum_avx512(logits: &[f32], max: f32, scale: f32) -> f64 {
    scalar::exp_sum(logits, max, scale)
}
