//! What a machine says of itself, and which profile that fits.

use std::path::Path;

use crate::{Profile, Result, read, shipped};

/// What a machine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Entries of the device tree's `compatible`.
    pub compatible: Vec<String>,
    /// Model, as the device tree, Android or the firmware has it, or an older `/proc/cpuinfo`.
    pub models: Vec<String>,
    /// Processor architecture, as the compiler names it.
    pub architecture: String,
}

/// A profile, and by what its device was recognised.
#[derive(Debug, Clone, PartialEq)]
pub struct Detected {
    /// The profile.
    pub profile: Profile,
    /// What was said that it has as a mark.
    pub by: String,
}

impl Machine {
    /// What the system below `root` says; `architecture` is the compiler's name for its processor.
    pub fn read(root: &Path, architecture: &str) -> Self {
        let tree = ["proc/device-tree", "sys/firmware/devicetree/base"];
        // Strings of the device tree end in NUL; `compatible` is a list of them.
        let of_tree = |name: &str| {
            let found = tree
                .iter()
                .find_map(|dir| read(root, &format!("{dir}/{name}")));
            let text = found.unwrap_or_default();
            let entries = text.split('\0').map(|entry| entry.trim().to_owned());
            entries.filter(|entry| !entry.is_empty()).collect()
        };
        let mut models: Vec<String> = of_tree("model");
        for file in [
            "sys/class/dmi/id/product_name",
            "sys/class/dmi/id/sys_vendor",
        ] {
            models.extend(read(root, file).map(|text| text.trim().to_owned()));
        }
        for file in ["system/build.prop", "vendor/build.prop"] {
            let text = read(root, file).unwrap_or_default();
            for line in text.lines() {
                // `ro.product.model`, and the same of a partition: `ro.product.system.model`.
                let (key, value) = line.split_once('=').unwrap_or_default();
                if key.starts_with("ro.product.") && key.ends_with(".model") {
                    models.push(value.trim().to_owned());
                }
            }
        }
        let cpuinfo = read(root, "proc/cpuinfo").unwrap_or_default();
        let named = cpuinfo.lines().filter_map(|line| {
            let (key, value) = line.split_once(':')?;
            matches!(key.trim(), "Model" | "Hardware").then(|| value.trim().to_owned())
        });
        models.extend(named);
        models.retain(|model| !model.is_empty());
        models.dedup();
        Self {
            compatible: of_tree("compatible"),
            models,
            architecture: architecture.into(),
        }
    }

    /// This machine.
    pub fn here() -> Self {
        Self::read(Path::new("/"), std::env::consts::ARCH)
    }

    /// By what of this machine `profile` is recognised.
    fn mark_of(&self, profile: &Profile) -> Option<String> {
        let marks = &profile.detect;
        let compatible = self
            .compatible
            .iter()
            .find(|entry| marks.compatible.contains(entry));
        if let Some(entry) = compatible {
            return Some(format!("device tree: {entry}"));
        }
        let model = self
            .models
            .iter()
            .find(|model| marks.model.iter().any(|part| model.contains(part.as_str())));
        if let Some(model) = model {
            return Some(format!("model: {model}"));
        }
        let same = marks.architecture.contains(&self.architecture);
        same.then(|| format!("processor: {}", self.architecture))
    }
}

/// The shipped profile of `machine`; `None` where none knows it.
///
/// # Errors
/// Those of [`shipped`].
pub fn detect(machine: &Machine) -> Result<Option<Detected>> {
    let found = shipped()?.into_iter().find_map(|profile| {
        let by = machine.mark_of(&profile)?;
        Some(Detected { profile, by })
    });
    Ok(found)
}
