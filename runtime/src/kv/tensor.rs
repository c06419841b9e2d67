//! What a graph binds of a cache.

use std::ptr::NonNull;

use curt_session::Memory;

/// Where a graph reads or writes the keys or values of one layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KvTensor {
    pub(crate) memory: Memory,
    pub(crate) start: NonNull<u8>,
    pub(crate) bytes: usize,
    /// `[rows, kv_heads, positions, head_dim]`
    pub(crate) shape: [i64; 4],
}
