//! Energy: Intel's and AMD's RAPL counters, and the INA sensors of Jetson boards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two readings of a sensor that shows power and does not count energy.
const SENSOR_EVERY: Duration = Duration::from_millis(20);

/// Rails that the machine shows.
#[derive(Debug, Default)]
pub(super) struct Rails {
    counters: Vec<Counter>,
    sensors: Vec<Sensor>,
}

/// A counter of energy in µJ that wraps (Linux, `Documentation/power/powercap`).
#[derive(Debug)]
struct Counter {
    name: String,
    file: PathBuf,
    /// Where it begins again, in µJ.
    range: u64,
}

/// A sensor of a rail's voltage in mV and current in mA (Linux, hwmon of the INA3221).
#[derive(Debug, Clone)]
struct Sensor {
    name: String,
    millivolts: PathBuf,
    milliamperes: PathBuf,
}

#[derive(Debug)]
pub(super) struct Begun {
    counters: Vec<Option<u64>>,
    sensors: Option<Watch>,
}

/// A thread that integrates the power of sensors.
#[derive(Debug)]
struct Watch {
    stop: Arc<AtomicBool>,
    joules: JoinHandle<Vec<Option<f64>>>,
}

impl Rails {
    pub(super) fn find(root: &Path) -> Self {
        let mut rails = Self::default();
        // One zone a package of the processor: zones inside it, the platform (psys) that it is a part of, and the same
        // counter over another interface (intel-rapl-mmio) would count twice.
        for zone in children(&root.join("sys/class/powercap")) {
            let number_of_zone = zone
                .file_name()
                .and_then(|name| name.to_str()?.strip_prefix("intel-rapl:"));
            let name = text(&zone.join("name")).filter(|name| name.starts_with("package"));
            let whole = number_of_zone.is_some_and(|n| n.parse::<u32>().is_ok());
            let range = number(&zone.join("max_energy_range_uj"));
            if let (true, Some(name), Some(range)) = (whole, name, range) {
                rails.counters.push(Counter {
                    name,
                    file: zone.join("energy_uj"),
                    range,
                });
            }
        }
        rails
            .counters
            .retain(|counter| number(&counter.file).is_some());
        for monitor in children(&root.join("sys/class/hwmon")) {
            if text(&monitor.join("name")).is_none_or(|name| !name.starts_with("ina")) {
                continue;
            }
            for rail in 1..=3 {
                let label = text(&monitor.join(format!("in{rail}_label")));
                let sensor = Sensor {
                    name: label.unwrap_or_else(|| format!("rail {rail}")),
                    millivolts: monitor.join(format!("in{rail}_input")),
                    milliamperes: monitor.join(format!("curr{rail}_input")),
                };
                if sensor.watts().is_some() {
                    rails.sensors.push(sensor);
                }
            }
        }
        // The board's input feeds all other rails: where it is shown, they would count twice.
        if let Some(input) = rails
            .sensors
            .iter()
            .position(|sensor| sensor.name == "VDD_IN")
        {
            rails.sensors = vec![rails.sensors.swap_remove(input)];
        }
        rails
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counters.is_empty() && self.sensors.is_empty()
    }

    pub(super) fn begin(&self) -> Begun {
        Begun {
            counters: self
                .counters
                .iter()
                .map(|counter| number(&counter.file))
                .collect(),
            sensors: (!self.sensors.is_empty()).then(|| Watch::start(self.sensors.clone())),
        }
    }

    /// Joules by rail since.
    pub(super) fn end(&self, begun: Begun) -> BTreeMap<String, f64> {
        let mut joules: BTreeMap<String, f64> = BTreeMap::new();
        let mut add = |name: &str, value: Option<f64>| {
            if let Some(value) = value {
                *joules.entry(name.into()).or_default() += value;
            }
        };
        for (counter, before) in self.counters.iter().zip(begun.counters) {
            let used = before.zip(number(&counter.file)).map(|(before, after)| {
                // It has begun again at most once: a range lasts minutes at full power.
                let wrapped = if after < before { counter.range } else { 0 };
                (after + wrapped - before) as f64 / 1e6
            });
            add(&counter.name, used);
        }
        if let Some(watch) = begun.sensors {
            watch.stop.store(true, Ordering::Relaxed);
            // A thread that has died has read nothing.
            let values = watch.joules.join().unwrap_or_default();
            for (sensor, value) in self.sensors.iter().zip(values) {
                add(&sensor.name, value);
            }
        }
        joules
    }
}

impl Sensor {
    fn watts(&self) -> Option<f64> {
        Some(number(&self.millivolts)? as f64 * number(&self.milliamperes)? as f64 / 1e6)
    }
}

impl Watch {
    fn start(sensors: Vec<Sensor>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let joules = std::thread::spawn(move || {
            let mut last = Instant::now();
            let mut joules = vec![Some(0.0); sensors.len()];
            loop {
                let ends = stopped.load(Ordering::Relaxed);
                let seconds = last.elapsed().as_secs_f64();
                last = Instant::now();
                for (sensor, joules) in sensors.iter().zip(&mut joules) {
                    // Once a reading fails, the sum is not known.
                    *joules = joules
                        .zip(sensor.watts())
                        .map(|(sum, watts)| sum + watts * seconds);
                }
                if ends {
                    return joules;
                }
                std::thread::sleep(SENSOR_EVERY);
            }
        });
        Self { stop, joules }
    }
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .collect();
    found.sort();
    found
}

fn text(file: &Path) -> Option<String> {
    std::fs::read_to_string(file)
        .ok()
        .map(|text| text.trim().to_string())
}

fn number(file: &Path) -> Option<u64> {
    text(file)?.parse().ok()
}
