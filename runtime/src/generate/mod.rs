//! One model, its cache, and the next token.

mod adjust;
mod buffers;
mod decoder;
mod embed;
mod input;
mod invariance;
mod plan;
mod random;
mod sample;
mod sampling;

pub use adjust::Before;
pub use decoder::Decoder;
pub use input::{CacheKey, CachedKeys, Input};
pub use invariance::{RowInvariance, probe_row_invariance};
pub use plan::{DecoderPlan, MemoryLimits, Room};
pub use random::PathRandom;
pub use sample::{Mask, Sampled, Sampler};
pub use sampling::Sampling;
