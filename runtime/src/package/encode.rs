//! A conversation as token ids.

use super::text::Encoding;
use super::{Message, Package};
use crate::error::Result;

/// A conversation as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedPrompt {
    /// Its token ids.
    pub tokens: Vec<u32>,
    /// The system text stands before the first question: the chat template takes no system message.
    pub system_moved: bool,
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
        let how = Encoding {
            post_process: self.template.is_none(),
            context_tokens,
            cancelled,
        };
        Ok(EncodedPrompt {
            tokens: self.text.encode_within(text, &how)?,
            system_moved,
        })
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
