//! The one place where a status of the C API becomes an error.

use std::ffi::CStr;

use ort::sys::OrtStatusPtr;

use crate::error::{Error, Result};

/// Frees `status` and returns what it says.
pub(super) fn check(status: OrtStatusPtr, action: &str) -> Result<()> {
    if status.0.is_null() {
        return Ok(());
    }
    // SAFETY: the status is not null; its message lives until it is released, and is copied before.
    let message = unsafe {
        let message = CStr::from_ptr((ort::api().GetErrorMessage)(status.0))
            .to_string_lossy()
            .into_owned();
        (ort::api().ReleaseStatus)(status.0);
        message
    };
    Err(Error::Session {
        action: action.into(),
        message,
    })
}
