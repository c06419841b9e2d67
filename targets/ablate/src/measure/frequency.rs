//! The clock of the cores.

use std::path::Path;

/// Mean of what cpufreq says each core runs at, in MHz; `None` where it says nothing.
pub(super) fn mean_mhz(root: &Path) -> Option<f64> {
    let cores = std::fs::read_dir(root.join("sys/devices/system/cpu")).ok()?;
    let khz: Vec<f64> = cores
        .flatten()
        .filter_map(|core| {
            std::fs::read_to_string(core.path().join("cpufreq/scaling_cur_freq")).ok()
        })
        .filter_map(|text| text.trim().parse().ok())
        .collect();
    (!khz.is_empty()).then(|| khz.iter().sum::<f64>() / khz.len() as f64 / 1e3)
}
