//! Tables: the inputs of a network for every path that runs at a check point.

use std::ops::Range;

use curt::head::{LogprobStatistic, logprob_statistic, ngram_indicators};

use super::{SPANS, Store, Vocabulary};
use crate::dataset::{Data, Question, label};
use crate::error::Result;

/// Which numbers of the stored means are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvColumns {
    /// Layers, ascending.
    pub layers: Vec<usize>,
    /// Which of [`SPANS`], ascending.
    pub spans: Vec<usize>,
    /// KV heads of each layer.
    pub kv_heads: usize,
    /// Elements of one value.
    pub head_dim: usize,
}

/// What a head reads.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Means of the cached values.
    pub kv: Option<KvColumns>,
    /// Statistics of the prefix's log-probabilities.
    pub logprob: Vec<LogprobStatistic>,
    /// N-grams of prefix and prompt.
    pub text: Option<Vocabulary>,
}

/// The rows of one question at one check point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Number of the question in the data.
    pub question: usize,
    /// The check point, in generated tokens.
    pub at_tokens: usize,
    /// Its rows.
    pub rows: Range<usize>,
}

/// Inputs and labels, question by question.
#[derive(Debug, Clone)]
pub struct Table {
    /// Numbers of one row.
    pub width: usize,
    /// `[rows, width]`
    pub values: Vec<f32>,
    /// What a head should say: outcome or rate, `[rows]`.
    pub labels: Vec<f32>,
    /// How the path came out, `[rows]`.
    pub right: Vec<bool>,
    /// Number of the path, `[rows]`.
    pub paths: Vec<usize>,
    /// Rows by question and check point. A question of which no path runs there has none.
    pub groups: Vec<Group>,
}

impl Inputs {
    /// Numbers of one row.
    pub fn width(&self) -> usize {
        let text = self.text.as_ref();
        self.kv.as_ref().map_or(0, KvColumns::width)
            + self.logprob.len()
            + text.map_or(0, |t| t.prefix.len() + t.prompt.len())
    }
}

impl Table {
    /// Gathers the inputs of every path that runs at each of `points`: a check point and its store of means (not read
    /// without KV inputs). `prompts`: the prompt's tokens of each question.
    ///
    /// # Errors
    /// [`crate::Error::Io`] where a store cannot be read.
    pub fn gather(
        data: &Data,
        prompts: &[Vec<u32>],
        inputs: &Inputs,
        points: &mut [(usize, Option<&mut Store>)],
    ) -> Result<Self> {
        let width = inputs.width();
        let mut table = Self {
            width,
            values: Vec::new(),
            labels: Vec::new(),
            right: Vec::new(),
            paths: Vec::new(),
            groups: Vec::new(),
        };
        for (at_tokens, store) in points {
            for (number, question) in data.questions.iter().enumerate() {
                let pooled = match (store.as_mut(), &inputs.kv) {
                    (Some(store), Some(_)) => store.read(number)?,
                    _ => Vec::new(),
                };
                table.push(
                    question,
                    number,
                    *at_tokens,
                    inputs,
                    &pooled,
                    &prompts[number],
                );
            }
        }
        Ok(table)
    }

    /// Rows in all.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// One row: `[width]`.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..(row + 1) * self.width]
    }

    fn push(
        &mut self,
        question: &Question,
        number: usize,
        at_tokens: usize,
        inputs: &Inputs,
        pooled: &[f32],
        prompt: &[u32],
    ) {
        let first = self.rows();
        let stored = pooled.len() / question.paths.len();
        for path in question.running(at_tokens) {
            if let Some(kv) = &inputs.kv {
                let mine = &pooled[path.path * stored..(path.path + 1) * stored];
                kv.extend(mine, &mut self.values);
            }
            let seen = &path.logprobs[..at_tokens];
            let statistics = inputs.logprob.iter();
            self.values
                .extend(statistics.map(|&s| logprob_statistic(s, seen)));
            if let Some(text) = &inputs.text {
                for (ngrams, tokens) in [
                    (&text.prefix, &path.tokens[..at_tokens]),
                    (&text.prompt, prompt),
                ] {
                    let start = self.values.len();
                    self.values.resize(start + ngrams.len(), 0.0);
                    ngram_indicators(ngrams, tokens, &mut self.values[start..]);
                }
            }
            self.labels.push(label(path, at_tokens));
            self.right.push(path.correct);
            self.paths.push(path.path);
        }
        let rows = first..self.rows();
        if !rows.is_empty() {
            self.groups.push(Group {
                question: number,
                at_tokens,
                rows,
            });
        }
    }
}

impl KvColumns {
    /// Numbers of one row.
    pub fn width(&self) -> usize {
        self.layers.len() * self.kv_heads * self.spans.len() * self.head_dim
    }

    /// Appends the columns of a stored path, `[layers, kv_heads, spans, head_dim]`, to `out`.
    fn extend(&self, stored: &[f32], out: &mut Vec<f32>) {
        for &layer in &self.layers {
            for head in 0..self.kv_heads {
                for &span in &self.spans {
                    let block = (layer * self.kv_heads + head) * SPANS.len() + span;
                    out.extend_from_slice(
                        &stored[block * self.head_dim..(block + 1) * self.head_dim],
                    );
                }
            }
        }
    }
}
