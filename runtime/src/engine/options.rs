//! What is asked, and how it is to be answered.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{PruneOptions, SectionCaps};
use crate::format::{Calibration, Format};
use crate::package::{Attention, Message, PromptFile, SamplingDefaults};
use crate::paths::{Check, VoteRule};
use crate::reading::AnswerKind;
use crate::session::{CancelToken, LibraryOptions, Providers, SessionOptions};
use crate::vision::{DEFAULT_MAX_PIXELS, Image};

/// How an engine is opened.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Threads inside one operator, 1 to [`crate::session::MAX_THREADS`]. `None`: as many as the machine has cores
    /// available to this process.
    pub threads: Option<usize>,
    /// Which execution providers run the graphs.
    pub providers: Providers,
    /// Times each of `providers` and takes the fastest whose greedy ids are the CPU's, which is tried too.
    pub probe: Option<ProviderProbe>,
    /// Whether paths share one copy of their prompt's keys and values.
    pub attention: Attention,
    /// Which ONNX Runtime is loaded where none is yet, and whether its telemetry may start.
    pub library: LibraryOptions,
    /// Which files are taken where a folder of transformers.js has several of one graph, as [`crate::Package::open_as`] says.
    pub dtype: Option<String>,
    /// Most bytes of image features that are kept for images that come again. 0 keeps none.
    pub image_cache_bytes: usize,
    /// Keep the vision graph loaded between questions. Without it, it is loaded for each new image, and its memory is free
    /// while the answer is generated. It is given up in any case where a question would not fit beside it.
    pub keep_encoder: bool,
    /// Cancels the opening.
    pub cancel: CancelToken,
}

/// How providers are measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderProbe {
    /// Folder where outcomes are remembered. `None`: nowhere.
    pub remember: Option<PathBuf>,
    /// Longest that one provider may take, loading and compiling included.
    pub limit: Duration,
}

/// Most bytes of image features that are kept: some hundred images of a thousand features.
const DEFAULT_IMAGE_CACHE_BYTES: usize = 256 << 20;

impl Default for EngineOptions {
    fn default() -> Self {
        let SessionOptions {
            threads,
            providers,
            library,
            cancel,
        } = SessionOptions::default();
        Self {
            threads,
            providers,
            probe: None,
            attention: Attention::default(),
            library,
            dtype: None,
            image_cache_bytes: DEFAULT_IMAGE_CACHE_BYTES,
            keep_encoder: true,
            cancel,
        }
    }
}

impl EngineOptions {
    pub(super) fn session(&self) -> SessionOptions {
        SessionOptions {
            threads: self.threads,
            providers: self.providers.clone(),
            library: self.library.clone(),
            cancel: self.cancel.clone(),
        }
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// A question. The prompt of [`AskOptions`], or else the package's own, goes around it.
    Text(String),
    /// A whole conversation, the model to speak next. Nothing is added.
    Messages(Vec<Message>),
    /// A rendered and encoded prompt; where images go with it, their tokens stand in it already.
    Tokens(Vec<u32>),
    /// A question about images: they stand before its text, or where the messages have places for them.
    Images {
        /// In the order of their places.
        images: Vec<Image>,
        /// What is asked of them.
        question: Box<Question>,
    },
}

impl Question {
    /// This question, about `images`.
    pub fn about(self, images: impl IntoIterator<Item = Image>) -> Self {
        Question::Images {
            images: images.into_iter().collect(),
            question: Box::new(self),
        }
    }

    /// Its images, and what is asked of them.
    pub(super) fn parts(&self) -> (Vec<&Image>, &Question) {
        let (mut images, mut asked) = (Vec::new(), self);
        while let Question::Images {
            images: these,
            question,
        } = asked
        {
            images.extend(these);
            asked = question;
        }
        (images, asked)
    }
}

impl From<&str> for Question {
    fn from(text: &str) -> Self {
        Question::Text(text.into())
    }
}

/// Whether the paths' answers are combined, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Voting {
    /// Several paths vote by majority where an answer pattern is known.
    #[default]
    Auto,
    /// By this rule. Needs an answer pattern.
    By(VoteRule),
    /// Not at all.
    Off,
}

