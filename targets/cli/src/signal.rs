//! Ctrl-C cancels the question; a second one ends the process.

use curt::CancelToken;

/// A token that ctrl-C cancels.
pub fn cancelled_by_ctrl_c() -> anyhow::Result<CancelToken> {
    let token = CancelToken::new();
    let handler = token.clone();
    ctrlc::set_handler(move || {
        if handler.is_cancelled() {
            std::process::exit(i32::from(crate::INTERRUPTED));
        }
        handler.cancel();
    })?;
    Ok(token)
}
