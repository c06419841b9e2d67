//! Which paths go on at a check, and how people write it.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

use crate::error::{Error, Result};

/// Which of the paths at a check go on. Those that have finished vote in any case, and are not counted.
///
/// Written `4`, `"25%"`, `">=0.5"` or `"all"`, in arm files and records too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Keep {
    /// All: the check only scores.
    All,
    /// The K best.
    Top(usize),
    /// The best, as many as this share of the paths launched (the retention ratio γ), rounded, at least one.
    Ratio(f64),
    /// Those that score at least this; the best of them where none does and no path has answered yet.
    AtLeast(f64),
}

impl Keep {
    /// Most paths that go on, of `running`, where `launched` were.
    pub fn at_most(self, running: usize, launched: usize) -> usize {
        match self {
            Keep::All | Keep::AtLeast(_) => running,
            Keep::Top(k) => running.min(k),
            Keep::Ratio(r) => running.min(((r * launched as f64).round() as usize).max(1)),
        }
    }

    /// The rule of each of `checks` check points: its own, or, of one number or share for all, that of the last one, to which
    /// those before step down from `launched` paths in equal ratios.
    ///
    /// # Errors
    /// [`Error::Option`] for neither one rule nor one for each.
    pub fn at_each(given: &[Keep], checks: usize, launched: usize) -> Result<Vec<Keep>> {
        if given.len() == checks {
            return Ok(given.to_vec());
        }
        let &[last] = given else {
            return Err(Error::option(
                "keep",
                format!("one value, or one for each of {checks} check points"),
                given.len(),
            ));
        };
        let share = |check| (check + 1) as f64 / checks as f64;
        let each = (0..checks).map(|check| match last {
            Keep::Top(k) => {
                let launched = launched as f64;
                Keep::Top((launched * (k as f64 / launched).powf(share(check))).round() as usize)
            }
            Keep::Ratio(ratio) => Keep::Ratio(ratio.powf(share(check))),
            Keep::All | Keep::AtLeast(_) => last,
        });
        Ok(each.collect())
    }

    /// # Errors
    /// [`Error::Option`] for what cannot be kept of `paths` paths.
    pub fn validate(self, paths: usize) -> Result<()> {
        let expected = match self {
            Keep::Top(k) if k == 0 || k > paths => {
                return Err(Error::option(
                    "keep",
                    format!("1 to {paths}, the number of paths"),
                    k,
                ));
            }
            Keep::Ratio(r) if !(r > 0.0 && r <= 1.0) => "a share above 0, at most 1 (100%)",
            Keep::AtLeast(s) if !(0.0..=1.0).contains(&s) => "a score from 0 to 1",
            _ => return Ok(()),
        };
        Err(Error::option("keep", expected, self))
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keep::All => f.write_str("all"),
            Keep::Top(k) => write!(f, "{k}"),
            Keep::Ratio(ratio) => write!(f, "{}%", ratio * 100.0),
            Keep::AtLeast(score) => write!(f, ">={score}"),
        }
    }
}

impl FromStr for Keep {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::option(
                "keep",
                "a number of paths, \"25%\", \">=0.5\" or \"all\"",
                format!("{text:?}"),
            )
        };
        let number = |t: &str| t.trim().parse::<f64>().map_err(|_| wrong());
        let keep = match text.trim() {
            "all" => Keep::All,
            text => match (text.strip_suffix('%'), text.strip_prefix(">=")) {
                (Some(percent), _) => Keep::Ratio(number(percent)? / 100.0),
                (_, Some(score)) => Keep::AtLeast(number(score)?),
                _ => Keep::Top(text.parse().map_err(|_| wrong())?),
            },
        };
        match keep {
            // Held against the number of paths later.
            Keep::Top(_) => Ok(keep),
            _ => keep.validate(1).map(|()| keep).map_err(|_| wrong()),
        }
    }
}

impl Serialize for Keep {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Keep::Top(k) => to.serialize_u64(*k as u64),
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

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let text = match Written::deserialize(from)? {
            Written::Number(k) => k.to_string(),
            Written::Text(text) => text,
        };
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rule_for_several_check_points_steps_down_in_equal_ratios() {
        let of = |given: &[Keep], checks| Keep::at_each(given, checks, 16);
        assert_eq!(
            of(&[Keep::Top(4)], 2).unwrap(),
            [Keep::Top(8), Keep::Top(4)]
        );
        assert_eq!(
            of(&[Keep::Ratio(0.25)], 2).unwrap(),
            [Keep::Ratio(0.5), Keep::Ratio(0.25)]
        );
        let own = [Keep::Top(9), Keep::AtLeast(0.5)];
        assert_eq!(of(&own, 2).unwrap(), own);
        assert!(of(&own, 3).is_err());
        assert!(of(&[], 1).is_err());
    }

    #[test]
    fn what_is_written_reads_back() {
        for keep in [
            Keep::All,
            Keep::Top(4),
            Keep::Ratio(0.25),
            Keep::Ratio(0.3),
            Keep::AtLeast(0.5),
        ] {
            assert_eq!(keep.to_string().parse::<Keep>().unwrap(), keep);
        }
        for wrong in ["", "-1", "0%", "101%", ">=1.1", ">=nan", "nan%", "4.5", "x"] {
            let error = wrong.parse::<Keep>().unwrap_err().to_string();
            assert!(error.contains("keep"), "{wrong}: {error}");
        }
    }
}
