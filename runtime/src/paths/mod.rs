//! N paths from one prompt: launched together, advanced in lockstep, checked, resumed, voted on.

mod check;
mod keep;
mod launch;
mod path;
mod policy;
mod rebuild;
mod replay;
mod schedule;
mod signal;
mod text;
mod vote;

pub use keep::Keep;
pub use launch::{CachedPaths, CheckTaken, Launch, Launched, Stop, Watch, launch};
pub use path::{FinishReason, PathId, PathScore, ReasoningPath};
pub use policy::{Check, Ending, Policy};
pub use rebuild::rebuild;
pub use replay::{Replayed, Trace, replay};
pub use schedule::{Fate, Schedule};
pub use signal::{Signal, SignalName};
pub(crate) use text::PathText;
pub use vote::{Ballot, Vote, VoteRule};
