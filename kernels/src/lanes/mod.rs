//! The vector operations that the kernels are written in, for each instruction set.
//!
//! A value of a type that implements [`Lanes`] proves that the processor has the instruction set. The methods are
//! inlined into functions that enable it, where each becomes a few instructions.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;

/// Queries whose dot products with a few keys are computed together.
pub(crate) const GROUP: usize = 4;

/// 2^x is taken for 0 where the integer nearest to x is less: 2⁻¹²⁶ times a factor below 1 would be subnormal.
pub(crate) const LEAST_EXPONENT: f32 = -125.0;

/// f32 lanes of the widest register there is.
pub(crate) const MAX_LANES: usize = 16;

/// Bytes of a cache line, or of half of one: what one [`Lanes::prefetch`] asks for.
pub(crate) const LINE: usize = 64;

/// Registers of f32 lanes.
///
/// # Safety
/// The loops add the constants to pointers, so an implementation must keep to them:
/// * [`Self::load`], [`Self::load_f16`], [`Self::load_bf16`], [`Self::load_i8`] and [`Self::store`] touch
///   [`Self::LANES`] elements and no more, and [`Self::transpose`] writes as many to each of as many rows;
/// * LANES is a multiple of [`GROUP`] and at most [`MAX_LANES`];
/// * POSITIONS is 2 or 4, and [`Self::store_sums`] writes POSITIONS × [`GROUP`] elements and no more.
pub(crate) unsafe trait Lanes: Copy {
    /// One register.
    type V: Copy;

    /// f32 lanes of a register.
    const LANES: usize;

    /// Keys whose dot products with [`GROUP`] queries fit in the register file together: 2 or 4.
    const POSITIONS: usize;

    /// Registers of each of [`GROUP`] sums that fit in the register file together: 2 or 4.
    const COLUMNS: usize;

    /// Reads [`Self::LANES`] elements.
    ///
    /// # Safety
    /// The address must be valid for that many elements. Any alignment.
    unsafe fn load(self, at: *const f32) -> Self::V;

    /// As [`Self::load`], from f16.
    ///
    /// # Safety
    /// As [`Self::load`].
    unsafe fn load_f16(self, at: *const u8) -> Self::V;

    /// As [`Self::load`], from bf16.
    ///
    /// # Safety
    /// As [`Self::load`].
    unsafe fn load_bf16(self, at: *const u8) -> Self::V;

    /// As [`Self::load`], from signed bytes.
    ///
    /// # Safety
    /// As [`Self::load`].
    unsafe fn load_i8(self, at: *const u8) -> Self::V;

    /// Writes [`Self::LANES`] elements.
    ///
    /// # Safety
    /// As [`Self::load`], to write.
    unsafe fn store(self, at: *mut f32, v: Self::V);

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::V;

    /// `x` repeated: lane i holds `x[i % GROUP]`.
    fn splat_group(self, x: &[f32; GROUP]) -> Self::V;

    /// `a + b`
    fn add(self, a: Self::V, b: Self::V) -> Self::V;

    /// `a - b`
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;

    /// `a * b`
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;

    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;

    /// `if a > b { a } else { b }`: the second where one is NaN.
    fn larger(self, a: Self::V, b: Self::V) -> Self::V;

    /// For x ≤ 0: the nearest integer n, in the form that [`Self::times_power_of_two`] takes, and x − n. The latter is
    /// NaN for NaN and otherwise finite, also for −∞.
    fn nearest_integer_and_rest(self, x: Self::V) -> (Self::V, Self::V);

    /// y · 2ⁿ, where n is what [`Self::nearest_integer_and_rest`] found; 0 for n below [`LEAST_EXPONENT`], NaN
    /// for NaN.
    fn times_power_of_two(self, y: Self::V, n: Self::V) -> Self::V;

    /// Asks for the cache line at this address, which need not be valid, to be in the second-nearest cache soon.
    fn prefetch(self, at: *const u8);

    /// Writes the transpose of a block of [`Self::LANES`] rows and columns to rows that begin `stride` elements apart.
    ///
    /// # Safety
    /// `rows` must give that many, and `to` be valid as for [`Self::store`], for each row.
    unsafe fn transpose<R: Rows>(self, rows: R, to: *mut f32, stride: usize);

    /// Adds up lanes of each of four registers, as far as they lie within the same 128 bits: [`Self::store_sums`] adds
    /// the rest.
    fn sums_of_four(self, v: [Self::V; GROUP]) -> Self::V;

    /// Takes [`Self::POSITIONS`] results of [`Self::sums_of_four`] and writes the sums over all lanes of what went into
    /// them: `[POSITIONS, GROUP]` elements.
    ///
    /// # Safety
    /// As [`Self::load`], to write that many elements.
    unsafe fn store_sums(self, at: *mut f32, sums: [Self::V; 4]);

    /// Of lanes `[LANES / GROUP, GROUP]`, the sums over the first axis.
    fn sum_over_positions(self, v: Self::V) -> [f32; GROUP];

    /// Of lanes `[LANES / GROUP, GROUP]`, the largest over the first axis. A NaN is skipped, or makes the result NaN.
    fn largest_over_positions(self, v: Self::V) -> [f32; GROUP];
}

/// Rows of elements, a register of each.
pub(crate) trait Rows: Copy {
    /// The register of row `row`.
    ///
    /// # Safety
    /// There must be such a row.
    unsafe fn row<L: Lanes>(self, l: L, row: usize) -> L::V;
}

/// Coefficients of 2^r for r from −½ to ½, the highest power first: those of Cephes' exp2f.
pub(crate) const EXP2_COEFFICIENTS: [f32; 7] = [
    1.535_336_2e-4,
    1.339_887_4e-3,
    9.618_437e-3,
    5.550_332_5e-2,
    2.402_264_8e-1,
    6.931_472e-1,
    1.0,
];

/// 2^x for x ≤ 0, within 1 unit in the last place (a test of `attend` measures it): exactly 1 at 0, NaN for NaN, and 0
/// where the nearest integer is below [`LEAST_EXPONENT`].
#[inline(always)]
pub(crate) fn exp2<L: Lanes>(l: L, x: L::V) -> L::V {
    let (n, r) = l.nearest_integer_and_rest(x);
    let [highest, others @ ..] = EXP2_COEFFICIENTS;
    let mut p = l.splat(highest);
    for coefficient in others {
        p = l.fma(p, r, l.splat(coefficient));
    }
    l.times_power_of_two(p, n)
}

/// 2^x for x ≤ 0, with the cut-off and the polynomial of [`exp2`]. In f64, where nothing rounds that an f32
/// would show: `f32::exp2` and a fused multiplication are functions of the standard library.
pub(crate) fn exp2_of_one(x: f32) -> f32 {
    if x.is_nan() {
        return x;
    }
    let x = f64::from(x.max(2.0 * LEAST_EXPONENT));
    // A cast rounds towards zero.
    let n = (x - 0.5) as i32;
    if n < LEAST_EXPONENT as i32 {
        return 0.0;
    }
    let r = x - f64::from(n);
    let p = EXP2_COEFFICIENTS
        .iter()
        .fold(0.0, |p, &c| p * r + f64::from(c));
    let bias = 1023;
    let power = f64::from_bits(u64::from((n + bias) as u32) << 52);
    (p * power) as f32
}
