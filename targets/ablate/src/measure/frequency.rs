//! The clock of the cores.

use std::ops::RangeInclusive;
use std::path::Path;

/// Highest of what cpufreq says that the cores run at which this process may use, in MHz; `None` where it says nothing. The
/// mean would be that of idle cores, which clock down, wherever fewer are at work than may be.
pub(super) fn highest_mhz(root: &Path) -> Option<f64> {
    let allowed = allowed_cores(root);
    let cores = std::fs::read_dir(root.join("sys/devices/system/cpu")).ok()?;
    cores
        .flatten()
        .filter(|core| {
            let number = core.file_name();
            let number = number.to_str().and_then(|name| name.strip_prefix("cpu"));
            let number: Option<usize> = number.and_then(|n| n.parse().ok());
            number.is_some_and(|n| allowed.iter().any(|range| range.contains(&n)))
        })
        .filter_map(|core| {
            std::fs::read_to_string(core.path().join("cpufreq/scaling_cur_freq")).ok()
        })
        .filter_map(|text| text.trim().parse::<f64>().ok())
        .max_by(f64::total_cmp)
        .map(|khz| khz / 1e3)
}

/// Cores that this process may use (Linux, `proc(5)`, `Cpus_allowed_list`); all where nothing is said.
fn allowed_cores(root: &Path) -> Vec<RangeInclusive<usize>> {
    let status = std::fs::read_to_string(root.join("proc/self/status")).unwrap_or_default();
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    list.and_then(|list| list.split(',').map(range).collect())
        .unwrap_or_else(|| vec![0..=usize::MAX])
}
