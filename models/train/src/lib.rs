//! curt-train: labelled paths from a workload, and stop heads trained on them.
//!
//! [`collect::collect`] samples paths and grades their answers, one line a path, and keeps of the keys and values what a check
//! at named token counts would read. [`train()`] rebuilds what was not kept, finds the check point and the few layers that
//! suffice, and fits heads of the runtime's file format and their controls.
//!
//! ```no_run
//! use curt::{CancelToken, Engine, EngineOptions};
//! use curt_train::controls::Kinds;
//! use curt_train::dataset::Data;
//! use curt_train::fit::FitOptions;
//! use curt_train::{TrainOptions, train};
//! use curt_workload::Workload;
//!
//! let mut engine = Engine::open("models/packages/reasoner", &EngineOptions::default())?;
//! let workload = Workload::open("models/workloads/reasoner".as_ref(), None)?;
//! let options = TrainOptions {
//!     name: "kv".into(),
//!     kinds: Kinds { kv: true, logprob: true, text: false },
//!     check_at: vec![32],
//!     layers: Vec::new(),
//!     pooling: None,
//!     budget_share: 0.5,
//!     fit: FitOptions::default(),
//!     seed: 0,
//!     cancel: CancelToken::new(),
//! };
//! let paths = Data::read("paths".as_ref())?;
//! let trained = train(&mut engine, &workload, &paths, &options, &mut |_| {})?;
//! trained.heads[0].write("kv.safetensors".as_ref())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
