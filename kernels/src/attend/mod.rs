//! Queries attend to cached keys and pool cached values.
//!
//! One pass: positions are taken in tiles, and of each tile the keys and then the values are read where they lie. When a
//! tile has a larger logit than those before it, the sums so far are rescaled, so that no logit is kept (online softmax,
//! Milakov and Gimelshein, arXiv 1805.02867). Four queries at a time share the registers and one reading of a tile; what
//! is read for the first four, the others find in the nearest cache.
//!
//! There is one variant for each instruction set, and keys of every dtype are read the same way. No head that ships
//! attends: on the reasoner's package, four queries a KV head over 48 positions ranked paths worse than means of the
//! values (AUROC −0.0025, 95 % interval −0.0048 to −0.0003; models/packages/reasoner/heads) and read three times the
//! bytes. What is here is what training needs to ask that question again of another model. Paths for one kind of processor
//! (queries kept in registers, int8 products in integers) are left out: with AVX-512 and 48 positions they were 5 to 29 %
//! faster at head_dim 64, and not measurably at 32.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod registers;
mod scalar;
mod scratch;

use crate::element::PerDtype;
use crate::isa::chosen_for_an_isa;
use crate::kv::common_shape;
use crate::lanes::GROUP;
use crate::{Dtype, Isa, KvView, ShapeError};
use scratch::{Plan, Scratch};

/// Positions between two rescalings are a multiple of this, which is a multiple of what any variant takes at once.
const STEP: usize = 16;

/// Positions between two rescalings, at most: with int8 of head_dim 64, what [`BURST`] allows.
const TILE: usize = 128;

/// Bytes of keys that are read before as many of values. Longer bursts let the prefetching of one run dry while the other
/// is read: on a Zen 4 with f32 of head_dim 64, 8 KiB read DRAM at 0.98 of its bandwidth, 16 KiB at 0.6 to 0.8.
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
    /// Up to `positions` positions of a head, `bytes`, from `start` on; none past its end.
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

    /// Its bytes, after making sure that they are `len` positions, 1 to [`TILE`], of elements of `size` bytes.
    ///
    /// # Panics
    /// Where they are not: a stage that returned without doing its work would leave what looks like a result.
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

/// Up to [`GROUP`] queries, each multiplied by the scales of the keys.
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
    /// Factor of the sums of earlier tiles, now that the newest has changed `max`.
    rescale: &'a mut [f32; GROUP],
}

