//! Attention of many queries over a few keys at a time, to be joined afterwards.
//!
//! The keys and values of a prompt are read once for the queries of all paths that share it: they are cut into chunks, each
//! query's softmax over a chunk is kept as a *state* (sums of values, largest logit, sum of weights), and states of the same
//! query are merged (split-KV decoding, Flash-Decoding; attention states and their merging over a shared prefix: Ye et al.,
//! FlashInfer, arXiv 2501.01005, §2.2). A query's state over a chunk does not depend on the queries beside it, to the last
//! bit, so that neither does an answer whose chunks are merged in a fixed order.
//!
//! The keys of a chunk are transposed first, so that a register holds one dimension of several keys: up to six queries then
//! share each reading of a key, and the sums stay in registers.

mod ahead;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod registers;
mod scalar;

use crate::element::PerDtype;
use crate::isa::chosen_for_an_isa;
use crate::lanes::MAX_LANES;
use crate::{Dtype, Isa, ShapeError};

/// Queries that share the registers, at most.
const TILE: usize = 6;

/// Queries whose weights are kept at a time: whole tiles.
const BLOCK: usize = 8 * TILE;

/// Elements of a chunk's keys: transposed, they fit the nearest cache (32 KiB) up to a head_dim of 256.
const CHUNK_ELEMENTS: usize = 8192;

/// f32 elements skipped at most, so that the parts of the scratch begin at a cache line.
const ALIGN: usize = MAX_LANES;

/// Keys and values of one head, at positions that follow each other.
///
/// Both `[at least the positions of a chunk, head_dim]`, little-endian, of any alignment. Where the keys go on to a multiple of
/// 16 positions, whatever they hold there, the last ones are read as fast as the others; and what follows is fetched into a
/// cache, as far as a chunk goes, so let them end where nothing is read next.
#[derive(Debug, Clone, Copy)]
pub struct Cached<'a> {
    /// Rotated, where the model rotates them.
    pub keys: &'a [u8],
    /// Of the same positions.
    pub values: &'a [u8],
    /// What their elements are. Those of int8 are taken for whole numbers: a scale for each dimension belongs to the queries,
    /// and that of the values to the result.
    pub dtype: Dtype,
}

/// Which keys of a chunk a query sees where the queries of one call stand at several positions: those before it, and that
/// of its own position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Causal {
    /// Position of the first query.
    pub position: usize,
    /// Queries that stand at the same position: the next ones stand at the next.
    pub group: usize,
    /// Position of the chunk's first key.
    pub start: usize,
}

/// A chunk of keys and values, and queries, of lengths that fit each other.
struct Chunk<'a> {
    /// `[count, head_dim]`
    queries: &'a [f32],
    /// `[at least positions, head_dim]`
    keys: &'a [u8],
    /// `[at least positions, head_dim]`
    values: &'a [u8],
    dtype: Dtype,
    /// 1 to [`SplitAttention::chunk`].
    positions: usize,
    head_dim: usize,
    causal: Option<Causal>,
}

impl Chunk<'_> {
    /// Queries.
    fn count(&self) -> usize {
        self.queries.len() / self.head_dim
    }

    /// Keys that `query` sees: the first so many.
    #[inline(always)]
    fn seen(&self, query: usize) -> usize {
        let Some(causal) = self.causal else {
            return self.positions;
        };
        let position = causal.position + query / causal.group;
        (position + 1)
            .saturating_sub(causal.start)
            .min(self.positions)
    }
}

/// What one call works in.
struct Scratch<'a> {
    /// Keys transposed: `[head_dim, chunk]`; those of the plain loops are not: `[chunk, head_dim]`
    keys: &'a mut [f32],
    /// Values where they are not f32: `[chunk, head_dim]`
    values: &'a mut [f32],
    /// Logits of a block of queries, then their weights: `[BLOCK, chunk]`
    weights: &'a mut [f32],
    /// Positions from one row of either to the next.
    chunk: usize,
}

/// Makes the keys and values of a chunk ready in the scratch.
type Stage = unsafe fn(&Chunk<'_>, &mut Scratch<'_>);
/// Writes the states of the queries of a chunk that is ready.
type Attend = unsafe fn(&Chunk<'_>, &mut Scratch<'_>, &mut [f32]);
/// Merges states into the first ones: both `[count, state_len]`, and head_dim.
type Merge = unsafe fn(&mut [f32], &[f32], usize);
/// Results of states: `[count, state_len]`, head_dim, `[count, head_dim]`.
type Finish = unsafe fn(&[f32], usize, &mut [f32]);

