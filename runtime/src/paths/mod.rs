//! N paths from one prompt: launched together, advanced in lockstep, checked, resumed, voted on.

mod check;
mod course;
mod keep;
mod launch;
mod path;
mod policy;
mod rebuild;
mod replay;
mod schedule;
mod signal;
mod source;
mod text;
mod vote;
mod watch;

pub use course::launch;
pub use keep::Keep;
pub(crate) use launch::validate_ascending;
pub use launch::{Launch, Launched, Reading};
pub use path::{FinishReason, PathId, PathScore, ReasoningPath};
pub use policy::{Check, Ending, Policy};
pub use rebuild::rebuild;
pub use replay::{Replayed, Trace, replay};
pub use schedule::{Fate, Schedule};
pub use signal::{Signal, SignalName};
pub use source::{AllDrawn, AnswerPlace, Known, Next, TokenSource};
use text::PathText;
pub use text::StopTexts;
pub use vote::{Ballot, Vote, VoteRule};
pub use watch::{CachedPaths, CheckTaken, Watch};
