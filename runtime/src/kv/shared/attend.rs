//! One step of one layer: new keys and values are rotated and appended, and the queries attend to prompt and suffix.
//!
//! Keys are read in chunks that begin at fixed positions of the prompt and of the suffix, and those of the prompt in spans of
//! a few chunks. A query's states are merged in one order: the chunks of each span, the spans, and then the suffix, whose
//! chunks have been merged on their own. How the work is divided among threads, and which other rows there are, changes no
//! bit of a result.

use std::f32::consts::LOG2_E;
use std::ops::Range;
use std::sync::Mutex;
use std::time::Instant;

use curt_kernels::{Cached, Causal, Dtype, SplitAttention};
use curt_session::attention::{
    Attention, AttentionNode, AttentionStep, RotationTables, Strided, Threads,
};
use half::f16;

use super::ranges::Ranges;
use super::stored::Stored;
use super::workers::{BLOCK_QUERIES, Worker, Workers};
use super::{Part, SharedKv};
use crate::kv::{KvGeometry, KvKind};

/// Positions of a span: a task of a step, large enough that its states are little beside its keys and values, small enough
/// that there is a span for each thread.
const SPAN_POSITIONS: usize = 256;

/// Up to so many queries and so many states a head, each span's are kept apart and merged after all: a task is then a span,
/// read once for all queries. With more, as in a long prefill, a task is a block of queries that takes one span after another.
const MOST_QUERIES: usize = 512;
const MOST_STATES: usize = 16 << 10;

/// Keys are read as fast at the end as elsewhere where they go on to a multiple of so many positions.
const WHOLE: usize = 16;

/// Tokens from which on several threads rotate and append.
const TOKENS_OF_SEVERAL: usize = 16;

/// Tasks into which such work is divided.
const TASKS: usize = 8;

type Outcome = Result<(), String>;

impl Attention for SharedKv {
    fn attend(&mut self, step: AttentionStep<'_>, threads: &Threads<'_>) -> Outcome {
        let begun = Instant::now();
        let shape = Shape::of(self, &step)?;
        self.node = Some(shape.node);
        let needed = shape.query_elements() + shape.state_elements();
        let mut buffer = std::mem::take(&mut self.workers.step);
        if buffer.len() < needed {
            buffer.resize(needed, 0.0);
        }
        let (queries, states) = buffer.split_at_mut(shape.query_elements());
        let appended = match self.geometry.dtype {
            Dtype::F16 => self.append::<f16>(&shape, &step, queries, threads),
            _ => self.append::<f32>(&shape, &step, queries, threads),
        };
        let done = appended.and_then(|()| {
            let over = Over {
                shape: &shape,
                cache: self,
                queries,
                states: Ranges::new(states),
                out: Ranges::new(step.out),
            };
            if shape.split() {
                over.spans(threads)
            } else {
                over.blocks(threads)
            }
        });
        self.workers.step = buffer;
        self.spent += begun.elapsed();
        done
    }
}

/// Sizes of a step.
struct Shape {
    node: AttentionNode,
    rows: usize,
    /// New positions of each row.
    count: usize,
    /// Queries of a position that share a head of keys.
    group: usize,
    /// Position of the first new one.
    first: usize,
    /// Positions to attend to in the prompt and in each suffix, the new ones included.
    prompt: usize,
    suffix: usize,
    /// New positions belong to the suffix.
    to_suffix: bool,
    /// Positions of a chunk.
    chunk: usize,
}

impl Shape {
    /// # Errors
    /// In words, where node and cache do not fit each other.
    fn of(cache: &SharedKv, step: &AttentionStep<'_>) -> Result<Self, String> {
        let (node, geometry) = (step.node, cache.geometry);
        let [rows, count] = step.shape;
        for (what, expected, got) in [
            ("KV heads", geometry.kv_heads, node.kv_heads),
            ("elements of a head", geometry.head_dim, node.head_dim),
            ("rows", cache.rows(), rows),
        ] {
            if expected != got {
                return Err(format!("{what}: expected {expected}, got {got}"));
            }
        }
        if node.layer >= geometry.layers {
            return Err(format!(
                "layers: expected {}, got {}",
                geometry.layers, node.layer
            ));
        }
        if node.heads == 0 || !node.heads.is_multiple_of(node.kv_heads) {
            return Err(format!(
                "heads: a multiple of {}, got {}",
                node.kv_heads, node.heads
            ));
        }
        if count == 0 || count > cache.room() {
            return Err(format!("new positions: 1 to {}, got {count}", cache.room()));
        }
        let first = cache.len();
        if let Some(tables) = step.rotation {
            let positions = tables.cosines.len() / tables.pairs.max(1);
            if first + count > positions {
                return Err(format!(
                    "positions of the rotary tables: {}, got {positions}",
                    first + count
                ));
            }
        }
        let more = |to: bool| if to { count } else { 0 };
        Ok(Self {
            node,
            rows,
            count,
            group: node.heads / node.kv_heads,
            first,
            prompt: cache.prompt_len + more(!cache.forked),
            suffix: cache.suffix_len + more(cache.forked),
            to_suffix: cache.forked,
            chunk: SplitAttention::chunk(node.head_dim),
        })
    }

