//! Keys and values of all layers, in memory that curt owns.

use std::ptr::NonNull;

use curt_kernels::{Dtype, KvView, ShapeError};
use curt_session::{CancelToken, Memory};

use super::{KvGeometry, KvLayout, KvPlan, KvRow, Slab};
use crate::error::Result;

/// Keys or values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvKind {
    /// Keys, as the model caches them (after the rotary embedding, in the exports seen).
    Key,
    /// Values.
    Value,
}

/// Keys and values of every layer for up to `plan.rows` rows, all of the same length.
///
/// Each (layer, kind) has one region of the slab: `[rows, kv_heads, capacity, head_dim]` in the shared layout,
/// `[rows, kv_heads, len, head_dim]` packed at its beginning in the growing one.
pub struct KvCache {
    geometry: KvGeometry,
    layout: KvLayout,
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

/// Where a graph reads or writes the keys or values of one layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KvTensor {
    pub(crate) memory: Memory,
    pub(crate) start: NonNull<u8>,
    pub(crate) bytes: usize,
    /// `[rows, kv_heads, positions, head_dim]`
    pub(crate) shape: [i64; 4],
}

impl KvCache {
    /// Maps the memory of `plan`. One row, no positions.
    ///
    /// # Errors
    /// [`ShapeError`] for a geometry or a plan of nothing, or of more than an address can name; [`crate::Error::Io`]
    /// where the system refuses the memory.
    pub fn new(geometry: KvGeometry, layout: KvLayout, plan: KvPlan) -> Result<Self> {
        plan.validate()?;
        for (what, got) in [
            ("layers (at least)", geometry.layers),
            ("heads of a layer (at least)", geometry.kv_heads),
            ("elements of a head (at least)", geometry.head_dim),
        ] {
            if got == 0 {
                return Err(shape(what, 1, got).into());
            }
        }
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
            present: match layout {
                KvLayout::Shared => None,
                KvLayout::Growing => Some(Slab::new(bytes)?),
            },
            geometry,
            layout,
            plan,
            region_bytes,
            rows: 1,
            touched_rows: 1,
            len: 0,
        })
    }

    /// The plan it was made from.
    pub fn plan(&self) -> KvPlan {
        self.plan
    }

    /// Element type of keys and values.
    pub fn dtype(&self) -> Dtype {
        self.geometry.dtype
    }

    /// Where keys and values lie.
    pub fn memory(&self) -> Memory {
        self.past.memory()
    }

    /// Bytes of it that lie in memory now; 0 where the system does not say.
    pub fn resident_bytes(&self) -> u64 {
        let present = self.present.as_ref().map_or(0, Slab::resident_bytes);
        self.past.resident_bytes() + present
    }

    /// Rows in use: one for each path that still decodes.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Positions cached in every row.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is cached.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Positions that can still be appended.
    pub fn room(&self) -> usize {
        self.plan.capacity_tokens - self.len
    }

    /// Keys or values of `layer` in `row`, whole and in one segment. Readers come by [`Self::host_view`].
    pub(super) fn row(&self, layer: usize, kind: KvKind, row: usize) -> Result<KvRow<'_>> {
        self.check_layer(layer)?;
        self.check_index("row", row, self.rows)?;
        let stride = self.head_stride(self.len);
        let start = self.region(layer, kind) + row * self.row_bytes(stride);
        let bytes = self.past.bytes().get(start..).unwrap_or(&[]);
        let shape = [self.geometry.kv_heads, self.len, self.geometry.head_dim];
        Ok(KvView::new(bytes, self.geometry.dtype, shape, stride)?.into())
    }

    /// Continues row 0 in `rows` rows: its cached positions are copied to each of the others.
    ///
    /// # Errors
    /// [`ShapeError`] for no rows, or more than planned; [`crate::Error::Cancelled`], which leaves row 0
    /// alone.
    pub fn fork(&mut self, rows: usize, cancel: &CancelToken) -> Result<()> {
        if rows == 0 || rows > self.plan.rows {
            return Err(shape("rows to fork to (1 to)", self.plan.rows, rows).into());
        }
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

    /// Forgets all positions from `len` on, in every row.
    ///
    /// # Errors
    /// [`ShapeError`] where fewer are cached.
    pub fn rewind(&mut self, len: usize) -> Result<()> {
        if len > self.len {
            return Err(shape("positions to keep (at most)", self.len, len).into());
        }
        if self.layout == KvLayout::Growing {
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
        Ok(())
    }

    /// Gives up all rows but `kept`, ascending. Those beyond the new end move into freed places: the fewest copies.
    ///
    /// `order[row]` is then the index that `row` had.
    ///
    /// # Errors
    /// [`ShapeError`] for no rows, rows out of order, or one past the last.
    pub fn keep_rows(&mut self, kept: &[usize], order: &mut Vec<usize>) -> Result<()> {
        if kept.is_empty() {
            return Err(shape("rows to keep (at least)", 1, 0).into());
        }
        for pair in kept.windows(2) {
            self.check_index("row to keep, ascending", pair[0], pair[1])?;
        }
        self.check_index("row", kept[kept.len() - 1], self.rows)?;
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
        Ok(())
    }

    /// Gives the memory of rows that are not in use back to the system, where whole pages are theirs alone. Returns the
    /// bytes. They are mapped still, and read as zeros.
    pub fn release_dropped(&mut self) -> u64 {
        if self.layout == KvLayout::Growing {
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

    /// Keeps row 0 alone.
    pub fn keep_first_row(&mut self) {
        self.rows = 1;
    }

    /// A cache of `plan` that holds the first `len` positions of this one's row 0.
    ///
    /// # Errors
    /// As [`Self::new`], and [`ShapeError`] where fewer are cached or they do not fit.
    pub fn regrown(&self, plan: KvPlan, len: usize) -> Result<Self> {
        if len > self.len || len > plan.capacity_tokens {
            return Err(shape(
                "positions to keep (at most)",
                self.len.min(plan.capacity_tokens),
                len,
            )
            .into());
        }
        let mut new = Self::new(self.geometry, self.layout, plan)?;
        new.len = len;
        let head_bytes = len * self.geometry.head_dim * self.geometry.dtype.bytes();
        let element = self.geometry.dtype.bytes();
        let (old_stride, new_stride) = (
            self.head_stride(self.len) * element,
            new.head_stride(len) * element,
        );
        for region in 0..2 * self.geometry.layers {
            for head in 0..self.geometry.kv_heads {
                let from = region * self.region_bytes + head * old_stride;
                let to = region * new.region_bytes + head * new_stride;
                new.past.bytes_mut()[to..to + head_bytes]
                    .copy_from_slice(&self.past.bytes()[from..from + head_bytes]);
            }
        }
        Ok(new)
    }

    /// What a step that appends `count` positions reads and writes for `layer`: past, present.
    pub(crate) fn tensors(
        &self,
        layer: usize,
        kind: KvKind,
        count: usize,
    ) -> Result<(KvTensor, KvTensor)> {
        if count > self.room() {
            return Err(shape("positions to append (at most)", self.room(), count).into());
        }
        let (past_len, present_len) = match self.layout {
            KvLayout::Shared => (self.plan.capacity_tokens, self.plan.capacity_tokens),
            KvLayout::Growing => (self.len, self.len + count),
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
    pub(crate) fn appended(&mut self, count: usize) {
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
        let positions = match self.layout {
            KvLayout::Shared => self.plan.capacity_tokens,
            KvLayout::Growing => len,
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

    pub(super) fn check_layer(&self, layer: usize) -> Result<()> {
        self.check_index("layer", layer, self.geometry.layers)
    }

    fn check_index(&self, what: &'static str, index: usize, count: usize) -> Result<()> {
        if index < count {
            return Ok(());
        }
        Err(shape(what, count.saturating_sub(1), index).into())
    }
}

fn shape(what: &'static str, expected: usize, got: usize) -> ShapeError {
    ShapeError {
        op: "KvCache",
        what,
        expected,
        got,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One call of a public function, with numbers that need not fit.
    #[derive(Debug, Clone)]
    enum Call {
        Fork(usize),
        Rewind(usize),
        KeepRows(Vec<usize>),
        KeepFirstRow,
        Append(usize),
        Release,
        Regrow(usize, usize, usize),
        Row(usize, usize),
    }

    fn call() -> impl Strategy<Value = Call> {
        let number = prop_oneof![9 => 0..6usize, 1 => Just(usize::MAX)];
        prop_oneof![
            number.clone().prop_map(Call::Fork),
            number.clone().prop_map(Call::Rewind),
            prop::collection::vec(number.clone(), 0..4).prop_map(Call::KeepRows),
            Just(Call::KeepFirstRow),
            number.clone().prop_map(Call::Append),
            Just(Call::Release),
            (number.clone(), number.clone(), number.clone())
                .prop_map(|(rows, positions, len)| Call::Regrow(rows, positions, len)),
            (number.clone(), number).prop_map(|(layer, row)| Call::Row(layer, row)),
        ]
    }

    proptest! {
        /// Whatever is called, in any order: an error or what was asked for, never a panic, and never a row or a position
        /// beyond the plan.
        #[test]
        fn no_call_panics(
            sizes in prop::array::uniform3(0..4usize),
            (rows, positions) in (0..5usize, 0..5usize),
            shared in any::<bool>(),
            calls in prop::collection::vec(call(), 0..20),
        ) {
            let [layers, kv_heads, head_dim] = sizes;
            let geometry = KvGeometry { layers, kv_heads, head_dim, dtype: Dtype::F16 };
            let layout = if shared { KvLayout::Shared } else { KvLayout::Growing };
            // Made by hand, as its fields allow.
            let plan = |rows, capacity_tokens| KvPlan {
                rows,
                capacity_tokens,
                bytes_per_token: 0,
                copies: 1,
                bytes: 0,
            };
            let made = KvCache::new(geometry, layout, plan(rows, positions));
            let something = sizes.into_iter().chain([rows, positions]).all(|n| n > 0);
            prop_assert_eq!(made.is_ok(), something);
            let Ok(mut cache) = made else { return Ok(()) };
            let never = CancelToken::new();
            for call in calls {
                let _ = match call {
                    Call::Fork(rows) => cache.fork(rows, &never),
                    Call::Rewind(len) => cache.rewind(len),
                    Call::KeepRows(kept) => cache.keep_rows(&kept, &mut Vec::new()),
                    Call::KeepFirstRow => {
                        cache.keep_first_row();
                        Ok(())
                    }
                    Call::Append(count) => {
                        let tensors = (0..layers)
                            .map(|layer| cache.tensors(layer, KvKind::Value, count))
                            .collect::<Result<Vec<_>>>();
                        if tensors.is_ok() && count <= cache.room() {
                            cache.appended(count);
                        }
                        Ok(())
                    }
                    Call::Release => {
                        cache.release_dropped();
                        Ok(())
                    }
                    Call::Regrow(rows, positions, len) => cache
                        .regrown(plan(rows, positions), len)
                        .map(|regrown| cache = regrown),
                    Call::Row(layer, row) => {
                        let lent = cache.row(layer, KvKind::Key, row);
                        prop_assert_eq!(lent.is_ok(), layer < layers && row < cache.rows());
                        Ok(())
                    }
                };
                prop_assert!((1..=cache.plan().rows).contains(&cache.rows()));
                prop_assert!(cache.len() <= cache.plan().capacity_tokens);
            }
        }
    }
}
