//! Text to token ids and back, also token by token.

use std::path::{Path, PathBuf};

use tokenizers::Tokenizer;

use crate::error::{Error, Result};
use crate::files;

/// Most bytes of a tokenizer: those of public models have up to 35 MB.
pub(super) const TOKENIZER_BYTES: u64 = 256 << 20;

/// The package's tokenizer.
#[derive(Debug)]
pub struct TextCodec {
    tokenizer: Tokenizer,
}

impl TextCodec {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = files::read_text(
            file,
            TOKENIZER_BYTES,
            "the package's tokenizer cannot be read",
        )?;
        let mut tokenizer = text
            .parse::<Tokenizer>()
            .map_err(|e| Error::package(file, "JSON", "a tokenizers file", e))?;
        // A training pipeline's settings: a prompt is neither cut nor filled up in silence.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(refused)?;
        Ok(Self { tokenizer })
    }

    /// Token ids of a rendered prompt. Special tokens written in the text are recognised; none are added.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the text has something that the vocabulary cannot express.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode(text, false).map_err(refused)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of `ids`, without special tokens.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the decoder refuses.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.tokenizer.decode(ids, true).map_err(refused)
    }

    /// The token as the vocabulary writes it, special tokens included. `None` for an unknown id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }

    /// Ids in the vocabulary, added tokens included.
    pub fn vocabulary(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }
}

fn refused(error: tokenizers::Error) -> Error {
    Error::Tokenizer {
        message: error.to_string(),
    }
}

/// Gives text as tokens arrive, and never half a character.
///
/// The text of a token can depend on those before it (byte pieces of one character, a leading space), so each step
/// decodes from the last place where text was given out: the algorithm of text-generation-inference.
#[derive(Debug, Default)]
pub struct TextStream {
    ids: Vec<u32>,
    /// Where the decoded stretch begins.
    from: usize,
    /// Up to where its text has been given out.
    given: usize,
    text: String,
}

impl TextStream {
    /// Takes one token and returns the text that became certain with it, often none.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the decoder refuses.
    pub fn push(&mut self, codec: &TextCodec, id: u32) -> Result<&str> {
        self.ids.push(id);
        let before = codec.decode(&self.ids[self.from..self.given])?;
        let now = codec.decode(&self.ids[self.from..])?;
        let start = self.text.len();
        if now.len() > before.len()
            && !now.ends_with('\u{fffd}')
            && now.is_char_boundary(before.len())
        {
            self.text.push_str(&now[before.len()..]);
            self.from = self.given;
            self.given = self.ids.len();
        }
        Ok(&self.text[start..])
    }

    /// Gives out what was held back (an unfinished character), at the end of a path.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the decoder refuses.
    pub fn finish(&mut self, codec: &TextCodec) -> Result<&str> {
        let before = codec.decode(&self.ids[self.from..self.given])?;
        let now = codec.decode(&self.ids[self.from..])?;
        let start = self.text.len();
        if let Some(rest) = now.get(before.len()..) {
            self.text.push_str(rest);
        }
        self.from = self.ids.len();
        self.given = self.ids.len();
        Ok(&self.text[start..])
    }

    /// All text given out so far.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Where a package keeps its tokenizer.
pub(super) fn tokenizer_file(dir: &Path) -> PathBuf {
    dir.join("tokenizer.json")
}
