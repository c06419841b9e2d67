//! The options that make arms.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use curt::Package;
use curt::paths::SignalName;
use curt_ablate::arm::{Arm, ArmFile, Skipped};
use toml::Value;

use curt_command::locate;

use crate::checks;

/// Heads of a package that arms use where --head names no other: the name in arms, and the package's.
const PACKAGE_HEADS: [(&str, &str); 4] = [
    ("stop", checks::DEFAULT_HEAD),
    ("kv", "kv-only"),
    ("logprob", "logprob"),
    ("text", "text"),
];

/// Options that make arms.
#[derive(Debug, Clone, clap::Args)]
pub struct ArmArgs {
    /// Arms to run, by name. Without it, all that the other options allow.
    #[arg(long, value_name = "NAME[,NAME]", value_delimiter = ',')]
    arms: Vec<String>,
    /// File of arms of your own (TOML); may be given several times.
    #[arg(long, value_name = "FILE")]
    arm_file: Vec<PathBuf>,
    /// Paths launched for a question.
    #[arg(long, value_name = "N", default_value_t = 16)]
    paths: usize,
    /// Paths that go on after each check point. One number for several is the last one's. Without it, a quarter.
    #[arg(long, value_name = "K[,K]", value_delimiter = ',')]
    keep: Vec<usize>,
    /// Check points, in generated tokens. Without it, where the stop head was trained.
    #[arg(long, value_name = "TOKENS[,TOKENS]", value_delimiter = ',')]
    check_at: Vec<usize>,
    /// Head files, by the name that arms use: `stop`, `kv`, `logprob`, `text`, or one of your own. Without a name, `stop`.
    /// Without any, the package's own.
    #[arg(long, value_name = "[NAME=]HEAD")]
    head: Vec<String>,
    /// OpenAI-compatible server for the arm `server`, up to and without `/chat/completions`: http://127.0.0.1:8000/v1
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Its model. Without it, the first that it lists.
    #[arg(long, value_name = "NAME", requires = "server")]
    server_model: Option<String>,
    /// Seconds that one of its answers may take.
    #[arg(long, value_name = "S", default_value_t = 120.0)]
    server_timeout_s: f64,
    /// The arm that the others are held against.
    #[arg(long, value_name = "ARM")]
    baseline: Option<String>,
    /// The arm that the verdict is about.
    #[arg(long, value_name = "ARM")]
    candidate: Option<String>,
}

/// Arms, and what they stand on.
pub struct Chosen {
    pub arms: Vec<Arm>,
    pub skipped: Vec<Skipped>,
    /// Head files by the name that arms use.
    pub heads: BTreeMap<String, PathBuf>,
    pub baseline: String,
    pub candidate: String,
}

impl ArmArgs {
    /// The arms that these options ask for, of those that a run of this kind can have.
    pub fn choose(&self, package: &Package, oracle: bool) -> Result<Chosen> {
        let heads = self.heads(package)?;
        let options = self.options(&heads)?;
        let (mut arms, mut skipped) = ArmFile::built_in()?.expand(&options)?;
        if !oracle && !self.arms.iter().any(|name| name == "oracle") {
            arms.retain(|arm| !arm.is_oracle());
        }
        // What cannot be paid for is left out with the arm that it is paid from.
        let names: Vec<String> = arms.iter().map(|arm| arm.name.clone()).collect();
        arms.retain(|arm| match arm.fewer_of() {
            Some(of) if !names.iter().any(|name| name == of) => {
                let option = skipped
                    .iter()
                    .find(|s| s.arm == of)
                    .map(|s| s.option.clone());
                skipped.push(Skipped {
                    arm: arm.name.clone(),
                    option: option.unwrap_or_else(|| "arms".into()),
                });
                false
            }
            _ => true,
        });
        for file in &self.arm_file {
            let (own, _) = ArmFile::read(file)?.expand(&options)?;
            arms.extend(own);
        }
        if !self.arms.is_empty() {
            arms = self.named(arms, &skipped)?;
            skipped.clear();
        }
        let used = |name: &str| {
            arms.iter()
                .flat_map(|a| &a.checks)
                .any(|c| c.signal == SignalName::Head(name.into()))
        };
        let heads = heads.into_iter().filter(|(name, _)| used(name)).collect();
        let baseline = self.one_of(&arms, "--baseline", &self.baseline, &["full"], 0)?;
        let others: Vec<Arm> = arms
            .iter()
            .filter(|arm| arm.name != baseline)
            .cloned()
            .collect();
        let candidate = match others.is_empty() {
            true => baseline.clone(),
            false => self.one_of(
                &others,
                "--candidate",
                &self.candidate,
                &["stop", "confidence", "early-vote"],
                others.len() - 1,
            )?,
        };
        Ok(Chosen {
            arms,
            skipped,
            heads,
            baseline,
            candidate,
        })
    }

