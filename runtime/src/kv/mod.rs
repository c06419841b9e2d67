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
mod tensor;

pub use cache::KvCache;
pub use geometry::{KvGeometry, KvKind, KvLayout};
pub use host::HostView;
pub use plan::KvPlan;
pub use row::KvRow;
pub(crate) use slab::Slab;
pub(crate) use tensor::KvTensor;
