//! Facts of the machine and of the build, for a record.

use std::process::Command;

use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Machine {
    cpu: String,
    cores: usize,
    memory_gib: u64,
    system: String,
}

impl Machine {
    /// What /proc and `uname` say; empty where they are not there.
    pub fn here() -> Self {
        let line = |file: &str, key: &str| -> Option<String> {
            let text = std::fs::read_to_string(file).ok()?;
            let (_, value) = text
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(k, _)| k.trim() == key)?;
            Some(value.trim().to_owned())
        };
        let memory_kib = line("/proc/meminfo", "MemTotal")
            .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
            .unwrap_or_default();
        Self {
            cpu: line("/proc/cpuinfo", "model name").unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: (memory_kib + (1 << 19)) >> 20,
            system: output("uname", &["-srm"]),
        }
    }

    pub fn describe(&self) -> String {
        let Self {
            cpu,
            cores,
            memory_gib,
            system,
        } = self;
        format!("{cpu}, {cores} cores, {memory_gib} GiB, {system}")
    }
}

/// The checkout's commit; empty outside of one.
pub fn commit() -> String {
    output("git", &["rev-parse", "HEAD"])
}

/// Mean number of runnable processes over the last minute.
pub fn load() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(
        |_| String::new(),
        |o| String::from_utf8_lossy(&o.stdout).trim().to_owned(),
    )
}
