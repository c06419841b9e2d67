//! What is known of devices, and how to run curt on each.
//!
//! A [`Profile`] is a TOML file: how its device is recognised, and values, each with the reason it was chosen for and the
//! record that measured it, where one did. The shipped ones lie in `devices/`; a user's own file has the same form and wins.
//! [`Machine`] is what a running system says of itself, [`heat`] how hot it says it is, and [`cores`] which of its cores
//! are fast. All are read below a root, so that tests read a made-up one.

pub mod cores;
mod detect;
mod error;
pub mod heat;
mod profile;

pub use detect::{Detected, Machine, detect};
pub use error::{Error, Result};
pub use profile::{CoreChoice, Profile, Rule, Value, shipped};

use std::path::Path;

/// Small files of the system: a device's name, a temperature, a processor's description.
fn read(root: &Path, file: &str) -> Option<String> {
    /// Most bytes of one that are looked at: /proc/cpuinfo of some hundred cores.
    const MOST: u64 = 1 << 20;
    use std::io::Read;
    let file = std::fs::File::open(root.join(file)).ok()?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
