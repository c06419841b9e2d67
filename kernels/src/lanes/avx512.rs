//! Sixteen lanes: AVX-512 F, BW, DQ and VL.

use core::arch::x86_64::*;

use super::{GROUP, LEAST_EXPONENT, Lanes, Rows};

/// The intrinsics of an expression, in a method of [`Avx512`].
macro_rules! vector {
    ($e:expr) => {
        // SAFETY: `Avx512::new` made its caller vouch for the instructions. Where there is an address, the method is unsafe
        // and asks its caller for as many elements as are touched.
        unsafe { $e }
    };
}

/// Proof that the processor has AVX-512 F, BW, DQ and VL, and AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The processor must have the instruction sets that the value proves.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }

    /// Of the four rows from `first` on: register i holds in each of its quarters q the four elements of column 4 q + i.
    ///
    /// # Safety
    /// There must be four rows from `first` on.
    #[inline(always)]
    unsafe fn columns<R: Rows>(self, rows: R, first: usize) -> [__m512; 4] {
        vector!({
            let a = rows.row(self, first);
            let b = rows.row(self, first + 1);
            let c = rows.row(self, first + 2);
            let d = rows.row(self, first + 3);
            let (ab, ab_high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let (cd, cd_high) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            [
                _mm512_shuffle_ps::<0x44>(ab, cd),
                _mm512_shuffle_ps::<0xee>(ab, cd),
                _mm512_shuffle_ps::<0x44>(ab_high, cd_high),
                _mm512_shuffle_ps::<0xee>(ab_high, cd_high),
            ]
        })
    }

    /// The even 128 bits of both registers plus the odd ones.
    #[inline(always)]
    fn sums_of_halves(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_add_ps(
            _mm512_shuffle_f32x4::<0x88>(a, b),
            _mm512_shuffle_f32x4::<0xdd>(a, b),
        ))
    }
}

// SAFETY: a register is 16 f32, which every load and store below takes whole; `store_sums` writes 4 × GROUP.
unsafe impl Lanes for Avx512 {
    type V = __m512;

    const LANES: usize = 16;
    const POSITIONS: usize = 4;
    const COLUMNS: usize = 4;

    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> __m512 {
        vector!(_mm512_loadu_ps(at))
    }

    #[inline(always)]
    unsafe fn load_f16(self, at: *const u8) -> __m512 {
        vector!(_mm512_cvtph_ps(_mm256_loadu_si256(at.cast())))
    }

    #[inline(always)]
    unsafe fn load_bf16(self, at: *const u8) -> __m512 {
        vector!({
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(at.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        })
    }

    #[inline(always)]
    unsafe fn load_i8(self, at: *const u8) -> __m512 {
        vector!(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(
            at.cast()
        ))))
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32, v: __m512) {
        vector!(_mm512_storeu_ps(at, v))
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        vector!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    fn splat_group(self, x: &[f32; GROUP]) -> __m512 {
        vector!(_mm512_broadcast_f32x4(_mm_loadu_ps(x.as_ptr())))
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        vector!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn larger(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn nearest_integer_and_rest(self, x: __m512) -> (__m512, __m512) {
        vector!({
            let n = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x);
            // The rest of an infinity is 0, where a subtraction gives NaN.
            let rest = _mm512_reduce_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x);
            (n, rest)
        })
    }

    #[inline(always)]
    fn times_power_of_two(self, y: __m512, n: __m512) -> __m512 {
        vector!({
            // "Not less" holds for NaN too, so that `y`, NaN itself, stays.
            let least = _mm512_set1_ps(LEAST_EXPONENT);
            let keep = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(n, least);
            _mm512_maskz_scalef_ps(keep, y, n)
        })
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        vector!(_mm_prefetch::<_MM_HINT_T1>(at.cast()))
    }

    #[inline(always)]
    unsafe fn transpose<R: Rows>(self, rows: R, to: *mut f32, to_stride: usize) {
        vector!({
            let first = self.columns(rows, 0);
            let second = self.columns(rows, 4);
            let third = self.columns(rows, 8);
            let fourth = self.columns(rows, 12);
            for i in 0..4 {
                // Quarters 0 and 2, then 1 and 3, of the upper and of the lower eight rows.
                let even = _mm512_shuffle_f32x4::<0x88>(first[i], second[i]);
                let odd = _mm512_shuffle_f32x4::<0xdd>(first[i], second[i]);
                let low_even = _mm512_shuffle_f32x4::<0x88>(third[i], fourth[i]);
                let low_odd = _mm512_shuffle_f32x4::<0xdd>(third[i], fourth[i]);
                let to = to.add(i * to_stride);
                let four = 4 * to_stride;
                _mm512_storeu_ps(to, _mm512_shuffle_f32x4::<0x88>(even, low_even));
                _mm512_storeu_ps(to.add(four), _mm512_shuffle_f32x4::<0x88>(odd, low_odd));
                _mm512_storeu_ps(
                    to.add(2 * four),
                    _mm512_shuffle_f32x4::<0xdd>(even, low_even),
                );
                _mm512_storeu_ps(to.add(3 * four), _mm512_shuffle_f32x4::<0xdd>(odd, low_odd));
            }
        })
    }

    #[inline(always)]
    fn sums_of_four(self, [a, b, c, d]: [__m512; GROUP]) -> __m512 {
        // In each 128 bits of the result: the sums over these bits of a, b, c and d.
        vector!({
            let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
            _mm512_add_ps(
                _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
                _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)),
            )
        })
    }

    #[inline(always)]
    unsafe fn store_sums(self, at: *mut f32, [a, b, c, d]: [__m512; 4]) {
        let (first, second) = (self.sums_of_halves(a, b), self.sums_of_halves(c, d));
        // SAFETY: the caller vouches for POSITIONS × GROUP elements, which are LANES.
        unsafe { self.store(at, self.sums_of_halves(first, second)) }
    }

    #[inline(always)]
    fn sum_over_positions(self, v: __m512) -> [f32; GROUP] {
        vector!({
            let v = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v));
            let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let mut sums = [0.0; GROUP];
            _mm_storeu_ps(sums.as_mut_ptr(), v);
            sums
        })
    }

    #[inline(always)]
    fn largest_over_positions(self, v: __m512) -> [f32; GROUP] {
        vector!({
            let v = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v));
            let v = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let mut largest = [0.0; GROUP];
            _mm_storeu_ps(largest.as_mut_ptr(), v);
            largest
        })
    }
}
