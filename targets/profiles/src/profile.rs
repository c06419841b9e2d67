//! A device's profile, as its file has it.

use std::io::Read;
use std::path::Path;

use curt::session::Provider;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Most bytes of a file.
const MOST_BYTES: u64 = 64 << 10;

/// The files of the shipped profiles, in the order in which a machine is held against them.
const SHIPPED: [(&str, &str); 9] = [
    ("jetson-thor", include_str!("../devices/jetson-thor.toml")),
    (
        "jetson-agx-orin",
        include_str!("../devices/jetson-agx-orin.toml"),
    ),
    (
        "jetson-orin-nx",
        include_str!("../devices/jetson-orin-nx.toml"),
    ),
    (
        "jetson-orin-nano",
        include_str!("../devices/jetson-orin-nano.toml"),
    ),
    (
        "raspberry-pi-5",
        include_str!("../devices/raspberry-pi-5.toml"),
    ),
    ("pixel", include_str!("../devices/pixel.toml")),
    ("galaxy", include_str!("../devices/galaxy.toml")),
    ("iphone", include_str!("../devices/iphone.toml")),
    ("x86-desktop", include_str!("../devices/x86-desktop.toml")),
];

/// A value, and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value<T> {
    /// The value.
    pub value: T,
    /// Why it is that.
    pub why: String,
    /// Where it was measured: a file in `targets/records`. Absent: it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
}

/// Which cores decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoreChoice {
    /// Those of the highest capacity: a step waits for its slowest thread.
    Fastest,
    /// Any that the system gives.
    All,
}

/// What is done about heat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// From this temperature of any zone on, in °C, or where a zone has passed a passive trip point of its own.
    pub limit_celsius: f64,
    /// Paths that are launched then, at most.
    pub paths: usize,
    /// From this temperature on, in °C, the deadline holds too: an answer then takes the cheaper format.
    pub deadline_celsius: f64,
    /// The deadline, in milliseconds.
    pub deadline_ms: u64,
}

/// How a device is recognised: by any of these.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Marks {
    /// Entries of the device tree's `compatible`, whole.
    #[serde(default)]
    pub(crate) compatible: Vec<String>,
    /// Parts of the model: the device tree's, Android's, or the firmware's product name.
    #[serde(default)]
    pub(crate) model: Vec<String>,
    /// Processor architectures, as the compiler names them; for what has no other mark.
    #[serde(default)]
    pub(crate) architecture: Vec<String>,
}

/// A device, and how to run there.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name on a command line.
    pub name: String,
    /// The device in words.
    pub device: String,
    pub(crate) detect: Marks,
    /// Execution providers, the first choice first.
    pub providers: Value<Vec<String>>,
    /// Threads inside one operator; absent: as many as the chosen cores.
    pub threads: Option<Value<usize>>,
    /// Cores.
    pub cores: Value<CoreChoice>,
    /// Element type of keys and values that suits the device, for choosing a package.
    pub kv_dtype: Value<String>,
    /// Most bytes of keys and values.
    pub max_kv_bytes: Option<Value<u64>>,
    /// Paths of a question that are launched.
    pub paths: Value<usize>,
    /// Of these, those that go on after a check.
    pub keep: Value<usize>,
    /// From question to answer, in milliseconds.
    pub deadline_ms: Option<Value<u64>>,
    /// What is done about heat.
    pub heat: Option<Value<Rule>>,
}

impl Profile {
    /// The shipped profile `name`, or the one in the file of that name. A file wins.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Read`], [`Error::Invalid`].
    pub fn open(name: &str) -> Result<Self> {
        if Path::new(name).is_file() {
            return Self::read(Path::new(name));
        }
        match SHIPPED.iter().find(|(known, _)| *known == name) {
            Some((name, text)) => Self::parse(name, text),
            None => Err(Error::Unknown {
                name: name.into(),
                known: SHIPPED.iter().map(|(name, _)| (*name).into()).collect(),
            }),
        }
    }

    fn read(file: &Path) -> Result<Self> {
        let failed = |source| Error::Read {
            file: file.into(),
            source,
        };
        let mut text = String::new();
        let opened = std::fs::File::open(file).map_err(failed)?;
        let read = opened.take(MOST_BYTES + 1).read_to_string(&mut text);
        if read.map_err(failed)? as u64 > MOST_BYTES {
            return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
        }
        Self::parse(&file.display().to_string(), &text)
    }

