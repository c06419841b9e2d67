//! Options as they come from another language: JSON with the names of [`curt::EngineOptions`] and [`curt::AskOptions`], of
//! numbers, texts and lists alone.

use std::path::PathBuf;

use curt::session::{LibraryOptions, Providers, Telemetry};
use curt::{
    AskOptions, Attention, CalibrationSource, EngineOptions, Error, Message, PromptFile,
    PruneOptions, Role, SamplingDefaults, SectionCaps, VoteRule, Voting,
};
use serde::Deserialize;

use crate::status::{CurtStatus, Failure};

/// How an engine is opened. What is left out is as in [`EngineOptions`].
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSettings {
    /// The ONNX Runtime library. Without it, what `ORT_DYLIB_PATH` names, or the one beside the executable.
    pub library: Option<String>,
    /// Lets the library's own telemetry start. Without it, `ORT_DISABLE_TELEMETRY=1` has to stand in the environment.
    pub allow_telemetry: bool,
    /// Threads inside one operator.
    pub threads: Option<u32>,
    /// Execution providers, the first choice first: `cpu`, `coreml`, `nnapi`, `qnn`, `xnnpack` and others, or a plugin's library.
    pub providers: Vec<String>,
    /// These and no other: nothing falls back to the processor.
    pub providers_only: bool,
    /// Whether paths share one copy of their prompt's keys and values: `auto`, `shared` or `dense`.
    pub attention: Option<String>,
    /// Which files are taken where a folder has several of one graph: `q4`, `int8`, `fp16`, or GRAPH=TYPE parted by commas.
    pub dtype: Option<String>,
    /// Most bytes of image features that are kept.
    pub image_cache_bytes: Option<u64>,
    /// Whether the vision graph stays loaded between questions.
    pub keep_encoder: Option<bool>,
}

/// How a question is answered. What is left out is as in [`AskOptions`].
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AskSettings {
    /// Prompt file, in place of the package's own.
    pub prompt: Option<String>,
    /// System text, in place of the prompt's.
    pub system: Option<String>,
    /// Number of paths.
    pub paths: Option<u32>,
    /// How their answers are combined: `majority`, `weighted` or `none`.
    pub vote: Option<String>,
    /// Regular expression that finds the answer in a path's text.
    pub answer_pattern: Option<String>,
    /// Divides the logits; 0 is greedy.
    pub temperature: Option<f32>,
    /// Draw from so many of the most probable tokens; 0 draws from all.
    pub top_k: Option<u32>,
    /// Draw from the most probable tokens that together have this probability.
    pub top_p: Option<f32>,
    /// Draw from tokens at least this fraction as probable as the most probable.
    pub min_p: Option<f32>,
    /// Above 1: makes tokens of the prompt and the path less likely.
    pub repetition_penalty: Option<f32>,
    /// Never repeat so many tokens in a row; 0 allows it.
    pub no_repeat_ngram_size: Option<u32>,
    /// Let no path end before prompt and path together have so many tokens.
    pub min_length: Option<u32>,
    /// Most tokens that a path may generate.
    pub max_tokens: Option<u32>,
    /// Same seed, same paths.
    pub seed: Option<u64>,
    /// Texts that end a path.
    pub stop: Vec<String>,
    /// Who goes on at each check point: `4`, `25%`, `>=0.5` or `all`.
    pub keep: Vec<String>,
    /// Check points, in generated tokens. Without them, where the head was trained.
    pub check_at: Vec<u32>,
    /// What paths are scored by: `head:NAME`, `confidence`, `confidence:TOKENS` or `random`. Without it, the package's head.
    pub signal: Vec<String>,
    /// Stop as soon as the paths that still run cannot change the winner.
    pub early_vote: Option<bool>,
    /// Stop when so many paths have finished, and vote on these.
    pub first_finished: Option<u32>,
    /// Shape of the response: `auto`, `direct`, `perception`, `full` or `cascade`.
    pub format: Option<String>,
    /// Most tokens of the perception section.
    pub perception_tokens: Option<u32>,
    /// Most tokens of the reasoning section.
    pub reasoning_tokens: Option<u32>,
    /// Most tokens of the answer section.
    pub answer_tokens: Option<u32>,
    /// Milliseconds in which the answer should be there.
    pub deadline_ms: Option<u64>,
    /// Calibration of the cascade, in place of the package's own.
    pub calibration: Option<String>,
    /// Most bytes of keys and values.
    pub max_kv_bytes: Option<u64>,
    /// Most pixels of an image.
    pub max_image_pixels: Option<u64>,
    /// Reuse keys and values of the question before.
    pub reuse: Option<bool>,
    /// Generated tokens of a path at which the cache is shown.
    pub show_kv_at: Vec<u32>,
}

/// Reads settings; nothing, and an empty text, is none.
///
/// # Errors
/// [`CurtStatus::Argument`] for what is no JSON of this shape.
pub(crate) fn read<T: Default + for<'a> Deserialize<'a>>(
    json: Option<&str>,
    name: &str,
) -> Result<T, Failure> {
    match json {
        None | Some("") => Ok(T::default()),
        Some(json) => serde_json::from_str(json).map_err(|error| {
            Failure::argument(name, "JSON of the options that README.md lists", error)
        }),
    }
}

/// A message of a conversation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    role: Role,
    content: String,
    #[serde(default)]
    images: usize,
}

