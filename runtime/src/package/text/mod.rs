//! Text to token ids and back, also token by token.

mod file;
mod limits;
mod precompiled;
mod stream;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokenizers::{Model as _, Tokenizer};

pub use stream::TextStream;

use super::apart::{Limits, NoResult, apart, caught};
use crate::error::{Error, Result};
use crate::files;
use file::Parts;
use limits::{Growth, Refusal};

/// Most bytes of a tokenizer: those of public models have up to 35 MB.
pub(super) const TOKENIZER_BYTES: u64 = 256 << 20;

/// Stack of the thread that reads a tokenizer file or encodes a text: regular expressions and lists of components nest,
/// within limits.
const STACK_BYTES: usize = 16 << 20;

/// Wall time of reading a tokenizer file or encoding a text. A vocabulary of 250,000 tokens is read in less than a second
/// and a megabyte of text encoded in a few; a regular expression can ask for years.
const TIME: Duration = Duration::from_secs(120);

/// Bytes that a text may have before it is cut into tokens. tokenizers needs some 400 bytes for each.
const TEXT_BYTES: usize = 16 << 20;

/// The package's tokenizer.
#[derive(Debug)]
pub struct TextCodec {
    tokenizer: Arc<Tokenizer>,
    vocabulary: usize,
    longest_token: usize,
    growth: Growth,
    grows: bool,
    reads_bytes: bool,
}

/// What a token is in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// Nothing: a special token, or an id that the vocabulary does not have.
    None,
    /// One byte, which has its meaning from those beside it.
    Byte,
    /// Text.
    Text,
}

/// What [`TextCodec::encode_within`] adds and bears.
pub(super) struct Encoding<'a> {
    /// Let the tokenizer's post-processor add its tokens.
    pub(super) post_process: bool,
    /// Tokens the model can attend to.
    pub(super) context_tokens: usize,
    /// Looked at while the text is encoded.
    pub(super) cancelled: &'a dyn Fn() -> bool,
}

