//! Every integration test of the crate in one binary: linked once.

mod ablate;
#[cfg(feature = "train")]
mod collect;
mod command;
#[cfg(target_os = "linux")]
mod offline;
mod output;
mod profile;
mod providers;
mod readme;
mod support;
#[cfg(feature = "train")]
mod train_head;
mod workload;