/// The loops for one instruction set.
#[derive(Debug, Clone, Copy)]
struct Loops {
    stage: PerDtype<Stage>,
    attend: Attend,
    merge: Merge,
    finish: Finish,
}

/// Attention in parts, chosen for one instruction set. Holding one proves that the processor has it.
///
/// ```
/// use curt_kernels::{Cached, Dtype, SplitAttention};
///
/// // One query over two keys of int8, one key a chunk; head_dim 16.
/// let attention = SplitAttention::best();
/// let (query, keys, values) = ([0.0; 16], [5; 16], [[1; 16], [3; 16]]);
/// let mut scratch = vec![0.0; SplitAttention::scratch_len(16)];
/// let mut states = [const { [0.0; SplitAttention::state_len(16)] }; 2];
/// for (chunk, state) in states.iter_mut().enumerate() {
///     let cached = Cached { keys: &keys, values: &values[chunk], dtype: Dtype::I8 };
///     attention.attend(&query, cached, 1, 16, None, &mut scratch, state)?;
/// }
/// let [first, second] = &mut states;
/// attention.merge(first, second, 16)?;
/// let mut out = [0.0; 16];
/// attention.finish(first, 16, &mut out)?;
/// assert_eq!(out, [2.0; 16]);
/// # Ok::<(), curt_kernels::ShapeError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct SplitAttention {
    isa: Isa,
    loops: &'static Loops,
}

