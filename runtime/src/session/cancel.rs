//! Stopping a generation from another thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ort::session::RunOptions;

use crate::error::{Error, Result};

/// Cancels a question from any thread, or those of several engines. Clones cancel the same questions; a cancelled token
/// stays cancelled.
///
/// It takes effect within one token; a long prefill is stopped inside ONNX Runtime.
#[derive(Clone)]
pub struct CancelToken(Arc<Inner>);

struct Inner {
    cancelled: AtomicBool,
    /// The runs to stop, one for each engine that is answering.
    runs: Mutex<Vec<Arc<RunOptions>>>,
}

impl Default for CancelToken {
    fn default() -> Self {
        Self(Arc::new(Inner {
            cancelled: AtomicBool::new(false),
            // Room for the usual one: no step allocates.
            runs: Mutex::new(Vec::with_capacity(1)),
        }))
    }
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
        let runs = self.0.runs.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.cancelled.store(true, Ordering::Release);
        for run in runs.iter() {
            // A failure here leaves the flag, which is read before every token.
            let _ = run.terminate();
        }
    }

    /// Whether somebody has cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    pub(super) fn attach(&self, options: &Arc<RunOptions>) -> Result<Attached> {
        let mut runs = self.0.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_cancelled() {
            return Err(Error::Cancelled { tokens: 0 });
        }
        runs.push(Arc::clone(options));
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
        let mut runs = self
            .token
            .0
            .runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        runs.retain(|run| !Arc::ptr_eq(run, &self.options));
        // The session is used again for the next question.
        let _ = self.options.unterminate();
    }
}
