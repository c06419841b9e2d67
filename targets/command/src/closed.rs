//! Whether standard output was closed when the process began.
//!
//! Rust's runtime opens the null device in place of a closed stream before `main`, and then every write succeeds. The null
//! device itself tells nothing: whoever redirects to it opens it for reading and writing too, as Python and systemd do.
//! So it is looked at earlier, by a function that the loader calls.

#[cfg(unix)]
mod before_main {
    use std::sync::atomic::{AtomicBool, Ordering};

    pub static CLOSED: AtomicBool = AtomicBool::new(false);

    extern "C" fn look() {
        // SAFETY: it takes any number for a descriptor and changes nothing.
        let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
        CLOSED.store(flags == -1, Ordering::Relaxed);
    }

    // SAFETY: these sections hold pointers to functions that the loader calls once, before `main` and before any thread is
    // begun. `look` needs nothing of Rust's runtime.
    #[used]
    #[cfg_attr(
        target_vendor = "apple",
        unsafe(link_section = "__DATA,__mod_init_func")
    )]
    #[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
    static LOOK: extern "C" fn() = look;
}

/// Whether it was closed. Elsewhere than on Unix that is not told.
pub fn stdout_was_closed() -> bool {
    #[cfg(unix)]
    {
        before_main::CLOSED.load(std::sync::atomic::Ordering::Relaxed)
    }
    #[cfg(not(unix))]
    {
        false
    }
}
