//! The vector operations that the kernels are written in, for each instruction set.
//!
//! A value of a type that implements [`Lanes`] proves that the processor has the instruction set. The methods are
//! inlined into functions that enable it, where they are single instructions.

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

/// Registers of f32 lanes.
pub(crate) trait Lanes: Copy {
    /// One register.
    type V: Copy;

    /// f32 lanes of a register.
    const LANES: usize;

    /// Keys whose products with [`GROUP`] queries the registers hold at once: 2 or 4.
    const POSITIONS: usize;

    /// Registers of each of [`GROUP`] sums that the register file holds at once: 2 or 4.
    const COLUMNS: usize;

    /// Whether a register file of 32 keeps [`GROUP`] queries of up to four registers, and leaves room to work.
    const HOLDS_QUERIES: bool;

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

    /// `x` in every four lanes.
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

    /// For x ≤ 0: a register that tells [`Self::times_power_of_two`] of the nearest integer n, and x − n, which is NaN
    /// for NaN and otherwise finite.
    fn nearest_integer_and_rest(self, x: Self::V) -> (Self::V, Self::V);

    /// y · 2ⁿ, where n is what [`Self::nearest_integer_and_rest`] found; 0 for n below [`LEAST_EXPONENT`], NaN
    /// for NaN.
    fn times_power_of_two(self, y: Self::V, n: Self::V) -> Self::V;

    /// Of four registers, the sums over some of the lanes, for [`Self::store_sums`].
    fn sums_of_four(self, v: [Self::V; GROUP]) -> Self::V;

    /// Of the first [`Self::POSITIONS`] results of [`Self::sums_of_four`], writes the sums over all lanes:
    /// `[POSITIONS, GROUP]` elements.
    ///
    /// # Safety
    /// As [`Self::load`], to write that many elements.
    unsafe fn store_sums(self, at: *mut f32, sums: [Self::V; 4]);

    /// Of lanes `[positions, GROUP]`, the sums over the positions.
    fn sum_over_positions(self, v: Self::V) -> [f32; GROUP];

    /// Of lanes `[positions, GROUP]`, the largest over the positions. NaN counts as nothing, or makes NaN.
    fn largest_over_positions(self, v: Self::V) -> [f32; GROUP];
}

/// Dot products of int8 with 16-bit integers.
pub(crate) trait Integers: Lanes {
    /// Keys of one step.
    type Key: Copy;
    /// Sums of products, some for each lane.
    type Sums: Copy;
    /// Four of them in one register, of fewer lanes each.
    type Four: Copy;

    /// Elements of one step: 16 or 32.
    const STEP: usize;

    /// Whether a step of a query is stored as the high bytes of its numbers and then the low ones, both signed.
    const SPLIT: bool;

    /// Reads [`Self::STEP`] elements.
    ///
    /// # Safety
    /// The address must be valid for that many bytes.
    unsafe fn load_key(self, at: *const u8) -> Self::Key;

    /// No sums yet.
    fn no_sums(self) -> Self::Sums;

    /// The products of a key with the [`Self::STEP`] numbers at `query`, onto the sums. Exact.
    ///
    /// # Safety
    /// The address must be valid for that many numbers.
    unsafe fn multiply_add(self, key: Self::Key, query: *const i16, sums: Self::Sums)
    -> Self::Sums;

    /// Of four sums, those over some of the lanes, for [`Self::store_integer_sums`].
    fn integer_sums_of_four(self, sums: [Self::Sums; GROUP]) -> Self::Four;

    /// Of the first [`Lanes::POSITIONS`] results of [`Self::integer_sums_of_four`], writes the sums over all lanes, times
    /// `steps`: `[POSITIONS, GROUP]` elements.
    ///
    /// # Safety
    /// As [`Lanes::load`], to write that many elements.
    unsafe fn store_integer_sums(self, at: *mut f32, sums: [Self::Four; 4], steps: Self::V);
}

/// 2^x for x ≤ 0, within 1 unit in the last place (a sweep in `attend` says so): exactly 1 at 0, NaN for NaN, 0 for −∞
/// and from [`LEAST_EXPONENT`] down.
///
/// The polynomial is that of Cephes' exp2f, on −½ to ½.
#[inline(always)]
pub(crate) fn exp2<L: Lanes>(l: L, x: L::V) -> L::V {
    let (n, r) = l.nearest_integer_and_rest(x);
    let mut p = l.splat(1.535_336_2e-4);
    for coefficient in [
        1.339_887_4e-3,
        9.618_437e-3,
        5.550_332_5e-2,
        2.402_264_8e-1,
        6.931_472e-1,
        1.0,
    ] {
        p = l.fma(p, r, l.splat(coefficient));
    }
    l.times_power_of_two(p, n)
}
