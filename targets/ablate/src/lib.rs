//! Ablation: what pruning does to a workload of one's own, and whether it may be shipped.
//!
//! Arms are data ([`arm`]); a run writes one line for each item × arm ([`record`]); every figure is made of these lines
//! alone ([`summary`]); the [`verdict`] says in one sentence what they allow to say.
//!
//! ```no_run
//! use curt_ablate::record::read_records;
//! use curt_ablate::report::Table;
//! use curt_ablate::summary::Summary;
//!
//! let records = read_records("ablation".as_ref())?;
//! let summary = Summary::of(&records);
//! println!("{}\n{}", Table::of(&summary).text(), summary.verdict.sentence);
//! # Ok::<(), curt_ablate::Error>(())
//! ```
//!
//! A run that was killed goes on where it was, shards of it are merged, and the same records give the same figures.

// What is to be said is a value; a full disk or a reader that has left must not end the process.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod arm;
mod ask;
pub mod calibrate;
mod compare;
mod derive;
mod error;
pub mod measure;
mod merge;
pub mod record;
pub mod report;
pub mod run;
pub mod stats;
pub mod summary;
pub mod verdict;

pub use compare::{AFTER, BEFORE, compare};
pub use derive::derive;
pub use error::{Error, Result};
pub use merge::merge;
