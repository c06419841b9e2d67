//! Arms: the configurations that are compared. They are data: a new one is a table in a file.

mod file;
mod server;

use curt::paths::{Keep, SignalName};
use curt::{Format, VoteRule};
use serde::{Deserialize, Serialize};

pub use file::{ArmFile, Skipped};
pub use server::ServerArm;

use crate::error::{Error, Result};

/// One configuration.
///
/// ```toml
/// [[arm]]
/// name = "stop"
/// about = "the stop head keeps the best"
/// paths = 16
/// checks = [{ at = 24, keep = 4, signal = "head:stop" }]
/// early_vote = true
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Its name, unique in a run.
    pub name: String,
    /// What it does, for the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Paths launched.
    #[serde(default = "one")]
    pub paths: usize,
    /// Take the most probable token at each step.
    #[serde(default, skip_serializing_if = "is_false")]
    pub greedy: bool,
    /// Check points, in ascending order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<ArmCheck>,
    /// Stop when the rest cannot change the winner.
    #[serde(default, skip_serializing_if = "is_false")]
    pub early_vote: bool,
    /// Stop when so many paths have finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_finished: Option<usize>,
    /// How answers are combined.
    #[serde(default)]
    pub vote: VoteRule,
    /// `of:ARM`: full paths are launched one by one until they have generated as many tokens as that arm did on the same
    /// item. The path that reaches the number comes to its end, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fewer: Option<String>,
    /// An OpenAI-compatible server that answers in place of curt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerArm>,
    /// The response's format. Without it, several paths answer in full where the package has formats, and one as the model
    /// chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// File of the cascade's calibration; without it, the package's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<String>,
    /// What is shown of an item's image.
    #[serde(default, skip_serializing_if = "ImageShown::is_whole")]
    pub image: ImageShown,
}

/// What an arm is shown of an item's image: all of it, or what a control leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageShown {
    /// The image.
    #[default]
    Whole,
    /// A grey image of the same size: what is answered without seeing.
    Blank,
    /// None: the question alone.
    None,
}

impl ImageShown {
    fn is_whole(&self) -> bool {
        *self == Self::Whole
    }
}

/// One check point of an arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmCheck {
    /// Generated tokens of a path that are cached when it is scored.
    pub at: usize,
    /// Which paths go on.
    pub keep: Keep,
    /// What they are scored by; a head is one of `--head NAME=FILE`.
    pub signal: SignalName,
}

/// Most paths of an arm.
const MOST_PATHS: usize = 4096;

/// Most arms of a run: each has columns of its own in the bootstrap.
const MOST_ARMS: usize = 256;

