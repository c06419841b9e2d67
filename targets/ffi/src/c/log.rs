//! The log, handed on.

use std::cell::Cell;
use std::ffi::{CString, c_char, c_void};
use std::sync::{OnceLock, PoisonError, RwLock};

use log::{LevelFilter, Log, Metadata, Record};

use crate::boundary::call;
use crate::status::{CurtStatus, Failure};

/// How much a line of the log matters.
#[repr(u32)]
pub enum CurtLogLevel {
    /// Nothing is told.
    Off = 0,
    /// Something failed.
    Error = 1,
    /// Something is not as it should be.
    Warn = 2,
    /// What a user may want to know.
    Info = 3,
    /// What a developer may want to know.
    Debug = 4,
    /// Everything.
    Trace = 5,
}

/// The callback, as the header says.
pub type CurtOnLog = Option<extern "C" fn(user: *mut c_void, level: u32, message: *const c_char)>;

/// Whom the log is told to.
struct Reader {
    on_log: extern "C" fn(user: *mut c_void, level: u32, message: *const c_char),
    user: *mut c_void,
}

// SAFETY: the header says that the callback is called on any thread with the same `user`, which is not looked at here.
unsafe impl Send for Reader {}
// SAFETY: as above.
unsafe impl Sync for Reader {}

static READER: RwLock<Option<Reader>> = RwLock::new(None);

/// Whether the process hands its log to [`Handed`]: it can be said once.
static CHOSEN: OnceLock<bool> = OnceLock::new();

thread_local! {
    /// Whether this thread is in the callback.
    static TELLING: Cell<bool> = const { Cell::new(false) };
}

struct Handed;

/// Tells the log to `on_log` from `level` (one of CurtLogLevel) up, or to nobody where it is NULL. The callback is called on
/// any thread, by several at once. When this returns, the callback that was there before is not called any more. May not be
/// called in the callback.
#[unsafe(no_mangle)]
pub extern "C" fn curt_log_to(on_log: CurtOnLog, user: *mut c_void, level: u32) -> CurtStatus {
    call(|| {
        let filter = match level {
            0 => LevelFilter::Off,
            1 => LevelFilter::Error,
            2 => LevelFilter::Warn,
            3 => LevelFilter::Info,
            4 => LevelFilter::Debug,
            5 => LevelFilter::Trace,
            other => return Err(Failure::argument("level", "one of CurtLogLevel", other)),
        };
        if TELLING.get() {
            let message = "the log is being told on this thread: choose its reader elsewhere";
            return Err(Failure::new(CurtStatus::Busy, message));
        }
        let mut reader = READER.write().unwrap_or_else(PoisonError::into_inner);
        if !*CHOSEN.get_or_init(|| log::set_logger(&Handed).is_ok()) {
            let message = "the log of this process has another reader, chosen in Rust";
            return Err(Failure::new(CurtStatus::Busy, message));
        }
        *reader = on_log.map(|on_log| Reader { on_log, user });
        log::set_max_level(match reader.is_some() {
            true => filter,
            false => LevelFilter::Off,
        });
        Ok(())
    })
}

impl Log for Handed {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if TELLING.replace(true) {
            return;
        }
        let reader = READER.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = &*reader {
            let line = format!("{}: {}", record.target(), record.args()).replace('\0', " ");
            if let Ok(line) = CString::new(line) {
                (reader.on_log)(reader.user, record.level() as u32, line.as_ptr());
            }
        }
        drop(reader);
        TELLING.set(false);
    }

    fn flush(&self) {}
}
