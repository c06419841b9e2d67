//! What a check scores paths by, as a name and as the thing itself.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::head::StopHead;

/// What a check scores paths by.
#[derive(Debug, Clone)]
pub enum Signal {
    /// A stop head.
    Head(Arc<StopHead>),
    /// Mean log-probability of the prefix's last tokens, as a probability per token. DeepConf's kind of signal
    /// (arXiv 2508.15260) without its sampling of 20 alternatives; see [`Self::confidence`].
    Confidence {
        /// Tokens averaged over; `None`: the whole prefix.
        window_tokens: Option<NonZeroUsize>,
    },
    /// A number drawn for each path from the seed: what any other signal must beat.
    Random,
}

impl Signal {
    /// The name used in answers and records.
    pub fn name(&self) -> &str {
        match self {
            Signal::Head(head) => &head.header().name,
            Signal::Confidence { .. } => "confidence",
            Signal::Random => "random",
        }
    }

    /// Whether its scores are probabilities that a path is right.
    pub fn is_calibrated(&self) -> bool {
        matches!(self, Signal::Head(head) if head.header().calibration.is_some())
    }

    /// e to the mean of the last `window_tokens` log-probabilities, in \[0, 1\]; 0 of none.
    pub fn confidence(logprobs: &[f32], window_tokens: Option<NonZeroUsize>) -> f64 {
        let window = window_tokens.map_or(logprobs.len(), NonZeroUsize::get);
        let recent = &logprobs[logprobs.len().saturating_sub(window)..];
        match recent.len() {
            0 => 0.0,
            n => (recent.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64).exp(),
        }
    }
}

/// A signal by name, before any head is read.
///
/// Written `"head:NAME"`, `"confidence"`, `"confidence:TOKENS"`, `"random"` or `"oracle"`, in arm files and records too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignalName {
    /// [`Signal::Confidence`]. `None`: of the whole prefix.
    Confidence(Option<NonZeroUsize>),
    /// A stop head: of the package by name, or a file.
    Head(String),
    /// Whether the path will be right, which only a replay of recorded paths can know.
    Oracle,
    /// [`Signal::Random`].
    Random,
}

impl SignalName {
    /// The signal, its head found by `head`.
    ///
    /// # Errors
    /// [`Error::Option`] for the oracle; those of `head`.
    pub fn resolve<E: From<Error>>(
        &self,
        head: impl FnOnce(&str) -> std::result::Result<Arc<StopHead>, E>,
    ) -> std::result::Result<Signal, E> {
        Ok(match self {
            SignalName::Confidence(window_tokens) => Signal::Confidence {
                window_tokens: *window_tokens,
            },
            SignalName::Head(name) => Signal::Head(head(name)?),
            SignalName::Random => Signal::Random,
            SignalName::Oracle => {
                let expected = "a signal that is known before the path ends: only a replay of recorded paths has this one";
                return Err(Error::option("signal", expected, self).into());
            }
        })
    }
}

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignalName::Confidence(None) => f.write_str("confidence"),
            SignalName::Confidence(Some(window)) => write!(f, "confidence:{window}"),
            SignalName::Head(name) => write!(f, "head:{name}"),
            SignalName::Oracle => f.write_str("oracle"),
            SignalName::Random => f.write_str("random"),
        }
    }
}

impl FromStr for SignalName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::option(
                "signal",
                "\"head:NAME\", \"confidence\", \"confidence:TOKENS\", \"random\" or \"oracle\"",
                format!("{text:?}"),
            )
        };
        match text.split_once(':') {
            None => match text {
                "confidence" => Ok(SignalName::Confidence(None)),
                "oracle" => Ok(SignalName::Oracle),
                "random" => Ok(SignalName::Random),
                _ => Err(wrong()),
            },
            Some(("head", name)) if !name.is_empty() => Ok(SignalName::Head(name.into())),
            Some(("confidence", window)) => {
                let window = window.parse().map_err(|_| wrong())?;
                Ok(SignalName::Confidence(Some(window)))
            }
            Some(_) => Err(wrong()),
        }
    }
}

impl Serialize for SignalName {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SignalName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "head:stop",
            "head:C:\\heads\\kv.safetensors",
            "confidence",
            "confidence:8",
            "random",
            "oracle",
        ] {
            assert_eq!(text.parse::<SignalName>().unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "head",
            "head:",
            "confidence:0",
            "confidence:x",
            "random:1",
            "kv",
        ] {
            assert!(wrong.parse::<SignalName>().is_err(), "{wrong}");
        }
    }
}