    fn named(&self, arms: Vec<Arm>, skipped: &[Skipped]) -> Result<Vec<Arm>> {
        self.arms
            .iter()
            .map(|name| {
                if let Some(arm) = arms.iter().find(|arm| arm.name == *name) {
                    return Ok(arm.clone());
                }
                if let Some(lacking) = skipped.iter().find(|skipped| skipped.arm == *name) {
                    bail!("--arms: {name} needs {}", lacking.remedy());
                }
                let known: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
                bail!(
                    "--arms: expected some of {}, got {name:?}",
                    known.join(", ")
                )
            })
            .collect()
    }

    /// The arm that `given` names, else the first of `preferred` that is there, else the one at `default`.
    fn one_of(
        &self,
        arms: &[Arm],
        option: &str,
        given: &Option<String>,
        preferred: &[&str],
        default: usize,
    ) -> Result<String> {
        let there = |name: &str| arms.iter().any(|arm| arm.name == name);
        match given {
            Some(name) if there(name) => Ok(name.clone()),
            Some(name) => {
                let known: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
                bail!(
                    "{option}: expected one of {}, got {name:?}",
                    known.join(", ")
                )
            }
            None => {
                let preferred = preferred
                    .iter()
                    .find(|name| there(name))
                    .map(|name| name.to_string());
                preferred
                    .or_else(|| arms.get(default).map(|arm| arm.name.clone()))
                    .context("--arms: expected an arm, got none")
            }
        }
    }

    /// Values of the placeholders in arm files.
    fn options(&self, heads: &BTreeMap<String, PathBuf>) -> Result<BTreeMap<String, Value>> {
        let mut options = BTreeMap::new();
        let mut put = |name: String, value: usize| {
            options.insert(name, Value::Integer(value as i64));
        };
        put("paths".into(), self.paths);
        let at = self.check_points(heads)?;
        for (index, &at) in at.iter().enumerate() {
            put(format!("check-at.{}", index + 1), at);
        }
        let given = if self.keep.is_empty() {
            vec![(self.paths / 4).max(1)]
        } else {
            self.keep.clone()
        };
        put("keep".into(), given[given.len() - 1]);
        let values: Vec<f64> = given.iter().map(|&k| k as f64).collect();
        for index in 0..at.len() {
            let keep = checks::of_check("--keep", &values, index, at.len(), self.paths as f64)?;
            put(
                format!("keep.{}", index + 1),
                (keep.round() as usize).max(1),
            );
        }
        for name in heads.keys() {
            options.insert(
                format!("head.{name}"),
                Value::String(format!("head:{name}")),
            );
        }
        if let Some(server) = self.server()? {
            options.insert("server".into(), Value::Table(server));
        }
        Ok(options)
    }

    fn server(&self) -> Result<Option<toml::Table>> {
        let Some(url) = &self.server else {
            return Ok(None);
        };
        if !url.starts_with("http://") {
            bail!("--server: expected an address that begins with http://, got {url:?}");
        }
        if !(self.server_timeout_s > 0.0 && self.server_timeout_s.is_finite()) {
            bail!(
                "--server-timeout-s: expected seconds above 0, got {}",
                self.server_timeout_s
            );
        }
        let mut server = toml::Table::new();
        server.insert("url".into(), Value::String(url.clone()));
        server.insert("timeout_s".into(), Value::Float(self.server_timeout_s));
        if let Some(model) = &self.server_model {
            server.insert("model".into(), Value::String(model.clone()));
        }
        Ok(Some(server))
    }

    fn check_points(&self, heads: &BTreeMap<String, PathBuf>) -> Result<Vec<usize>> {
        if !self.check_at.is_empty() {
            return Ok(self.check_at.clone());
        }
        match heads.get("stop") {
            Some(file) => Ok(curt::head::HeadFile::read(file)?.header.check_at_tokens),
            None => Ok(Vec::new()),
        }
    }

    fn heads(&self, package: &Package) -> Result<BTreeMap<String, PathBuf>> {
        let mut heads = BTreeMap::new();
        for (name, of_package) in PACKAGE_HEADS {
            let named = |file: &PathBuf| file.file_stem().is_some_and(|stem| stem == of_package);
            if let Some(file) = locate::heads(package.dir()).into_iter().find(named) {
                heads.insert(name.to_string(), file);
            }
        }
        for given in &self.head {
            let (name, head) = given.split_once('=').unwrap_or(("stop", given));
            heads.insert(name.into(), locate::head(head, package.dir())?);
        }
        Ok(heads)
    }
}
