//! What the machine says while a question is answered: memory, energy, frequency. What it does not say is absent.

mod energy;
mod frequency;
mod machine;
mod memory;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use machine::machine;

use crate::record::Readings;
use energy::Rails;

/// Reads the machine's counters from a system's root, `/` but in tests.
#[derive(Debug)]
pub struct Meter {
    root: PathBuf,
    rails: Rails,
}

/// Readings that began.
#[derive(Debug)]
pub struct Begun {
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
        }
    }

    /// Begins to read.
    pub fn begin(&self) -> Begun {
        Begun {
            peak: memory::reset_peak(&self.root),
            energy: self.rails.begin(),
        }
    }

    /// What was read since.
    pub fn end(&self, begun: Begun) -> Readings {
        Readings {
            joules: self.rails.end(begun.energy),
            peak_resident_bytes: if begun.peak {
                curt::metrics::peak_resident_bytes()
            } else {
                None
            },
            mhz: self.mhz(),
        }
    }

    /// Mean frequency of the cores now, in MHz.
    pub fn mhz(&self) -> Option<f64> {
        frequency::mean_mhz(&self.root)
    }

    /// Power of each rail while this process waits for `duration`, in watts.
    pub fn idle_watts(&self, duration: Duration) -> BTreeMap<String, f64> {
        if self.rails.is_empty() {
            return BTreeMap::new();
        }
        let begun = self.rails.begin();
        std::thread::sleep(duration);
        let mut joules = self.rails.end(begun);
        joules
            .values_mut()
            .for_each(|value| *value /= duration.as_secs_f64());
        joules
    }
}
