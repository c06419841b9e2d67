//! Reads `tokenizer.json`: straight into the model that it names, in one pass.
//!
//! tokenizers' own reader goes through two untyped copies of the whole file on its way, which for a vocabulary of 250,000
//! tokens is most of the time that it takes; and what it finds it takes at its word.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use tokenizers::models::bpe::{BPE, Vocab as Ids};
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::{
    AddedToken, DecoderWrapper, ModelWrapper, NormalizerWrapper, PaddingParams,
    PostProcessorWrapper, PreTokenizerWrapper, TruncationParams,
};

use super::limits::{self, Growth, Refusal};

/// What is in a file, each part within its limits. Truncation, padding and dropout are settings of a training pipeline and
/// are left out: a prompt is neither cut nor filled up nor changed by chance.
pub(super) struct Parts {
    pub(super) model: ModelWrapper,
    pub(super) normalizer: Option<NormalizerWrapper>,
    pub(super) pre_tokenizer: Option<PreTokenizerWrapper>,
    pub(super) post_processor: Option<PostProcessorWrapper>,
    pub(super) decoder: Option<DecoderWrapper>,
    /// The decoder as it is written.
    pub(super) decoder_file: Value,
    pub(super) added: Vec<AddedToken>,
    /// Bytes of the longest token.
    pub(super) longest_token: usize,
    /// How much longer a text can become before it is cut into tokens.
    pub(super) growth: Growth,
}

#[derive(Deserialize)]
struct File {
    #[serde(default, deserialize_with = "said")]
    version: Option<String>,
    /// Not followed, but what tokenizers refuses is refused here, too.
    #[serde(default, rename = "truncation")]
    _truncation: Option<TruncationParams>,
    #[serde(default, rename = "padding")]
    _padding: Option<PaddingParams>,
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    model: Model,
}

/// An added token. Its id follows from its place.
#[derive(Deserialize)]
struct Added {
    #[serde(rename = "id")]
    _id: u32,
    #[serde(flatten)]
    token: AddedToken,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type", default, deserialize_with = "said")]
    kind: Option<String>,
    vocab: Vocab,
    #[serde(default)]
    merges: Option<Vec<Merge>>,
    #[serde(default)]
    unk_token: Option<String>,
    #[serde(default)]
    unk_id: Option<usize>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    dropout: Option<f32>,
    #[serde(default)]
    max_input_chars_per_word: Option<usize>,
    #[serde(default)]
    fuse_unk: Option<bool>,
    /// Null is not the same as nothing.
    #[serde(default, deserialize_with = "said")]
    byte_fallback: Option<Option<bool>>,
    #[serde(default)]
    ignore_merges: Option<bool>,
}

/// What may be absent, but where it is there must be of its type, and not null.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Tokens with their ids, or in the order of their ids with their scores.
enum Vocab {
    Ids(Ids),
    Scores(Vec<(String, f64)>),
}

impl<'de> Deserialize<'de> for Vocab {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Vocab;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tokens with ids, or a list of tokens with scores")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocab, A::Error> {
                let mut ids = Ids::default();
                while let Some((token, id)) = map.next_entry()? {
                    ids.insert(token, id);
                }
                Ok(Vocab::Ids(ids))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vocab, A::Error> {
                let mut scores = Vec::new();
                while let Some(scored) = seq.next_element()? {
                    scores.push(scored);
                }
                Ok(Vocab::Scores(scores))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Two tokens that become one: `["a", "b"]`, or `"a b"` in older files.
struct Merge(String, String);

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Merge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("two tokens, as a list or with a space between them")
            }