    fn parse(name: &str, text: &str) -> Result<Self> {
        let invalid = |reason: String| Error::Invalid {
            name: name.into(),
            reason,
        };
        let profile: Self = toml::from_str(text).map_err(|e| invalid(e.to_string()))?;
        profile.validate().map_err(invalid)?;
        Ok(profile)
    }

    fn validate(&self) -> std::result::Result<(), String> {
        /// Paths beyond any that a device has room for.
        const MOST_PATHS: usize = 1024;
        for provider in &self.providers.value {
            provider.parse::<Provider>().map_err(|e| e.to_string())?;
        }
        if self.providers.value.is_empty() {
            return Err("providers: expected at least one, got none".into());
        }
        let most = self.heat.as_ref().map_or(1, |rule| rule.value.paths);
        for (what, paths) in [
            ("paths", self.paths.value),
            ("keep", self.keep.value),
            ("heat.paths", most),
        ] {
            if !(1..=MOST_PATHS).contains(&paths) {
                return Err(format!("{what}: expected 1 to {MOST_PATHS}, got {paths}"));
            }
        }
        if self.keep.value > self.paths.value {
            return Err(format!(
                "keep: expected at most the {} paths, got {}",
                self.paths.value, self.keep.value
            ));
        }
        if let Some(rule) = &self.heat {
            let Rule {
                limit_celsius,
                deadline_celsius,
                ..
            } = rule.value;
            // Also refuses what is not a number.
            if !(0.0 < limit_celsius
                && limit_celsius <= deadline_celsius
                && deadline_celsius < 200.0)
            {
                return Err(format!(
                    "heat: expected 0 < limit_celsius <= deadline_celsius < 200, got {limit_celsius} and {deadline_celsius}"
                ));
            }
        }
        Ok(())
    }

    /// The execution providers, as options take them.
    pub fn provider_list(&self) -> Vec<Provider> {
        let words = self.providers.value.iter();
        words.filter_map(|word| word.parse().ok()).collect()
    }

    /// Every value in words, with what it rests on: name, value, reason, and the record or `not measured`.
    pub fn lines(&self) -> Vec<[String; 4]> {
        fn line<T>(name: &str, value: &Value<T>, said: String) -> [String; 4] {
            let record = value.record.clone();
            [
                name.into(),
                said,
                value.why.clone(),
                record.unwrap_or_else(|| "not measured".into()),
            ]
        }
        let mut lines = vec![line(
            "providers",
            &self.providers,
            self.providers.value.join(", "),
        )];
        if let Some(threads) = &self.threads {
            lines.push(line("threads", threads, threads.value.to_string()));
        }
        let cores = match self.cores.value {
            CoreChoice::Fastest => "the fastest",
            CoreChoice::All => "all",
        };
        lines.push(line("cores", &self.cores, cores.into()));
        lines.push(line(
            "kv_dtype",
            &self.kv_dtype,
            self.kv_dtype.value.clone(),
        ));
        if let Some(most) = &self.max_kv_bytes {
            let mib = most.value >> 20;
            lines.push(line("max_kv_bytes", most, format!("{mib} MiB")));
        }
        lines.push(line("paths", &self.paths, self.paths.value.to_string()));
        lines.push(line("keep", &self.keep, self.keep.value.to_string()));
        if let Some(deadline) = &self.deadline_ms {
            lines.push(line("deadline", deadline, format!("{} ms", deadline.value)));
        }
        if let Some(rule) = &self.heat {
            let said = format!(
                "{} paths from {} °C on, {} ms from {} °C on",
                rule.value.paths,
                rule.value.limit_celsius,
                rule.value.deadline_ms,
                rule.value.deadline_celsius
            );
            lines.push(line("heat", rule, said));
        }
        lines
    }
}

/// The shipped profiles.
///
/// # Errors
/// [`Error::Invalid`] for a file that is none; a test reads all of them.
pub fn shipped() -> Result<Vec<Profile>> {
    SHIPPED
        .iter()
        .map(|(name, text)| Profile::parse(name, text))
        .collect()
}
