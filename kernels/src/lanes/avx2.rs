//! Eight lanes: AVX2 with FMA and F16C.

use core::arch::x86_64::*;

use super::{GROUP, LEAST_EXPONENT, Lanes, Rows};

/// The intrinsics of an expression, in a method of [`Avx2`].
macro_rules! vector {
    ($e:expr) => {
        // SAFETY: `Avx2::new` made its caller vouch for the instructions. Where there is an address, the method is unsafe
        // and asks its caller for as many elements as are touched.
        unsafe { $e }
    };
}

/// Proof that the processor has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The processor must have the instruction sets that the value proves.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }

    /// Of the four rows from `first` on: register i holds in each of its halves h the four elements of column 4 h + i.
    ///
    /// # Safety
    /// There must be four rows from `first` on.
    #[inline(always)]
    unsafe fn columns<R: Rows>(self, rows: R, first: usize) -> [__m256; 4] {
        vector!({
            let a = rows.row(self, first);
            let b = rows.row(self, first + 1);
            let c = rows.row(self, first + 2);
            let d = rows.row(self, first + 3);
            let (ab, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (cd, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            [
                _mm256_shuffle_ps::<0x44>(ab, cd),
                _mm256_shuffle_ps::<0xee>(ab, cd),
                _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
                _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
            ]
        })
    }
}

// SAFETY: a register is 8 f32, which every load and store below takes whole; `store_sums` writes 2 × GROUP.
unsafe impl Lanes for Avx2 {
    type V = __m256;

    const LANES: usize = 8;
    const POSITIONS: usize = 2;
    const COLUMNS: usize = 2;

    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> __m256 {
        vector!(_mm256_loadu_ps(at))
    }

    #[inline(always)]
    unsafe fn load_f16(self, at: *const u8) -> __m256 {
        vector!(_mm256_cvtph_ps(_mm_loadu_si128(at.cast())))
    }

    #[inline(always)]
    unsafe fn load_bf16(self, at: *const u8) -> __m256 {
        vector!({
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(at.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        })
    }

    #[inline(always)]
    unsafe fn load_i8(self, at: *const u8) -> __m256 {
        vector!(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(
            at.cast()
        ))))
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32, v: __m256) {
        vector!(_mm256_storeu_ps(at, v))
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        vector!(_mm256_set1_ps(x))
    }

    #[inline(always)]
    fn splat_group(self, x: &[f32; GROUP]) -> __m256 {
        vector!(_mm256_broadcast_ps(&_mm_loadu_ps(x.as_ptr())))
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        vector!(_mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        vector!(_mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        vector!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        vector!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn larger(self, a: __m256, b: __m256) -> __m256 {
        vector!(_mm256_max_ps(a, b))
    }

    #[inline(always)]
    fn nearest_integer_and_rest(self, x: __m256) -> (__m256, __m256) {
        vector!({
            // Below −126 the exponent of 2ⁿ would leave its range. A NaN stays: of a NaN and a number, this maximum is the
            // second operand.
            let least = _mm256_set1_ps(-126.0);
            let x = _mm256_max_ps(least, x);
            let n = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x);
            (n, _mm256_sub_ps(x, n))
        })
    }

    #[inline(always)]
    fn times_power_of_two(self, y: __m256, n: __m256) -> __m256 {
        vector!({
            let bias = _mm256_set1_epi32(127);
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), bias);
            let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent));
            // "Not less" holds for NaN too, so that `y`, NaN itself, stays.
            let keep = _mm256_cmp_ps::<_CMP_NLT_UQ>(n, _mm256_set1_ps(LEAST_EXPONENT));
            _mm256_and_ps(keep, _mm256_mul_ps(y, power))
        })
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        vector!(_mm_prefetch::<_MM_HINT_T1>(at.cast()))
    }

    #[inline(always)]
    unsafe fn transpose<R: Rows>(self, rows: R, to: *mut f32, to_stride: usize) {
        vector!({
            let upper = self.columns(rows, 0);
            let lower = self.columns(rows, 4);
            for column in 0..4 {
                let left = _mm256_permute2f128_ps::<0x20>(upper[column], lower[column]);
                let right = _mm256_permute2f128_ps::<0x31>(upper[column], lower[column]);
                _mm256_storeu_ps(to.add(column * to_stride), left);
                _mm256_storeu_ps(to.add((column + 4) * to_stride), right);
            }
        })
    }

    #[inline(always)]
    fn sums_of_four(self, [a, b, c, d]: [__m256; GROUP]) -> __m256 {
        // In each 128 bits of the result: the sums over these bits of a, b, c and d.
        vector!({
            let ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            let (ab, cd) = (_mm256_castps_pd(ab), _mm256_castps_pd(cd));
            _mm256_add_ps(
                _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)),
                _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)),
            )
        })
    }

    #[inline(always)]
    unsafe fn store_sums(self, at: *mut f32, [first, second, ..]: [__m256; 4]) {
        vector!({
            let low = _mm256_permute2f128_ps::<0x20>(first, second);
            let high = _mm256_permute2f128_ps::<0x31>(first, second);
            _mm256_storeu_ps(at, _mm256_add_ps(low, high));
        })
    }

    #[inline(always)]
    fn sum_over_positions(self, v: __m256) -> [f32; GROUP] {
        vector!({
            let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let mut sums = [0.0; GROUP];
            _mm_storeu_ps(sums.as_mut_ptr(), v);
            sums
        })
    }

    #[inline(always)]
    fn largest_over_positions(self, v: __m256) -> [f32; GROUP] {
        vector!({
            let v = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let mut largest = [0.0; GROUP];
            _mm_storeu_ps(largest.as_mut_ptr(), v);
            largest
        })
    }
}
