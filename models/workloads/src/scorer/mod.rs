//! Scorers: whether an answer is right.

mod command;
mod contains;
mod item;

use std::path::Path;
use std::time::Duration;

use curt::AnswerKind;
use curt::reading::{Number, choice, composed};
use regex::Regex;
use serde_json::{Map, Value};

use crate::rows::kind;

pub use item::Item;

/// How an answer is graded. In `workload.toml` and in items it is a name (`"numeric"`) or a table with the name under
/// `kind` (`{ kind = "numeric", tolerance = 0.01 }`).
#[derive(Debug, Clone, PartialEq)]
pub enum Scorer {
    /// The same text, white space apart.
    Exact {
        /// Neither capitals count nor what stands around it: quotes, emphasis, a full stop.
        ignore_case: bool,
    },
    /// The same number, as [`curt::reading::number`] reads it.
    Numeric {
        /// Largest absolute difference; 0 asks for the same number.
        tolerance: f64,
    },
    /// The same choice of the item's `choices`, as [`curt::reading::choice`] reads it.
    Choice,
    /// One of the item's answers stands in the path's answer, or in its whole text where it has none: as whole words, and
    /// capitals do not count. An answer that is a number stands there as that number: 5 is not in 1.5, and 1,000 is 1000.
    Contains,
    /// One of the item's answers is a regular expression that matches somewhere in the path's answer, or in its whole text
    /// where it has none.
    Regex,
    /// A program decides: the item and the answer as one JSON object on its standard input, status 0 for right and 1
    /// for wrong. It runs in the workload's folder. Only `workload.toml` may name one.
    Command {
        /// The program and its arguments. A program with a slash is looked for from the workload's folder.
        argv: Vec<String>,
        /// How long it may take before it is ended.
        timeout: Duration,
    },
}

/// How long a command may take where it does not say.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that one may take: a run asks thousands of times.
const MOST_TIMEOUT: Duration = Duration::from_secs(3600);

impl Scorer {
    /// The scorer of a workload that names none.
    pub const EXACT: Self = Scorer::Exact { ignore_case: false };

