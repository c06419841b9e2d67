//! Stopping a load or a run from another thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ort::session::RunOptions;
use ort::session::builder::LoadCanceler;

use crate::{Error, Result};

/// Cancels from any thread what was started with it: loading a package, answering a question, in one engine or several.
/// Clones cancel the same; a cancelled token stays cancelled.
///
/// It takes effect within one token; a long load or prefill is stopped inside ONNX Runtime.
#[derive(Clone)]
pub struct CancelToken(Arc<Inner>);

struct Inner {
    cancelled: AtomicBool,
    work: Mutex<Work>,
}

/// What ONNX Runtime is doing for those who hold the token.
struct Work {
    /// One entry for each session that loads or runs.
    under_way: Vec<(u64, Stop)>,
    /// Number of the next entry.
    next: u64,
}

/// How a piece of work is stopped.
pub(crate) enum Stop {
    Run(Arc<RunOptions>),
    Load(LoadCanceler),
}

impl From<Arc<RunOptions>> for Stop {
    fn from(run: Arc<RunOptions>) -> Self {
        Stop::Run(run)
    }
}

impl From<LoadCanceler> for Stop {
    fn from(load: LoadCanceler) -> Self {
        Stop::Load(load)
    }
}

impl Stop {
    fn stop(&self) {
        // A failure here leaves the flag, which is read before every token and after every load.
        let _ = match self {
            Stop::Run(run) => run.terminate(),
            Stop::Load(load) => load.cancel(),
        };
    }

    /// Lets what was stopped be used again.
    fn reset(&self) {
        if let Stop::Run(run) = self {
            let _ = run.unterminate();
        }
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self(Arc::new(Inner {
            cancelled: AtomicBool::new(false),
            work: Mutex::new(Work {
                // Room for the usual one: no step allocates.
                under_way: Vec::with_capacity(1),
                next: 0,
            }),
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

    /// Stops what was started with this token, and what will be.
    pub fn cancel(&self) {
        // The lock is held while the flag is set: `attach` and the guard's drop see both or neither.
        let work = self.work();
        self.0.cancelled.store(true, Ordering::Release);
        for (_, stop) in &work.under_way {
            stop.stop();
        }
    }

    /// Whether somebody has cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Lets this token stop `work` until the guard is dropped.
    pub(crate) fn attach(&self, stop: impl Into<Stop>) -> Result<Attached> {
        let mut work = self.work();
        if self.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let number = work.next;
        work.next += 1;
        work.under_way.push((number, stop.into()));
        Ok(Attached {
            token: self.clone(),
            number,
        })
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.0.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it lives, the token can stop the work it was attached to.
pub struct Attached {
    token: CancelToken,
    number: u64,
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut work = self.token.work();
        let place = work.under_way.iter().position(|(n, _)| *n == self.number);
        if let Some(place) = place {
            // The session is used again for the next question.
            work.under_way.swap_remove(place).1.reset();
        }
    }
}