            fn visit_str<E: serde::de::Error>(self, line: &str) -> Result<Merge, E> {
                match line.split_once(' ') {
                    Some((a, b)) if !b.contains(' ') => Ok(Merge(a.into(), b.into())),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(line), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Merge, A::Error> {
                let missing = || A::Error::custom("a merge of fewer than two tokens");
                let a = seq.next_element()?.ok_or_else(missing)?;
                let b = seq.next_element()?.ok_or_else(missing)?;
                match seq.next_element::<serde::de::IgnoredAny>()? {
                    None => Ok(Merge(a, b)),
                    Some(_) => Err(A::Error::custom("a merge of more than two tokens")),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Parts {
    /// Reads the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Refusal`] names the part that is not as this library takes it.
    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let file: File = serde_json::from_str(text)
            .map_err(|e| Refusal::new("JSON", "a tokenizers file", e.to_string()))?;
        if let Some(version) = file.version.filter(|version| version != "1.0") {
            return Err(Refusal::new("version", "\"1.0\"", format!("{version:?}")));
        }
        let growth = limits::before_tokens(&file.normalizer, &file.pre_tokenizer)?;
        limits::post_processor(&file.post_processor)?;
        limits::decoder(&file.decoder)?;
        let added: Vec<AddedToken> = file.added_tokens.into_iter().map(|a| a.token).collect();
        let longest_token = longest_token(&file.model.vocab, &added)?;
        let parts = Self {
            normalizer: component(&file.normalizer, "normalizer")?,
            pre_tokenizer: component(&file.pre_tokenizer, "pre_tokenizer")?,
            post_processor: component(&file.post_processor, "post_processor")?,
            decoder: component(&file.decoder, "decoder")?,
            decoder_file: file.decoder,
            model: model(file.model)?,
            added,
            longest_token,
            growth,
        };
        limits::added_tokens(&parts.added, parts.normalizer.as_ref())?;
        Ok(parts)
    }
}

fn component<T: DeserializeOwned>(value: &Value, field: &str) -> Result<Option<T>, Refusal> {
    // From text: one of tokenizers' components cannot be read from a parsed value.
    serde_json::from_str(&value.to_string())
        .map_err(|e| Refusal::new(field, "a component of tokenizers", e.to_string()))
}

fn longest_token(vocab: &Vocab, added: &[AddedToken]) -> Result<usize, Refusal> {
    let of_model = match vocab {
        Vocab::Ids(ids) => ids.keys().map(String::len).max(),
        Vocab::Scores(scores) => scores.iter().map(|(token, _)| token.len()).max(),
    };
    let of_added = added.iter().map(|token| token.content.len()).max();
    let longest = of_model.max(of_added).unwrap_or(0);
    limits::token(longest)?;
    Ok(longest)
}

/// What this kind of model must say.
fn stated<T>(field: &str, expected: &str, value: Option<T>) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::new(field, expected, "none"))
}

fn model(file: Model) -> Result<ModelWrapper, Refusal> {
    // Files from before models had a name.
    let kind = match (&file.kind, &file.vocab) {
        (Some(kind), _) => kind.as_str(),
        (None, Vocab::Scores(_)) => "Unigram",
        (None, _) if file.merges.is_some() => "BPE",
        (None, _) if file.max_input_chars_per_word.is_some() => "WordPiece",
        (None, _) => "WordLevel",
    };
    let refused = |e: tokenizers::Error| Refusal::new("model", "a model of tokenizers", e);
    match (kind, file.vocab) {
        ("BPE", Vocab::Ids(vocab)) => {
            if let Some(dropout) = file.dropout.filter(|share| !(0.0..=1.0).contains(share)) {
                return Err(Refusal::new("model.dropout", "0 to 1", dropout));
            }
            let prefix = file.continuing_subword_prefix.unwrap_or_default();
            let suffix = file.end_of_word_suffix.unwrap_or_default();
            limits::affix("model.continuing_subword_prefix", &prefix)?;
            limits::affix("model.end_of_word_suffix", &suffix)?;
            let merges = stated("model.merges", "a list of merges", file.merges)?.into_iter();
            // Older files begin with their version.
            let merges: Vec<_> = merges
                .filter(|Merge(a, _)| !a.starts_with("#version"))
                .map(|Merge(a, b)| (a, b))
                .collect();
            limits::merges(&merges, &prefix)?;
            let mut bpe = BPE::builder()
                .vocab_and_merges(vocab, merges)
                .fuse_unk(file.fuse_unk.unwrap_or_default())
                .byte_fallback(file.byte_fallback.flatten().unwrap_or_default())
                .ignore_merges(file.ignore_merges.unwrap_or_default());
            if let Some(unknown) = file.unk_token {
                bpe = bpe.unk_token(unknown);
            }
            if !prefix.is_empty() {
                bpe = bpe.continuing_subword_prefix(prefix);
            }
            if !suffix.is_empty() {
                bpe = bpe.end_of_word_suffix(suffix);
            }
            Ok(bpe.build().map_err(refused)?.into())
        }
        ("Unigram", Vocab::Scores(vocab)) => {
            let byte_fallback = file.byte_fallback.unwrap_or(Some(false));
            let byte_fallback = stated("model.byte_fallback", "true or false", byte_fallback)?;
            let unigram = Unigram::from(vocab, file.unk_id, byte_fallback).map_err(refused)?;
            Ok(unigram.into())
        }
        ("WordPiece", Vocab::Ids(vocab)) => {
            let prefix = file.continuing_subword_prefix;
            let prefix = stated("model.continuing_subword_prefix", "a text", prefix)?;
            let longest = file.max_input_chars_per_word;
            let longest = stated("model.max_input_chars_per_word", "a number", longest)?;
            limits::affix("model.continuing_subword_prefix", &prefix)?;
            limits::word(longest)?;
            let word_piece = WordPiece::builder()
                .vocab(vocab)
                .unk_token(stated("model.unk_token", "a token", file.unk_token)?)
                .continuing_subword_prefix(prefix)
                .max_input_chars_per_word(longest)
                .build()
                .map_err(refused)?;
            Ok(word_piece.into())
        }
        ("WordLevel", Vocab::Ids(vocab)) => {
            let word_level = WordLevel::builder()
                .vocab(vocab)
                .unk_token(stated("model.unk_token", "a token", file.unk_token)?)
                .build()
                .map_err(refused)?;
            Ok(word_level.into())
        }
        (kind, vocab) => Err(Refusal::new(
            "model",
            "BPE, WordPiece or WordLevel with the ids of its tokens, or Unigram with their scores",
            match vocab {
                Vocab::Ids(_) => format!("{kind:?} with ids"),
                Vocab::Scores(_) => format!("{kind:?} with scores"),
            },
        )),
    }
}
