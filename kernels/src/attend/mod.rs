//! Queries attend to cached keys and pool cached values.
//!
//! One pass: positions are taken in tiles, and of each tile the keys and then the values are read where they lie. The
//! sums of the tiles before are rescaled when a larger logit turns up, so no logit is kept (online softmax, Milakov and
//! Gimelshein, arXiv 1805.02867). Up to four queries share the registers and one reading of a tile; further queries
//! find it in the nearest cache.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_i8mm;
mod registers;
mod rounded;
mod scalar;
mod scratch;

use crate::lanes::GROUP;
use crate::scales::HeadScales;
use crate::{Dtype, Isa, KvView, ShapeError};
use rounded::Rounded;
use scratch::{Plan, Scratch};

/// Positions between two rescalings are a multiple of this, itself one of the positions that any variant takes at once.
const STEP: usize = 16;

/// Positions between two rescalings, at most: with int8 of head_dim 64, what [`BURST`] allows.
const TILE: usize = 128;

/// Bytes of keys that are read before as many of values. Larger bursts let one stream run dry while the other flows:
/// on a Zen 4 with f32 of head_dim 64, 8 KiB read DRAM at 0.98 of its bandwidth, 16 KiB at 0.6 to 0.8.
const BURST: usize = 8192;

/// Logits of a tile, then its weights: `[positions, GROUP]`.
type Weights = [[f32; GROUP]; TILE];

/// Positions of one head that follow each other.
#[derive(Clone, Copy)]
struct Tile<'a> {
    /// `[len, head_dim]` elements of the stage's dtype.
    bytes: &'a [u8],
    len: usize,
    head_dim: usize,
}

impl<'a> Tile<'a> {
    /// Of all positions of a head, `bytes`, those from `start` on, but not more than `positions`; none past the end.
    fn new(bytes: &'a [u8], start: usize, positions: usize, head_dim: usize, dtype: Dtype) -> Self {
        let row = head_dim * dtype.bytes();
        let rest = bytes.get(start * row..).unwrap_or(&[]);
        let len = (rest.len() / row).min(positions);
        Self {
            bytes: &rest[..len * row],
            len,
            head_dim,
        }
    }

    /// Its bytes, seen to be those of `len` positions, 1 to [`TILE`], of elements of `size` bytes.
    ///
    /// # Panics
    /// Where they are not: what a stage left undone would look like a result.
    #[inline(always)]
    fn elements(&self, size: usize) -> &'a [u8] {
        assert!(
            (1..=TILE).contains(&self.len) && self.bytes.len() == self.len * self.head_dim * size,
            "a tile of {} positions of {} elements of {size} bytes has {} bytes",
            self.len,
            self.head_dim,
            self.bytes.len()
        );
        self.bytes
    }

    /// The bytes of each position, for elements of `size` bytes.
    fn rows(&self, size: usize) -> impl Iterator<Item = &'a [u8]> {
        self.elements(size).chunks_exact(self.head_dim * size)
    }
}

/// Up to [`GROUP`] queries, each multiplied with the scales of the keys.
#[derive(Clone, Copy)]
struct Queries<'a> {
    /// `[GROUP, padded head_dim]`, zeros where there is no query or no dimension.
    rows: &'a [f32],
    /// Queries that there are.
    live: usize,
}

/// The running softmax of a group.
struct State<'a> {
    /// Largest logit so far.
    max: &'a mut [f32; GROUP],
    /// Σ e^(logit − max).
    sum: &'a mut [f32; GROUP],
    /// What the newest tile multiplies the sums of those before it with.
    rescale: &'a mut [f32; GROUP],
}

