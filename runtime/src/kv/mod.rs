//! The KV cache: planned, allocated, appended to, forked, rewound, compacted, lent.

mod cache;
mod dense;
mod geometry;
mod host;
mod plan;
mod refuse;
mod row;
mod shared;
mod slab;

pub(crate) use cache::KvTensor;
pub use cache::{KvCache, KvKind};
pub use geometry::{KvGeometry, KvLayout};
pub use host::HostView;
pub use plan::KvPlan;
pub use row::KvRow;
pub(crate) use slab::Slab;
