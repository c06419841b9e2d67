//! N paths from one prompt: launched together, advanced in lockstep, voted on.

mod launch;
mod text;
mod vote;

pub use launch::{FinishReason, Launch, LaunchTimes, PathId, ReasoningPath, Stop, launch};
pub use text::PathText;
pub use vote::{Ballot, Vote, VoteRule, find_answer, majority};
