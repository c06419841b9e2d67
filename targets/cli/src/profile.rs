//! `--profile`: what is known of a device becomes the defaults of a question asked there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use curt::paths::Keep;
use curt::session::Providers;
use curt::{AskOptions, EngineOptions, Package};
use curt_profiles::heat::{Limits, read_heat};
use curt_profiles::{CoreChoice, Machine, Profile, cores, detect};

/// Which device this is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ProfileArgs {
    /// Device whose profile gives defaults and bounds: its name, `auto` for this machine's, or a TOML file. What other
    /// options say wins; heat lowers paths and time in any case.
    #[arg(long, value_name = "NAME|auto|FILE")]
    profile: Option<String>,
    /// Reads what the system says of itself below this folder.
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    system_root: PathBuf,
}

/// A device, and what is to be said of it.
#[derive(Debug, Default)]
pub struct Device {
    /// Its profile, where one was asked for and is known.
    pub profile: Option<Profile>,
    /// By what it was recognised.
    pub by: Option<String>,
    limits: Option<Limits>,
    /// What was asked for and is not what is done.
    pub notes: Vec<String>,
}

impl ProfileArgs {
    /// The device that they name, kept to its cores. To be called before anything starts threads.
    ///
    /// # Errors
    /// Where no profile has that name, or the file is none.
    pub fn device(&self) -> Result<Device> {
        let mut device = Device::default();
        match self.profile.as_deref() {
            None => return Ok(device),
            Some("auto") => {
                let machine = Machine::read(&self.system_root, std::env::consts::ARCH);
                match detect(&machine)? {
                    Some(found) => {
                        device.profile = Some(found.profile);
                        device.by = Some(found.by);
                    }
                    None => device.notes.push(format!(
                        "no profile knows this machine ({}): nothing is set",
                        match &machine.models[..] {
                            [] => machine.architecture.as_str(),
                            [model, ..] => model.as_str(),
                        }
                    )),
                }
            }
            Some(name) => device.profile = Some(Profile::open(name).context("--profile")?),
        }
        if let Some(profile) = &device.profile {
            device.limits = read_heat(&self.system_root).and_then(|heat| profile.limits(&heat));
            if profile.cores.value == CoreChoice::Fastest {
                keep_to_fastest(&self.system_root, &mut device.notes);
            }
        }
        device
            .notes
            .extend(device.limits.iter().map(|l| l.why.clone()));
        Ok(device)
    }
}

/// Keeps what is started from now on to the fastest cores, where cores differ.
fn keep_to_fastest(root: &Path, notes: &mut Vec<String>) {
    let fastest = cores::fastest(root);
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    if fastest.is_empty() || fastest.len() >= all {
        return;
    }
    if !cores::keep_to(&fastest) {
        notes.push(format!(
            "the system does not keep this process to its fastest cores, {fastest:?}"
        ));
    }
}

impl Device {
    /// `options` with what the profile has for what they leave open.
    pub fn open(&self, options: EngineOptions) -> EngineOptions {
        let Some(profile) = &self.profile else {
            return options;
        };
        let providers = match options.providers == Providers::default() {
            true => Providers::Prefer(profile.provider_list()),
            false => options.providers,
        };
        EngineOptions {
            threads: options
                .threads
                .or(profile.threads.as_ref().map(|t| t.value)),
            providers,
            ..options
        }
    }

    /// `options` of a question to `package`, within what the profile and the heat allow.
    pub fn ask(&mut self, options: AskOptions, package: &Package) -> AskOptions {
        let Some(profile) = &self.profile else {
            return options;
        };
        let mut options = options;
        let name = &profile.name;
        let most = profile.max_kv_bytes.as_ref().map(|most| most.value);
        options.max_kv_bytes = options.max_kv_bytes.or(most);
        let hot = self.limits.as_ref();
        let paths = hot.map_or(profile.paths.value, |l| l.paths.min(profile.paths.value));
        if options.paths > paths {
            self.notes.push(format!(
                "{} paths in place of {}: profile {name}",
                paths, options.paths
            ));
            options.paths = paths;
        }
        let keep = profile.keep.value;
        let has_heads = package.dir().join("heads").is_dir();
        if options.prune.is_off() && options.paths > keep && has_heads {
            options.prune.keep = vec![Keep::Top(keep)];
        }
        for rule in &mut options.prune.keep {
            if let Keep::Top(k) = rule {
                *k = (*k).min(options.paths);
            }
        }
        if options.paths == 1 {
            // One path has none to be chosen among.
            options.prune = Default::default();
            options.early_vote = false;
            options.first_finished = None;
        }
        // A package without formats has none that is cheaper.
        if package.formats().is_some() {
            let of_profile = profile.deadline_ms.as_ref().map(|d| d.value);
            options.deadline_ms = options.deadline_ms.or(of_profile);
            if let Some(limit) = hot.and_then(|l| l.deadline_ms) {
                let deadline = options.deadline_ms.map_or(limit, |ms| ms.min(limit));
                options.deadline_ms = Some(deadline);
            }
        }
        options
    }
}
