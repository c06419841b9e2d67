//! What a graph's keys and values are: sizes, element type, how they are bound.

use curt_kernels::Dtype;

/// Keys or values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvKind {
    /// Keys, as the model caches them (after the rotary embedding, in the exports seen).
    Key,
    /// Values.
    Value,
}

/// How a graph takes and gives back its keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvLayout {
    /// GroupQueryAttention appends in place: one buffer is bound as past and as present.
    Shared,
    /// Present is past plus the new positions, and replaces it at each step.
    Growing,
    /// The graph binds none: an attention operator of curt's own reads one copy of the prompt for all rows, and of each row
    /// what came after it, kept as elements of this type.
    SharedPrompt(Dtype),
}

impl KvLayout {
    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            KvLayout::Shared => "shared (one buffer, appended in place)",
            KvLayout::Growing => "growing (present replaces past)",
            KvLayout::SharedPrompt(Dtype::F16) => "shared prompt (one copy for all rows, in f16)",
            KvLayout::SharedPrompt(_) => "shared prompt (one copy for all rows)",
        }
    }

    /// What is kept of keys and values that a graph computes as `of_graph` says.
    pub(super) fn kept(self, of_graph: KvGeometry) -> KvGeometry {
        match self {
            KvLayout::SharedPrompt(dtype) => KvGeometry { dtype, ..of_graph },
            KvLayout::Shared | KvLayout::Growing => of_graph,
        }
    }
}

/// Sizes of the KV cache that a graph needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvGeometry {
    /// Transformer blocks that have keys and values.
    pub layers: usize,
    /// Key/value heads of each block.
    pub kv_heads: usize,
    /// Elements of one key or value.
    pub head_dim: usize,
    /// Element type of keys and values.
    pub dtype: Dtype,
}

impl KvGeometry {
    /// Bytes of one position of one row: keys and values of every layer.
    pub fn bytes_per_token(&self) -> u64 {
        // Saturating: the numbers come from a file, and a plan of u64::MAX bytes is refused.
        [
            self.layers,
            self.kv_heads,
            self.head_dim,
            self.dtype.bytes(),
        ]
        .into_iter()
        .fold(2, |product: u64, n| product.saturating_mul(n as u64))
    }
}
