//! curt-train: labelled paths from a workload, and stop heads trained on them.
//!
//! [`collect::collect`] samples paths and grades their answers, one line a path, and keeps of the keys and values what a check
//! at named token counts would read. [`train()`] rebuilds what was not kept, finds the check point and the few layers that
//! suffice, and fits heads of the runtime's file format and their controls.

// What is to be said is a value; a full disk or a reader that has left must not end the process.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod calibrate;
pub mod collect;
pub mod controls;
pub mod dataset;
mod error;
pub mod features;
pub mod fit;
pub mod measure;
pub mod replays;
pub mod report;
mod scaling;
pub mod search;
pub mod study;
mod train;

pub use error::{Error, Result};
pub use train::{Event, Listener, PoolingKind, TrainOptions, Trained, train};
