//! Arms: the configurations that are compared. They are data: a new one is a table in a file.

mod file;

use curt::VoteRule;
use curt::paths::{Keep, SignalName};
use serde::{Deserialize, Serialize};

pub use file::{ArmFile, Skipped};

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
    /// `of:ARM`: as many full paths as the tokens of that arm buy on the same item, the last one paid in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fewer: Option<String>,
    /// An OpenAI-compatible server that answers in place of curt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerArm>,
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

/// An OpenAI-compatible server.
///
/// It is asked with the sampling of the other arms, by the names that servers use; `greedy` is a temperature of 0. What
/// OpenAI's own interface does not have goes by the name that llama.cpp, llama-cpp-python, vLLM and their kin know, and only
/// where the sampling says it: `top_k`, `min_p`, and a penalty other than 1 as `repeat_penalty` (llama.cpp,
/// llama-cpp-python) and `repetition_penalty` (vLLM). A server that takes several answers to a request (`n`) is asked once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerArm {
    /// Address up to and without `/chat/completions`, such as `http://127.0.0.1:8000/v1`.
    pub url: String,
    /// The model's name there; without it the first that the server lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Seconds that one request may take.
    #[serde(default = "server_timeout")]
    pub timeout_s: f64,
}

/// Longest that one request of a server may take, in seconds: a day.
const LONGEST_TIMEOUT_S: f64 = 86_400.0;

fn one() -> usize {
    1
}

fn server_timeout() -> f64 {
    120.0
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
        !self.greedy && self.server.is_none()
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

    fn check(&self) -> Result<()> {
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
        if self.paths == 0 {
            return wrong("paths", "at least 1", &0);
        }
        if self.greedy && self.paths > 1 {
            return wrong(
                "paths",
                "1, since greedy paths are all the same",
                &self.paths,
            );
        }
        if let Some(server) = &self.server {
            self.check_server(server)?;
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
    fn check_server(&self, server: &ServerArm) -> Result<()> {
        let field = |name: &str| format!("arm {:?}: {name}", self.name);
        let given = [
            ("checks", !self.checks.is_empty()),
            ("early_vote", self.early_vote),
            ("first_finished", self.first_finished.is_some()),
            ("fewer", self.fewer.is_some()),
            ("vote", self.vote == VoteRule::ScoreWeighted),
        ];
        if let Some((name, _)) = given.into_iter().find(|(_, given)| *given) {
            return Err(Error::option(
                field(name),
                "none in a server arm, whose answers come whole and without scores; \
                 leave it out",
                "one",
            ));
        }
        if !server.url.starts_with("http://") {
            return Err(Error::option(
                field("server.url"),
                "an address that begins with http://",
                &server.url,
            ));
        }
        if !(server.timeout_s > 0.0 && server.timeout_s <= LONGEST_TIMEOUT_S) {
            return Err(Error::option(
                field("server.timeout_s"),
                format!("seconds above 0, at most {LONGEST_TIMEOUT_S}"),
                server.timeout_s,
            ));
        }
        Ok(())
    }
}

/// Refuses arms that do not make one comparison.
///
/// # Errors
/// [`Error::Option`] for no arms, two of one name, an arm that cannot run, or one that stands on an arm that is not there.
pub fn check_arms(arms: &[Arm]) -> Result<()> {
    if arms.is_empty() {
        return Err(Error::option("--arms", "at least one arm", "none"));
    }
    for (index, arm) in arms.iter().enumerate() {
        arm.check()?;
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