fn one() -> usize {
    1
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Arm {
    /// The arm whose tokens this one spends on full paths.
    pub fn fewer_of(&self) -> Option<&str> {
        self.fewer.as_deref()?.strip_prefix("of:")
    }

    /// Whether its paths are sampled by curt, so that they can be derived from a sample of full paths.
    pub fn is_sampled(&self) -> bool {
        !self.greedy && self.server.is_none() && self.format.is_none() && self.image.is_whole()
    }

    /// Whether it needs to know what only the finished paths show.
    pub fn is_oracle(&self) -> bool {
        self.checks
            .iter()
            .any(|check| check.signal == SignalName::Oracle)
    }

    /// Whether it launches every path and lets each come to its end.
    pub fn is_full(&self) -> bool {
        self.is_sampled()
            && self.checks.is_empty()
            && !self.early_vote
            && self.first_finished.is_none()
            && self.fewer.is_none()
    }

    fn validate(&self) -> Result<()> {
        let wrong = |field: &str, expected: &str, got: &dyn std::fmt::Display| {
            Err(Error::option(
                format!("arm {:?}: {field}", self.name),
                expected,
                got,
            ))
        };
        if self.name.trim().is_empty() || self.name.contains([',', '\n', '=']) {
            return wrong("name", "text without comma and `=`", &self.name);
        }
        if self.paths == 0 || self.paths > MOST_PATHS {
            return wrong("paths", &format!("1 to {MOST_PATHS}"), &self.paths);
        }
        if self.greedy && self.paths > 1 {
            return wrong(
                "paths",
                "1, since greedy paths are all the same",
                &self.paths,
            );
        }
        if let Some(server) = &self.server {
            self.validate_server(server)?;
        }
        if (self.greedy || self.fewer.is_some()) && !self.checks.is_empty() {
            return wrong(
                "checks",
                "none in a greedy or a `fewer` arm",
                &self.checks.len(),
            );
        }
        if self.fewer.is_some() && self.fewer_of().is_none() {
            return wrong(
                "fewer",
                "\"of:ARM\"",
                &self.fewer.clone().unwrap_or_default(),
            );
        }
        if self.calibration.is_some() && self.format != Some(Format::Cascade) {
            let got = self.calibration.clone().unwrap_or_default();
            return wrong("calibration", "none but in an arm of format cascade", &got);
        }
        if let Some(check) = self.checks.iter().find(|check| check.at == 0) {
            return wrong("checks.at", "at least 1 token", &check.at);
        }
        if self.checks.windows(2).any(|pair| pair[0].at > pair[1].at) {
            let points: Vec<String> = self.checks.iter().map(|c| c.at.to_string()).collect();
            return wrong(
                "checks.at",
                "check points in ascending order",
                &points.join(", "),
            );
        }
        for check in &self.checks {
            let top = match check.keep {
                Keep::Top(k) => k,
                _ => 1,
            };
            if top == 0 || top > self.paths {
                return wrong(
                    "checks.keep",
                    &format!("1 to {}, the paths of the arm", self.paths),
                    &top,
                );
            }
        }
        match self.first_finished {
            Some(m) if m == 0 || m > self.paths => wrong(
                "first_finished",
                &format!("1 to {}, the paths of the arm", self.paths),
                &m,
            ),
            _ => Ok(()),
        }
    }

    /// Refuses what a server arm cannot honour.
    fn validate_server(&self, server: &ServerArm) -> Result<()> {
        let field = |name: &str| format!("arm {:?}: {name}", self.name);
        let given = [
            ("checks", !self.checks.is_empty()),
            ("early_vote", self.early_vote),
            ("first_finished", self.first_finished.is_some()),
            ("fewer", self.fewer.is_some()),
            ("vote", self.vote == VoteRule::ScoreWeighted),
            ("format", self.format.is_some()),
            ("image", !self.image.is_whole()),
        ];
        if let Some((name, _)) = given.into_iter().find(|(_, given)| *given) {
            return Err(Error::option(
                field(name),
                "none in a server arm, whose answers come whole and without scores; \
                 leave it out",
                "one",
            ));
        }
        server.validate(&self.name)
    }
}

/// Refuses arms that do not make one comparison.
///
/// # Errors
/// [`Error::Option`] for no arms, two of one name, an arm that cannot run, or one that stands on an arm that is not there.
pub fn validate_arms(arms: &[Arm]) -> Result<()> {
    if arms.is_empty() {
        return Err(Error::option("--arms", "at least one arm", "none"));
    }
    if arms.len() > MOST_ARMS {
        return Err(Error::option(
            "--arms",
            format!("at most {MOST_ARMS} arms"),
            arms.len(),
        ));
    }
    for (index, arm) in arms.iter().enumerate() {
        arm.validate()?;
        if arms[..index].iter().any(|other| other.name == arm.name) {
            return Err(Error::option("--arms", "each arm once", &arm.name));
        }
        let Some(of) = arm.fewer_of() else { continue };
        let known = arms
            .iter()
            .any(|other| other.name == of && other.is_sampled() && other.fewer.is_none());
        if !known
            || !arms
                .iter()
                .any(|other| other.is_full() && other.paths >= arm.paths)
        {
            return Err(Error::option(
                format!("arm {:?}: fewer", arm.name),
                format!("an arm {of:?} and one of all paths in the same run"),
                arms.iter()
                    .map(|a| a.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            ));
        }
    }
    Ok(())
}
