//! Every integration test of the crate in one binary: linked once.

mod checks;
mod engine;
mod kv;
mod packages;
mod reference;
mod sampling;
mod shown;
mod support;
