//! Records: what a run writes down, one line as it ends, and all that the figures are made of.
//!
//! `records.jsonl` begins with the [`Run`]: what was run and how it is judged. Then comes a [`Start`] for each process that
//! wrote to it, and for each item an [`AskedItem`], a [`Sample`] where arms are derived from one, and a [`Record`] for each
//! arm.

mod agree;
mod compare;
mod folder;
mod rank;
mod read;
mod run;
mod source;
mod validate;
mod write;

use std::collections::BTreeMap;

use curt::format::ResponseFormat;
use curt::paths::{FinishReason, SignalName};
use serde::{Deserialize, Serialize};

pub(crate) use compare::{differences, not_compared};
pub use folder::{Folder, Sink, Writer};
pub use rank::rank;
pub use read::{Records, read_records};
pub use run::{Machine, Measure, Run, Start};
pub(crate) use validate::MOST_TOKENS;

use curt_workload::Item;

use crate::arm::Arm;

/// Version of this layout.
pub const VERSION: u32 = 1;

/// A line of the records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// The first.
    Run(Box<Run>),
    /// A process began to write.
    Start(Box<Start>),
    /// An item as it was asked.
    Item(Box<AskedItem>),
    /// Full paths of an item, scored by every signal.
    Sample(Box<Sample>),
    /// What an arm did with an item.
    Result(Box<Record>),
}

/// An item as it was asked, for a reader of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedItem {
    /// Place in the workload's part, from 0.
    pub index: usize,
    /// The item.
    pub item: String,
    /// The question.
    pub question: String,
    /// Answers that are right.
    pub answer: Vec<String>,
    /// The prompt as token ids, where curt asks: what a chat template made of the question can be held against another
    /// runtime's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompt_ids: Vec<u32>,
}

/// Full paths of an item, sampled once and scored by every signal at every check point of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Place in the workload's part, from 0.
    pub index: usize,
    /// The item.
    pub item: String,
    /// Which repeat, from 0.
    pub repeat: u32,
    /// Why there are no paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// The checks that scored, in order.
    pub checks: Vec<SampleCheck>,
    /// The paths, by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<SampledPath>,
    /// What it took.
    pub times: Option<Times>,
    /// Bytes of KV cache planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_bytes: Option<u64>,
    /// Of these, bytes of what all paths share, however many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_shared_bytes: Option<u64>,
    /// What the machine said meanwhile.
    #[serde(flatten)]
    pub machine: Readings,
}

/// What the machine says of the time in which a question was answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Readings {
    /// Most bytes resident, over the whole process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_resident_bytes: Option<u64>,
    /// Energy in joules, by rail, idle not subtracted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub joules: BTreeMap<String, f64>,
    /// Energy in joules, by rail, that the machine would have drawn in that time had it been idle: by the idle power at
    /// the start of the process that read it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub idle_joules: BTreeMap<String, f64>,
    /// Highest frequency at the end of the cores that the process may use, in MHz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mhz: Option<f64>,
    /// The same after the process that read it had warmed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_mhz: Option<f64>,
}

/// What scored a sample, and how well it told right paths from wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleCheck {
    /// The signal as arms name it.
    pub signal: SignalName,
    /// Tokens at which it scored.
    pub at: usize,
    /// Paths that it scored.
    pub scored: usize,
    /// Scoring them, in milliseconds.
    pub score_ms: Option<f64>,
    /// Pairs of a right and a wrong path that it scored.
    pub pairs: u64,
    /// Of these, the pairs whose right path scored higher; ties count one half.
    pub concordant: f64,
}

/// A path that was sampled to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampledPath {
    /// Tokens it generated.
    pub tokens: usize,
    /// Why it ended.
    pub finish: FinishReason,
    /// Its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Whether the answer is right.
    pub correct: bool,
    /// Score at each check of the sample; none where it had ended.
    pub scores: Vec<Option<f64>>,
    /// Its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// What an arm did with an item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Place in the workload's part, from 0.
    pub index: usize,
    /// The item.
    pub item: String,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The arm.
    pub arm: String,
    /// Which repeat, from 0.
    pub repeat: u32,
    /// Why there is no answer. A failed item counts as wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Whether that is right.
    pub correct: bool,
    /// Paths that came to their end, and voted.
    pub finished: usize,
    /// Of these, the right ones.
    pub finished_correct: usize,
    /// Tokens of the prompt, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<usize>,
    /// Generated tokens by phase, where they are known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tokens: BTreeMap<String, usize>,
    /// Of these, tokens of paths that did not vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unused_tokens: Option<usize>,
    /// The response's format, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<FormatRecord>,
    /// The work that the arm would have been, where it was derived from the item's sample and did not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derived: Option<Derived>,
    /// What it took, where it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<Times>,
    /// Bytes of KV cache planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_bytes: Option<u64>,
    /// What the machine said meanwhile, where it ran.
    #[serde(flatten)]
    pub machine: Readings,
    /// Each path, by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathRecord>,
}

/// The format of a response, and how it came to it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FormatRecord {
    /// Which; `None` where it is none of the three.
    pub used: Option<ResponseFormat>,
    /// How much the model would rather have answered at once than looked first, in nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// Probability, where that was read, of all that begins no format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_grammar: Option<f64>,
    /// Calibrated confidence that the cascade accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Answers that the cascade did not accept.
    pub escalations: usize,
}

/// How much work a derived arm would have been.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Derived {
    /// Paths launched.
    pub launched: usize,
    /// Decode steps.
    pub steps: usize,
    /// Rows of these steps together.
    pub row_steps: usize,
    /// Scoring, from the sample's own checks and the rows they would have had, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_ms: Option<f64>,
}

/// A path of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PathRecord {
    /// Tokens it generated.
    pub tokens: usize,
    /// Why it ended.
    pub finish: FinishReason,
    /// Its last score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Its answer, where it is not that of the sample's path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Whether it is right, where it is not in the sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correct: Option<bool>,
    /// Its text, where it is not in the sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Bytes of the whole text, where `text` is only its beginning: a server may answer with any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_from_bytes: Option<usize>,
}

/// Times of one question, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// From question to answer.
    pub total_ms: f64,
    /// From question to the first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<f64>,
    /// Running the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefill_ms: Option<f64>,
    /// Copying the prompt's cache to each path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork_ms: Option<f64>,
    /// Decoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decode_ms: Option<f64>,
    /// Scoring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_ms: Option<f64>,
    /// Moving kept rows together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compact_ms: Option<f64>,
}

impl Record {
    /// A result of `arm` before anything is known of it.
    pub(crate) fn unanswered(arm: &Arm, index: usize, item: &Item, repeat: u32) -> Self {
        Self {
            index,
            item: item.id.clone(),
            group: item.group.clone(),
            arm: arm.name.clone(),
            repeat,
            error: None,
            answer: None,
            correct: false,
            finished: 0,
            finished_correct: 0,
            prompt_tokens: None,
            tokens: BTreeMap::new(),
            unused_tokens: None,
            format: None,
            derived: None,
            times: None,
            kv_bytes: None,
            machine: Readings::default(),
            paths: Vec::new(),
        }
    }

    /// Generated tokens over all phases, where they are known.
    pub fn generated(&self) -> Option<usize> {
        (!self.tokens.is_empty()).then(|| self.tokens.values().sum())
    }

    /// What tells it from every other record of a run.
    pub fn key(&self) -> (usize, u32, &str) {
        (self.index, self.repeat, &self.arm)
    }
}
