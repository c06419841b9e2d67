//! Every integration test of the crate in one binary: linked once.

mod answers;
mod clients;
mod limits;
mod refusals;
mod streams;
mod support;
