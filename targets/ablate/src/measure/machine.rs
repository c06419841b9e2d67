//! The machine, without names.

use std::path::Path;

use crate::record::Machine;

/// What `root` and the compiler say of this machine.
pub fn machine(root: &Path) -> Machine {
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap_or_default();
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_string())
    };
    let cpuinfo = read("proc/cpuinfo");
    // Boards name themselves in the device tree, and their processor nowhere.
    let board = read("proc/device-tree/model")
        .trim_end_matches('\0')
        .trim()
        .to_string();
    let memory = value(&read("proc/meminfo"), "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    Machine {
        cpu: value(&cpuinfo, "model name")
            .or_else(|| Some(board).filter(|board| !board.is_empty()))
            .unwrap_or_else(|| "not known".into()),
        cores: std::thread::available_parallelism().map_or(1, |n| n.get()),
        memory_mib: memory.map(|kib| kib / 1024),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    }
}