/// Where a calibration of the cascade comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum CalibrationSource {
    /// A file; one of another package is refused.
    File(PathBuf),
    /// Made here, for the engine's own package.
    Made(Arc<Calibration>),
}

/// How a question is answered.
#[derive(Debug, Clone)]
pub struct AskOptions {
    /// What goes around the question; `None`: the package's own prompt.
    pub prompt: Option<PromptFile>,
    /// System text, in place of the prompt's.
    pub system: Option<String>,
    /// Number of paths.
    pub paths: usize,
    /// Whether the paths' answers are combined, and how.
    pub vote: Voting,
    /// Where the answer stands in a path's text ([`crate::AnswerReader::new`] says how), in place of the prompt's.
    pub answer_pattern: Option<String>,
    /// What the answers are, and so which of them are the same in a vote; in place of the prompt's.
    pub answer_kind: Option<AnswerKind>,
    /// Sampling. What it leaves open, the prompt says, then the package.
    pub sampling: SamplingDefaults,
    /// With a path's number, decides what it draws.
    pub seed: u64,
    /// Texts that end a path; they are not part of its text.
    pub stop: Vec<String>,
    /// Which paths go on: what is left empty follows from the package. Needs several paths.
    pub prune: PruneOptions,
    /// The same in full, in place of `prune`: when paths are scored, by what, and who goes on. Check points never descend.
    pub checks: Vec<Check>,
    /// Generated tokens of a path, from 1 up and ascending, at which [`super::Event::Cached`] shows the KV cache. A path that ends by then
    /// is not in it.
    pub show_kv_at: Vec<usize>,
    /// Stop as soon as the paths that still run cannot change the vote's winner. Needs a vote.
    pub early_vote: bool,
    /// Stop when so many paths have finished, and vote on these: short-m@k (arXiv 2505.17813). Paths that end at the same
    /// step finish together. Needs a vote.
    pub first_finished: Option<usize>,
    /// Which format the response has: [`Format`] says what `Auto` is. Several paths part where the reasoning begins, and are
    /// counted and checked from there; what stands before it is greedy, and theirs in common.
    pub format: Format,
    /// Most tokens of each section.
    pub section_caps: SectionCaps,
    /// Milliseconds from the question in which the answer should be there. The choice of a format leans to the shorter one
    /// the more of the time left the longer needs; a section is closed when the time left is what an answer needs.
    pub deadline_ms: Option<u64>,
    /// The cascade's calibration; `None`: [`crate::format::CALIBRATION_FILE`] of the package.
    pub calibration: Option<CalibrationSource>,
    /// Most bytes of KV cache. `None`: what the system says is available.
    pub max_kv_bytes: Option<u64>,
    /// Most pixels of an image. Decoding takes up to 16 bytes of memory for each.
    pub max_image_pixels: usize,
    /// Reuse keys and values of the last question for the tokens with which both prompts begin. With int8 activations
    /// this can change an answer: a prompt that runs in two parts rounds differently, and of two tokens with nearly equal
    /// logits the other may win. Switch it off where an answer must not depend on the question before.
    pub reuse: bool,
    /// Cancels this question.
    pub cancel: CancelToken,
}

impl Default for AskOptions {
    fn default() -> Self {
        Self {
            prompt: None,
            system: None,
            paths: 1,
            vote: Voting::Auto,
            answer_pattern: None,
            answer_kind: None,
            sampling: SamplingDefaults::default(),
            seed: 0,
            stop: Vec::new(),
            prune: PruneOptions::default(),
            checks: Vec::new(),
            show_kv_at: Vec::new(),
            early_vote: false,
            first_finished: None,
            format: Format::Auto,
            section_caps: SectionCaps::default(),
            deadline_ms: None,
            calibration: None,
            max_kv_bytes: None,
            max_image_pixels: DEFAULT_MAX_PIXELS,
            reuse: true,
            cancel: CancelToken::new(),
        }
    }
}
