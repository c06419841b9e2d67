//! A conversation as token ids.

use super::processor::Wording;
use super::text::Encoding;
use super::{Message, Package};
use crate::error::{Error, Result};

/// A conversation as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedPrompt {
    /// Its token ids.
    pub tokens: Vec<u32>,
    /// The system text stands before the first question: the chat template takes no system message.
    pub system_moved: bool,
}

/// How an image lies in a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageGrid {
    /// Rows and columns of tiles beside the whole; 0 where it was not cut.
    pub rows: usize,
    /// As `rows`.
    pub columns: usize,
    /// Image features, over all tiles: each takes an image token's place.
    pub features: usize,
}

impl Package {
    /// The conversation as token ids: through the chat template, which writes the special tokens, or without one as a text
    /// that the tokenizer's own post-processor completes (base models have their BOS from there).
    ///
    /// `cancelled` is looked at while the text is rendered and encoded.
    ///
    /// # Errors
    /// [`crate::Error::Template`] where the template fails, refuses the roles or loops; [`crate::Error::LongText`] for more
    /// text than the model's context can take; [`crate::Error::Tokenizer`]; [`crate::Error::Cancelled`].
    pub fn encode(
        &self,
        messages: &[Message],
        cancelled: &dyn Fn() -> bool,
    ) -> Result<EncodedPrompt> {
        self.encode_with(messages, &[], cancelled)
    }

    /// As [`Self::encode`], with `images` in the order in which the messages have them.
    ///
    /// # Errors
    /// Those of [`Self::encode`]; [`Error::Option`] where the messages have another number of images, the package takes none,
    /// or a text has the image token itself.
    pub fn encode_with(
        &self,
        messages: &[Message],
        images: &[ImageGrid],
        cancelled: &dyn Fn() -> bool,
    ) -> Result<EncodedPrompt> {
        let wanted: usize = messages.iter().map(|m| m.images).sum();
        if wanted != images.len() {
            let expected = format!("{wanted}, as the messages have places for");
            return Err(Error::option("images", expected, images.len()));
        }
        let context_tokens = self.context_tokens();
        let bytes: usize = messages.iter().map(|m| m.content.len()).sum();
        self.text.may_fit(bytes, context_tokens)?;
        let (text, system_moved) = match &self.template {
            Some(template) => {
                let rendered = template.render(messages, cancelled)?;
                (rendered.text, rendered.system_moved)
            }
            None => (one_a_line(messages), false),
        };
        let text = self.with_images(text, images)?;
        let how = Encoding {
            post_process: self.template.is_none(),
            context_tokens,
            cancelled,
        };
        let tokens = self.text.encode_within(text, &how)?;
        self.places_agree(&tokens, images)?;
        Ok(EncodedPrompt {
            tokens,
            system_moved,
        })
    }

    /// Whether `tokens` have an image token for each feature of `images`.
    ///
    /// # Errors
    /// [`Error::Option`] where not.
    pub(crate) fn places_agree(&self, tokens: &[u32], images: &[ImageGrid]) -> Result<()> {
        let Some(id) = self.image_token_id() else {
            return Ok(());
        };
        let places = tokens.iter().filter(|&&token| token == id).count();
        let features: usize = images.iter().map(|image| image.features).sum();
        if places == features {
            return Ok(());
        }
        let expected = format!(
            "{features} image tokens in the prompt, one for each image feature of {} images",
            images.len()
        );
        Err(Error::option("images", expected, places))
    }

    /// `text` with what the processor puts in place of each image's token.
    fn with_images(&self, text: String, images: &[ImageGrid]) -> Result<String> {
        let token = self.image_token_id().and_then(|id| self.text.token(id));
        let (Some(token), Some(processor)) = (token, self.image_processor()) else {
            return match images.len() {
                0 => Ok(text),
                n => Err(Error::option(
                    "images",
                    "none: this package takes texts alone",
                    n,
                )),
            };
        };
        let places = text.matches(&token).count();
        if places != images.len() {
            let expected = format!(
                "{token:?} once for each of {} images in the rendered prompt (is it in the question's own text?)",
                images.len()
            );
            return Err(Error::option("question", expected, places));
        }
        let mut pieces = text.split(&token);
        let mut filled = pieces.next().unwrap_or_default().to_string();
        for (piece, image) in pieces.zip(images) {
            filled.push_str(&worded(processor.wording, &token, image));
            filled.push_str(piece);
        }
        Ok(filled)
    }

    /// The conversation as one text, through the package's chat template. A package without one gets the messages' texts,
    /// one a line.
    ///
    /// # Errors
    /// [`crate::Error::Template`] where the template fails, refuses the roles or loops.
    pub fn render(&self, messages: &[Message]) -> Result<String> {
        match &self.template {
            Some(template) => Ok(template.render(messages, &|| false)?.text),
            None => Ok(one_a_line(messages)),
        }
    }
}

fn one_a_line(messages: &[Message]) -> String {
    let lines: Vec<&str> = messages.iter().map(|m| m.content.as_str()).collect();
    lines.join("\n")
}

/// What stands in a prompt for an image.
fn worded(wording: Wording, token: &str, image: &ImageGrid) -> String {
    let Wording::Tiles { tokens } = wording else {
        return token.repeat(image.features);
    };
    // As Idefics3Processor of transformers has it.
    const AROUND: &str = "<fake_token_around_image>";
    const WHOLE: &str = "<global-img>";
    let features = token.repeat(tokens);
    let mut text = String::new();
    for row in 1..=image.rows {
        for column in 1..=image.columns {
            text.push_str(&format!("{AROUND}<row_{row}_col_{column}>{features}"));
        }
        text.push('\n');
    }
    if image.rows > 0 {
        text.push('\n');
    }
    text.push_str(&format!("{AROUND}{WHOLE}{features}{AROUND}"));
    text
}
