//! How an arm file says which paths go on.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which paths go on at a check: `4` the four best, `"25%"` the best quarter of those launched, `">=0.5"` those that
/// score at least that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum KeepRule {
    /// The K best.
    Top(usize),
    /// This share of the paths launched, in (0, 1].
    Ratio(f64),
    /// Those whose score is at least this, in [0, 1].
    AtLeast(f64),
}

impl fmt::Display for KeepRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeepRule::Top(k) => write!(f, "{k}"),
            KeepRule::Ratio(ratio) => write!(f, "{}%", ratio * 100.0),
            KeepRule::AtLeast(score) => write!(f, ">={score}"),
        }
    }
}

impl Serialize for KeepRule {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            KeepRule::Top(k) => to.serialize_u64(*k as u64),
            other => to.collect_str(other),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for KeepRule {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let wrong = |got: &str| {
            serde::de::Error::custom(format!(
                "keep: expected a number of paths, \"25%\" or \">=0.5\", got {got:?}"
            ))
        };
        match Written::deserialize(from)? {
            Written::Number(k) => usize::try_from(k)
                .map(KeepRule::Top)
                .map_err(|_| wrong(&k.to_string())),
            Written::Text(text) => parse(&text).ok_or_else(|| wrong(&text)),
        }
    }
}

fn parse(text: &str) -> Option<KeepRule> {
    let number = |t: &str| t.trim().parse::<f64>().ok();
    if let Some(percent) = text.strip_suffix('%') {
        let ratio = number(percent)? / 100.0;
        return (ratio > 0.0 && ratio <= 1.0).then_some(KeepRule::Ratio(ratio));
    }
    if let Some(score) = text.strip_prefix(">=") {
        let score = number(score)?;
        return (0.0..=1.0)
            .contains(&score)
            .then_some(KeepRule::AtLeast(score));
    }
    text.trim().parse().ok().map(KeepRule::Top)
}