/// Reads a conversation: a JSON array of objects with `role`, `content` and perhaps `images`.
///
/// # Errors
/// [`CurtStatus::Argument`] for what is no JSON of this shape.
pub(crate) fn messages(json: &str) -> Result<Vec<Message>, Failure> {
    let said: Vec<Said> = serde_json::from_str(json)
        .map_err(|error| Failure::argument("json", "an array of messages", error))?;
    let message = |said: Said| Message {
        role: said.role,
        content: said.content,
        images: said.images,
    };
    Ok(said.into_iter().map(message).collect())
}

impl EngineSettings {
    /// What they say, as an engine takes it.
    ///
    /// # Errors
    /// [`CurtStatus::Option`] for words that mean nothing.
    pub fn options(&self) -> Result<EngineOptions, Failure> {
        let usual = EngineOptions::default();
        Ok(EngineOptions {
            threads: self.threads.map(|n| n as usize),
            providers: self.providers()?,
            attention: match self.attention.as_deref() {
                None | Some("shared") => Attention::Shared,
                Some("shared-f16") => Attention::SharedF16,
                Some("dense") => Attention::Dense,
                Some(other) => return Err(word("attention", "shared, shared-f16 or dense", other)),
            },
            library: LibraryOptions {
                file: self.library.as_ref().map(PathBuf::from),
                telemetry: match self.allow_telemetry {
                    true => Telemetry::Allowed,
                    false => Telemetry::Off,
                },
            },
            dtype: self.dtype.clone(),
            image_cache_bytes: match self.image_cache_bytes {
                Some(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
                None => usual.image_cache_bytes,
            },
            keep_encoder: self.keep_encoder.unwrap_or(usual.keep_encoder),
            probe: usual.probe,
            cancel: usual.cancel,
        })
    }
}

impl EngineSettings {
    fn providers(&self) -> Result<Providers, Failure> {
        let named = self.providers.iter().map(|name| name.parse());
        let named = named.collect::<Result<Vec<_>, curt::session::Error>>();
        let named = named.map_err(Error::from)?;
        Ok(match (named.is_empty(), self.providers_only) {
            (true, false) => Providers::default(),
            (_, true) => Providers::Only(named),
            (false, false) => Providers::Prefer(named),
        })
    }
}

impl AskSettings {
    /// What they say, as an engine takes it.
    ///
    /// # Errors
    /// [`CurtStatus::Option`] for words that mean nothing; those of [`PromptFile::read`].
    pub fn options(&self) -> Result<AskOptions, Failure> {
        let usual = AskOptions::default();
        let wide = |n: Option<u32>| n.map(|n| n as usize);
        let all_wide = |all: &[u32]| all.iter().map(|&n| n as usize).collect();
        Ok(AskOptions {
            prompt: match &self.prompt {
                Some(file) => Some(PromptFile::read(file.as_ref())?),
                None => None,
            },
            system: self.system.clone(),
            paths: wide(self.paths).unwrap_or(usual.paths),
            vote: match self.vote.as_deref() {
                None => Voting::Auto,
                Some("majority") => Voting::By(VoteRule::Majority),
                Some("weighted") => Voting::By(VoteRule::ScoreWeighted),
                Some("none") => Voting::Off,
                Some(other) => return Err(word("vote", "majority, weighted or none", other)),
            },
            answer_pattern: self.answer_pattern.clone(),
            sampling: SamplingDefaults {
                temperature: self.temperature,
                top_k: self.top_k,
                top_p: self.top_p,
                min_p: self.min_p,
                repetition_penalty: self.repetition_penalty,
                no_repeat_ngram_size: self.no_repeat_ngram_size,
                min_length: wide(self.min_length),
                max_tokens: wide(self.max_tokens),
            },
            seed: self.seed.unwrap_or(usual.seed),
            stop: self.stop.clone(),
            prune: PruneOptions {
                keep: parsed(&self.keep)?,
                check_at: all_wide(&self.check_at),
                signals: parsed(&self.signal)?,
            },
            early_vote: self.early_vote.unwrap_or(usual.early_vote),
            first_finished: wide(self.first_finished),
            format: match &self.format {
                Some(format) => format.parse()?,
                None => usual.format,
            },
            section_caps: SectionCaps {
                perception: wide(self.perception_tokens),
                reasoning: wide(self.reasoning_tokens),
                answer: wide(self.answer_tokens),
            },
            deadline_ms: self.deadline_ms,
            calibration: self
                .calibration
                .as_ref()
                .map(|file| CalibrationSource::File(file.into())),
            max_kv_bytes: self.max_kv_bytes,
            max_image_pixels: match self.max_image_pixels {
                Some(pixels) => usize::try_from(pixels).unwrap_or(usize::MAX),
                None => usual.max_image_pixels,
            },
            reuse: self.reuse.unwrap_or(usual.reuse),
            show_kv_at: all_wide(&self.show_kv_at),
            ..usual
        })
    }
}

fn parsed<T: std::str::FromStr<Err = Error>>(words: &[String]) -> Result<Vec<T>, Failure> {
    let parsed = words.iter().map(|word| word.parse());
    Ok(parsed.collect::<Result<_, _>>()?)
}

fn word(field: &str, expected: &str, got: &str) -> Failure {
    let message = format!("`{field}`: expected {expected}, got {got:?}");
    Failure::new(CurtStatus::Option, message)
}
