//! How large a KV cache will be, before any of it is allocated.

use curt_kernels::ShapeError;
use serde::Serialize;

use super::{KvGeometry, KvLayout};
use crate::error::{Error, Result};

/// A KV cache as planned.
///
/// ```
/// use curt::Package;
/// use curt::kv::KvPlan;
///
/// let package = Package::open("../models/packages/reasoner".as_ref())?;
/// let graph = package.graph();
/// let plan = KvPlan::new(graph.geometry(), graph.layout(), 16, 238, None)?;
/// assert_eq!(plan.bytes, 16 * 238 * plan.bytes_per_token);
/// // More than it may take is refused before anything is allocated.
/// assert!(KvPlan::new(graph.geometry(), graph.layout(), 16, 238, Some(1024)).is_err());
/// # Ok::<(), curt::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct KvPlan {
    /// How the graph reaches it.
    #[serde(skip)]
    pub layout: KvLayout,
    /// Rows: one for each path.
    pub rows: usize,
    /// Positions in each row: prompt and generated tokens together.
    pub capacity_tokens: usize,
    /// Of these, positions that all rows have in common and of which there is one copy: those of a shared prompt.
    pub shared_tokens: usize,
    /// Bytes of one position of one row over all layers, keys and values.
    pub bytes_per_token: u64,
    /// Copies of each row: 1, or 2 where a step reads one and writes the other.
    pub copies: usize,
    /// Bytes of all copies. Only what is used becomes resident.
    pub bytes: u64,
}

impl KvPlan {
    /// Plans `rows` rows of `capacity_tokens` positions, none of which they share.
    ///
    /// # Errors
    /// [`Error::Shape`] for no rows or no positions; [`Error::Capacity`] where it takes more than `limit_bytes`.
    pub fn new(
        geometry: KvGeometry,
        layout: KvLayout,
        rows: usize,
        capacity_tokens: usize,
        limit_bytes: Option<u64>,
    ) -> Result<Self> {
        let rows = (rows, 0);
        Self::of(geometry, layout, rows, capacity_tokens, limit_bytes)
    }

    /// Plans `rows` rows of `capacity_tokens` positions that begin with the same `prompt_tokens`: in the layout of a shared
    /// prompt one copy of these, else one in each row.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_prompt(
        geometry: KvGeometry,
        layout: KvLayout,
        (rows, prompt_tokens): (usize, usize),
        capacity_tokens: usize,
        limit_bytes: Option<u64>,
    ) -> Result<Self> {
        let shared_tokens = match layout {
            KvLayout::SharedPrompt(_) => prompt_tokens.min(capacity_tokens),
            KvLayout::Shared | KvLayout::Growing => 0,
        };
        let rows = (rows, shared_tokens);
        Self::of(geometry, layout, rows, capacity_tokens, limit_bytes)
    }

    fn of(
        geometry: KvGeometry,
        layout: KvLayout,
        (rows, shared_tokens): (usize, usize),
        capacity_tokens: usize,
        limit_bytes: Option<u64>,
    ) -> Result<Self> {
        let copies = match layout {
            KvLayout::Shared | KvLayout::SharedPrompt(_) => 1,
            KvLayout::Growing => 2,
        };
        let bytes_per_token = layout.kept(geometry).bytes_per_token();
        let own = ((capacity_tokens - shared_tokens) as u64).saturating_mul(rows as u64);
        let tokens = own.saturating_add(shared_tokens as u64);
        let bytes = [tokens, copies as u64]
            .into_iter()
            .fold(bytes_per_token, u64::saturating_mul);
        let plan = Self {
            layout,
            rows,
            capacity_tokens,
            shared_tokens,
            bytes_per_token,
            copies,
            bytes,
        };
        plan.validate()?;
        // More than an address can name is refused whatever the limit.
        let limit_bytes = limit_bytes.unwrap_or(u64::MAX).min(isize::MAX as u64);
        if bytes > limit_bytes {
            return Err(Error::Capacity {
                needed_bytes: bytes,
                limit_bytes,
                rows,
                capacity_tokens,
                shared_tokens,
                bytes_per_token,
                copies,
                logits_bytes: 0,
            });
        }
        Ok(plan)
    }

    /// # Errors
    /// [`ShapeError`] for no rows or no positions.
    pub(super) fn validate(&self) -> std::result::Result<(), ShapeError> {
        for (what, got) in [
            ("rows of the plan (at least)", self.rows),
            ("positions of the plan (at least)", self.capacity_tokens),
        ] {
            if got == 0 {
                return Err(ShapeError {
                    op: "KvPlan",
                    what,
                    expected: 1,
                    got,
                });
            }
        }
        Ok(())
    }

    /// Whether a cache of this plan can serve `other`.
    pub fn covers(&self, other: &KvPlan) -> bool {
        let own = |plan: &KvPlan| plan.capacity_tokens.saturating_sub(plan.shared_tokens);
        self.layout == other.layout
            && self.rows >= other.rows
            && self.capacity_tokens >= other.capacity_tokens
            && own(self) >= own(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use curt_kernels::Dtype;

    const GEOMETRY: KvGeometry = KvGeometry {
        layers: 30,
        kv_heads: 3,
        head_dim: 64,
        dtype: Dtype::F32,
    };

    #[test]
    fn bytes_are_counted_and_limited() {
        let plan = KvPlan::new(GEOMETRY, KvLayout::Shared, 16, 254, None).unwrap();
        assert_eq!(plan.bytes_per_token, 2 * 30 * 3 * 64 * 4);
        assert_eq!(plan.bytes, 46_080 * 16 * 254);
        let limit = Some(plan.bytes - 1);
        let error = KvPlan::new(GEOMETRY, KvLayout::Shared, 16, 254, limit).unwrap_err();
        assert!(error.to_string().contains("max_kv_bytes"), "{error}");
        assert!(KvPlan::new(GEOMETRY, KvLayout::Growing, 16, 254, Some(plan.bytes)).is_err());
        let two = KvPlan::new(GEOMETRY, KvLayout::Growing, 16, 254, None).unwrap();
        assert_eq!(two.bytes_per_token, GEOMETRY.bytes_per_token());
        assert_eq!((two.copies, two.bytes), (2, 2 * plan.bytes));
    }

    #[test]
    fn none_and_too_many_are_refused_without_a_limit() {
        for (rows, positions) in [(usize::MAX, usize::MAX), (0, 10), (10, 0)] {
            assert!(KvPlan::new(GEOMETRY, KvLayout::Shared, rows, positions, None).is_err());
        }
    }
}
