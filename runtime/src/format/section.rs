//! The sections of a response, and the formats that they make.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A part of a response with a purpose of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SectionKind {
    /// What is seen in the picture, or stands in the question.
    Perception,
    /// What follows from that.
    Reasoning,
    /// The answer.
    Answer,
}

impl SectionKind {
    /// All, in the order in which a response has them.
    pub const ALL: [SectionKind; 3] = [Self::Perception, Self::Reasoning, Self::Answer];

    /// Its name, as it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Perception => "perception",
            Self::Reasoning => "reasoning",
            Self::Answer => "answer",
        }
    }
}

impl fmt::Display for SectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The shape of a response (AVR, arXiv 2604.14568, section 3): which sections it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseFormat {
    /// An answer alone.
    Direct,
    /// Perception, then the answer.
    Perception,
    /// Perception, where the package has it, reasoning, then the answer.
    Full,
}

impl ResponseFormat {
    /// All, the cheapest first.
    pub const ALL: [ResponseFormat; 3] = [Self::Direct, Self::Perception, Self::Full];

    /// Its name, as it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Perception => "perception",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for ResponseFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which format a question is answered in.
///
/// Written `auto`, `direct`, `perception`, `full` or `cascade`, in arm files and records too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The model chooses, where the package has formats; without them a response is a text, as ever.
    #[default]
    Auto,
    /// An answer alone.
    Direct,
    /// Perception, then the answer.
    Perception,
    /// Perception, reasoning, then the answer.
    Full,
    /// Direct first; where its calibrated confidence does not reach the threshold, perception, then full.
    Cascade,
}

impl Format {
    /// The format that it forces.
    pub fn forced(self) -> Option<ResponseFormat> {
        match self {
            Self::Direct => Some(ResponseFormat::Direct),
            Self::Perception => Some(ResponseFormat::Perception),
            Self::Full => Some(ResponseFormat::Full),
            Self::Auto | Self::Cascade => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cascade => f.write_str("cascade"),
            Self::Direct | Self::Perception | Self::Full => {
                self.forced().map_or(Ok(()), |format| format.fmt(f))
            }
        }
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [
            Self::Auto,
            Self::Direct,
            Self::Perception,
            Self::Full,
            Self::Cascade,
        ];
        all.into_iter()
            .find(|format| format.to_string() == text)
            .ok_or_else(|| {
                let expected = "auto, direct, perception, full or cascade";
                Error::option("format", expected, format!("{text:?}"))
            })
    }
}

/// How a section ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SectionFinish {
    /// By its closing tag.
    Closed,
    /// By the tag of the next section: its own closing tag was left out.
    Omitted,
    /// It had as many tokens as it may, and was closed.
    Cap,
    /// It repeated itself, and was closed.
    Loop,
    /// The deadline came, and it was closed.
    Deadline,
    /// The path had as many tokens as it may, less what an answer needs, and it was closed.
    MaxTokens,
    /// The path ended within it.
    End,
}

/// A section of a response.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Section {
    /// Which.
    pub kind: SectionKind,
    /// Its text, without tags and the white space around it.
    pub text: String,
    /// Its tokens, those of its tags among them; one that closes a section and opens the next counts with the next.
    pub tokens: usize,
    /// Of these, the tokens that were not drawn: tags, and what closed it.
    pub forced_tokens: usize,
    /// From its first token to its last, in milliseconds.
    pub ms: f64,
    /// How it ended.
    pub finish: SectionFinish,
    /// Mean log-probability under the model itself of the tokens that were drawn and hold its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_logprob: Option<f64>,
    /// The least of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_logprob: Option<f64>,
    /// Where its tokens stand in the response.
    #[serde(skip)]
    pub range: Range<usize>,
}