    /// New positions of all rows.
    fn tokens(&self) -> usize {
        self.rows * self.count
    }

    /// Queries that share a head of keys.
    fn queries(&self) -> usize {
        self.tokens() * self.group
    }

    /// Spans of the prompt.
    fn spans(&self) -> usize {
        self.prompt.div_ceil(SPAN_POSITIONS)
    }

    /// Whether each span's states are kept apart.
    fn split(&self) -> bool {
        self.queries() <= MOST_QUERIES && self.queries() * (self.spans() + 1) <= MOST_STATES
    }

    /// States of each query: one for each span of the prompt and one for the suffix, or one for each of these two.
    fn parts(&self) -> usize {
        if self.split() { self.spans() + 1 } else { 2 }
    }

    fn state_len(&self) -> usize {
        SplitAttention::state_len(self.node.head_dim)
    }

    /// `[kv_heads, queries, head_dim]`
    fn query_elements(&self) -> usize {
        self.node.kv_heads * self.queries() * self.node.head_dim
    }

    /// `[parts, kv_heads, queries, state_len]`
    fn state_elements(&self) -> usize {
        self.parts() * self.node.kv_heads * self.queries() * self.state_len()
    }
}

impl SharedKv {
    /// Makes room for steps of one position of each row, so that none of them allocates.
    pub(super) fn reserve(&mut self) {
        let Some(node) = self.node else { return };
        let shape = Shape {
            node,
            rows: self.rows(),
            count: 1,
            group: node.heads / node.kv_heads,
            first: self.prompt_len,
            prompt: self.prompt_len,
            suffix: 1,
            to_suffix: true,
            chunk: SplitAttention::chunk(node.head_dim),
        };
        let needed = shape.query_elements() + shape.state_elements();
        if self.workers.step.len() < needed {
            self.workers.step.resize(needed, 0.0);
        }
    }

    /// Rotates queries, keys and values of the new positions to where they are read: the queries to `queries`, multiplied
    /// by the scale and by log₂ e, and keys and values to the cache.
    fn append<T: Stored>(
        &mut self,
        shape: &Shape,
        step: &AttentionStep<'_>,
        queries: &mut [f32],
        threads: &Threads<'_>,
    ) -> Outcome {
        let (node, geometry) = (shape.node, self.geometry);
        let head_dim = node.head_dim;
        let (places, suffix_len) = (&self.places, self.suffix_len);
        let part = if shape.to_suffix {
            &mut self.suffix
        } else {
            &mut self.prompt
        };
        let head_len = part.head_len(geometry);
        let row_len = part.row_len(geometry);
        let of_layer = [KvKind::Key, KvKind::Value]
            .map(|kind| part.layer_start(geometry, 0, node.layer, kind));
        let cache = Ranges::new(part.slab.elements_mut::<T>());
        let queries = Ranges::new(queries);
        let at = if shape.to_suffix {
            suffix_len
        } else {
            shape.first
        };
        let scale = node.scale * LOG2_E;
        let token = |token: usize| {
            let (row, i) = (token / shape.count, token % shape.count);
            let rotation = Rotation::at(step.rotation, node.interleaved, shape.first + i);
            for head in 0..node.heads {
                let (kv_head, of_group) = (head / shape.group, head % shape.group);
                let query = kv_head * shape.queries() + token * shape.group + of_group;
                // SAFETY: each query of each token is written once.
                let to = unsafe { queries.range(query * head_dim, head_dim) };
                rotation.apply(head_of(step.queries, token, head, head_dim), to, scale);
            }
            let place = if shape.to_suffix { places[row] } else { 0 };
            let [keys, values] = of_layer.map(|start| place * row_len + start);
            for head in 0..node.kv_heads {
                let at = head * head_len + (at + i) * head_dim;
                // SAFETY: each head of each new position is written once, keys and values apart.
                let [key, value] =
                    [keys, values].map(|start| unsafe { cache.range(start + at, head_dim) });
                let rotated = &mut [0.0; SplitAttention::MAX_HEAD_DIM][..head_dim];
                rotation.apply(head_of(step.keys, token, head, head_dim), rotated, 1.0);
                T::store(rotated, key);
                T::store(head_of(step.values, token, head, head_dim), value);
            }
        };
        let tokens = shape.tokens();
        if tokens < TOKENS_OF_SEVERAL {
            (0..tokens).for_each(token);
            return Ok(());
        }
        let each = tokens.div_ceil(TASKS);
        threads.for_each(TASKS, |task| {
            (task * each..((task + 1) * each).min(tokens)).for_each(token);
        })
    }
}

