//! One copy of a prompt's keys and values for all rows, and of each row what came after it.
//!
//! Positions are appended to the *prompt* until it is forked, and then to the *suffix* of each row. The graph binds none of
//! it: its attention is answered here ([`attend`]).

mod attend;
mod ranges;
mod stored;
mod workers;

use std::time::Duration;

use curt_kernels::{Dtype, KvView, SplitAttention};
use curt_session::CancelToken;
use curt_session::attention::AttentionNode;

use super::refuse::shape;
use super::{KvGeometry, KvKind, KvPlan, KvRow, Slab};
use crate::error::{Error, Result};
use workers::Workers;

/// Keys and values of a prompt, and of what follows it in each row.
pub(super) struct SharedKv {
    geometry: KvGeometry,
    prompt: Part,
    /// A region for each row, in which it lies whole: dropping it frees its own pages.
    suffix: Part,
    /// Where in the suffix each row in use lies.
    places: Vec<usize>,
    /// Places whose memory may be resident.
    touched: Vec<bool>,
    prompt_len: usize,
    suffix_len: usize,
    /// Positions of the prompt that may be resident: more than are cached, after some were forgotten.
    prompt_touched: usize,
    /// New positions belong to each row's suffix; else to the prompt.
    forked: bool,
    capacity_tokens: usize,
    attention: SplitAttention,
    workers: Workers,
    /// The node that was answered last: all of a graph have the same sizes.
    node: Option<AttentionNode>,
    /// What attention has taken.
    spent: Duration,
}

/// Memory of some rows: `[rows, layers, keys or values, kv_heads, capacity, head_dim]`.
struct Part {
    slab: Slab,
    /// Positions of a row.
    capacity: usize,
}

impl Part {
    fn new(geometry: KvGeometry, rows: usize, capacity: usize) -> Result<Self> {
        let element = geometry.dtype.bytes();
        let bytes = [
            2,
            geometry.layers,
            geometry.kv_heads,
            geometry.head_dim,
            element,
        ]
        .into_iter()
        .try_fold(rows, usize::checked_mul)
        .and_then(|bytes| bytes.checked_mul(capacity))
        .ok_or_else(|| {
            shape(
                "bytes of the plan (at most)",
                isize::MAX as usize,
                usize::MAX,
            )
        })?;
        Ok(Self {
            slab: Slab::new(bytes)?,
            capacity,
        })
    }

    /// Elements of one row.
    fn row_len(&self, geometry: KvGeometry) -> usize {
        2 * geometry.layers * geometry.kv_heads * self.head_len(geometry)
    }

    /// Elements from one head to the next.
    fn head_len(&self, geometry: KvGeometry) -> usize {
        self.capacity * geometry.head_dim
    }

    /// Where the first head of a layer begins, in elements.
    fn layer_start(&self, geometry: KvGeometry, row: usize, layer: usize, kind: KvKind) -> usize {
        let of_layer = geometry.kv_heads * self.head_len(geometry);
        let index = 2 * layer + usize::from(kind == KvKind::Value);
        row * self.row_len(geometry) + index * of_layer
    }

    /// `[kv_heads, len, head_dim]` of a layer.
    fn view(
        &self,
        geometry: KvGeometry,
        (row, layer, kind): (usize, usize, KvKind),
        len: usize,
    ) -> Result<KvView<'_>> {
        let start = self.layer_start(geometry, row, layer, kind) * geometry.dtype.bytes();
        let bytes = self.slab.bytes().get(start..).unwrap_or(&[]);
        let shape = [geometry.kv_heads, len, geometry.head_dim];
        let stride = self.head_len(geometry);
        Ok(KvView::new(bytes, geometry.dtype, shape, stride)?)
    }
}

impl SharedKv {
    /// # Errors
    /// [`Error::Shape`] for what its attention does not take, [`Error::Io`] where the system refuses the memory.
    pub(super) fn new(geometry: KvGeometry, plan: KvPlan) -> Result<Self> {
        if !matches!(geometry.dtype, Dtype::F32 | Dtype::F16) {
            let (expected, got) = (Dtype::F32.bytes(), geometry.dtype.bytes());
            return Err(shape("bytes of a shared prompt's element", expected, got).into());
        }
        if !SplitAttention::takes(geometry.head_dim) {
            let what = "elements of a shared prompt's head (a multiple of)";
            return Err(shape(what, 16, geometry.head_dim).into());
        }
        let suffix = plan.capacity_tokens.saturating_sub(plan.shared_tokens);
        let attention = SplitAttention::best();
        Ok(Self {
            // Whole, since a prompt may go on before it is forked; only what is used becomes resident.
            prompt: Part::new(geometry, 1, plan.capacity_tokens)?,
            suffix: Part::new(geometry, plan.rows, suffix)?,
            places: {
                let mut places = Vec::with_capacity(plan.rows);
                places.push(0);
                places
            },
            touched: vec![false; plan.rows],
            prompt_len: 0,
            suffix_len: 0,
            prompt_touched: 0,
            forked: false,
            capacity_tokens: plan.capacity_tokens,
            workers: Workers::new(geometry.head_dim),
            attention,
            node: None,
            spent: Duration::ZERO,
            geometry,
        })
    }

    pub(super) fn resident_bytes(&self) -> u64 {
        self.prompt.slab.resident_bytes() + self.suffix.slab.resident_bytes()
    }

    pub(super) fn spent(&self) -> Duration {
        self.spent
    }

    pub(super) fn rows(&self) -> usize {
        self.places.len()
    }

    pub(super) fn len(&self) -> usize {
        self.prompt_len + self.suffix_len
    }

