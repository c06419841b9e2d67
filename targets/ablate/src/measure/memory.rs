//! The most that was resident.

use std::path::Path;

/// Sets the kernel's mark of this process's resident memory back to what is resident now (Linux, `proc(5)`,
/// `/proc/pid/clear_refs`, value 5). Whether it did.
pub(super) fn reset_peak(root: &Path) -> bool {
    std::fs::write(root.join("proc/self/clear_refs"), "5").is_ok()
}
