//! The scales of int8 keys and values.

/// Scales of int8 keys or values: an element stands for `integer × scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum KvScales<'a> {
    /// One scale for the whole view.
    PerTensor(f32),
    /// `[kv_heads * head_dim]`: one scale for each head and dimension, the same at every position.
    PerChannel(&'a [f32]),
}

/// The scales of one head.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HeadScales<'a> {
    One(f32),
    /// `[head_dim]`
    Each(&'a [f32]),
}

impl HeadScales<'_> {
    #[inline(always)]
    pub(crate) fn at(self, dim: usize) -> f32 {
        match self {
            HeadScales::One(scale) => scale,
            HeadScales::Each(scales) => scales[dim],
        }
    }
}
