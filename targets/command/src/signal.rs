//! Ctrl-C: ends the process at once until a command has something to finish, then cancels that; a second one ends it.

use std::sync::OnceLock;

use anyhow::Result;
use curt::CancelToken;

use crate::{INTERRUPTED, note};

/// What ctrl-C cancels; not set while there is nothing to finish.
static TOKEN: OnceLock<CancelToken> = OnceLock::new();

/// Sets up what ctrl-C does: once in a process.
///
/// # Errors
/// The system's, and where another handler is set.
pub fn handle_ctrl_c() -> Result<()> {
    ctrlc::set_handler(|| match TOKEN.get() {
        Some(token) if !token.is_cancelled() => token.cancel(),
        _ => {
            note!("curt: interrupted");
            // Not `exit`: it would run the library's destructors under its running threads.
            #[cfg(unix)]
            // SAFETY: `_exit` takes any status, runs no handlers and does not return.
            unsafe {
                libc::_exit(i32::from(INTERRUPTED));
            }
            #[cfg(not(unix))]
            std::process::abort();
        }
    })?;
    Ok(())
}

/// A token that ctrl-C cancels from now on.
pub fn cancelled_by_ctrl_c() -> CancelToken {
    TOKEN.get_or_init(CancelToken::new).clone()
}
