//! The prompt file: everything around a question, in TOML. Workloads use the same file.

use std::path::Path;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files;
use crate::reading::AnswerKind;

/// A prompt file.
///
/// ```toml
/// system = "Solve the problem step by step. End with 'The answer is N.'"
/// answer_pattern = '(?i)answer is:?'      # where the answer stands
/// answer_kind = "number"                  # 18 and $18.00 are one answer
/// question = "Kim has 8 cups. …"          # an example, asked by the demo
///
/// [[turns]]
/// user = "Rob has 3 bags with 6 nuts …"
/// assistant = "Rob has 3 bags of 6 nuts, so 3 * 6 = 18. …"
///
/// [sampling]
/// temperature = 0.7
/// max_tokens = 64
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptFile {
    /// System text.
    #[serde(default)]
    pub system: Option<String>,
    /// Where the answer stands in a path's text: a regular expression or `\boxed{}`, as [`crate::AnswerReader::new`] says.
    #[serde(default)]
    pub answer_pattern: Option<String>,
    /// What the answers are, and so which of them are the same.
    #[serde(default)]
    pub answer_kind: Option<AnswerKind>,
    /// An example question.
    #[serde(default)]
    pub question: Option<String>,
    /// Example turns before the question.
    #[serde(default)]
    pub turns: Vec<ExampleTurn>,
    /// How to sample.
    #[serde(default)]
    pub sampling: SamplingDefaults,
}

/// A question and the answer wanted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleTurn {
    /// What the person asks.
    pub user: String,
    /// What the model should say.
    pub assistant: String,
}

/// Sampling parameters; what is absent is left to the next in line (command line, prompt file, package, curt).
///
/// What is complete is [`crate::generate::Sampling`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingDefaults {
    /// Divides the logits; 0 is greedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Keep the k most probable tokens; 0 keeps all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Keep the most probable tokens that together reach this probability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// Keep tokens at least this fraction as probable as the most probable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f32>,
    /// Above 1: makes tokens that stand in the prompt or the path less likely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f32>,
    /// Never repeat so many tokens in a row; 0 allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_repeat_ngram_size: Option<u32>,
    /// Let no path end before prompt and path together have so many tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<usize>,
    /// Most tokens a path may generate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
}

impl SamplingDefaults {
    /// These, and `later` where these say nothing.
    pub fn or(self, later: Self) -> Self {
        Self {
            temperature: self.temperature.or(later.temperature),
            top_k: self.top_k.or(later.top_k),
            top_p: self.top_p.or(later.top_p),
            min_p: self.min_p.or(later.min_p),
            repetition_penalty: self.repetition_penalty.or(later.repetition_penalty),
            no_repeat_ngram_size: self.no_repeat_ngram_size.or(later.no_repeat_ngram_size),
            min_length: self.min_length.or(later.min_length),
            max_tokens: self.max_tokens.or(later.max_tokens),
        }
    }
}

/// A file that has a prompt among other things, as `workload.toml` does.
#[derive(Deserialize)]
struct Holder<T> {
    prompt: T,
}

impl PromptFile {
    /// Reads a prompt file, or the `[prompt]` of a file that has one, such as a workload's.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Package`] where it is no TOML of this shape.
    pub fn read(file: &Path) -> Result<Self> {
        let text = files::read_text(file, files::WRITTEN_BYTES, "the prompt file cannot be read")?;
        let read = if toml::from_str::<Holder<IgnoredAny>>(&text).is_ok() {
            toml::from_str::<Holder<Self>>(&text).map(|holder| holder.prompt)
        } else {
            toml::from_str(&text)
        };
        read.map_err(|e| {
            Error::package(
                file,
                "TOML",
                "a prompt file (system, answer_pattern, answer_kind, question, turns, sampling)",
                // Its backticks hold keys of the file, not fields of an option.
                e.to_string().trim_end().replace('`', "\""),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_none_is_named_as_the_file_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.toml");
        std::fs::write(&file, "sistem = 1").unwrap();
        let error = PromptFile::read(&file).unwrap_err().to_string();
        assert!(error.contains("\"sistem\""), "{error}");
        assert!(!error.contains('`'), "{error}");
    }

    #[test]
    fn a_workloads_prompt_is_read_from_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.toml");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            PromptFile::read(&file)
        };
        let plain = read("system = 'S'\n[sampling]\nmax_tokens = 8\n").unwrap();
        let of_workload = read(
            "name = 'w'\nscorer = 'number'\n[prompt]\nsystem = 'S'\n[prompt.sampling]\nmax_tokens = 8\n",
        );
        assert_eq!(of_workload.unwrap(), plain);
        for (wrong, said) in [("sytem = 'S'", "sytem"), ("[prompt]\nsytem = 'S'", "sytem")] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
