//! Controls: heads of the same file format that read less, and how the text control is tuned.

use curt::head::LogprobStatistic;
use serde::Serialize;

use crate::dataset::Data;
use crate::error::Result;
use crate::features::{Inputs, Vocabulary, choose, count_ngrams};
use crate::fit::FitOptions;
use crate::search::Search;

/// What a head may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Kinds {
    /// The KV cache.
    pub kv: bool,
    /// Statistics of the prefix's log-probabilities.
    pub logprob: bool,
    /// Tokens of prefix and prompt.
    pub text: bool,
}

impl Kinds {
    /// The control that reads log-probabilities alone.
    pub const LOGPROB: Self = Self {
        kv: false,
        logprob: true,
        text: false,
    };
    /// The control that reads the text alone.
    pub const TEXT: Self = Self {
        kv: false,
        logprob: false,
        text: true,
    };
    /// The control that reads everything but the cache.
    pub const LOGPROB_TEXT: Self = Self {
        kv: false,
        logprob: true,
        text: true,
    };
    /// The cache alone.
    pub const KV: Self = Self {
        kv: true,
        logprob: false,
        text: false,
    };
    /// The cache and log-probabilities.
    pub const KV_LOGPROB: Self = Self {
        kv: true,
        logprob: true,
        text: false,
    };

    /// The usual name of such a head, as `kv-logprob`. A head of the cache alone is `kv-only`: `kv` is the file that a
    /// package uses where no head is named, and that one may read other things too.
    pub fn name(self) -> String {
        if self == Self::KV {
            return "kv-only".into();
        }
        let named = [
            (self.kv, "kv"),
            (self.logprob, "logprob"),
            (self.text, "text"),
        ];
        let names: Vec<&str> = named.iter().filter(|n| n.0).map(|n| n.1).collect();
        names.join("-")
    }

    /// The controls of a head that reads this, in the order in which they are trained.
    pub fn controls(self) -> Vec<Self> {
        let with_kv = [Self::KV_LOGPROB, Self::KV];
        let without = [Self::LOGPROB, Self::TEXT, Self::LOGPROB_TEXT];
        let all = with_kv.into_iter().filter(|_| self.kv).chain(without);
        all.filter(|&kinds| kinds != self).collect()
    }
}

/// What a text head was tuned to.
#[derive(Debug, Clone, Serialize)]
pub struct TextChoice {
    /// N-grams of the prefix looked for.
    pub prefix_ngrams: usize,
    /// N-grams of the prompt looked for.
    pub prompt_ngrams: usize,
    /// How it is fitted.
    pub fit: FitOptions,
    /// Mean AUROC within a question, cross-validated.
    pub auroc: f64,
    /// The n-grams.
    #[serde(skip)]
    pub vocabulary: Vocabulary,
}

/// An n-gram must occur in so many texts, and be absent from as many.
const LEAST_TEXTS: usize = 12;

/// Most n-grams of prefix and prompt while check points are compared.
const SURVEY_NGRAMS: [usize; 2] = [1024, 0];

/// The statistics that heads of this crate read.
pub fn logprob_statistics() -> Vec<LogprobStatistic> {
    LogprobStatistic::ALL.to_vec()
}

/// A vocabulary of the questions studied at `at_tokens`: the most telling n-grams of their prefixes, and of their
/// prompts.
fn vocabulary(
    search: &Search<'_>,
    at_tokens: &[usize],
    [most_prefix, most_prompt]: [usize; 2],
) -> Vocabulary {
    let of = &search.study.questions;
    let prefixes = prefix_counts(search.data, of, at_tokens);
    let prompts = count_ngrams(of.iter().map(|&q| search.prompts[q].as_slice()));
    Vocabulary {
        prefix: choose(&prefixes, LEAST_TEXTS, most_prefix),
        prompt: choose(&prompts, LEAST_TEXTS, most_prompt),
    }
}

/// What a text head reads while check points are compared, before it is tuned at one of them.
pub fn survey_text(search: &Search<'_>, at_tokens: usize) -> Inputs {
    Inputs {
        text: Some(vocabulary(search, &[at_tokens], SURVEY_NGRAMS)),
        ..Inputs::default()
    }
}

/// Tunes the text control at `at_tokens` by cross-validation: how many n-grams of the prefix, whether those of the prompt
/// help, linear or with hidden units, and how strongly weights decay. Returns the choices tried, the best first.
///
/// # Errors
/// Those of [`Search::rank`].
pub fn tune_text(
    search: &mut Search<'_>,
    at_tokens: &[usize],
    on_found: &mut dyn FnMut(&TextChoice),
) -> Result<Vec<TextChoice>> {
    let linear = FitOptions {
        hidden: 0,
        learning_rate: 3e-3,
        ..search.fit
    };
    let small = FitOptions {
        hidden: 32,
        ..search.fit
    };
    let mut tried: Vec<TextChoice> = Vec::new();
    for most in [[256, 0], [1024, 0], [4096, 0], [1024, 256]] {
        let vocabulary = vocabulary(search, at_tokens, most);
        let same = |t: &TextChoice| t.vocabulary == vocabulary;
        if tried.iter().any(same) {
            continue;
        }
        let inputs = Inputs {
            text: Some(vocabulary.clone()),
            ..Inputs::default()
        };
        for (base, weight_decay) in [(linear, 0.1), (linear, 3.0), (small, 0.1), (small, 3.0)] {
            let fit = FitOptions {
                weight_decay,
                ..base
            };
            let auroc = search.rank_with(&inputs, at_tokens, &fit)?.auroc();
            let choice = TextChoice {
                prefix_ngrams: vocabulary.prefix.len(),
                prompt_ngrams: vocabulary.prompt.len(),
                fit,
                auroc,
                vocabulary: vocabulary.clone(),
            };
            on_found(&choice);
            tried.push(choice);
        }
    }
    tried.sort_by(|a, b| b.auroc.total_cmp(&a.auroc));
    Ok(tried)
}

fn prefix_counts(
    data: &Data,
    of: &[usize],
    at_tokens: &[usize],
) -> (std::collections::BTreeMap<[u32; 2], usize>, usize) {
    let texts = at_tokens.iter().flat_map(|&at| {
        of.iter()
            .flat_map(move |&q| data.questions[q].running(at).map(move |p| &p.tokens[..at]))
    });
    count_ngrams(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_have_names_of_their_own() {
        let names: Vec<String> = Kinds::KV_LOGPROB
            .controls()
            .into_iter()
            .map(Kinds::name)
            .collect();
        assert_eq!(names, ["kv-only", "logprob", "text", "logprob-text"]);
        let names: Vec<String> = Kinds::KV.controls().into_iter().map(Kinds::name).collect();
        assert_eq!(names, ["kv-logprob", "logprob", "text", "logprob-text"]);
        assert_eq!(
            Kinds::TEXT.controls(),
            [Kinds::LOGPROB, Kinds::LOGPROB_TEXT]
        );
    }
}
