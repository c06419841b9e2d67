//! What a call came to: a status, and of a failure its words.

use std::cell::RefCell;
use std::error::Error as _;

use curt::{AskError, Error};

/// What a call came to.
#[repr(u32)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CurtStatus {
    /// It did what it was asked.
    #[default]
    Ok = 0,
    /// A handle that is none, is of another kind, or was closed.
    Handle = 1,
    /// An argument that cannot be: a null pointer, a text that is no UTF-8, options that are no JSON.
    Argument = 2,
    /// An option outside its range, unknown, or at odds with another.
    Option = 3,
    /// The engine is answering another question, or keys and values of it are borrowed.
    Busy = 4,
    /// The question was cancelled. There may be an answer as far as it came.
    Cancelled = 5,
    /// The buffer is too small; what fits is in it.
    TooSmall = 6,
    /// The package is broken, or of a kind that curt does not read.
    Package = 7,
    /// A file could not be read.
    File = 8,
    /// There is no usable ONNX Runtime library.
    Library = 9,
    /// ONNX Runtime refused or failed.
    Runtime = 10,
    /// An image that cannot be seen.
    Image = 11,
    /// The question does not fit the model's context.
    Context = 12,
    /// Not enough memory.
    Memory = 13,
    /// The model gave numbers that mean nothing.
    Model = 14,
    /// The engine is in the background.
    Background = 15,
    /// A fault of curt's own. An engine that it happened in takes no more calls but its closing.
    Panic = 16,
}

/// Why a call failed, and what to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// What it comes to.
    pub status: CurtStatus,
    /// What was wrong: the thing, what was expected, what was there.
    pub message: String,
    /// What the caller can do.
    pub remedy: &'static str,
}

thread_local! {
    static LAST: RefCell<Failure> = RefCell::default();
}

impl Failure {
    pub(crate) fn new(status: CurtStatus, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            remedy: remedy(status),
        }
    }

    pub(crate) fn argument(name: &str, expected: &str, got: impl std::fmt::Display) -> Self {
        let message = format!("`{name}`: expected {expected}, got {got}");
        Self::new(CurtStatus::Argument, message)
    }

    /// Notes it as this thread's last, and gives its status.
    pub(crate) fn record(self) -> CurtStatus {
        let status = self.status;
        // A thread that is ending has nobody left to ask.
        let _ = LAST.try_with(|last| last.replace(self));
        status
    }

    /// The last call of this thread that failed.
    pub(crate) fn last() -> Self {
        LAST.try_with(|last| last.borrow().clone())
            .unwrap_or_default()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Package { .. } | Error::Template { .. } | Error::Tokenizer { .. } => {
                CurtStatus::Package
            }
            Error::Io { .. } => CurtStatus::File,
            Error::Session(
                curt::session::Error::Library { .. }
                | curt::session::Error::Loaded { .. }
                | curt::session::Error::Telemetry { .. },
            ) => CurtStatus::Library,
            Error::Option { .. } => CurtStatus::Option,
            Error::Image { .. } => CurtStatus::Image,
            Error::LongText { .. } | Error::Context { .. } => CurtStatus::Context,
            Error::Capacity { .. } => CurtStatus::Memory,
            Error::NonFiniteLogits { .. } | Error::Check { .. } => CurtStatus::Model,
            Error::Cancelled { .. } => CurtStatus::Cancelled,
            Error::Shape(_) => CurtStatus::Argument,
            _ => CurtStatus::Runtime,
        };
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::new(status, message)
    }
}

impl From<AskError> for Failure {
    fn from(failed: AskError) -> Self {
        failed.error.into()
    }
}

/// What a caller can do about `status`.
fn remedy(status: CurtStatus) -> &'static str {
    match status {
        CurtStatus::Ok => "",
        CurtStatus::Handle => "use a handle that a call has given and that was not closed since",
        CurtStatus::Argument => "pass what the header asks for",
        CurtStatus::Option => "change the option that the message names",
        CurtStatus::Busy => {
            "wait for the question to end or cancel it, and release borrowed keys and values"
        }
        CurtStatus::Cancelled => "make a new question to ask again",
        CurtStatus::TooSmall => "pass a buffer of the length that was given, and one byte more",
        CurtStatus::Package => "install the package again, or one that `curt inspect` reads",
        CurtStatus::File => "see that the file is there and may be read",
        CurtStatus::Library => {
            "install ONNX Runtime 1.24 or newer, name it by ORT_DYLIB_PATH or the option `library`, and set \
             ORT_DISABLE_TELEMETRY=1 before the first thread starts"
        }
        CurtStatus::Runtime => {
            "open the engine again with fewer providers; `curt doctor` looks over the machine"
        }
        CurtStatus::Image => "pass an image that is whole, of a size that fits",
        CurtStatus::Context => "shorten the question, the system text or the turns before it",
        CurtStatus::Memory => {
            "ask for fewer `paths` or `max_tokens`, or trim and close other engines"
        }
        CurtStatus::Model => {
            "use another package or file type; `curt doctor` replays a known transcript"
        }
        CurtStatus::Background => "call curt_engine_foreground when the program is in front again",
        CurtStatus::Panic => "close the engine, open it again, and report what the message says",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_its_cause_and_stays_until_the_next_on_its_thread() {
        let error =
            curt::files::open("/nowhere/at/all".as_ref(), "it cannot be opened").unwrap_err();
        let failure = Failure::from(error);
        assert_eq!(failure.status, CurtStatus::File);
        assert!(
            failure.message.contains("/nowhere/at/all"),
            "{}",
            failure.message
        );
        // The words of the system are the error's source.
        assert!(
            failure.message.contains("os error 2"),
            "{}",
            failure.message
        );
        assert!(!failure.remedy.is_empty());
        assert_eq!(failure.clone().record(), CurtStatus::File);
        assert_eq!(Failure::last(), failure);
        let elsewhere = std::thread::spawn(Failure::last).join().unwrap();
        assert_eq!(elsewhere, Failure::default());
    }
}
