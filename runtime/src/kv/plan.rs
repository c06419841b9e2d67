//! How large a KV cache will be, before any of it is allocated.

use serde::Serialize;

use super::{KvGeometry, KvLayout};
use crate::error::{Error, Result};

/// A KV cache as planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct KvPlan {
    /// Rows: one for each path.
    pub rows: usize,
    /// Positions in each row: prompt and generated tokens together.
    pub capacity_tokens: usize,
    /// Bytes of one position of one row over all layers, keys and values.
    pub bytes_per_token: u64,
    /// Bytes in all. Only what is used becomes resident.
    pub bytes: u64,
}

impl KvPlan {
    /// Plans `rows` rows of `capacity_tokens` positions.
    ///
    /// A growing layout needs two copies: a step reads one and writes the other.
    ///
    /// # Errors
    /// [`Error::Capacity`] where that is more than `limit_bytes`.
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
        let bytes_per_token = geometry.bytes_per_token().saturating_mul(copies);
        let bytes = bytes_per_token
            .saturating_mul(rows as u64)
            .saturating_mul(capacity_tokens as u64);
        // More than an address can name is refused whatever the limit.
        let limit_bytes = limit_bytes.unwrap_or(u64::MAX).min(isize::MAX as u64);
        if bytes > limit_bytes {
            return Err(Error::Capacity {
                needed_bytes: bytes,
                limit_bytes,
                rows,
                capacity_tokens,
                bytes_per_token,
            });
        }
        Ok(Self {
            rows,
            capacity_tokens,
            bytes_per_token,
            bytes,
        })
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
    }

    #[test]
    fn an_absurd_number_is_refused_without_a_limit() {
        assert!(KvPlan::new(GEOMETRY, KvLayout::Shared, usize::MAX, usize::MAX, None).is_err());
    }
}
