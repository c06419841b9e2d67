//! Element types of a KV buffer, as a type parameter of the plain loops.

use half::{bf16, f16};

/// A dtype whose elements become f32 one by one.
pub(crate) trait Element {
    /// Bytes of one element.
    const BYTES: usize;

    /// The element of these little-endian bytes, unscaled; `bytes` are [`Self::BYTES`] long.
    fn read(bytes: &[u8]) -> f32;
}

/// IEEE single precision.
pub(crate) struct F32;
/// IEEE half precision.
pub(crate) struct F16;
/// bfloat16.
pub(crate) struct Bf16;
/// Signed 8-bit integer.
pub(crate) struct I8;

impl Element for F32 {
    const BYTES: usize = 4;

    fn read(bytes: &[u8]) -> f32 {
        f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

impl Element for F16 {
    const BYTES: usize = 2;

    fn read(bytes: &[u8]) -> f32 {
        f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
    }
}

impl Element for Bf16 {
    const BYTES: usize = 2;

    fn read(bytes: &[u8]) -> f32 {
        bf16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
    }
}

impl Element for I8 {
    const BYTES: usize = 1;

    fn read(bytes: &[u8]) -> f32 {
        f32::from(bytes[0] as i8)
    }
}
