//! Layers of a cache as the processor reads them.

use curt_kernels::ShapeError;
use curt_session::Memory;

use super::{KvCache, KvKind, KvRow};
use crate::error::Result;

/// The layers of a cache that a reader has asked for, where the processor can read them.
///
/// A cache on the host lends its own memory. One on a device would copy these layers first: so a reader asks once, for all
/// that it reads, and for no more.
#[derive(Clone, Copy)]
pub struct HostView<'a> {
    cache: &'a KvCache,
    layers: &'a [usize],
}

impl std::fmt::Debug for HostView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostView")
            .field("layers", &self.layers)
            .finish_non_exhaustive()
    }
}

impl KvCache {
    /// `layers` as the processor reads them.
    ///
    /// # Errors
    /// [`ShapeError`] past the last layer.
    pub fn host_view<'a>(&'a self, layers: &'a [usize]) -> Result<HostView<'a>> {
        for &layer in layers {
            self.check_layer(layer)?;
        }
        match self.memory() {
            Memory::Host => Ok(HostView {
                cache: self,
                layers,
            }),
        }
    }
}

impl<'a> HostView<'a> {
    /// Keys or values of `layer` in `row`: `[kv_heads, len, head_dim]`.
    ///
    /// # Errors
    /// [`ShapeError`] for a layer that was not asked for, and past the last row.
    pub fn row(&self, layer: usize, kind: KvKind, row: usize) -> Result<KvRow<'a>> {
        if !self.layers.contains(&layer) {
            return Err(ShapeError {
                op: "HostView",
                what: "layers with this number among those asked for",
                expected: 1,
                got: 0,
            }
            .into());
        }
        self.cache.row(layer, kind, row)
    }

    /// Positions cached in every row.
    #[expect(clippy::len_without_is_empty, reason = "a length, not a collection")]
    pub fn len(&self) -> usize {
        self.cache.len()
    }
}
