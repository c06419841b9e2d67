//! Four lanes: Advanced SIMD of AArch64.

use core::arch::aarch64::*;
use core::arch::asm;

use super::{GROUP, Integers, LEAST_EXPONENT, Lanes};

/// The expression, in a method of [`Neon`].
macro_rules! vector {
    ($e:expr) => {
        // SAFETY: `self` proves that the processor has the instructions. An address is the caller's promise.
        unsafe { $e }
    };
}

/// Proof that the processor has Advanced SIMD; and its dot products of bytes (FEAT_DotProd), if so marked.
#[derive(Clone, Copy)]
pub(crate) struct Neon<const DOT: bool = false>(());

impl<const DOT: bool> Neon<DOT> {
    /// # Safety
    /// The processor must have what the value proves.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

impl<const DOT: bool> Lanes for Neon<DOT> {
    type V = float32x4_t;

    const LANES: usize = 4;
    const POSITIONS: usize = 4;
    const COLUMNS: usize = 4;
    const HOLDS_QUERIES: bool = false;

    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> float32x4_t {
        vector!(vld1q_f32(at))
    }

    #[inline(always)]
    unsafe fn load_f16(self, at: *const u8) -> float32x4_t {
        vector!(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(at.cast()))))
    }

    #[inline(always)]
    unsafe fn load_bf16(self, at: *const u8) -> float32x4_t {
        vector!(vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(
            at.cast()
        ))))
    }

    #[inline(always)]
    unsafe fn load_i8(self, at: *const u8) -> float32x4_t {
        vector!({
            let four = vcreate_s8(u64::from(at.cast::<u32>().read_unaligned()));
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(four))))
        })
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32, v: float32x4_t) {
        vector!(vst1q_f32(at, v))
    }

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        vector!(vdupq_n_f32(x))
    }

    #[inline(always)]
    fn splat_group(self, x: &[f32; GROUP]) -> float32x4_t {
        vector!(vld1q_f32(x.as_ptr()))
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vector!(vaddq_f32(a, b))
    }

    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vector!(vsubq_f32(a, b))
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vector!(vmulq_f32(a, b))
    }

    #[inline(always)]
    fn fma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        vector!(vfmaq_f32(c, a, b))
    }

    #[inline(always)]
    fn larger(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vector!(vbslq_f32(vcgtq_f32(a, b), a, b))
    }

    #[inline(always)]
    fn nearest_integer_and_rest(self, x: float32x4_t) -> (float32x4_t, float32x4_t) {
        // Below, the exponent of 2ⁿ would leave its range. The second operand is what a NaN gives.
        let x = self.larger(self.splat(-126.0), x);
        vector!({
            let n = vrndnq_f32(x);
            (n, vsubq_f32(x, n))
        })
    }

    #[inline(always)]
    fn times_power_of_two(self, y: float32x4_t, n: float32x4_t) -> float32x4_t {
        vector!({
            let exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
            let power = vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent));
            // Not a number is not less: `y` stays.
            let less = vcltq_f32(n, vdupq_n_f32(LEAST_EXPONENT));
            vbslq_f32(less, vdupq_n_f32(0.0), vmulq_f32(y, power))
        })
    }

    #[inline(always)]
    fn sums_of_four(self, [a, b, c, d]: [float32x4_t; GROUP]) -> float32x4_t {
        vector!(vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)))
    }

    #[inline(always)]
    unsafe fn store_sums(self, at: *mut f32, sums: [float32x4_t; 4]) {
        for (p, sums) in sums.into_iter().enumerate() {
            vector!(vst1q_f32(at.add(p * GROUP), sums))
        }
    }

    #[inline(always)]
    fn sum_over_positions(self, v: float32x4_t) -> [f32; GROUP] {
        // A register is one position.
        let mut sums = [0.0; GROUP];
        vector!(vst1q_f32(sums.as_mut_ptr(), v));
        sums
    }

    #[inline(always)]
    fn largest_over_positions(self, v: float32x4_t) -> [f32; GROUP] {
        self.sum_over_positions(v)
    }
}

impl Integers for Neon<true> {
    type Key = int8x16_t;
    /// Products with the high bytes, and with the low ones.
    type Sums = [int32x4_t; 2];
    /// All lanes summed.
    type Four = float32x4_t;

    const STEP: usize = 16;
    const SPLIT: bool = true;

    #[inline(always)]
    unsafe fn load_key(self, at: *const u8) -> int8x16_t {
        vector!(vld1q_s8(at.cast()))
    }

    #[inline(always)]
    fn no_sums(self) -> [int32x4_t; 2] {
        vector!([vdupq_n_s32(0); 2])
    }

    #[inline(always)]
    unsafe fn multiply_add(
        self,
        key: int8x16_t,
        query: *const i16,
        [high, low]: [int32x4_t; 2],
    ) -> [int32x4_t; 2] {
        vector!({
            let bytes: *const i8 = query.cast();
            [
                sdot(high, key, vld1q_s8(bytes)),
                sdot(low, key, vld1q_s8(bytes.add(16))),
            ]
        })
    }

    #[inline(always)]
    fn integer_sums_of_four(self, [a, b, c, d]: [[int32x4_t; 2]; GROUP]) -> float32x4_t {
        vector!({
            let high = vpaddq_s32(vpaddq_s32(a[0], b[0]), vpaddq_s32(c[0], d[0]));
            let low = vpaddq_s32(vpaddq_s32(a[1], b[1]), vpaddq_s32(c[1], d[1]));
            vfmaq_n_f32(vcvtq_f32_s32(low), vcvtq_f32_s32(high), 256.0)
        })
    }

    #[inline(always)]
    unsafe fn store_integer_sums(self, at: *mut f32, sums: [float32x4_t; 4], steps: float32x4_t) {
        for (p, sums) in sums.into_iter().enumerate() {
            vector!(vst1q_f32(at.add(p * GROUP), vmulq_f32(sums, steps)))
        }
    }
}

/// Four products of bytes onto each lane. Its intrinsic is unstable.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot(mut sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction is of the features that this function enables, and touches registers alone.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {a:v}.16b, {b:v}.16b",
            sums = inout(vreg) sums,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}
