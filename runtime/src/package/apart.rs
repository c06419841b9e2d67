//! Runs other people's parsers on other people's bytes: a panic becomes an error, the stack has a known size, and who
//! waits may leave.
//!
//! Tokenizers and templates are validated before they come here, so that nothing known panics; this is for what is not
//! known. The thread's panic hook runs before a panic is caught, and belongs to the program: one that reports panics can
//! ask [`panic_is_caught`] first. Where a program aborts on panics, validation is all there is.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

thread_local! {
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// How often who waits looks whether it should leave.
const LOOK: Duration = Duration::from_millis(20);

/// Whether a panic of this thread, now, is caught by this library and becomes an [`crate::Error`].
pub fn panic_is_caught() -> bool {
    CAUGHT.get()
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoResult {
    /// The work panicked.
    #[error("panicked: {0}")]
    Panicked(String),
    /// It took too long.
    #[error("took more than {0:?}")]
    TooLong(Duration),
    /// Who waited was told to leave.
    #[error("cancelled")]
    Cancelled,
    /// The operating system gives no thread.
    #[error("no thread for it")]
    NoThread(#[source] std::io::Error),
}

/// The result of `work`, or what it panicked with.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, NoResult> {
    let outer = CAUGHT.replace(true);
    // What the work had borrowed mutably is not looked at after a panic: callers give it owned values and `&self`.
    let done = catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(outer);
    done.map_err(|panic| NoResult::Panicked(words(panic.as_ref())))
}

/// What work on a thread of its own may take.
pub(crate) struct Limits<'a> {
    /// Bytes of stack.
    pub(crate) stack: usize,
    /// Wall time.
    pub(crate) time: Duration,
    /// Looked at while waiting.
    pub(crate) cancelled: &'a dyn Fn() -> bool,
}

/// The result of `work`, on a thread of its own.
///
/// After [`NoResult::TooLong`] and [`NoResult::Cancelled`] the thread is left to end by itself: a thread cannot be ended
/// from outside.
pub(crate) fn apart<T: Send + 'static>(
    limits: &Limits<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoResult> {
    if (limits.cancelled)() {
        return Err(NoResult::Cancelled);
    }
    let (send, receive) = sync_channel(1);
    let run = move || {
        // Nobody may be left to receive it.
        drop(send.send(caught(work)));
    };
    std::thread::Builder::new()
        .name("curt-text".into())
        .stack_size(limits.stack)
        .spawn(run)
        .map_err(NoResult::NoThread)?;
    let clock = Instant::now();
    loop {
        match receive.recv_timeout(LOOK) {
            Ok(done) => return done,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(NoResult::Panicked("its thread ended".into()));
            }
            Err(RecvTimeoutError::Timeout) if (limits.cancelled)() => {
                return Err(NoResult::Cancelled);
            }
            Err(RecvTimeoutError::Timeout) if clock.elapsed() > limits.time => {
                return Err(NoResult::TooLong(limits.time));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no words".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(cancelled: &dyn Fn() -> bool, seconds: u64) -> Limits<'_> {
        Limits {
            stack: 1 << 20,
            time: Duration::from_secs(seconds),
            cancelled,
        }
    }

    #[test]
    fn a_panic_is_an_error_and_its_thread_says_that_it_is_caught() {
        assert!(!panic_is_caught());
        let seen = apart(&limits(&|| false, 60), panic_is_caught).unwrap();
        assert!(seen);
        let error = apart(&limits(&|| false, 60), || panic!("no {}", "way")).unwrap_err();
        assert_eq!(error.to_string(), "panicked: no way");
        let error = caught(|| panic!("here")).unwrap_err();
        assert_eq!(error.to_string(), "panicked: here");
        assert!(!panic_is_caught());
    }

    #[test]
    fn who_waits_leaves_when_told_and_when_it_takes_too_long() {
        let slow = || std::thread::sleep(Duration::from_secs(5));
        let clock = Instant::now();
        let error = apart(&limits(&|| true, 60), slow).unwrap_err();
        assert!(matches!(error, NoResult::Cancelled), "{error}");
        let told = || clock.elapsed() > Duration::from_millis(50);
        let error = apart(&limits(&told, 60), slow).unwrap_err();
        assert!(matches!(error, NoResult::Cancelled), "{error}");
        let error = apart(&limits(&|| false, 1), slow).unwrap_err();
        assert!(matches!(error, NoResult::TooLong(_)), "{error}");
        assert!(clock.elapsed() < Duration::from_secs(5));
    }
}
