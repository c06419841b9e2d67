//! A question that was not answered, and what there was of its answer.

use std::fmt;

use crate::answer::Answer;
use crate::error::Error;

/// Why a question has no answer, and what was generated until then.
#[derive(Debug)]
pub struct AskError {
    /// What went wrong; [`Error::Cancelled`] where somebody asked to stop.
    pub error: Error,
    /// The answer as far as it came, where paths had begun: those that still ran are
    /// [`crate::paths::FinishReason::Interrupted`], and only the others have voted.
    pub partial: Option<Box<Answer>>,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for AskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // It speaks for the error, which is therefore not its own source.
        std::error::Error::source(&self.error)
    }
}

impl From<Error> for AskError {
    fn from(error: Error) -> Self {
        Self {
            error,
            partial: None,
        }
    }
}

impl From<AskError> for Error {
    fn from(failed: AskError) -> Self {
        failed.error
    }
}
