//! The KV cache: planned, allocated, appended to, forked, rewound, compacted, lent.

mod cache;
mod geometry;
mod plan;
mod slab;

pub(crate) use cache::KvTensor;
pub use cache::{KvCache, KvKind};
pub use geometry::{KvGeometry, KvLayout};
pub use plan::KvPlan;
pub(crate) use slab::Slab;