    pub(super) fn room(&self) -> usize {
        let all = self.capacity_tokens - self.len();
        if self.forked {
            all.min(self.suffix.capacity - self.suffix_len)
        } else {
            all
        }
    }

    /// The prompt, and behind it what the row has of its own: one segment where it has nothing.
    pub(super) fn row(&self, layer: usize, kind: KvKind, row: usize) -> Result<KvRow<'_>> {
        let prompt = self
            .prompt
            .view(self.geometry, (0, layer, kind), self.prompt_len)?;
        if self.suffix_len == 0 {
            return Ok(prompt.into());
        }
        let place = self.places.get(row).copied().unwrap_or(0);
        let suffix = self
            .suffix
            .view(self.geometry, (place, layer, kind), self.suffix_len)?;
        if self.prompt_len == 0 {
            return Ok(suffix.into());
        }
        Ok(KvRow::shared(prompt, suffix)?)
    }

    /// Nothing is copied, but for what row 0 has of its own already: that becomes part of the prompt.
    pub(super) fn fork(&mut self, rows: usize, cancel: &CancelToken) -> Result<()> {
        if cancel.is_cancelled() {
            self.keep_first_row();
            return Err(Error::Cancelled { tokens: 0 });
        }
        self.places.truncate(1);
        self.join();
        self.release_forgotten();
        self.places.clear();
        self.places.extend(0..rows);
        self.forked = true;
        self.reserve();
        Ok(())
    }

    pub(super) fn rewind(&mut self, len: usize) {
        self.suffix_len = len.saturating_sub(self.prompt_len);
        self.prompt_len = self.prompt_len.min(len);
        self.continue_prompt();
    }

    pub(super) fn keep_rows(&mut self, kept: &[usize], order: &mut Vec<usize>) {
        order.clear();
        order.extend_from_slice(kept);
        for (to, &from) in kept.iter().enumerate() {
            self.places[to] = self.places[from];
        }
        self.places.truncate(kept.len());
    }

    pub(super) fn keep_first_row(&mut self) {
        self.places.truncate(1);
        self.continue_prompt();
    }

    pub(super) fn release_dropped(&mut self) -> u64 {
        let row_bytes = self.suffix.row_len(self.geometry) * self.geometry.dtype.bytes();
        let mut released = 0;
        for place in 0..self.touched.len() {
            if self.touched[place] && !self.places.contains(&place) {
                self.touched[place] = false;
                let start = place * row_bytes;
                released += self.suffix.slab.release(start..start + row_bytes);
            }
        }
        released
    }

    pub(super) fn appended(&mut self, count: usize) {
        if self.forked {
            self.suffix_len += count;
            for &place in &self.places {
                self.touched[place] = true;
            }
        } else {
            self.prompt_len += count;
            self.prompt_touched = self.prompt_touched.max(self.prompt_len);
        }
    }

    /// Makes what row 0, the only one, has of its own part of the prompt.
    pub(super) fn join(&mut self) {
        let (len, at, place) = (self.suffix_len, self.prompt_len, self.places[0]);
        if len > 0 {
            let (from, to) = (&self.suffix, &mut self.prompt);
            copy_positions(self.geometry, (from, place, 0), (to, at), len);
        }
        self.prompt_len += len;
        self.prompt_touched = self.prompt_touched.max(self.prompt_len);
        self.suffix_len = 0;
        self.forked = false;
    }

    /// The first `len` positions of the other's row 0.
    pub(super) fn take(&mut self, other: &Self, len: usize) {
        let prompt = len.min(other.prompt_len);
        copy_positions(
            self.geometry,
            (&other.prompt, 0, 0),
            (&mut self.prompt, 0),
            prompt,
        );
        let from = (&other.suffix, other.places[0], 0);
        copy_positions(
            self.geometry,
            from,
            (&mut self.prompt, prompt),
            len - prompt,
        );
        self.prompt_len = len;
        self.prompt_touched = len;
    }

    /// One row without positions of its own: what comes next belongs to the prompt.
    fn continue_prompt(&mut self) {
        if self.places.len() == 1 && self.suffix_len == 0 {
            self.forked = false;
        }
    }

    /// Gives back the pages of positions that the prompt had and that were forgotten.
    fn release_forgotten(&mut self) {
        if self.prompt_touched == self.prompt_len {
            return;
        }
        let position = self.geometry.head_dim * self.geometry.dtype.bytes();
        let head = self.prompt.capacity * position;
        for at in 0..2 * self.geometry.layers * self.geometry.kv_heads {
            let start = at * head;
            let range = start + self.prompt_len * position..start + self.prompt_touched * position;
            self.prompt.slab.release(range);
        }
        self.prompt_touched = self.prompt_len;
    }
}

/// Copies `len` positions of every layer from one row, from a position on, to the prompt, from a position on.
fn copy_positions(
    geometry: KvGeometry,
    (from, row, first): (&Part, usize, usize),
    (to, at): (&mut Part, usize),
    len: usize,
) {
    let (from_head, to_head) = (from.head_len(geometry), to.head_len(geometry));
    let from_row = row * from.row_len(geometry);
    let element = geometry.dtype.bytes();
    let bytes = len * geometry.head_dim * element;
    for head in 0..2 * geometry.layers * geometry.kv_heads {
        let source = from_row + head * from_head + first * geometry.head_dim;
        let target = head * to_head + at * geometry.head_dim;
        let source = &from.slab.bytes()[source * element..][..bytes];
        to.slab.bytes_mut()[target * element..][..bytes].copy_from_slice(source);
    }
}