impl TextCodec {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = files::read_text(
            file,
            TOKENIZER_BYTES,
            "the package's tokenizer cannot be read",
        )?;
        Self::parse(file, text)
    }

    /// The tokenizer whose file, called `file`, holds `text`.
    ///
    /// # Errors
    /// [`Error::Package`] names the part of the file that is not as this library takes it.
    pub fn parse(file: &Path, text: String) -> Result<Self> {
        let limits = Limits {
            stack: STACK_BYTES,
            time: TIME,
            cancelled: &|| false,
        };
        let built = apart(&limits, move || Parts::read(&text).and_then(Self::new));
        built
            .map_err(failed)?
            .map_err(|refusal| Error::package(file, refusal.field, refusal.expected, refusal.got))
    }

    fn new(parts: Parts) -> std::result::Result<Self, Refusal> {
        let mut tokenizer = Tokenizer::new(parts.model);
        tokenizer
            .with_normalizer(parts.normalizer)
            .map_err(|error| Refusal::new("normalizer", "one that reads its own tokens", error))?;
        tokenizer.with_pre_tokenizer(parts.pre_tokenizer);
        tokenizer.with_post_processor(parts.post_processor);
        tokenizer.with_decoder(parts.decoder);
        tokenizer
            .add_tokens(parts.added)
            .map_err(|error| Refusal::new("added_tokens", "tokens that can be added", error))?;
        let model = tokenizer.get_model();
        let added = tokenizer.get_added_vocabulary().get_vocab().keys();
        let beyond = added.filter(|token| model.token_to_id(token).is_none());
        let vocabulary = model.get_vocab_size() + beyond.count();
        Ok(Self {
            tokenizer: Arc::new(tokenizer),
            vocabulary,
            longest_token: parts.longest_token,
            growth: parts.growth,
            grows: limits::decoded_text_grows(&parts.decoder_file),
            reads_bytes: limits::reads_bytes(&parts.decoder_file),
        })
    }

    /// Token ids of a rendered prompt. Special tokens written in the text are recognised; none are added.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the text has something that the vocabulary cannot express, or is too long for any model.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = Encoding {
            post_process: false,
            context_tokens: usize::MAX,
            cancelled: &|| false,
        };
        self.encode_within(text.to_string(), &encoding)
    }

    /// Token ids of a prompt for a model of so much context, as long as nobody cancels.
    ///
    /// # Errors
    /// [`Error::LongText`] for a text that cannot fit, before it is encoded; [`Error::Cancelled`]; those of
    /// [`Self::encode`].
    pub(super) fn encode_within(&self, text: String, how: &Encoding<'_>) -> Result<Vec<u32>> {
        self.may_fit(text.len(), how.context_tokens)?;
        let limits = Limits {
            stack: STACK_BYTES,
            time: TIME,
            cancelled: how.cancelled,
        };
        let tokenizer = Arc::clone(&self.tokenizer);
        let post_process = how.post_process;
        let encoded = apart(&limits, move || {
            let encoding = tokenizer.encode_fast(text, post_process)?;
            Ok(encoding.get_ids().to_vec())
        });
        encoded.map_err(failed)?.map_err(refused)
    }

    /// Refuses so many bytes of text where they cannot be `context_tokens` tokens, or are more than is encoded at all.
    pub(super) fn may_fit(&self, bytes: usize, context_tokens: usize) -> Result<()> {
        let most_bytes = context_tokens.saturating_mul(self.longest_token);
        let most_bytes = most_bytes.min(TEXT_BYTES / self.growth.0);
        if bytes > most_bytes {
            return Err(Error::LongText { bytes, most_bytes });
        }
        Ok(())
    }

    /// The text of `ids`, without special tokens.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the decoder refuses.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        // Not every decoder bears a list without tokens.
        if ids.iter().all(|&id| self.piece(id) == Piece::None) {
            return Ok(String::new());
        }
        let decoded = caught(|| self.tokenizer.decode(ids, true));
        decoded.map_err(failed)?.map_err(refused)
    }

    /// The token as the vocabulary writes it, special tokens included. `None` for an unknown id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }

    /// Ids in the vocabulary, added tokens included.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Special tokens, which are left out of decoded text, with their ids.
    pub fn special_tokens(&self) -> impl Iterator<Item = (u32, &str)> {
        let added = self.tokenizer.get_added_vocabulary();
        let special = |content: &str| added.is_special_token(content);
        let all = added.get_added_tokens_decoder().iter();
        all.map(|(&id, token)| (id, token.content.as_str()))
            .filter(move |(_, content)| special(content))
    }

    /// Whether decoded text only grows with its tokens, but for an unfinished character and a run of bytes at its end.
    fn grows(&self) -> bool {
        self.grows
    }

    /// What a token is in decoded text.
    fn piece(&self, id: u32) -> Piece {
        match self.token(id) {
            None => Piece::None,
            Some(token)
                if self
                    .tokenizer
                    .get_added_vocabulary()
                    .is_special_token(&token) =>
            {
                Piece::None
            }
            Some(token) if self.reads_bytes && is_byte(&token) => Piece::Byte,
            Some(_) => Piece::Text,
        }
    }
}

/// Whether `token` is written like `<0x0A>`.
fn is_byte(token: &str) -> bool {
    let digits = token.strip_prefix("<0x").and_then(|t| t.strip_suffix('>'));
    digits.is_some_and(|d| d.len() == 2 && u8::from_str_radix(d, 16).is_ok())
}

fn refused(source: tokenizers::Error) -> Error {
    Error::Tokenizer {
        action: "it refuses this text",
        source,
    }
}

fn failed(no_result: NoResult) -> Error {
    match no_result {
        NoResult::Cancelled => Error::Cancelled { tokens: 0 },
        other => Error::Tokenizer {
            action: "it failed (is its file what it should be?)",
            source: Box::new(other),
        },
    }
}

/// Where a package keeps its tokenizer.
pub(super) fn tokenizer_file(dir: &Path) -> PathBuf {
    dir.join("tokenizer.json")
}
