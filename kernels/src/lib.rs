//! SIMD over borrowed buffers: a language model's cached keys and values, read in place, and its logits.
//!
//! Everything here works on memory that somebody else owns, without a heap, threads, I/O or a clock: the crate is
//! `no_std`, and `half` is all that it depends on. An operation ([`Mean`], [`Attend`], [`SplitAttention`], [`Dense`], [`Softmax`]) is chosen
//! once, for an instruction set, and holding one proves that the processor has that set:
//!
//! ```
//! use curt_kernels::{Dtype, KvView, Mean};
//!
//! // Values of one layer and one path: one KV head, two positions, head_dim 2.
//! let values: Vec<u8> = [1.0f32, 2.0, 3.0, 6.0].iter().flat_map(|x| x.to_le_bytes()).collect();
//! let values = KvView::new(&values, Dtype::F32, [1, 2, 2], 4)?;
//! let mut mean = [0.0; 2];
//! Mean::best().pool(&[values], 0, &mut mean)?;
//! assert_eq!(mean, [2.0, 4.0]);
//! # Ok::<(), curt_kernels::ShapeError>(())
//! ```
//!
//! [`KvView`] alone knows how keys and values lie in memory. The keys or values of a path come in one segment or in two:
//! a prompt that paths share, then the path's own.
//!
//! # Features
//! `std` (on by default): asks the processor for its instruction sets ([`Isa::is_available`]). Without it, what the build
//! was compiled for is taken.

#![no_std]

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
mod split_attention;

pub use attend::Attend;
pub use dense::Dense;
pub use error::ShapeError;
pub use isa::Isa;
pub use kv::{Dtype, KvView};
pub use mean::Mean;
pub use scales::KvScales;
pub use softmax::{Softmax, exp_of_non_positive};
pub use split_attention::{Cached, Causal, SplitAttention};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
