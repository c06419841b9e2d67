//! What the operating system says of this process and this machine. A number it cannot say is `None`, never 0.

/// Most bytes of this process that were ever resident at once.
///
/// On Linux and Android the kernel's own mark of this program's memory (`VmHWM`): what `getrusage` says also counts the
/// program that started it by `exec`.
pub fn peak_resident_bytes() -> Option<u64> {
    if cfg!(any(target_os = "linux", target_os = "android")) {
        kibibytes("/proc/self/status", "VmHWM:")
    } else {
        peak_of_rusage()
    }
}

#[cfg(unix)]
fn peak_of_rusage() -> Option<u64> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is writable memory of the size getrusage fills; it is read only when the call says it was filled.
    let usage = unsafe {
        if libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) != 0 {
            return None;
        }
        usage.assume_init()
    };
    let peak = u64::try_from(usage.ru_maxrss).ok()?;
    // Kibibytes, but bytes on Apple systems (getrusage(2)).
    let unit = if cfg!(target_vendor = "apple") {
        1
    } else {
        1024
    };
    Some(peak * unit)
}

#[cfg(not(unix))]
fn peak_of_rusage() -> Option<u64> {
    None
}

/// Bytes of this process that are resident now, where the system says so (Linux: `VmRSS`).
pub fn resident_bytes() -> Option<u64> {
    kibibytes("/proc/self/status", "VmRSS:")
}

/// Bytes that a new allocation could get without swapping, where the system says so (Linux: `MemAvailable`).
pub fn available_bytes() -> Option<u64> {
    kibibytes("/proc/meminfo", "MemAvailable:")
}

/// The value behind `name` in one of the kernel's tables, in bytes.
fn kibibytes(table: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(table).ok()?;
    let line = text.lines().find(|l| l.starts_with(name))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn the_peak_grows_with_what_is_touched_and_stays() {
        let before = super::peak_resident_bytes().unwrap();
        // More than was ever resident: the mark must rise by what is new.
        let more = 64 << 20;
        let grown = vec![1u8; usize::try_from(before).unwrap() + more];
        std::hint::black_box(&grown);
        // The kernel adds up counts that each processor keeps for itself, some pages late: half is surely seen.
        let least = before + more as u64 / 2;
        let peak = super::peak_resident_bytes().unwrap();
        assert!(peak >= least, "{before} → {peak}");
        drop(grown);
        let now = super::resident_bytes().unwrap();
        assert!(0 < now && now < peak, "{now} of {peak}");
        let after = super::peak_resident_bytes().unwrap();
        assert!(after >= least, "{before} → {peak} → {after}");
        assert!(super::available_bytes().unwrap() > 0);
    }
}
