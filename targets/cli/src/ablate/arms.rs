//! The options that make arms.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use curt::Package;
use curt::format::CALIBRATION_FILE;
use curt::head::{DEFAULT_HEAD, find_head, head_files};
use curt::paths::{Keep, SignalName};
use curt_ablate::arm::{Arm, ArmFile, Skipped};
use toml::Value;

/// Heads of a package that arms use where --head names no other: the name in arms, and the package's.
const PACKAGE_HEADS: [(&str, &str); 4] = [
    ("stop", DEFAULT_HEAD),
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
    /// File of arms of your own (TOML, see below); may be given several times.
    #[arg(long, value_name = "FILE")]
    arm_file: Vec<PathBuf>,
    /// Paths launched for a question.
    #[arg(long, value_name = "N", default_value_t = 16)]
    paths: usize,
    /// Paths that go on after each check point. One number for several is the last one's; those before it step down to it in
    /// equal ratios. Without it, a quarter.
    #[arg(long, value_name = "K[,K]", value_delimiter = ',')]
    keep: Vec<usize>,
    /// Check points, in generated tokens: `--check-at 36` is that of every arm with one. A list of two is that of
    /// `stop-twice`, so that `--check-at 36 --check-at 16,36` compares one check point with two in one run; one list
    /// alone serves both, arms with one check taking its first. Without it, where the stop head was trained.
    #[arg(long, value_name = "TOKENS[,TOKENS]", value_parser = check_points)]
    check_at: Vec<CheckPoints>,
    /// Head files, by the name that arms use: `stop`, `kv`, `logprob`, `text`, or one of your own. Without a name, `stop`.
    /// Without any, the package's own.
    #[arg(long, value_name = "[NAME=]HEAD")]
    head: Vec<String>,
    /// Calibration of the cascade. Without it, the package's own.
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    /// OpenAI-compatible server for the arm `server`, up to and without `/chat/completions`: http://127.0.0.1:8000/v1. A user
    /// and password in it are sent, and not recorded.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Its model. Without it, the first that it lists.
    #[arg(long, value_name = "NAME", requires = "server")]
    server_model: Option<String>,
    /// Environment variable that holds its key. Without it, OPENAI_API_KEY where that is set. The key is sent, and not
    /// recorded.
    #[arg(long, value_name = "VARIABLE", requires = "server")]
    server_key_env: Option<String>,
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

/// One `--check-at`.
#[derive(Debug, Clone)]
struct CheckPoints(Vec<usize>);

fn check_points(text: &str) -> Result<CheckPoints, String> {
    let points = text.split(',').map(|point| point.trim().parse());
    let points: Result<Vec<usize>, _> = points.collect();
    points
        .map(CheckPoints)
        .map_err(|_| "expected tokens, such as 36 or 16,36".into())
}

/// What `--help` says of arm files.
pub const ARM_FILES: &str = r#"Arm files (--arm-file) are TOML, a table for each arm:

  [[arm]]
  name = "mine"             # unique in the run
  about = "what it does"    # for the report
  paths = "$paths"          # or a number; 1 without it
  checks = [                # none without it; in ascending order
      { at = 16, keep = 8, signal = "head:stop" },
      { at = "$check-at.1", keep = "25%", signal = "confidence" },
  ]
  early_vote = true         # stop once the rest cannot change the winner
  first_finished = 4        # or: stop once so many paths have finished
  vote = "majority"         # or "score_weighted"
  greedy = true             # or: one path, the most probable token at each step
  fewer = "of:stop"         # or: as many full paths as the tokens of that arm buy
  server = { url = "http://127.0.0.1:8000/v1", model = "m", timeout_s = 120.0, key_env = "MY_KEY" }

  format = "cascade"        # direct, perception, full, cascade, or auto: the model chooses
  calibration = "$calibration"  # of a cascade; the package's own without it
  image = "blank"           # a grey image in place of the item's, or "none": the question alone

keep: a number of paths, "25%" of those launched, or ">=0.5" for those that score at least that.
signal: "head:NAME" of a --head NAME=FILE or a package's head, "confidence", "confidence:TOKENS" (of the last so many),
"random", or "oracle" (whether the path will be right; --measure replay alone can know).
$paths, $keep, $check-at.1 (.2, …), $keep.1 (.2, …), $head.NAME and $calibration stand for what the command line says.
Arms with a format run, whatever --measure says."#;

/// Arms, and what they stand on.
pub struct Chosen {
    pub arms: Vec<Arm>,
    pub skipped: Vec<Skipped>,
    /// Head files by the name that arms use.
    pub heads: BTreeMap<String, PathBuf>,
    /// Files of calibrations that arms name.
    pub calibrations: Vec<String>,
    pub baseline: String,
    pub candidate: String,
}

impl ArmArgs {
    /// The arms that these options ask for, of those that a run of this kind can have.
    pub fn choose(&self, package: &Package, oracle: bool) -> Result<Chosen> {
        let heads = self.heads(package)?;
        let mut options = self.options(&heads)?;
        if let Some(file) = self.calibration(package) {
            options.insert("calibration".into(), Value::String(file));
        }
        let built_in = match package.formats() {
            Some(_) => ArmFile::of_formats()?,
            None => ArmFile::built_in()?,
        };
        let (mut arms, mut skipped) = built_in.expand(&options)?;
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
                &["cascade", "adaptive", "stop", "confidence", "early-vote"],
                others.len() - 1,
            )?,
        };
        let calibrations = arms.iter().filter_map(|arm| arm.calibration.clone());
        let calibrations = calibrations.collect();
        Ok(Chosen {
            arms,
            skipped,
            heads,
            calibrations,
            baseline,
            candidate,
        })
    }

    /// The calibration of arms that name none of their own.
    fn calibration(&self, package: &Package) -> Option<String> {
        let own = package.dir().join(CALIBRATION_FILE);
        let file = self.calibration.clone().or(own.is_file().then_some(own))?;
        Some(file.display().to_string())
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
        let given = if self.keep.is_empty() {
            vec![(self.paths / 4).max(1)]
        } else {
            self.keep.clone()
        };
        put("keep".into(), given[given.len() - 1]);
        let lists = self.check_points(heads)?;
        let once = lists.first().map_or(&[][..], |CheckPoints(at)| at);
        let twice = lists.iter().find(|CheckPoints(at)| at.len() == 2);
        let twice = twice.map_or(&[][..], |CheckPoints(at)| at);
        for (at_name, keep_name, at) in [
            ("check-at", "keep", once),
            ("twice-at", "twice-keep", twice),
        ] {
            if at.is_empty() {
                continue;
            }
            // Of several numbers, an arm with one check has the last.
            let keep = if at.len() == 1 {
                &given[given.len() - 1..]
            } else {
                &given[..]
            };
            let keep: Vec<Keep> = keep.iter().map(|&k| Keep::Top(k)).collect();
            let keep = Keep::at_each(&keep, at.len(), self.paths)?;
            for (index, (&tokens, keep)) in at.iter().zip(keep).enumerate() {
                let place = index + 1;
                put(format!("{at_name}.{place}"), tokens);
                if let Keep::Top(k) = keep {
                    put(format!("{keep_name}.{place}"), k.max(1));
                }
            }
        }
        for name in heads.keys() {
            options.insert(
                format!("head.{name}"),
                Value::String(format!("head:{name}")),
            );
        }
        if let Some(server) = self.server() {
            options.insert("server".into(), Value::Table(server));
        }
        Ok(options)
    }

    fn server(&self) -> Option<toml::Table> {
        let url = self.server.as_ref()?;
        let mut server = toml::Table::new();
        server.insert("url".into(), Value::String(url.clone()));
        server.insert("timeout_s".into(), Value::Float(self.server_timeout_s));
        if let Some(model) = &self.server_model {
            server.insert("model".into(), Value::String(model.clone()));
        }
        if let Some(variable) = &self.server_key_env {
            server.insert("key_env".into(), Value::String(variable.clone()));
        }
        Some(server)
    }

    /// The lists of check points: that of arms with one check, and, where it is another, that of `stop-twice`.
    fn check_points(&self, heads: &BTreeMap<String, PathBuf>) -> Result<Vec<CheckPoints>> {
        match &self.check_at[..] {
            [] => {}
            [_] => return Ok(self.check_at.clone()),
            [_, CheckPoints(twice)] if twice.len() == 2 => return Ok(self.check_at.clone()),
            lists => bail!(
                "--check-at: expected one list, or one for the arms with one check and then one of two for `stop-twice`, got {} \
                 lists, the last of {}; arms with other check points go into an --arm-file",
                lists.len(),
                lists[lists.len() - 1].0.len()
            ),
        }
        match heads.get("stop") {
            Some(file) => {
                let header = curt::head::HeadFile::read(file)?.header;
                Ok(vec![CheckPoints(header.check_at_tokens)])
            }
            None => Ok(Vec::new()),
        }
    }

    fn heads(&self, package: &Package) -> Result<BTreeMap<String, PathBuf>> {
        let mut heads = BTreeMap::new();
        for (name, of_package) in PACKAGE_HEADS {
            let named = |file: &PathBuf| file.file_stem().is_some_and(|stem| stem == of_package);
            if let Some(file) = head_files(package.dir()).into_iter().find(named) {
                heads.insert(name.to_string(), file);
            }
        }
        for given in &self.head {
            let (name, head) = given.split_once('=').unwrap_or(("stop", given));
            heads.insert(name.into(), find_head(head, package.dir())?);
        }
        Ok(heads)
    }
}
