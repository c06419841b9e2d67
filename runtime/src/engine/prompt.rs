//! From a question to the prompt's token ids.

use super::images::Seen;
use super::{AskOptions, Engine, Question};
use crate::error::{Error, Result};
use crate::package::{EncodedPrompt, ImageGrid, Message, Role};

impl Engine {
    /// The prompt as token ids. Of a question about images, [`crate::Answer::prompt`] has them: how many tokens an image is
    /// shows when it is seen.
    ///
    /// # Errors
    /// [`Error::Option`] for an empty question, one about images, or an unknown id; those of the template and the tokenizer.
    pub fn tokens(&self, question: &Question, options: &AskOptions) -> Result<Vec<u32>> {
        let (images, question) = question.parts();
        if !images.is_empty() {
            return Err(Error::option(
                "images",
                "none where nothing is seen",
                images.len(),
            ));
        }
        Ok(self.encoded(question, &[], options)?.tokens)
    }

    /// The prompt as the model reads it, and the images in it.
    ///
    /// # Errors
    /// As [`Self::tokens`] and [`Self::see`].
    pub(super) fn prompt(
        &mut self,
        question: &Question,
        options: &AskOptions,
    ) -> Result<(EncodedPrompt, Vec<Seen>)> {
        let (images, question) = question.parts();
        let seen = self.see(&images, options)?;
        let grids: Vec<ImageGrid> = seen.iter().map(|seen| seen.grid()).collect();
        Ok((self.encoded(question, &grids, options)?, seen))
    }

    /// The prompt as the model reads it, where its images lie as `images` say.
    ///
    /// # Errors
    /// As [`Self::tokens`].
    fn encoded(
        &self,
        question: &Question,
        images: &[ImageGrid],
        options: &AskOptions,
    ) -> Result<EncodedPrompt> {
        let cancelled = || options.cancel.is_cancelled();
        let encode = |messages: &[Message]| self.package.encode_with(messages, images, &cancelled);
        let prompt = match question {
            Question::Tokens(tokens) => {
                self.package.places_agree(tokens, images)?;
                EncodedPrompt {
                    tokens: tokens.clone(),
                    system_moved: false,
                }
            }
            Question::Messages(messages) => encode(messages)?,
            Question::Text(text) => encode(&self.messages(text, images.len(), options)?)?,
            Question::Images { .. } => {
                return Err(Error::option(
                    "question",
                    "a question without images",
                    "one with",
                ));
            }
        };
        if prompt.tokens.is_empty() {
            return Err(Error::option("question", "at least one token", "none"));
        }
        self.validate_ids("question", &prompt.tokens)?;
        Ok(prompt)
    }

    /// # Errors
    /// [`Error::Option`] for an id that the model does not know.
    pub(super) fn validate_ids(&self, field: &'static str, tokens: &[u32]) -> Result<()> {
        let vocabulary = self.decoder.vocabulary();
        match tokens.iter().find(|&&id| id as usize >= vocabulary) {
            None => Ok(()),
            Some(unknown) => {
                let expected = format!("token ids below {vocabulary}");
                Err(Error::option(field, expected, unknown))
            }
        }
    }

    /// The conversation that ends with the question `text`.
    fn messages(&self, text: &str, images: usize, options: &AskOptions) -> Result<Vec<Message>> {
        if text.trim().is_empty() {
            return Err(Error::option("question", "some text", "an empty question"));
        }
        let prompt = options.prompt.as_ref().or(self.package.prompt());
        let system = options
            .system
            .as_ref()
            .or_else(|| prompt.and_then(|p| p.system.as_ref()));
        let mut messages = Vec::new();
        if let Some(system) = system {
            messages.push(Message::new(Role::System, system));
        }
        for turn in prompt.map_or(&[][..], |p| &p.turns) {
            messages.push(Message::new(Role::User, &turn.user));
            messages.push(Message::new(Role::Assistant, &turn.assistant));
        }
        messages.push(Message {
            images,
            ..Message::new(Role::User, text)
        });
        Ok(messages)
    }
}
