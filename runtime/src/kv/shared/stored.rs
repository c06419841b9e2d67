//! What keys and values are kept as.

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::kv::slab::Element;

/// An element of the cache.
pub(super) trait Stored: Element + Send {
    /// Writes `from`, rounded to the nearest, to as many elements.
    fn store(from: &[f32], to: &mut [Self]);
}

impl Stored for f32 {
    fn store(from: &[f32], to: &mut [Self]) {
        to.copy_from_slice(from);
    }
}

impl Stored for f16 {
    fn store(from: &[f32], to: &mut [Self]) {
        to.convert_from_f32_slice(from);
    }
}
