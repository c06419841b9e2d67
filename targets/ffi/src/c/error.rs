//! What the library is, and what was wrong with the last call.

use std::ffi::c_char;
use std::panic::catch_unwind;

use crate::boundary::copy;
use crate::status::{CurtStatus, Failure};

/// Number of this interface. It goes up whenever a program that was compiled with an older header would no longer run.
pub const CURT_ABI_VERSION: u32 = 1;

/// CURT_ABI_VERSION of the library, to be held against the header's.
#[unsafe(no_mangle)]
pub extern "C" fn curt_abi_version() -> u32 {
    CURT_ABI_VERSION
}

/// The status of the last call of this thread that failed; CURT_STATUS_OK where none has. A call that succeeds leaves it.
#[unsafe(no_mangle)]
pub extern "C" fn curt_error_status() -> CurtStatus {
    Failure::last().status
}

/// What was wrong with that call: the thing, what was expected, what was there. The text is copied into `buffer` of
/// `capacity` bytes, `length` (may be NULL) gets its length without the NUL. Does not count as a call that failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn curt_error_message(
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> CurtStatus {
    // SAFETY: the caller passes what `copy` asks for, as the header says.
    quietly(|| unsafe { copy(&Failure::last().message, buffer, capacity, length) })
}

/// What to do about it, as curt_error_message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn curt_error_remedy(
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> CurtStatus {
    // SAFETY: the caller passes what `copy` asks for, as the header says.
    quietly(|| unsafe { copy(Failure::last().remedy, buffer, capacity, length) })
}

/// As [`crate::boundary::call`], and leaves the failure that is being asked for where it is.
fn quietly(body: impl FnOnce() -> Result<(), Failure> + std::panic::UnwindSafe) -> CurtStatus {
    match catch_unwind(body) {
        Ok(Ok(())) => CurtStatus::Ok,
        Ok(Err(failure)) => failure.status,
        Err(panic) => crate::boundary::panicked(panic).status,
    }
}
