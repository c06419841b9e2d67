//! Every row has all its positions, as GroupQueryAttention and plain attention bind them.

use curt_kernels::KvView;
use curt_session::CancelToken;

use super::refuse::shape;
use super::{KvGeometry, KvKind, KvLayout, KvPlan, KvRow, KvTensor, Slab};
use crate::error::Result;

/// Keys and values of every layer for up to `plan.rows` rows, all of the same length.
///
/// Each (layer, kind) has one region of the slab: `[rows, kv_heads, capacity, head_dim]` in the shared layout,
/// `[rows, kv_heads, len, head_dim]` packed at its beginning in the growing one.
pub(super) struct DenseKv {
    geometry: KvGeometry,
    /// Present replaces past; else both are one buffer.
    grows: bool,
    plan: KvPlan,
    /// What a step reads; in the shared layout also what it writes.
    past: Slab,
    /// What a step writes, in the growing layout.
    present: Option<Slab>,
    region_bytes: usize,
    rows: usize,
    /// Rows whose memory may be resident: the most that were in use since memory was last given back.
    touched_rows: usize,
    len: usize,
}

impl DenseKv {
    /// # Errors
    /// [`crate::Error::Shape`] for more than an address can name; [`crate::Error::Io`] where the system refuses.
    pub(super) fn new(geometry: KvGeometry, plan: KvPlan) -> Result<Self> {
        let grows = plan.layout == KvLayout::Growing;
        let region_bytes = [
            geometry.kv_heads,
            plan.capacity_tokens,
            geometry.head_dim,
            geometry.dtype.bytes(),
        ]
        .into_iter()
        .try_fold(plan.rows, usize::checked_mul);
        let bytes = region_bytes.and_then(|b| b.checked_mul(2)?.checked_mul(geometry.layers));
        let (Some(region_bytes), Some(bytes)) = (region_bytes, bytes) else {
            return Err(shape(
                "bytes of the plan (at most)",
                isize::MAX as usize,
                usize::MAX,
            )
            .into());
        };
        Ok(Self {
            past: Slab::new(bytes)?,
            present: grows.then(|| Slab::new(bytes)).transpose()?,
            geometry,
            grows,
            plan,
            region_bytes,
            rows: 1,
            touched_rows: 1,
            len: 0,
        })
    }

    pub(super) fn resident_bytes(&self) -> u64 {
        let present = self.present.as_ref().map_or(0, Slab::resident_bytes);
        self.past.resident_bytes() + present
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn room(&self) -> usize {
        self.plan.capacity_tokens - self.len
    }

    /// In one segment.
    pub(super) fn row(&self, layer: usize, kind: KvKind, row: usize) -> Result<KvRow<'_>> {
        let stride = self.head_stride(self.len);
        let start = self.region(layer, kind) + row * self.row_bytes(stride);
        let bytes = self.past.bytes().get(start..).unwrap_or(&[]);
        let shape = [self.geometry.kv_heads, self.len, self.geometry.head_dim];
        Ok(KvView::new(bytes, self.geometry.dtype, shape, stride)?.into())
    }

    /// Continues row 0 in `rows` rows: its cached positions are copied to each of the others.
    pub(super) fn fork(&mut self, rows: usize, cancel: &CancelToken) -> Result<()> {
        // Others than row 0 are overwritten from here on.
        self.rows = 1;
        self.touched_rows = self.touched_rows.max(rows);
        for region in 0..2 * self.geometry.layers {
            for row in 1..rows {
                if cancel.is_cancelled() {
                    return Err(crate::Error::Cancelled { tokens: 0 });
                }
                self.copy_row(region, 0, row);
            }
        }
        self.rows = rows;
        Ok(())
    }

    pub(super) fn rewind(&mut self, len: usize) {
        if self.grows {
            // Rows and heads follow each other without gaps: move each to where the shorter ones end.
            let position = self.geometry.head_dim * self.geometry.dtype.bytes();
            let (old, new) = (self.len * position, len * position);
            let heads = self.rows * self.geometry.kv_heads;
            let region_bytes = self.region_bytes;
            for region in self.past.bytes_mut().chunks_exact_mut(region_bytes.max(1)) {
                for head in 0..heads {
                    region.copy_within(head * old..head * old + new, head * new);
                }
            }
        }
        self.len = len;
    }

