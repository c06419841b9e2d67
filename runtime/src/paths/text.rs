//! The text of a path as it grows, up to a stop text.

use crate::error::Result;
use crate::package::{TextCodec, TextStream};

/// A path's text: what may be shown of it, and where a stop text ended it.
#[derive(Debug, Default)]
pub struct PathText {
    stream: TextStream,
    /// Bytes that have been shown.
    shown: usize,
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
        stops: &[String],
    ) -> Result<(&str, bool)> {
        self.stream.push(codec, token)?;
        Ok(self.show(stops, false))
    }

    /// Shows what was held back, at the end of the path.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn finish(&mut self, codec: &TextCodec, stops: &[String]) -> Result<&str> {
        self.stream.finish(codec)?;
        Ok(self.show(stops, true).0)
    }

    /// The path's text, without the stop text and what follows it.
    pub fn text(&self) -> &str {
        let all = self.stream.text();
        &all[..self.stopped_at.unwrap_or(all.len())]
    }

    fn show(&mut self, stops: &[String], all: bool) -> (&str, bool) {
        let text = self.stream.text();
        if self.stopped_at.is_none() {
            self.stopped_at = stops
                .iter()
                .filter_map(|stop| text[self.shown..].find(stop.as_str()))
                .min()
                .map(|at| at + self.shown);
        }
        let end = match self.stopped_at {
            Some(at) => at,
            None if all => text.len(),
            None => text.len() - held_back(&text[self.shown..], stops),
        };
        let from = self.shown.min(end);
        self.shown = end.max(self.shown);
        (&text[from..end], self.stopped_at.is_some())
    }
}

/// Length of the longest end of `text` that begins a stop text.
fn held_back(text: &str, stops: &[String]) -> usize {
    text.char_indices()
        .map(|(at, _)| &text[at..])
        .find(|end| stops.iter().any(|stop| stop.starts_with(end)))
        .map_or(0, str::len)
}

#[cfg(test)]
mod tests {
    use super::held_back;

    #[test]
    fn the_beginning_of_a_stop_text_is_held_back() {
        let stops = ["\n\n".to_string(), "User:".to_string()];
        assert_eq!(held_back("abc", &stops), 0);
        assert_eq!(held_back("abc\n", &stops), 1);
        assert_eq!(held_back("abc Use", &stops), 3);
        assert_eq!(held_back("abc User", &stops), 4);
        assert_eq!(held_back("éU", &stops), 1);
    }
}