/// One head of one token.
fn head_of(vectors: Strided<'_>, token: usize, head: usize, head_dim: usize) -> &[f32] {
    &vectors.elements[token * vectors.stride + head * head_dim..][..head_dim]
}

/// How one position is rotated.
struct Rotation<'a> {
    /// Of each pair.
    cosines: &'a [f32],
    sines: &'a [f32],
    interleaved: bool,
}

impl<'a> Rotation<'a> {
    fn at(tables: Option<RotationTables<'a>>, interleaved: bool, position: usize) -> Self {
        let row = |of: &'a [f32], pairs: usize| &of[position * pairs..][..pairs];
        let (cosines, sines) = tables.map_or((&[][..], &[][..]), |t| {
            (row(t.cosines, t.pairs), row(t.sines, t.pairs))
        });
        Self {
            cosines,
            sines,
            interleaved,
        }
    }

    /// `from`, rotated and multiplied by `factor`.
    fn apply(&self, from: &[f32], to: &mut [f32], factor: f32) {
        let pairs = self.cosines.len();
        let angles = self.cosines.iter().zip(self.sines);
        if self.interleaved {
            let (from, to) = (from.chunks_exact(2), to.chunks_exact_mut(2));
            for ((from, to), (cos, sin)) in from.zip(to).zip(angles) {
                to[0] = (from[0] * cos - from[1] * sin) * factor;
                to[1] = (from[1] * cos + from[0] * sin) * factor;
            }
        } else {
            let (first, second) = from[..2 * pairs].split_at(pairs);
            let (to_first, to_second) = to[..2 * pairs].split_at_mut(pairs);
            let from = first.iter().zip(second);
            let to = to_first.iter_mut().zip(to_second);
            for (((a, b), (to_a, to_b)), (cos, sin)) in from.zip(to).zip(angles) {
                *to_a = (a * cos - b * sin) * factor;
                *to_b = (b * cos + a * sin) * factor;
            }
        }
        for (to, from) in to[2 * pairs..].iter_mut().zip(&from[2 * pairs..]) {
            *to = from * factor;
        }
    }
}

/// What a step's queries read and write.
struct Over<'a> {
    shape: &'a Shape,
    cache: &'a SharedKv,
    /// `[kv_heads, queries, head_dim]`
    queries: &'a [f32],
    /// `[parts, kv_heads, queries, state_len]`
    states: Ranges<'a, f32>,
    /// `[rows, count, heads * head_dim]`
    out: Ranges<'a, f32>,
}