chosen_for_an_isa!(SplitAttention, loops: &'static Loops = LOOPS);

impl SplitAttention {
    /// Largest head_dim that is taken.
    pub const MAX_HEAD_DIM: usize = 256;

    /// Whether heads of so many elements are taken: a multiple of 16, up to 256.
    pub const fn takes(head_dim: usize) -> bool {
        head_dim > 0 && head_dim <= Self::MAX_HEAD_DIM && head_dim.is_multiple_of(MAX_LANES)
    }

    /// Positions of a whole chunk of keys of `head_dim`, which it takes: 32 to 128, a multiple of 16.
    pub const fn chunk(head_dim: usize) -> usize {
        let positions = CHUNK_ELEMENTS / head_dim / MAX_LANES * MAX_LANES;
        if positions > 128 { 128 } else { positions }
    }

    /// f32 elements of a query's state: head_dim sums, and the largest logit and the sum of weights, once for each lane.
    pub const fn state_len(head_dim: usize) -> usize {
        head_dim + 2 * MAX_LANES
    }

    /// f32 elements of scratch that a call of [`Self::attend`] needs.
    pub const fn scratch_len(head_dim: usize) -> usize {
        (2 * head_dim + BLOCK) * Self::chunk(head_dim) + ALIGN
    }

    /// The states of `queries` over the first `positions` of `cached`. What `states` held is lost.
    ///
    /// Logits are powers of two: the queries come rotated, and multiplied by the scale of the softmax and by log₂ e.
    ///
    /// # Shapes
    /// `queries`: `[count, head_dim]`. `positions`: 1 to [`Self::chunk`]. `states`: `[count, state_len]`. `scratch`: at least
    /// [`Self::scratch_len`]; what it holds before and after has no meaning.
    ///
    /// # Edge cases
    /// * A query that sees no key: a state that changes nothing when it is merged, and NaN when it is finished.
    /// * Weights below 2⁻¹²⁵ of the largest are 0. A logit of −∞ has weight 0.
    /// * A logit of NaN or +∞ makes every element of that query NaN, and so does it when every logit is −∞.
    /// * A NaN or infinite value counts as it does in a sum of products, also where its weight is 0. A value that a query
    ///   does not see never counts.
    ///
    /// # Errors
    /// [`ShapeError`] where a slice has not the length of its shape, or [`Self::takes`] refuses the head_dim.
    #[expect(
        clippy::too_many_arguments,
        reason = "operands, and where results and scratch lie"
    )]
    pub fn attend(
        self,
        queries: &[f32],
        cached: Cached<'_>,
        positions: usize,
        head_dim: usize,
        causal: Option<Causal>,
        scratch: &mut [f32],
        states: &mut [f32],
    ) -> Result<(), ShapeError> {
        let op = "SplitAttention::attend";
        let count = count(op, head_dim, states)?;
        let chunk = Self::chunk(head_dim);
        let Cached {
            keys,
            values,
            dtype,
        } = cached;
        let read = positions * head_dim * dtype.bytes();
        for (what, expected, got, fits) in [
            (
                "elements of the queries",
                count * head_dim,
                queries.len(),
                queries.len() == count * head_dim,
            ),
            (
                "positions (1 to)",
                chunk,
                positions,
                (1..=chunk).contains(&positions),
            ),
            (
                "bytes of the keys (at least)",
                read,
                keys.len(),
                keys.len() >= read,
            ),
            (
                "bytes of the values (at least)",
                read,
                values.len(),
                values.len() >= read,
            ),
            (
                "elements of scratch (at least)",
                Self::scratch_len(head_dim),
                scratch.len(),
                scratch.len() >= Self::scratch_len(head_dim),
            ),
            (
                "queries at a position (at least)",
                1,
                0,
                causal.is_none_or(|causal| causal.group > 0),
            ),
        ] {
            if !fits {
                return Err(refusal(op, what, expected, got));
            }
        }
        let skip = scratch.as_ptr().align_offset(ALIGN * size_of::<f32>());
        let (transposed, rest) = scratch[skip.min(ALIGN)..].split_at_mut(head_dim * chunk);
        let (staged, weights) = rest.split_at_mut(head_dim * chunk);
        let mut scratch = Scratch {
            keys: transposed,
            values: staged,
            weights: &mut weights[..BLOCK * chunk],
            chunk,
        };
        let chunk = Chunk {
            queries,
            keys,
            values,
            dtype,
            positions,
            head_dim,
            causal,
        };
        // SAFETY: `new` saw that the processor has the variant's instruction set, all that these functions need.
        unsafe {
            (self.loops.stage.of(dtype))(&chunk, &mut scratch);
            (self.loops.attend)(&chunk, &mut scratch, states);
        }
        Ok(())
    }

    /// Merges the states of the same queries over other keys into `states`.
    ///
    /// # Shapes
    /// Both `[count, state_len]`.
    ///
    /// # Errors
    /// [`ShapeError`] where they differ in length, or that is not a multiple of [`Self::state_len`].
    pub fn merge(
        self,
        states: &mut [f32],
        others: &[f32],
        head_dim: usize,
    ) -> Result<(), ShapeError> {
        let op = "SplitAttention::merge";
        count(op, head_dim, states)?;
        if states.len() != others.len() {
            let (expected, got) = (states.len(), others.len());
            return Err(refusal(op, "elements of the other states", expected, got));
        }
        // SAFETY: as in `attend`.
        unsafe { (self.loops.merge)(states, others, head_dim) };
        Ok(())
    }

    /// `out[m] = Σ_s softmax_s(queries[m]·keys[s]) values[s]`, s being the positions whose states have been merged.
    ///
    /// # Shapes
    /// `states`: `[count, state_len]`, `out`: `[count, head_dim]`.
    ///
    /// # Errors
    /// [`ShapeError`] where a slice has not the length of its shape.
    pub fn finish(
        self,
        states: &[f32],
        head_dim: usize,
        out: &mut [f32],
    ) -> Result<(), ShapeError> {
        let op = "SplitAttention::finish";
        let expected = count(op, head_dim, states)? * head_dim;
        if out.len() != expected {
            return Err(refusal(op, "elements of the result", expected, out.len()));
        }
        // SAFETY: as in `attend`.
        unsafe { (self.loops.finish)(states, head_dim, out) };
        Ok(())
    }
}

/// Queries that `states` are of.
fn count(op: &'static str, head_dim: usize, states: &[f32]) -> Result<usize, ShapeError> {
    if !SplitAttention::takes(head_dim) {
        let what = "head_dim (a multiple of 16, at most)";
        return Err(refusal(op, what, SplitAttention::MAX_HEAD_DIM, head_dim));
    }
    let len = SplitAttention::state_len(head_dim);
    if !states.len().is_multiple_of(len) {
        let what = "elements of the states (multiple of)";
        return Err(refusal(op, what, len, states.len()));
    }
    Ok(states.len() / len)
}

fn refusal(op: &'static str, what: &'static str, expected: usize, got: usize) -> ShapeError {
    ShapeError {
        op,
        what,
        expected,
        got,
    }
}
