//! What the machine says while a question is answered: memory, energy, frequency. What it does not say is absent.

mod energy;
mod frequency;
mod machine;
mod memory;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use machine::machine;

use crate::record::Readings;
use energy::Rails;

/// Reads the machine's counters from a system's root, `/` but in tests.
#[derive(Debug)]
pub struct Meter {
    root: PathBuf,
    rails: Rails,
    /// Idle power in watts by rail, once it was watched.
    idle_watts: BTreeMap<String, f64>,
    /// Frequency that later ones are held against, in MHz, once it was read.
    warm_mhz: Option<f64>,
}

/// Readings that began.
#[derive(Debug)]
pub struct Begun {
    at: Instant,
    energy: energy::Begun,
    /// Whether the mark of resident memory was set back.
    peak: bool,
}

impl Meter {
    /// What there is to read under `root`.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.into(),
            rails: Rails::find(root),
            idle_watts: BTreeMap::new(),
            warm_mhz: None,
        }
    }

    /// Begins to read.
    pub fn begin(&self) -> Begun {
        Begun {
            at: Instant::now(),
            peak: memory::reset_peak(&self.root),
            energy: self.rails.begin(),
        }
    }

    /// What was read since.
    pub fn end(&self, begun: Begun) -> Readings {
        let seconds = begun.at.elapsed().as_secs_f64();
        let joules = self.rails.end(begun.energy);
        let mhz = frequency::highest_mhz(&self.root);
        let idle = |(rail, watts): (&String, &f64)| (rail.clone(), watts * seconds);
        Readings {
            idle_joules: if joules.is_empty() {
                BTreeMap::new()
            } else {
                let known = |(rail, _): &(&String, &f64)| joules.contains_key(*rail);
                self.idle_watts.iter().filter(known).map(idle).collect()
            },
            joules,
            peak_resident_bytes: if begun.peak {
                curt::metrics::peak_resident_bytes()
            } else {
                None
            },
            mhz,
            warm_mhz: mhz.and(self.warm_mhz),
        }
    }

    /// Highest frequency now of the cores that this process may use, in MHz. Later readings carry it beside their own:
    /// call it once the machine is warm.
    pub fn mhz(&mut self) -> Option<f64> {
        self.warm_mhz = frequency::highest_mhz(&self.root);
        self.warm_mhz
    }

    /// Power of each rail while this process waits for `duration`, in watts. Later readings carry what it comes to in
    /// their own time.
    pub fn idle_watts(&mut self, duration: Duration) -> BTreeMap<String, f64> {
        if self.rails.is_empty() {
            return BTreeMap::new();
        }
        let begun = self.rails.begin();
        std::thread::sleep(duration);
        let mut joules = self.rails.end(begun);
        joules
            .values_mut()
            .for_each(|value| *value /= duration.as_secs_f64());
        self.idle_watts.clone_from(&joules);
        joules
    }
}
