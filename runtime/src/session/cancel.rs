//! Stopping a generation from another thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ort::session::RunOptions;

use crate::error::{Error, Result};

/// Cancels a question from any thread. Clones cancel the same question; a cancelled token stays cancelled. Give each
/// engine a token of its own: of two that answer at once with one token, the first is stopped between tokens alone.
///
/// It takes effect within one token; a long prefill is stopped inside ONNX Runtime.
#[derive(Clone, Default)]
pub struct CancelToken(Arc<Inner>);

#[derive(Default)]
struct Inner {
    cancelled: AtomicBool,
    /// The runs to stop, while a question is being answered.
    run: Mutex<Option<Arc<RunOptions>>>,
}

impl std::fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CancelToken({})", self.is_cancelled())
    }
}

impl CancelToken {
    /// A token that nobody has cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the question that was asked with this token, and any that will be.
    pub fn cancel(&self) {
        // The lock is held while the flag is set: `attach` and the guard's drop see both or neither.
        let run = self.0.run.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.cancelled.store(true, Ordering::Release);
        if let Some(run) = run.as_ref() {
            // A failure here leaves the flag, which is read before every token.
            let _ = run.terminate();
        }
    }

    /// Whether somebody has cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    pub(super) fn attach(&self, options: &Arc<RunOptions>) -> Result<Attached> {
        let mut run = self.0.run.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_cancelled() {
            return Err(Error::Cancelled { tokens: 0 });
        }
        *run = Some(Arc::clone(options));
        Ok(Attached {
            token: self.clone(),
            options: Arc::clone(options),
        })
    }
}

/// While it lives, the token can stop the session's runs.
pub(crate) struct Attached {
    token: CancelToken,
    options: Arc<RunOptions>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut run = self
            .token
            .0
            .run
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if run.as_ref().is_some_and(|r| Arc::ptr_eq(r, &self.options)) {
            *run = None;
        }
        // The session is used again for the next question.
        let _ = self.options.unterminate();
    }
}