impl Over<'_> {
    /// One task a span of the prompt or a few suffixes; then all states are merged.
    fn spans(&self, threads: &Threads<'_>) -> Outcome {
        let shape = self.shape;
        let (kv_heads, spans) = (shape.node.kv_heads, shape.spans());
        let of_prompt = kv_heads * spans;
        let suffixes = if shape.suffix > 0 {
            shape.rows * kv_heads
        } else {
            0
        };
        // Few enough to be worth waking a thread for, many enough to share.
        let each = if shape.rows >= 16 { 4 } else { 1 };
        threads.for_each(of_prompt + suffixes.div_ceil(each), |task| {
            self.lend(|worker| match task.checked_sub(of_prompt) {
                None => {
                    let (head, span, queries) = (task / spans, task % spans, shape.queries());
                    // SAFETY: a span and a head are one task's.
                    let states = unsafe { self.states(span, head, 0, queries) };
                    let (scratch, chunk) = worker.room(queries, shape.node.head_dim);
                    self.span(
                        (head, 0, queries),
                        (span, shape.prompt),
                        scratch,
                        chunk,
                        states,
                    );
                }
                Some(task) => {
                    for suffix in task * each..((task + 1) * each).min(suffixes) {
                        self.suffix(suffix % kv_heads, suffix / kv_heads, spans, worker);
                    }
                }
            });
        })?;
        let join = |token: usize| {
            for head in 0..kv_heads {
                let (first, count) = (token * shape.group, shape.group);
                let mut parts = (0..spans).chain((shape.suffix > 0).then_some(spans));
                // SAFETY: a token is one task's, and each of its parts is taken once.
                let of_part = |part| unsafe { self.states(part, head, first, count) };
                let Some(merged) = parts.next().map(of_part) else {
                    continue;
                };
                for part in parts {
                    self.merge(merged, of_part(part));
                }
                self.finish(merged, head, token);
            }
        };
        let tokens = shape.tokens();
        if tokens < TOKENS_OF_SEVERAL {
            (0..tokens).for_each(join);
            return Ok(());
        }
        let each = tokens.div_ceil(TASKS);
        threads.for_each(TASKS, |task| {
            (task * each..((task + 1) * each).min(tokens)).for_each(join);
        })
    }

    /// One task a block of queries of one head.
    fn blocks(&self, threads: &Threads<'_>) -> Outcome {
        let shape = self.shape;
        let (kv_heads, head_dim) = (shape.node.kv_heads, shape.node.head_dim);
        let tokens = (BLOCK_QUERIES / shape.group).max(1);
        // Whole rows, where each has its own suffix.
        let tokens = if shape.to_suffix {
            tokens.div_ceil(shape.count) * shape.count
        } else {
            tokens
        };
        let blocks = shape.tokens().div_ceil(tokens);
        threads.for_each(kv_heads * blocks, |task| {
            // The last first: of a prefill they see the most, and the others fill up.
            let (head, block) = (task % kv_heads, blocks - 1 - task / kv_heads);
            let first_token = block * tokens;
            let block_tokens = tokens.min(shape.tokens() - first_token);
            let (first, count) = (first_token * shape.group, block_tokens * shape.group);
            let seen = if shape.to_suffix {
                shape.prompt
            } else {
                shape.first + first_token + block_tokens
            };
            self.lend(|worker| {
                // SAFETY: a head and a block of queries are one task's.
                let merged = unsafe { self.states(0, head, first, count) };
                for span in 0..seen.div_ceil(SPAN_POSITIONS) {
                    let (scratch, states) = worker.room(2 * count, head_dim);
                    let (of_span, of_chunk) = states.split_at_mut(count * shape.state_len());
                    if span == 0 {
                        self.span(
                            (head, first, count),
                            (span, seen),
                            scratch,
                            of_chunk,
                            merged,
                        );
                    } else {
                        self.span(
                            (head, first, count),
                            (span, seen),
                            scratch,
                            of_chunk,
                            of_span,
                        );
                        self.merge(merged, of_span);
                    }
                }
                if shape.suffix > 0 {
                    for row in first_token / shape.count..(first_token + block_tokens) / shape.count
                    {
                        self.suffix(head, row, 1, worker);
                    }
                    // SAFETY: as above; the borrows of each row's part of it have ended.
                    let suffix = unsafe { self.states(1, head, first, count) };
                    if seen > 0 {
                        self.merge(merged, suffix);
                    } else {
                        merged.copy_from_slice(suffix);
                    }
                }
                for token in 0..block_tokens {
                    let of_token = shape.group * shape.state_len();
                    let states = &merged[token * of_token..][..of_token];
                    self.finish(states, head, first_token + token);
                }
            });
        })
    }

    /// The states of `count` queries of `head` from `first` on over a span of the prompt, as far as position `end`. In
    /// `of_chunk` there is room for them once more.
    fn span(
        &self,
        (head, first, count): (usize, usize, usize),
        (span, end): (usize, usize),
        scratch: &mut [f32],
        of_chunk: &mut [f32],
        states: &mut [f32],
    ) {
        let shape = self.shape;
        let begin = span * SPAN_POSITIONS;
        let stop = end.min(begin + SPAN_POSITIONS);
        for start in (begin..stop).step_by(shape.chunk) {
            let causal = (!shape.to_suffix).then(|| Causal {
                position: shape.first + first / shape.group,
                group: shape.group,
                start,
            });
            let positions = shape.chunk.min(stop - start);
            let cache = self.positions(&self.cache.prompt, (0, head), start..end);
            let queries = (head, first, count);
            if start == begin {
                self.attend(queries, cache, positions, causal, scratch, states);
            } else {
                self.attend(queries, cache, positions, causal, scratch, of_chunk);
                self.merge(states, of_chunk);
            }
        }
    }

    /// The states of the queries of a row over its suffix, as part `part`.
    fn suffix(&self, head: usize, row: usize, part: usize, worker: &mut Worker) {
        let shape = self.shape;
        let count = shape.count * shape.group;
        let first = row * count;
        let place = self.cache.places[row];
        // SAFETY: a head of a row's suffix is one task's, and this part holds nothing else of it.
        let merged = unsafe { self.states(part, head, first, count) };
        let (scratch, states) = worker.room(count, shape.node.head_dim);
        for start in (0..shape.suffix).step_by(shape.chunk) {
            let causal = Some(Causal {
                position: shape.suffix - shape.count,
                group: shape.group,
                start,
            });
            let positions = shape.chunk.min(shape.suffix - start);
            let cache = self.positions(&self.cache.suffix, (place, head), start..shape.suffix);
            let queries = (head, first, count);
            if start == 0 {
                self.attend(queries, cache, positions, causal, scratch, merged);
            } else {
                self.attend(queries, cache, positions, causal, scratch, states);
                self.merge(merged, states);
            }
        }
    }

    /// Keys and values of a head at some positions, and behind them up to a whole number of registers.
    fn positions<'p>(
        &self,
        part: &'p Part,
        (place, head): (usize, usize),
        positions: Range<usize>,
    ) -> Cached<'p> {
        let geometry: KvGeometry = self.cache.geometry;
        let end = positions.end.next_multiple_of(WHOLE).min(part.capacity);
        let from = |kind| {
            let layer = part.layer_start(geometry, place, self.shape.node.layer, kind);
            let [start, end] = [positions.start, end]
                .map(|at| layer + head * part.head_len(geometry) + at * geometry.head_dim);
            let element = geometry.dtype.bytes();
            let bytes = part.slab.bytes().get(start * element..end * element);
            bytes.unwrap_or(&[])
        };
        Cached {
            keys: from(KvKind::Key),
            values: from(KvKind::Value),
            dtype: geometry.dtype,
        }
    }

    fn attend(
        &self,
        (head, first, count): (usize, usize, usize),
        cache: Cached<'_>,
        positions: usize,
        causal: Option<Causal>,
        scratch: &mut [f32],
        states: &mut [f32],
    ) {
        let (shape, head_dim) = (self.shape, self.shape.node.head_dim);
        let first = (head * shape.queries() + first) * head_dim;
        let queries = &self.queries[first..][..count * head_dim];
        let attention = self.cache.attention;
        let done = attention.attend(queries, cache, positions, head_dim, causal, scratch, states);
        fits(done);
    }

    fn merge(&self, states: &mut [f32], others: &[f32]) {
        fits(
            self.cache
                .attention
                .merge(states, others, self.shape.node.head_dim),
        );
    }

    /// Writes the results of a token's queries of one head.
    fn finish(&self, states: &[f32], head: usize, token: usize) {
        let (shape, head_dim) = (self.shape, self.shape.node.head_dim);
        let start = (token * shape.node.heads + head * shape.group) * head_dim;
        // SAFETY: the queries of each token and head are finished once.
        let out = unsafe { self.out.range(start, shape.group * head_dim) };
        fits(self.cache.attention.finish(states, head_dim, out));
    }

    /// The states of `count` queries of `head` from `first` on, in `part`.
    ///
    /// # Safety
    /// No other borrow of these states lives while this one does, on any thread.
    #[expect(
        clippy::mut_from_ref,
        reason = "tasks write to different ranges of one buffer"
    )]
    unsafe fn states(&self, part: usize, head: usize, first: usize, count: usize) -> &mut [f32] {
        let shape = self.shape;
        let query = (part * shape.node.kv_heads + head) * shape.queries() + first;
        let len = shape.state_len();
        // SAFETY: the caller vouches that nobody else has them.
        unsafe { self.states.range(query * len, count * len) }
    }

    fn lend(&self, task: impl FnOnce(&mut Worker)) {
        let resting: &Mutex<Vec<Worker>> = &self.cache.workers.resting;
        Workers::lend(resting, self.shape.node.head_dim, task);
    }
}

/// # Panics
/// Where a kernel refuses what it was given: sizes were checked before the step, so that it cannot; a step that went on
/// without a result would look like one.
fn fits(done: Result<(), curt_kernels::ShapeError>) {
    if let Err(error) = done {
        panic!("{error}");
    }
}
