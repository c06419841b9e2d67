//! SIMD over borrowed buffers: a language model's cached keys and values, read in place, and its logits.
//!
//! Everything here works on memory that somebody else owns: no function allocates, spawns a thread, does I/O, logs or
//! reads a clock. [`KvView`] is the one place where the layout of a KV buffer is named. A kernel is chosen once, by
//! instruction set, and holding it proves that the processor has that set.

mod attend;
mod dense;
mod dots;
mod element;
mod error;
mod isa;
mod kv;
mod lanes;
mod mean;
mod scales;
mod softmax;

pub use attend::Attend;
pub use dense::Dense;
pub use error::ShapeError;
pub use isa::Isa;
pub use kv::{Dtype, KvView};
pub use mean::Mean;
pub use scales::KvScales;
pub use softmax::{Softmax, exp_of_non_positive};
