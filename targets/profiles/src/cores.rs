//! Which cores are fast, and keeping to them.

use std::path::Path;

use crate::read;

/// Most cores that are looked at.
const MOST_CORES: usize = 1024;

/// The cores of the highest capacity below `root`, by number: what Linux gives as `cpu_capacity` where cores differ, else
/// their highest clock. All that are there where they are alike or nothing is said; none where no core is there.
pub fn fastest(root: &Path) -> Vec<usize> {
    let speed = |core: usize, file: &str| -> Option<u64> {
        let file = format!("sys/devices/system/cpu/cpu{core}/{file}");
        read(root, &file)?.trim().parse().ok()
    };
    let cores: Vec<usize> = (0..MOST_CORES)
        .filter(|core| {
            let dir = format!("sys/devices/system/cpu/cpu{core}");
            root.join(dir).is_dir()
        })
        .collect();
    for file in ["cpu_capacity", "cpufreq/cpuinfo_max_freq"] {
        let speeds: Vec<Option<u64>> = cores.iter().map(|&core| speed(core, file)).collect();
        let Some(most) = speeds.iter().flatten().max() else {
            continue;
        };
        // A little less is the same kind of core: the best of them are sorted out at the factory.
        let near = |speed: &Option<u64>| speed.is_some_and(|speed| speed * 10 >= most * 9);
        return cores
            .iter()
            .zip(&speeds)
            .filter(|(_, speed)| near(speed))
            .map(|(&core, _)| core)
            .collect();
    }
    cores
}

/// Keeps this thread, and all that it starts from now on, to `cores`. Whether the system did so; it does where at least one
/// of them may be used.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn keep_to(cores: &[usize]) -> bool {
    // SAFETY: a set of processors is plain bits, and zero is the empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let most = 8 * size_of::<libc::cpu_set_t>();
    for &core in cores.iter().filter(|&&core| core < most) {
        // SAFETY: the core is within the set.
        unsafe { libc::CPU_SET(core, &mut set) };
    }
    // SAFETY: the set is alive, and its size is given; 0 is the calling thread.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) == 0 }
}

/// Says no: this system does not let a thread choose its cores.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn keep_to(_cores: &[usize]) -> bool {
    false
}
