//! Keys and values of all layers, in memory that curt owns.

use std::time::Duration;

use curt_kernels::Dtype;
use curt_session::attention::Attention;
use curt_session::{CancelToken, Memory};

use super::dense::DenseKv;
use super::refuse::{check_index, shape};
use super::shared::SharedKv;
use super::{KvGeometry, KvKind, KvLayout, KvPlan, KvRow, KvTensor};
use crate::error::Result;

/// Keys and values of every layer for up to `plan.rows` rows, all of the same length.
pub struct KvCache {
    geometry: KvGeometry,
    plan: KvPlan,
    store: Store,
}

enum Store {
    Dense(DenseKv),
    Shared(SharedKv),
}

/// `$call` of whichever store there is.
macro_rules! either {
    ($store:expr, $kv:ident => $call:expr) => {
        match $store {
            Store::Dense($kv) => $call,
            Store::Shared($kv) => $call,
        }
    };
}

impl KvCache {
    /// Maps the memory of `plan`. One row, no positions.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for a geometry or a plan of nothing, or of more than an address can name, and for a shared
    /// prompt of elements or heads that its attention does not take; [`crate::Error::Io`] where the system refuses the
    /// memory.
    pub fn new(geometry: KvGeometry, plan: KvPlan) -> Result<Self> {
        plan.validate()?;
        let geometry = plan.layout.kept(geometry);
        for (what, got) in [
            ("layers (at least)", geometry.layers),
            ("heads of a layer (at least)", geometry.kv_heads),
            ("elements of a head (at least)", geometry.head_dim),
        ] {
            if got == 0 {
                return Err(shape(what, 1, got).into());
            }
        }
        let store = match plan.layout {
            KvLayout::SharedPrompt(_) => Store::Shared(SharedKv::new(geometry, plan)?),
            KvLayout::Shared | KvLayout::Growing => Store::Dense(DenseKv::new(geometry, plan)?),
        };
        Ok(Self {
            geometry,
            plan,
            store,
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
        Memory::Host
    }

    /// Bytes of it that lie in memory now; 0 where the system does not say.
    pub fn resident_bytes(&self) -> u64 {
        either!(&self.store, kv => kv.resident_bytes())
    }

    /// Wall time that its own attention has taken so far, where the graph does not bind it.
    pub fn attention_time(&self) -> Option<Duration> {
        match &self.store {
            Store::Dense(_) => None,
            Store::Shared(kv) => Some(kv.spent()),
        }
    }

    /// Rows in use: one for each path that still decodes.
    pub fn rows(&self) -> usize {
        either!(&self.store, kv => kv.rows())
    }

    /// Positions cached in every row.
    pub fn len(&self) -> usize {
        either!(&self.store, kv => kv.len())
    }

    /// Whether nothing is cached.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Positions that can still be appended.
    pub fn room(&self) -> usize {
        either!(&self.store, kv => kv.room())
    }

    /// Keys or values of `layer` in `row`. Readers come by [`Self::host_view`].
    pub(super) fn row(&self, layer: usize, kind: KvKind, row: usize) -> Result<KvRow<'_>> {
        self.check_layer(layer)?;
        check_index("row", row, self.rows())?;
        either!(&self.store, kv => kv.row(layer, kind, row))
    }

    /// Continues row 0 in `rows` rows. A shared prompt is what the rows then have in common; in the other layouts row 0's
    /// positions are copied to each of the others.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for no rows, or more than planned; [`crate::Error::Cancelled`], which leaves row 0 alone.
    pub fn fork(&mut self, rows: usize, cancel: &CancelToken) -> Result<()> {
        if rows == 0 || rows > self.plan.rows {
            return Err(shape("rows to fork to (1 to)", self.plan.rows, rows).into());
        }
        either!(&mut self.store, kv => kv.fork(rows, cancel))
    }

    /// Forgets all positions from `len` on, in every row.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where fewer are cached.
    pub fn rewind(&mut self, len: usize) -> Result<()> {
        if len > self.len() {
            return Err(shape("positions to keep (at most)", self.len(), len).into());
        }
        either!(&mut self.store, kv => kv.rewind(len));
        Ok(())
    }

    /// Gives up all rows but `kept`, ascending. Where each row has all its positions, those beyond the new end move into
    /// freed places: the fewest copies; where the prompt is shared, nothing moves.
    ///
    /// `order[row]` is then the index that `row` had.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] for no rows, rows out of order, or one past the last.
    pub fn keep_rows(&mut self, kept: &[usize], order: &mut Vec<usize>) -> Result<()> {
        if kept.is_empty() {
            return Err(shape("rows to keep (at least)", 1, 0).into());
        }
        for pair in kept.windows(2) {
            check_index("row to keep, ascending", pair[0], pair[1])?;
        }
        check_index("row", kept[kept.len() - 1], self.rows())?;
        either!(&mut self.store, kv => kv.keep_rows(kept, order));
        Ok(())
    }

    /// Gives the memory of rows that are not in use back to the system, where whole pages are theirs alone. Returns the
    /// bytes. They are mapped still, and read as zeros.
    pub fn release_dropped(&mut self) -> u64 {
        either!(&mut self.store, kv => kv.release_dropped())
    }

    /// Keeps row 0 alone.
    pub fn keep_first_row(&mut self) {
        either!(&mut self.store, kv => kv.keep_first_row());
    }

    /// Keeps the first `len` positions of row 0 alone: what is appended next continues a prompt.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] where fewer are cached.
    pub fn restart(&mut self, len: usize) -> Result<()> {
        self.keep_first_row();
        self.rewind(len)?;
        if let Store::Shared(kv) = &mut self.store {
            kv.join();
        }
        Ok(())
    }

    /// A cache of `plan` that holds the first `len` positions of this one's row 0.
    ///
    /// # Errors
    /// As [`Self::new`], and [`crate::Error::Shape`] where fewer are cached or they do not fit, or the plan has another
    /// layout.
    pub fn regrown(&self, plan: KvPlan, len: usize) -> Result<Self> {
        let most = self.len().min(plan.capacity_tokens);
        if len > most {
            return Err(shape("positions to keep (at most)", most, len).into());
        }
        let mut new = Self::new(self.geometry, plan)?;
        match (&self.store, &mut new.store) {
            (Store::Dense(old), Store::Dense(new)) if self.plan.layout == plan.layout => {
                new.take(old, len);
            }
            (Store::Shared(old), Store::Shared(new)) => new.take(old, len),
            _ => return Err(shape("plans of the same layout", 2, 1).into()),
        }
        Ok(new)
    }

    /// What a step that appends `count` positions reads and writes for `layer`: past, present. `None` where the graph does
    /// not bind its cache.
    pub(crate) fn tensors(
        &self,
        layer: usize,
        kind: KvKind,
        count: usize,
    ) -> Result<Option<(KvTensor, KvTensor)>> {
        self.check_room(count)?;
        match &self.store {
            Store::Dense(kv) => kv.tensors(layer, kind, count).map(Some),
            Store::Shared(_) => Ok(None),
        }
    }

    /// What answers the graph's own attention, where the graph does not bind its cache.
    pub(crate) fn attention(&mut self) -> Option<&mut dyn Attention> {
        match &mut self.store {
            Store::Dense(_) => None,
            Store::Shared(kv) => Some(kv),
        }
    }

    /// # Errors
    /// [`crate::Error::Shape`] where `count` positions cannot be appended.
    pub(crate) fn check_room(&self, count: usize) -> Result<()> {
        if count > self.room() {
            return Err(shape("positions to append (at most)", self.room(), count).into());
        }
        Ok(())
    }

    /// A step has written `count` positions.
    pub(crate) fn appended(&mut self, count: usize) {
        either!(&mut self.store, kv => kv.appended(count));
    }

    pub(super) fn check_layer(&self, layer: usize) -> Result<()> {
        check_index("layer", layer, self.geometry.layers)
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
            layout in prop::sample::select(vec![
                KvLayout::Shared,
                KvLayout::Growing,
                KvLayout::SharedPrompt(Dtype::F32),
                KvLayout::SharedPrompt(Dtype::F16),
            ]),
            prompt in 0..6usize,
            calls in prop::collection::vec(call(), 0..20),
        ) {
            let [layers, kv_heads, head_dim] = sizes;
            let (dtype, head_dim) = match layout {
                KvLayout::SharedPrompt(_) => (Dtype::F32, 16 * head_dim),
                KvLayout::Shared | KvLayout::Growing => (Dtype::F16, head_dim),
            };
            let geometry = KvGeometry { layers, kv_heads, head_dim, dtype };
            // Made by hand, as its fields allow.
            let plan = |rows, capacity_tokens| KvPlan {
                layout,
                rows,
                capacity_tokens,
                shared_tokens: prompt,
                bytes_per_token: 0,
                copies: 1,
                bytes: 0,
            };
            let made = KvCache::new(geometry, plan(rows, positions));
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
