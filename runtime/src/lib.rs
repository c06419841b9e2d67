//! curt: runs quantized language models on edge devices through ONNX Runtime, and answers in as few tokens as the
//! question deserves.
//!
//! ```no_run
//! use curt::{AskOptions, Engine, EngineOptions, Event};
//!
//! let mut engine = Engine::open("models/packages/reasoner", &EngineOptions::default())?;
//! let options = AskOptions { paths: 16, ..AskOptions::default() };
//! let answer = engine.ask(&"What comes out?".into(), &options, &mut |event| {
//!     if let Event::Text { path: 0, text } = event {
//!         print!("{text}");
//!     }
//! })?;
//! println!("{} tokens", answer.tokens.generated);
//! # Ok::<(), curt::Error>(())
//! ```
//!
//! [`Engine::ask`] is the one door. Beneath it, each module does one thing: [`package`] opens a model folder,
//! [`session`] runs its graph, [`kv`] owns the keys and values, [`generate`] draws tokens, [`head`] scores a path from what
//! is cached of it, [`reading`] finds the answer in a text and says which answers are the same, [`paths`] runs N paths from one
//! prompt: launches, checks, resumes, votes; [`mod@format`] has a response say what it sees and concludes before it answers, or
//! answer at once.

// What is to be said is a value; a full disk or a reader that has left must not end the process.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod answer;
pub mod engine;
mod error;
pub mod files;
pub mod format;
pub mod generate;
pub mod head;
pub mod kv;
pub mod metrics;
pub mod package;
pub mod paths;
pub mod reading;
pub mod session;
pub mod vision;

pub use answer::Answer;
pub use engine::{
    AskError, AskOptions, CalibrationSource, Engine, EngineOptions, Event, ProviderProbe,
    PruneOptions, Question, SectionCaps, Trim, Voting,
};
pub use error::{Error, Result};
pub use format::Format;
pub use package::{
    Attention, AttentionReport, Message, Package, PromptFile, Role, SamplingDefaults,
};
pub use paths::VoteRule;
pub use reading::{AnswerKind, AnswerReader, FoundAnswer};
pub use session::CancelToken;

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
