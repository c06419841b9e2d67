//! Element types of a KV buffer, as a type parameter of the loops.

use half::{bf16, f16};

use crate::lanes::Lanes;

/// A dtype whose elements become f32.
pub(crate) trait Element {
    /// Bytes of one element.
    const BYTES: usize;

    /// The element of these little-endian bytes, unscaled; `bytes` are [`Self::BYTES`] long.
    fn read(bytes: &[u8]) -> f32;

    /// A register of elements, unscaled.
    ///
    /// # Safety
    /// `at` must be valid for [`Lanes::LANES`] elements. Any alignment.
    unsafe fn load<L: Lanes>(l: L, at: *const u8) -> L::V;

    /// A register of `count` elements, fewer than it has lanes, and zeros.
    ///
    /// # Safety
    /// `at` must be valid for `count` elements.
    #[inline(always)]
    unsafe fn load_part<L: Lanes>(l: L, at: *const u8, count: usize) -> L::V {
        let mut padded = [0u8; 64];
        let size = padded.len().min(count * Self::BYTES);
        // SAFETY: `count` elements are the caller's promise, and no register is wider than the buffer.
        unsafe {
            core::ptr::copy_nonoverlapping(at, padded.as_mut_ptr(), size);
            Self::load(l, padded.as_ptr())
        }
    }
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

    #[inline(always)]
    unsafe fn load<L: Lanes>(l: L, at: *const u8) -> L::V {
        // SAFETY: LANES elements of these bytes are the caller's promise.
        unsafe { l.load(at.cast()) }
    }
}

impl Element for F16 {
    const BYTES: usize = 2;

    fn read(bytes: &[u8]) -> f32 {
        f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(l: L, at: *const u8) -> L::V {
        // SAFETY: LANES elements of these bytes are the caller's promise.
        unsafe { l.load_f16(at) }
    }
}

impl Element for Bf16 {
    const BYTES: usize = 2;

    fn read(bytes: &[u8]) -> f32 {
        bf16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(l: L, at: *const u8) -> L::V {
        // SAFETY: LANES elements of these bytes are the caller's promise.
        unsafe { l.load_bf16(at) }
    }
}

impl Element for I8 {
    const BYTES: usize = 1;

    fn read(bytes: &[u8]) -> f32 {
        f32::from(bytes[0] as i8)
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(l: L, at: *const u8) -> L::V {
        // SAFETY: LANES elements of these bytes are the caller's promise.
        unsafe { l.load_i8(at) }
    }
}
