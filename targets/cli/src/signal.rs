//! Ctrl-C cancels the question; a second one ends the process.

use curt::CancelToken;

/// A token that ctrl-C cancels.
pub fn cancelled_by_ctrl_c() -> anyhow::Result<CancelToken> {
    let token = CancelToken::new();
    let handler = token.clone();
    ctrlc::set_handler(move || {
        if handler.is_cancelled() {
            // Not `exit`: it would run the library's destructors under its running threads.
            #[cfg(unix)]
            // SAFETY: ends the process at once.
            unsafe {
                libc::_exit(i32::from(crate::INTERRUPTED));
            }
            #[cfg(not(unix))]
            std::process::abort();
        }
        handler.cancel();
    })?;
    Ok(token)
}
