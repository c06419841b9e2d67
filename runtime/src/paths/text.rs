//! The text of a path as it grows, up to a stop text.

use crate::error::{Error, Result};
use crate::package::{TextCodec, TextStream};

/// Texts that end a path, each as it is written and as the tokenizer may say it.
///
/// Special tokens have no part in a path's text, so those that stand in a stop text are compared by id.
#[derive(Debug, Default)]
pub struct StopTexts {
    texts: Vec<String>,
    /// Special tokens that stand in one of them.
    specials: Vec<(u32, String)>,
}

impl StopTexts {
    /// The stop texts `texts`, for paths that `codec` decodes.
    ///
    /// # Errors
    /// [`Error::Option`] for an empty text, which would end every path before its first token.
    pub fn new(codec: &TextCodec, texts: &[String]) -> Result<Self> {
        if texts.iter().any(String::is_empty) {
            return Err(Error::option("stop", "a text", "an empty one"));
        }
        let specials = codec
            .special_tokens()
            .filter(|(_, token)| texts.iter().any(|text| text.contains(token)))
            .map(|(id, token)| (id, token.to_string()))
            .collect();
        Ok(Self {
            texts: texts.to_vec(),
            specials,
        })
    }

    fn special(&self, id: u32) -> Option<usize> {
        self.specials.iter().position(|(special, _)| *special == id)
    }
}

/// A path's text: what may be shown of it, and where a stop text ended it.
#[derive(Debug, Default)]
pub struct PathText {
    stream: TextStream,
    /// Bytes that have been shown.
    shown: usize,
    /// Special tokens that stop texts name: before which byte of the text, and which of [`StopTexts::specials`].
    specials: Vec<(usize, usize)>,
    /// Where a stop text begins.
    stopped_at: Option<usize>,
}

impl PathText {
    /// Takes one token. Returns the text to show, and whether a stop text has ended the path.
    ///
    /// What could be the beginning of a stop text is held back until it is known not to be one.
    ///
    /// # Errors
    /// [`crate::Error::Tokenizer`] where the token cannot be decoded.
    pub fn push(
        &mut self,
        codec: &TextCodec,
        token: u32,
        stops: &StopTexts,
    ) -> Result<(&str, bool)> {
        self.stream.push(codec, token)?;
        if let Some(special) = stops.special(token) {
            let at = self.stream.text().len() + self.stream.open().len();
            self.specials.push((at, special));
        }
        let written = self.written(self.shown, stops);
        if self.stopped_at.is_none() {
            self.stopped_at = written.first_stop(stops);
        }
        let end = match self.stopped_at {
            Some(at) => at,
            None => written.held_back_from(stops),
        };
        let from = self.shown;
        // What is not certain yet may end the path, but is not shown.
        self.shown = end.min(self.stream.text().len()).max(from);
        Ok((
            &self.stream.text()[from..self.shown],
            self.stopped_at.is_some(),
        ))
    }

    /// Shows what was held back, at the end of the path.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn finish(&mut self, codec: &TextCodec, stops: &StopTexts) -> Result<&str> {
        let stand = self.stream.finish(codec)?;
        // The text may have become another one.
        self.stopped_at = self.written(0, stops).first_stop(stops);
        let from = self.shown.min(stand);
        self.shown = self.text().len().max(from);
        Ok(&self.stream.text()[from..self.shown])
    }

    /// The path's text, without the stop text and what follows it.
    pub fn text(&self) -> &str {
        let all = self.stream.text();
        &all[..self.stopped_at.unwrap_or(all.len())]
    }

    /// The text from byte `from` on, with the special tokens that stop texts name written out.
    fn written(&self, from: usize, stops: &StopTexts) -> Written {
        let (certain, open) = (self.stream.text(), self.stream.open());
        let text = format!("{}{open}", &certain[from..]);
        let mut written = Written {
            from,
            text: String::with_capacity(text.len()),
            specials: Vec::new(),
        };
        let mut done = 0;
        for &(at, special) in &self.specials {
            let Some(before) = at.checked_sub(from).and_then(|at| text.get(done..at)) else {
                continue;
            };
            written.text.push_str(before);
            done += before.len();
            let token = &stops.specials[special].1;
            written.specials.push((written.text.len(), token.len()));
            written.text.push_str(token);
        }
        written.text.push_str(&text[done..]);
        written
    }
}

/// A stretch of a path's text with special tokens written out.
struct Written {
    /// Byte of the path's text at which it begins.
    from: usize,
    text: String,
    /// Where special tokens stand in it, and their lengths.
    specials: Vec<(usize, usize)>,
}

impl Written {
    /// The byte of the path's text that byte `at` of this one stands for: within a special token, the next.
    fn in_path(&self, at: usize) -> usize {
        let before = self.specials.iter().take_while(|(start, _)| *start < at);
        let specials: usize = before.map(|(start, len)| (*len).min(at - start)).sum();
        self.from + at - specials
    }

    /// Where in the path's text the first stop text begins.
    fn first_stop(&self, stops: &StopTexts) -> Option<usize> {
        let found = stops.texts.iter().filter_map(|stop| self.text.find(stop));
        found.min().map(|at| self.in_path(at))
    }

    /// Where in the path's text the longest end begins that may become a stop text.
    fn held_back_from(&self, stops: &StopTexts) -> usize {
        let may_stop = |end: &str| stops.texts.iter().any(|stop| stop.starts_with(end));
        let mut starts = self.text.char_indices().map(|(at, _)| at);
        let held = starts.find(|&at| may_stop(&self.text[at..]));
        self.in_path(held.unwrap_or(self.text.len()))
    }
}

#[cfg(test)]
mod tests;