/// Logits of a tile of keys. Those that it computes beyond the tile's end, at most up to the next multiple of four, are −∞.
type Logits = unsafe fn(&Tile<'_>, &Queries<'_>, &mut Weights);
/// Turns the logits of so many positions into weights, and carries the state on.
type Softmax = unsafe fn(usize, &mut Weights, &mut State<'_>);
/// `sums[m] = rescale[m] * sums[m] + Σ_s weights[s][m] * values[s]`: a tile of values, the weights, the state, the
/// number of queries, and the sums, `[GROUP, padded head_dim]`.
type WeightedSums = unsafe fn(&Tile<'_>, &Weights, &State<'_>, usize, &mut [f32]);

/// The three stages of a tile for one instruction set.
#[derive(Debug, Clone, Copy)]
struct Stages {
    logits: PerDtype<Logits>,
    softmax: Softmax,
    weighted_sums: PerDtype<WeightedSums>,
}

/// Attention pooling, chosen for one instruction set. Holding one proves that the processor has it.
#[derive(Debug, Clone, Copy)]
pub struct Attend {
    isa: Isa,
    stages: &'static Stages,
}

chosen_for_an_isa!(Attend, stages: &'static Stages = STAGES);

impl Attend {
    /// f32 elements of scratch that one call needs, whatever the dtype and the number of positions.
    pub fn scratch_len(queries: usize, head_dim: usize) -> usize {
        Plan::new(queries, head_dim).len()
    }

    /// `out[m] = Σ_s softmax_s(queries[m]·keys[head, s]) values[head, s]`, for the positions s of all segments.
    ///
    /// # Shapes
    /// `keys`, `values`: the segments of one row, each `[kv_heads, its len, head_dim]`, cut to the window to attend to
    /// ([`KvView::window`]); segment i of the keys has the positions of segment i of the values, and the dtypes of keys
    /// and values may differ. `queries`, `out`: `[queries, head_dim]`, the queries already rotated and divided by
    /// √head_dim. `scratch`: at least [`Self::scratch_len`]; what it holds before and after has no meaning.
    ///
    /// # Precision
    /// f32 throughout. Where the segments meet decides which positions share a tile, and with it how sums are rounded.
    ///
    /// # Edge cases
    /// * No positions: zeros.
    /// * Weights below e⁻⁸⁷ of the largest are 0. A logit of −∞ has weight 0.
    /// * A logit of NaN or +∞ makes every element of that query NaN, and so does it when every logit is −∞. A logit
    ///   that overflows f32 is infinite.
    /// * A NaN value makes its element NaN for every query. An infinite value makes it infinite, or NaN where its weight
    ///   is 0; either may come out where its weight became 0 in several steps, by one larger logit after another.
    ///
    /// # Errors
    /// [`ShapeError`] where there is no segment, where keys and values differ in shape, where segments differ in more
    /// than their length, where `head` is not below `kv_heads`, or where a slice has not the length of its shape.
    pub fn pool(
        self,
        keys: &[KvView<'_>],
        values: &[KvView<'_>],
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
        if keys.len() != values.len() {
            return refuse("segments of the values", keys.len(), values.len());
        }
        for (keys, values) in keys.iter().zip(values) {
            for (axis, (expected, got)) in ["KV heads", "positions", "head_dim"]
                .iter()
                .zip(keys.shape().into_iter().zip(values.shape()))
            {
                if expected != got {
                    return refuse(*axis, expected, got);
                }
            }
        }
        let (first_keys, [_, len, head_dim]) = common_shape("Attend::pool", keys, head)?;
        let (first_values, _) = common_shape("Attend::pool", values, head)?;
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
        scratch.start(queries, first_keys.head_scales(head));
        let (key_dtype, value_dtype) = (first_keys.dtype(), first_values.dtype());
        let logits = self.stages.logits.of(key_dtype);
        let weighted_sums = self.stages.weighted_sums.of(value_dtype);
        let positions = (BURST / (head_dim * key_dtype.bytes())).clamp(STEP, TILE) / STEP * STEP;
        for (keys, values) in keys.iter().zip(values) {
            let (Some(key_bytes), Some(value_bytes)) = (keys.head(head), values.head(head)) else {
                continue;
            };
            for start in (0..keys.shape()[1]).step_by(positions) {
                let keys = Tile::new(key_bytes, start, positions, head_dim, key_dtype);
                let values = Tile::new(value_bytes, start, positions, head_dim, value_dtype);
                scratch.for_each_group(|mut group| {
                    let live = group.queries.live;
                    // SAFETY: `new` saw that the processor has the variant's instruction set, all that these functions
                    // need.
                    unsafe {
                        logits(&keys, &group.queries, group.weights);
                        (self.stages.softmax)(keys.len, group.weights, &mut group.state);
                        weighted_sums(&values, group.weights, &group.state, live, group.sums);
                    }
                });
            }
        }
        scratch.finish(first_values.head_scales(head), out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::panic::catch_unwind;

    use super::*;

    /// Distance of a weight from 2^x in units in the last place. Over every f32 from −125.5 to −4.7e-10, this loop with a
    /// stride of 1 found 0.952 on AVX2 and AVX-512, and a transcription of the plain loops to C 0.689; nearer to 0 the
    /// weight is 1 to within a hundredth. Here every 997th.
    const EXP2_MAX_ULP: f64 = 1.0;

    #[test]
    fn weights_are_within_their_bound_of_powers_of_two() {
        for Attend { isa, stages } in Isa::available().filter_map(Attend::new) {
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
                // SAFETY: `new` saw that the processor has the variant's instruction set.
                unsafe { (stages.softmax)(TILE, &mut weights, &mut state) };
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
            assert!(worst.0 <= EXP2_MAX_ULP, "{}: {worst:?}", isa.name());
        }
    }

    /// A stage whose tile and queries do not fit each other must not return: what it found in logits and sums would look
    /// like its result.
    #[test]
    fn a_stage_that_cannot_run_panics() {
        let long = [0u8; 3 * 16 * 4];
        for Attend { isa, stages } in Isa::available().filter_map(Attend::new) {
            for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::I8] {
                let whole = 3 * 16 * dtype.bytes();
                // One byte is missing, or the queries of one dimension.
                for (bytes, rows) in [(whole - 1, 64), (whole, 63)] {
                    let tile = || Tile {
                        bytes: &long[..bytes],
                        len: 3,
                        head_dim: 16,
                    };
                    let logits = || {
                        let rows = &[0.0; 64][..rows];
                        let queries = Queries { rows, live: GROUP };
                        let logits = &mut [[0.0; GROUP]; TILE];
                        // SAFETY: `new` saw that the processor has the variant's instruction set.
                        unsafe { (stages.logits.of(dtype))(&tile(), &queries, logits) }
                    };
                    let weighted_sums = || {
                        let (mut max, mut sum, mut rescale) =
                            ([0.0; GROUP], [0.0; GROUP], [1.0; GROUP]);
                        let state = State {
                            max: &mut max,
                            sum: &mut sum,
                            rescale: &mut rescale,
                        };
                        let weights = [[0.0; GROUP]; TILE];
                        let sums = &mut [0.0; 64][..rows];
                        let add = stages.weighted_sums.of(dtype);
                        // SAFETY: `new` saw that the processor has the variant's instruction set.
                        unsafe { add(&tile(), &weights, &state, GROUP, sums) }
                    };
                    let case = (isa, dtype, bytes, rows);
                    assert!(catch_unwind(logits).is_err(), "logits: {case:?}");
                    assert!(catch_unwind(weighted_sums).is_err(), "sums: {case:?}");
                }
            }
        }
    }
}
