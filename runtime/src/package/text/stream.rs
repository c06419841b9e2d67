//! Text as tokens arrive.

use super::{Piece, TextCodec};
use crate::error::Result;

/// Gives text as tokens arrive: never half a character, and nothing that a later token could change.
///
/// The text of a token can depend on those before it (bytes of one character, a leading space), so each step decodes from
/// the last place where text was given out: the algorithm of text-generation-inference. Three things can still change and
/// are held back as [`Self::open`]: an unfinished character; a run of byte tokens, which a ByteFallback decoder reads as a
/// whole once it has ended; and all of it under a decoder whose text does not only grow. The text at the end is the
/// decoder's text of all tokens, whatever was given out before.
#[derive(Debug, Default)]
pub struct TextStream {
    ids: Vec<u32>,
    /// Where the decoded stretch begins.
    from: usize,
    /// Ids whose text has been given out.
    given: usize,
    text: String,
    open: String,
    /// The last token that has a text is a byte.
    in_bytes: bool,
}

impl TextStream {
    /// Takes one token.
    ///
    /// # Errors
    /// [`crate::Error::Tokenizer`] where the decoder refuses.
    pub fn push(&mut self, codec: &TextCodec, id: u32) -> Result<()> {
        self.ids.push(id);
        match codec.piece(id) {
            Piece::None => {}
            Piece::Byte => self.in_bytes = true,
            Piece::Text => self.in_bytes = false,
        }
        self.open.clear();
        if !codec.grows() {
            self.open = codec.decode(&self.ids)?;
            return Ok(());
        }
        let before = codec.decode(&self.ids[self.from..self.given])?;
        let now = codec.decode(&self.ids[self.from..])?;
        // Where the stretch reads otherwise than it did, the end will say what the text is.
        let Some(new) = now.strip_prefix(before.as_str()) else {
            return Ok(());
        };
        if self.in_bytes || new.ends_with('\u{fffd}') {
            self.open.push_str(new.trim_end_matches('\u{fffd}'));
        } else if !new.is_empty() {
            self.text.push_str(new);
            self.from = self.given;
            self.given = self.ids.len();
        }
        Ok(())
    }

    /// Makes the text that of all tokens, at the end of a path. Returns how many of the bytes given out before stand.
    ///
    /// # Errors
    /// [`crate::Error::Tokenizer`] where the decoder refuses.
    pub fn finish(&mut self, codec: &TextCodec) -> Result<usize> {
        let whole = codec.decode(&self.ids)?;
        let stand = common_prefix(&self.text, &whole);
        self.text = whole;
        self.open.clear();
        self.from = self.ids.len();
        self.given = self.ids.len();
        Ok(stand)
    }

    /// All text given out so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What follows it if no token comes any more, an unfinished character left out.
    pub fn open(&self) -> &str {
        &self.open
    }
}

/// Bytes that `a` and `b` begin with alike, whole characters.
fn common_prefix(a: &str, b: &str) -> usize {
    a.chars()
        .zip(b.chars())
        .take_while(|(x, y)| x == y)
        .map(|(x, _)| x.len_utf8())
        .sum()
}
