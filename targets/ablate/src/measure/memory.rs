//! The most that was resident.

use std::path::Path;

/// Asks the kernel to measure peak resident memory from now on: its peak becomes what is resident now (Linux, `proc(5)`,
/// `/proc/pid/clear_refs`, value 5). Returns whether it did.
pub(super) fn reset_peak(root: &Path) -> bool {
    std::fs::write(root.join("proc/self/clear_refs"), "5").is_ok()
}
