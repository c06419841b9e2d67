//! Every integration test of the crate in one binary: linked once.

mod grading;
mod imports;
mod meaning;
mod refusals;
mod shipped;
