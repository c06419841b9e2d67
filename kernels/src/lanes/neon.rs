//! Four lanes: Advanced SIMD of AArch64.

use core::arch::aarch64::*;

use super::{GROUP, LEAST_EXPONENT, Lanes, Rows};

/// The intrinsics of an expression, in a method of [`Neon`].
macro_rules! vector {
    ($e:expr) => {
        // SAFETY: `Neon::new` made its caller vouch for the instructions. Where there is an address, the method is unsafe
        // and asks its caller for as many elements as are touched.
        unsafe { $e }
    };
}

/// Proof that the processor has Advanced SIMD.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// # Safety
    /// The processor must have the instruction sets that the value proves.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }

    /// Of the two rows from `first` on: columns 0 and 2, and columns 1 and 3, each column as one f64.
    ///
    /// # Safety
    /// There must be two rows from `first` on.
    #[inline(always)]
    unsafe fn pairs<R: Rows>(self, rows: R, first: usize) -> (float64x2_t, float64x2_t) {
        vector!({
            let (a, b) = (rows.row(self, first), rows.row(self, first + 1));
            (
                vreinterpretq_f64_f32(vtrn1q_f32(a, b)),
                vreinterpretq_f64_f32(vtrn2q_f32(a, b)),
            )
        })
    }
}

// SAFETY: a register is 4 f32, which every load and store below takes whole; `store_sums` writes 4 × GROUP.
unsafe impl Lanes for Neon {
    type V = float32x4_t;

    const LANES: usize = 4;
    const POSITIONS: usize = 4;
    const COLUMNS: usize = 4;

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
        // Below −126 the exponent of 2ⁿ would leave its range. A NaN stays: `larger` gives its second operand then.
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
            // A NaN is not less: `y`, NaN itself, stays.
            let less = vcltq_f32(n, vdupq_n_f32(LEAST_EXPONENT));
            vbslq_f32(less, vdupq_n_f32(0.0), vmulq_f32(y, power))
        })
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        // SAFETY: the instruction changes no register and no memory, and an address that is not valid does nothing.
        unsafe {
            core::arch::asm!(
                "prfm pldl2keep, [{at}]",
                at = in(reg) at,
                options(nostack, readonly, preserves_flags),
            )
        }
    }

    #[inline(always)]
    unsafe fn transpose<R: Rows>(self, rows: R, to: *mut f32, to_stride: usize) {
        vector!({
            // Columns 0 and 2, then 1 and 3, of two rows.
            let (even, odd) = self.pairs(rows, 0);
            let (low_even, low_odd) = self.pairs(rows, 2);
            vst1q_f64(to.cast(), vtrn1q_f64(even, low_even));
            vst1q_f64(to.add(to_stride).cast(), vtrn1q_f64(odd, low_odd));
            vst1q_f64(to.add(2 * to_stride).cast(), vtrn2q_f64(even, low_even));
            vst1q_f64(to.add(3 * to_stride).cast(), vtrn2q_f64(odd, low_odd));
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
        // A register is one row of GROUP lanes.
        let mut sums = [0.0; GROUP];
        vector!(vst1q_f32(sums.as_mut_ptr(), v));
        sums
    }

    #[inline(always)]
    fn largest_over_positions(self, v: float32x4_t) -> [f32; GROUP] {
        self.sum_over_positions(v)
    }
}
