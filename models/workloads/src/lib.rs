//! Workloads: questions with known answers, in a train and a held-out part.
//!
//! ```no_run
//! use curt_workload::{Part, Workload};
//!
//! let workload = Workload::open("models/workloads/word-problems".as_ref(), None)?;
//! for item in workload.part(Part::HeldOut) {
//!     let right = workload.grade(item, Some("13"), "8 + 5 = 13. The answer is 13.")?;
//!     println!("{}: {right}", item.id);
//! }
//! # Ok::<(), curt_workload::Error>(())
//! ```
//!
//! A workload is a folder ([`Workload::open`] says of which files), or one JSONL or CSV file with a prompt file.

// What is to be said is a value; a full disk or a reader that has left must not end the process.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod digest;
mod error;
pub mod import;
mod manifest;
mod read;
mod rows;
mod scorer;
mod split;
mod workload;

pub use error::{Error, Problem, Result};
pub use scorer::{Item, Scorer};
pub use workload::{Part, Workload};