/// Logits of a tile of keys. Writes −∞ to what it takes beyond the tile's end, at most to the next multiple of four.
type Scores = unsafe fn(&Tile<'_>, &Queries<'_>, &mut Weights);
/// Logits to weights, of as many positions, and the state with them.
type Weigh = unsafe fn(usize, &mut Weights, &mut State<'_>);
/// `sums[m] = rescale[m] * sums[m] + Σ_s weights[s][m] * values[s]`: a tile of values, the weights, the state, the
/// number of queries, and the sums, `[GROUP, padded head_dim]`.
type Mix = unsafe fn(&Tile<'_>, &Weights, &State<'_>, usize, &mut [f32]);

/// Queries to 16-bit integers and what 1 stands for in each.
type Round = unsafe fn(&Queries<'_>, &mut [i16], &mut [f32; GROUP]);
/// As [`Scores`], of int8 keys, in integers.
type RoundedScores = unsafe fn(&Tile<'_>, &Rounded<'_>, &mut Weights);

/// As [`crate::scales::multiply`].
type Multiply = unsafe fn(&mut [f32], &[f32], HeadScales<'_>, HeadScales<'_>);

/// The three stages of a tile, and what comes before and after all of them, for one instruction set. `scores` and `mix` by
/// dtype: f32, f16, bf16, int8.
#[derive(Debug, Clone, Copy)]
struct Stages {
    /// The instruction set, and what the variant uses beside.
    name: &'static str,
    scores: [Scores; 4],
    /// What takes the place of `scores` for int8 keys.
    rounded: Option<(Round, RoundedScores)>,
    weigh: Weigh,
    mix: [Mix; 4],
    multiply: Multiply,
}

/// Attention pooling, chosen for one instruction set. Holding one proves that the processor has it.
#[derive(Debug, Clone, Copy)]
pub struct Attend {
    isa: Isa,
    stages: &'static Stages,
}

impl Attend {
    /// The widest variant for `isa`; `None` where this processor or this build does not have it.
    pub fn new(isa: Isa) -> Option<Self> {
        Self::variants(isa).last()
    }

    /// Every variant for `isa` that this processor can run, the plainest first: for tests and comparisons.
    pub fn variants(isa: Isa) -> impl Iterator<Item = Self> {
        let stages: [Option<&'static Stages>; 3] = match isa {
            _ if !isa.is_available() => [None, None, None],
            Isa::Scalar => [Some(&scalar::STAGES), None, None],
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => [Some(&avx2::STAGES), None, None],
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => [
                Some(&avx512::STAGES),
                std::arch::is_x86_feature_detected!("avx512vnni").then_some(&avx512::STAGES_VNNI),
                None,
            ],
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => [
                Some(&neon::STAGES),
                std::arch::is_aarch64_feature_detected!("dotprod").then_some(&neon::STAGES_DOTPROD),
                std::arch::is_aarch64_feature_detected!("i8mm").then_some(&neon::STAGES_I8MM),
            ],
            _ => [None, None, None],
        };
        stages
            .into_iter()
            .flatten()
            .map(move |stages| Self { isa, stages })
    }

    /// The widest variant of this processor.
    pub fn best() -> Self {
        Isa::available()
            .filter_map(Self::new)
            .last()
            .unwrap_or(Self {
                isa: Isa::Scalar,
                stages: &scalar::STAGES,
            })
    }

    /// The instruction set it was chosen for.
    pub fn isa(self) -> Isa {
        self.isa
    }

    /// The variant's name: its instruction set, and the extensions of it that it uses where the processor has them
    /// (`avx512+vnni`, `neon+dotprod`, `neon+i8mm`).
    pub fn name(self) -> &'static str {
        self.stages.name
    }

    /// Whether it multiplies keys of `dtype` as integers, with queries rounded to 16 bits; see [`Self::pool`] for what that
    /// moves.
    pub fn rounds_queries(self, dtype: Dtype, head_dim: usize) -> bool {
        self.stages.rounded.is_some() && dtype == Dtype::I8 && head_dim <= rounded::MAX_HEAD_DIM
    }

    /// f32 elements of scratch that one call needs, whatever the dtype and the number of positions.
    pub fn scratch_len(queries: usize, head_dim: usize) -> usize {
        Plan::new(queries, head_dim).len()
    }

    /// `out[m] = Σ_s softmax_s(queries[m]·keys[head, s]) values[head, s]`, for all positions s of the views.
    ///
    /// # Shapes
    /// `keys`, `values`: `[kv_heads, len, head_dim]`, the window to attend to ([`KvView::window`]); their dtypes may
    /// differ. `queries`, `out`: `[queries, head_dim]`, the queries already rotated and divided by √head_dim.
    /// `scratch`: at least [`Self::scratch_len`], its contents of no meaning before and after.
    ///
    /// # Precision
    /// f32 throughout, but for int8 keys in every variant that has integer products (all but scalar and plain NEON) up
    /// to a head_dim of 512: there the queries, times the keys' scales, are rounded to 16 bits, which moves a logit by
    /// at most max|query·scale| · Σ|key integers| / 65,024.
    ///
    /// # Edge cases
    /// * No positions: zeros.
    /// * Weights below e⁻⁸⁷ of the largest are 0. A logit of −∞ weighs 0.
    /// * A logit of NaN or +∞ makes every element of that query NaN, and so does it when every logit is −∞. A logit
    ///   that overflows f32 is infinite.
    /// * A NaN value makes its element NaN for every query; an infinite value makes it infinite, or NaN where its weight
    ///   is 0. Where no single larger logit took its weight to 0, but several one after the other, it may be either.
    ///
    /// # Errors
    /// [`ShapeError`] where keys and values differ in shape, `head` is not below `kv_heads`, or a slice has not the
    /// length of its shape.
    pub fn pool(
        self,
        keys: &KvView<'_>,
        values: &KvView<'_>,
        head: usize,
        queries: &[f32],
        scratch: &mut [f32],
        out: &mut [f32],
    ) -> Result<(), ShapeError> {
        let refuse = |what, expected, got| {
            Err(ShapeError {
                op: "Attend::pool",
                what,
                expected,
                got,
            })
        };
        let [kv_heads, len, head_dim] = keys.shape();
        for (axis, (&expected, got)) in ["KV heads", "positions", "head_dim"]
            .iter()
            .zip(keys.shape().iter().zip(values.shape()))
        {
            if expected != got {
                return refuse(*axis, expected, got);
            }
        }
        let (Some(key_bytes), Some(value_bytes)) = (keys.head(head), values.head(head)) else {
            return refuse("head (below)", kv_heads, head);
        };
        if head_dim == 0 || !queries.len().is_multiple_of(head_dim) {
            return refuse(
                "elements of the queries (multiple of)",
                head_dim,
                queries.len(),
            );
        }
        if out.len() != queries.len() {
            return refuse("elements of the result", queries.len(), out.len());
        }
        let plan = Plan::new(queries.len() / head_dim, head_dim);
        if len == 0 {
            out.fill(0.0);
            return Ok(());
        }
        let missing = |got| ShapeError {
            op: "Attend::pool",
            what: "elements of scratch (at least)",
            expected: plan.len(),
            got,
        };
        let given = scratch.len();
        let mut scratch = Scratch::new(scratch, &plan).ok_or(missing(given))?;
        // SAFETY: `variants` checked that the processor has the variant's instruction set, all that it needs.
        unsafe { scratch.prepare(self.stages.multiply, queries, keys.head_scales(head)) };
        let value_scales = values.head_scales(head);
        let (key_dtype, value_dtype) = (keys.dtype(), values.dtype());
        let scores = self.stages.scores[key_dtype as usize];
        let mix = self.stages.mix[value_dtype as usize];
        let rounded = match self.stages.rounded {
            Some((round, rounded)) if self.rounds_queries(key_dtype, head_dim) => {
                // SAFETY: `variants` checked that the processor has the variant's instruction set, all that `round` needs.
                unsafe { scratch.round(round) };
                Some(rounded)
            }
            _ => None,
        };
        let positions = (BURST / (head_dim * key_dtype.bytes())).clamp(STEP, TILE) / STEP * STEP;
        for start in (0..len).step_by(positions) {
            let keys = Tile::new(key_bytes, start, positions, head_dim, key_dtype);
            let values = Tile::new(value_bytes, start, positions, head_dim, value_dtype);
            scratch.for_each_group(|mut group| {
                let live = group.queries.live;
                // SAFETY: `variants` checked that the processor has the variant's instruction set, the only requirement of
                // these otherwise safe functions.
                unsafe {
                    match rounded {
                        Some(rounded) => rounded(&keys, &group.rounded, group.weights),
                        None => scores(&keys, &group.queries, group.weights),
                    }
                    (self.stages.weigh)(keys.len, group.weights, &mut group.state);
                    mix(&values, group.weights, &group.state, live, group.sums);
                }
            });
        }
        // SAFETY: as above.
        unsafe { scratch.finish(self.stages.multiply, value_scales, out) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    /// Distance of a weight from 2^x in units in the last place: over every f32 from −125.5 to −4.7e-10 this very loop
    /// with a stride of 1 found 0.952 on AVX2 and AVX-512 and 0.502 in the plain loops; nearer to 0 the weight is 1 to within a
    /// hundredth. Here every 997th.
    const EXP2_MAX_ULP: f64 = 1.0;

    #[test]
    fn weights_are_within_their_bound_of_powers_of_two() {
        for Attend { stages, .. } in Isa::available().flat_map(Attend::variants) {
            let mut worst = (0.0f64, 0.0);
            let mut bits = (-125.5f32).next_up().to_bits();
            while f32::from_bits(bits) < -4.7e-10 {
                let mut logits = [[0.0; GROUP]; TILE];
                for x in logits.as_flattened_mut() {
                    *x = f32::from_bits(bits);
                    bits = bits.saturating_sub(997);
                }
                let mut weights = logits;
                let (mut max, mut sum, mut rescale) = ([0.0; GROUP], [0.0; GROUP], [1.0; GROUP]);
                let mut state = State {
                    max: &mut max,
                    sum: &mut sum,
                    rescale: &mut rescale,
                };
                // SAFETY: `variants` checked that the processor has the variant's instruction set.
                unsafe { (stages.weigh)(TILE, &mut weights, &mut state) };
                assert_eq!(*state.rescale, [1.0; GROUP]);
                for (&x, &got) in logits.as_flattened().iter().zip(weights.as_flattened()) {
                    let want = f64::from(x).exp2();
                    let ulp = f64::from((want as f32).next_up()) - f64::from(want as f32);
                    let error = (f64::from(got) - want).abs() / ulp;
                    if error > worst.0 {
                        worst = (error, x);
                    }
                }
            }
            assert!(worst.0 <= EXP2_MAX_ULP, "{}: {worst:?}", stages.name);
        }
    }

    /// A tile and queries that do not fit each other never leave the logits and sums of before as if they were results.
    #[test]
    fn a_stage_that_cannot_run_panics() {
        let long = [0u8; 3 * 16 * 4];
        for Attend { stages, .. } in Isa::available().flat_map(Attend::variants) {
            for (index, size) in [4, 2, 2, 1].into_iter().enumerate() {
                // One byte is missing, or the queries of one dimension.
                for (bytes, rows) in [(3 * 16 * size - 1, 64), (3 * 16 * size, 63)] {
                    let tile = || Tile {
                        bytes: &long[..bytes],
                        len: 3,
                        head_dim: 16,
                    };
                    let scores = || {
                        let rows = &[0.0; 64][..rows];
                        let queries = Queries { rows, live: GROUP };
                        // SAFETY: `variants` checked that the processor has the variant's instruction set.
                        unsafe {
                            (stages.scores[index])(&tile(), &queries, &mut [[0.0; GROUP]; TILE])
                        }
                    };
                    let mix = || {
                        let (mut max, mut sum, mut rescale) =
                            ([0.0; GROUP], [0.0; GROUP], [1.0; GROUP]);
                        let state = State {
                            max: &mut max,
                            sum: &mut sum,
                            rescale: &mut rescale,
                        };
                        let weights = [[0.0; GROUP]; TILE];
                        let sums = &mut [0.0; 64][..rows];
                        // SAFETY: as above.
                        unsafe { (stages.mix[index])(&tile(), &weights, &state, GROUP, sums) }
                    };
                    let case = (stages.name, size, bytes, rows);
                    assert!(catch_unwind(scores).is_err(), "scores: {case:?}");
                    assert!(catch_unwind(mix).is_err(), "mix: {case:?}");
                }
            }
            if let Some((_, rounded)) = stages.rounded {
                for (bytes, rows) in [(3 * 16 - 1, 4 * 32), (3 * 16, 4 * 32 - 1)] {
                    let scores = || {
                        let tile = Tile {
                            bytes: &long[..bytes],
                            len: 3,
                            head_dim: 16,
                        };
                        let queries = Rounded {
                            rows: &[0; 4 * 32][..rows],
                            steps: &[0.0; GROUP],
                        };
                        // SAFETY: as above.
                        unsafe { rounded(&tile, &queries, &mut [[0.0; GROUP]; TILE]) }
                    };
                    assert!(catch_unwind(scores).is_err(), "rounded: {:?}", stages.name);
                }
            }
        }
    }

    #[test]
    fn variants_that_round_queries_agree_to_the_bit() {
        use crate::KvScales;
        for isa in Isa::available() {
            for head_dim in [1, 15, 16, 40, 64, 200] {
                let len = 37;
                let numbers = |n: usize, by: usize| (0..n).map(move |i| (i * by % 251) as u8);
                let [keys, values] =
                    [89, 37].map(|by| numbers(len * head_dim, by).collect::<Vec<u8>>());
                let queries: Vec<f32> = numbers(3 * head_dim, 53)
                    .map(|x| f32::from(x) / 800.0 - 0.15)
                    .collect();
                let view = |bytes| {
                    let view = KvView::new(bytes, Dtype::I8, [1, len, head_dim], len * head_dim);
                    view.unwrap()
                        .with_scales(KvScales::PerTensor(0.01))
                        .unwrap()
                };
                let mut seen: Option<(&str, Vec<u32>)> = None;
                for attend in Attend::variants(isa) {
                    if !attend.rounds_queries(Dtype::I8, head_dim) {
                        continue;
                    }
                    let mut scratch = vec![0.0; Attend::scratch_len(3, head_dim)];
                    let mut out = vec![0.0; queries.len()];
                    attend
                        .pool(
                            &view(&keys),
                            &view(&values),
                            0,
                            &queries,
                            &mut scratch,
                            &mut out,
                        )
                        .unwrap();
                    let bits: Vec<u32> = out.iter().map(|x| x.to_bits()).collect();
                    if let Some((name, first)) = &seen {
                        assert_eq!(&bits, first, "{} as {name}, {head_dim}", attend.name());
                    }
                    seen = Some((attend.name(), bits));
                }
            }
        }
    }
}
