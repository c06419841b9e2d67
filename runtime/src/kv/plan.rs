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
    /// Rows: one for each path.
    pub rows: usize,
    /// Positions in each row: prompt and generated tokens together.
    pub capacity_tokens: usize,
    /// Bytes of one position of one row over all layers, keys and values.
    pub bytes_per_token: u64,
    /// Copies of each row: 1, or 2 where a step reads one and writes the other.
    pub copies: usize,
    /// Bytes of all copies. Only what is used becomes resident.
    pub bytes: u64,
}

impl KvPlan {
    /// Plans `rows` rows of `capacity_tokens` positions.
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
        let copies = match layout {
            KvLayout::Shared => 1,
            KvLayout::Growing => 2,
        };
        let bytes_per_token = geometry.bytes_per_token();
        let bytes = [rows, capacity_tokens, copies]
            .into_iter()
            .fold(bytes_per_token, |product, n| {
                product.saturating_mul(n as u64)
            });
        let plan = Self {
            rows,
            capacity_tokens,
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
        self.rows >= other.rows && self.capacity_tokens >= other.capacity_tokens
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