    /// What scorers there are, for messages.
    pub(crate) const NAMES: &'static str = "scorers are exact, numeric, choice, contains, regex and command, as a name or \
        as a table {kind, …} with ignore_case (exact), tolerance (numeric), argv and timeout_s (command)";

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Scorer::Exact { .. } => "exact",
            Scorer::Numeric { .. } => "numeric",
            Scorer::Choice => "choice",
            Scorer::Contains => "contains",
            Scorer::Regex => "regex",
            Scorer::Command { .. } => "command",
        }
    }

    /// Reads a name or a table; says what is wrong with another.
    pub(crate) fn from_value(value: &Value) -> Result<Self, String> {
        let none = Map::new();
        let (name, table) = match value {
            Value::String(name) => (name.as_str(), &none),
            Value::Object(table) => match table.get("kind") {
                Some(Value::String(name)) => (name.as_str(), table),
                Some(other) => return Err(format!("kind is {} and not a name", kind(other))),
                None => return Err("the table has no kind".into()),
            },
            other => return Err(format!("is {} and not a name or a table", kind(other))),
        };
        let allowed: &[&str] = match name {
            "exact" => &["ignore_case"],
            "numeric" => &["tolerance"],
            "command" => &["argv", "timeout_s"],
            "choice" | "contains" | "regex" => &[],
            _ => return Err(format!("{name:?} is unknown")),
        };
        if let Some(odd) = table
            .keys()
            .find(|k| *k != "kind" && !allowed.contains(&k.as_str()))
        {
            return Err(format!("{name} has no {odd:?}"));
        }
        let not_negative = |field: &str, default: f64| match table.get(field) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .filter(|x| x.is_finite() && *x >= 0.0)
                .ok_or(format!("{field} is {value} and not a number from 0")),
        };
        Ok(match name {
            "exact" => Scorer::Exact {
                ignore_case: match table.get("ignore_case") {
                    None => false,
                    Some(Value::Bool(ignore)) => *ignore,
                    Some(other) => {
                        return Err(format!(
                            "ignore_case is {} and not true or false",
                            kind(other)
                        ));
                    }
                },
            },
            "numeric" => Scorer::Numeric {
                tolerance: not_negative("tolerance", 0.0)?,
            },
            "choice" => Scorer::Choice,
            "contains" => Scorer::Contains,
            "regex" => Scorer::Regex,
            _ => Scorer::Command {
                argv: argv(table.get("argv"))?,
                timeout: Duration::try_from_secs_f64(not_negative(
                    "timeout_s",
                    COMMAND_TIMEOUT.as_secs_f64(),
                )?)
                .ok()
                .filter(|t| !t.is_zero() && *t <= MOST_TIMEOUT)
                .ok_or("timeout_s is no length of time up to 3600 s")?,
            },
        })
    }

    /// Whether the item has what this scorer needs, else what it lacks and the remedy.
    pub(crate) fn suits(&self, item: &Item) -> Result<(), (String, String)> {
        for answer in &item.answer {
            match self {
                Scorer::Numeric { .. } if Number::read(answer).is_none() => {
                    return Err((
                        format!("the numeric scorer reads no number in the answer {answer:?}"),
                        "write a number, or name another scorer".into(),
                    ));
                }
                Scorer::Choice if item.choices.is_empty() => {
                    return Err((
                        "the choice scorer has no choices to choose from".into(),
                        "give choices, or name another scorer".into(),
                    ));
                }
                Scorer::Choice if choice(answer, &item.choices).is_none() => {
                    return Err((
                        format!("the answer {answer:?} is none of the choices"),
                        "write the letter of a choice, or the choice in full".into(),
                    ));
                }
                Scorer::Regex => {
                    if let Err(e) = Regex::new(&composed(answer)) {
                        return Err((
                            format!("the answer {answer:?} is no regular expression ({e})"),
                            "correct it, or name another scorer".into(),
                        ));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What the answers to `item` are, and so which of them are the same: what a vote joins, this grades alike, but for a
    /// tolerance. `None` where it compares no answers with each other.
    pub(crate) fn kind(&self, item: &Item) -> Option<AnswerKind> {
        match self {
            Scorer::Exact { ignore_case: true } | Scorer::Contains => Some(AnswerKind::IgnoreCase),
            Scorer::Numeric { .. } => Some(AnswerKind::Number),
            Scorer::Choice => Some(AnswerKind::Choice(item.choices.clone())),
            Scorer::Exact { ignore_case: false } | Scorer::Regex | Scorer::Command { .. } => None,
        }
    }

    /// Whether `answer`, which is of this `kind`, is right. `text` is the path's whole text; `folder` is where a command runs.
    pub(crate) fn grade(
        &self,
        item: &Item,
        kind: &AnswerKind,
        answer: Option<&str>,
        text: &str,
        folder: &Path,
    ) -> Result<bool, String> {
        let any = |right: &dyn Fn(&str, &str) -> bool| {
            answer.is_some_and(|given| item.answer.iter().any(|wanted| right(wanted, given)))
        };
        Ok(match self {
            Scorer::Exact { .. } | Scorer::Choice => {
                any(&|wanted, given| kind.canonical(wanted) == kind.canonical(given))
            }
            Scorer::Numeric { tolerance } => any(&|wanted, given| {
                let read = (Number::read(wanted), Number::read(given));
                matches!(read, (Some(wanted), Some(given)) if wanted.is_within(&given, *tolerance))
            }),
            Scorer::Contains => {
                let given = answer.unwrap_or(text);
                let mut wanted = item.answer.iter();
                wanted.any(|wanted| contains::contains(given, wanted))
            }
            Scorer::Regex => {
                let given = composed(answer.unwrap_or(text));
                for wanted in &item.answer {
                    if Regex::new(&composed(wanted))
                        .map_err(|e| e.to_string())?
                        .is_match(&given)
                    {
                        return Ok(true);
                    }
                }
                false
            }
            Scorer::Command { argv, timeout } => {
                command::grade(argv, *timeout, folder, item, answer, text)?
            }
        })
    }

    /// What it is, as the files write it, every field given: what the digest is taken over.
    pub(crate) fn value(&self) -> Value {
        let mut table = Map::new();
        table.insert("kind".into(), self.name().into());
        match self {
            Scorer::Exact { ignore_case } => {
                table.insert("ignore_case".into(), (*ignore_case).into());
            }
            Scorer::Numeric { tolerance } => {
                table.insert("tolerance".into(), (*tolerance).into());
            }
            Scorer::Choice | Scorer::Contains | Scorer::Regex => {}
            Scorer::Command { argv, timeout } => {
                table.insert("argv".into(), argv.clone().into());
                table.insert("timeout_s".into(), timeout.as_secs_f64().into());
            }
        }
        table.into()
    }
}

fn argv(value: Option<&Value>) -> Result<Vec<String>, String> {
    let wrong = || "argv is no list of texts that begins with a program".to_string();
    let list = value.and_then(Value::as_array).ok_or_else(wrong)?;
    let argv: Option<Vec<String>> = list.iter().map(|v| v.as_str().map(String::from)).collect();
    argv.filter(|argv| argv.first().is_some_and(|program| !program.is_empty()))
        .ok_or_else(wrong)
}
