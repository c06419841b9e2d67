//! Element types of a KV buffer, as a type parameter of the loops.

use half::{bf16, f16};

use crate::Dtype;
use crate::lanes::{Lanes, MAX_LANES};

/// A dtype whose elements become f32.
///
/// # Safety
/// The loops multiply [`Self::BYTES`] into pointers: it must be the size of one element, at most 4, and
/// [`Self::load`] must read [`Lanes::LANES`] × BYTES bytes and no more.
pub(crate) unsafe trait Element {
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
        const { assert!(L::LANES <= MAX_LANES && Self::BYTES <= size_of::<f32>()) }
        let mut padded = [0u8; MAX_LANES * size_of::<f32>()];
        let size = padded.len().min(count * Self::BYTES);
        // SAFETY: the caller vouches for `count` elements at `at`; `padded` holds LANES elements, as asserted.
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

// SAFETY: 4 bytes, and `load` is that of `Lanes` for this type.
unsafe impl Element for F32 {
    const BYTES: usize = 4;

    fn read(bytes: &[u8]) -> f32 {
        f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(l: L, at: *const u8) -> L::V {
        // SAFETY: the caller vouches for LANES elements at `at`.
        unsafe { l.load(at.cast()) }
    }
}

// SAFETY: 2 bytes, and `load` is that of `Lanes` for this type.
unsafe impl Element for F16 {
    const BYTES: usize = 2;

    fn read(bytes: &[u8]) -> f32 {
        f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(l: L, at: *const u8) -> L::V {
        // SAFETY: the caller vouches for LANES elements at `at`.
        unsafe { l.load_f16(at) }
    }
}

// SAFETY: 2 bytes, and `load` is that of `Lanes` for this type.
unsafe impl Element for Bf16 {
    const BYTES: usize = 2;

    fn read(bytes: &[u8]) -> f32 {
        bf16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(l: L, at: *const u8) -> L::V {
        // SAFETY: the caller vouches for LANES elements at `at`.
        unsafe { l.load_bf16(at) }
    }
}

// SAFETY: 1 byte, and `load` is that of `Lanes` for this type.
unsafe impl Element for I8 {
    const BYTES: usize = 1;

    fn read(bytes: &[u8]) -> f32 {
        f32::from(bytes[0] as i8)
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(l: L, at: *const u8) -> L::V {
        // SAFETY: the caller vouches for LANES elements at `at`.
        unsafe { l.load_i8(at) }
    }
}

/// One of something for each element type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PerDtype<T> {
    pub(crate) f32: T,
    pub(crate) f16: T,
    pub(crate) bf16: T,
    pub(crate) int8: T,
}

impl<T: Copy> PerDtype<T> {
    pub(crate) fn of(&self, dtype: Dtype) -> T {
        match dtype {
            Dtype::F32 => self.f32,
            Dtype::F16 => self.f16,
            Dtype::Bf16 => self.bf16,
            Dtype::I8 => self.int8,
        }
    }
}
