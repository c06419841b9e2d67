//! One model, its cache, and the next token.

mod decoder;
mod invariance;
mod random;
mod sample;

pub use decoder::{Decoder, DecoderOptions};
pub use invariance::{RowInvariance, probe_row_invariance};
pub use random::PathRandom;
pub use sample::{Sampled, Sampler, Sampling};
