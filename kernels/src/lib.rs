//! Reads a language model's cached keys and values in place.
//!
//! Everything here works on memory that somebody else owns: no function allocates, spawns a thread, does I/O, logs or
//! reads a clock. [`KvView`] is the one place where the layout of a KV buffer is named.

mod error;
mod kv;

pub use error::ShapeError;
pub use kv::{Dtype, KvView};