    /// Those of `kept` beyond the new end move into freed places.
    pub(super) fn keep_rows(&mut self, kept: &[usize], order: &mut Vec<usize>) {
        order.clear();
        order.extend(0..kept.len());
        let stay = kept.partition_point(|&row| row < kept.len());
        let mut moving = kept[stay..].iter();
        for (place, origin) in order.iter_mut().enumerate() {
            if kept[..stay].binary_search(&place).is_ok() {
                continue;
            }
            if let Some(&row) = moving.next() {
                for region in 0..2 * self.geometry.layers {
                    self.copy_row(region, row, place);
                }
                *origin = row;
            }
        }
        self.rows = kept.len();
    }

    pub(super) fn release_dropped(&mut self) -> u64 {
        if self.grows {
            // Rows in use take their whole lengths anew at each step, from the region's beginning on.
            return 0;
        }
        let row_bytes = self.row_bytes(self.head_stride(self.len));
        let mut released = 0;
        for region in 0..2 * self.geometry.layers {
            let start = region * self.region_bytes;
            released += self
                .past
                .release(start + self.rows * row_bytes..start + self.touched_rows * row_bytes);
        }
        self.touched_rows = self.rows;
        released
    }

    pub(super) fn keep_first_row(&mut self) {
        self.rows = 1;
    }

    /// The first `len` positions of the other's row 0.
    pub(super) fn take(&mut self, old: &Self, len: usize) {
        self.len = len;
        let head_bytes = len * self.geometry.head_dim * self.geometry.dtype.bytes();
        let element = self.geometry.dtype.bytes();
        let (old_stride, new_stride) = (
            old.head_stride(old.len) * element,
            self.head_stride(len) * element,
        );
        for region in 0..2 * self.geometry.layers {
            for head in 0..self.geometry.kv_heads {
                let from = region * old.region_bytes + head * old_stride;
                let to = region * self.region_bytes + head * new_stride;
                self.past.bytes_mut()[to..to + head_bytes]
                    .copy_from_slice(&old.past.bytes()[from..from + head_bytes]);
            }
        }
    }

    /// What a step that appends `count` positions reads and writes for `layer`: past, present.
    pub(super) fn tensors(
        &self,
        layer: usize,
        kind: KvKind,
        count: usize,
    ) -> Result<(KvTensor, KvTensor)> {
        let capacity = self.plan.capacity_tokens;
        let (past_len, present_len) = if self.grows {
            (self.len, self.len + count)
        } else {
            (capacity, capacity)
        };
        let start = self.region(layer, kind);
        Ok((
            self.tensor(&self.past, start, past_len)?,
            self.tensor(
                self.present.as_ref().unwrap_or(&self.past),
                start,
                present_len,
            )?,
        ))
    }

    /// A step has written `count` positions.
    pub(super) fn appended(&mut self, count: usize) {
        self.len += count;
        if let Some(present) = &mut self.present {
            std::mem::swap(&mut self.past, present);
        }
    }

    fn tensor(&self, slab: &Slab, start: usize, positions: usize) -> Result<KvTensor> {
        let [kv_heads, head_dim] = [self.geometry.kv_heads, self.geometry.head_dim];
        let bytes = self.rows * kv_heads * positions * head_dim * self.geometry.dtype.bytes();
        let end = start + bytes;
        let start = slab
            .at(start)
            .filter(|_| end <= slab.bytes().len())
            .ok_or_else(|| shape("end of the slab", slab.bytes().len(), end))?;
        Ok(KvTensor {
            memory: slab.memory(),
            start,
            bytes,
            shape: [self.rows, kv_heads, positions, head_dim].map(|n| n as i64),
        })
    }

    /// Elements from head to head where `len` positions are cached.
    fn head_stride(&self, len: usize) -> usize {
        let positions = if self.grows {
            len
        } else {
            self.plan.capacity_tokens
        };
        positions * self.geometry.head_dim
    }

    fn row_bytes(&self, head_stride: usize) -> usize {
        self.geometry.kv_heads * head_stride * self.geometry.dtype.bytes()
    }

    fn region(&self, layer: usize, kind: KvKind) -> usize {
        let index = 2 * layer + usize::from(kind == KvKind::Value);
        index * self.region_bytes
    }

    /// Copies the cached positions of one row over another's.
    fn copy_row(&mut self, region: usize, from: usize, to: usize) {
        let stride = self.head_stride(self.len) * self.geometry.dtype.bytes();
        let head_bytes = self.len * self.geometry.head_dim * self.geometry.dtype.bytes();
        let heads = self.geometry.kv_heads;
        let base = region * self.region_bytes;
        let bytes = self.past.bytes_mut();
        for head in 0..heads {
            let from = base + (from * heads + head) * stride;
            let to = base + (to * heads + head) * stride;
            bytes.copy_within(from..from + head_bytes, to);
        }
    }
}
