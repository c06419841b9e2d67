//! Every integration test of the crate in one binary: linked once.

mod coverage;
#[cfg(unix)]
mod edges;
mod parity;
mod props;
mod reference;
mod softmax;
mod special;
mod split_attention;
