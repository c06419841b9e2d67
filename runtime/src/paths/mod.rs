//! N paths from one prompt: launched together, advanced in lockstep, voted on.

mod launch;
mod text;
mod vote;

pub use launch::{FinishReason, Launch, LaunchTimes, PathId, ReasoningPath, Stop, launch};
pub(crate) use text::PathText;
pub(crate) use vote::{Ballot, majority};
pub use vote::{Vote, VoteRule, find_answer};
