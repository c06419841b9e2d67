//! Sums in plain loops.

use super::Loops;
use crate::element::{Bf16, Element, F16, F32, I8};

pub(super) const LOOPS: &Loops = &Loops {
    f32: add_rows::<F32>,
    f16: add_rows::<F16>,
    bf16: add_rows::<Bf16>,
    int8: add_rows::<I8>,
};

fn add_rows<E: Element>(values: &[u8], sums: &mut [f32]) {
    for row in values.chunks_exact(sums.len() * E::BYTES) {
        for (sum, v) in sums.iter_mut().zip(row.chunks_exact(E::BYTES)) {
            *sum += E::read(v);
        }
    }
}
