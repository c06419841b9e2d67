//! What came, as OpenAI's clients read it.

mod choice;
mod cost;
mod stream;

use std::time::{SystemTime, UNIX_EPOCH};

use curt::Answer;
use serde_json::{Value, json};

use crate::request::ReplyOptions;

pub(crate) use choice::Tokens;
pub(crate) use stream::{Chunks, Course};

/// What all parts of one reply have in common.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    id: String,
    created: u64,
    model: String,
    fingerprint: String,
}

impl Head {
    /// `number`: of the request, since the server began.
    pub(crate) fn new(number: u64, model: &str, fingerprint: &str) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let created = since.map_or(0, |since| since.as_secs());
        Self {
            id: format!("chatcmpl-{created:x}-{number:x}"),
            created,
            model: model.into(),
            fingerprint: fingerprint.chars().take(16).collect(),
        }
    }

    /// A reply of this `object` without choices.
    fn object(&self, object: &str) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": [],
        })
    }

    /// The whole of `answer`.
    pub(crate) fn whole(
        &self,
        answer: &Answer,
        reply: &ReplyOptions,
        tokens: &Tokens,
        queue_ms: f64,
    ) -> Value {
        let mut whole = self.object("chat.completion");
        whole["choices"] = choice::all(answer, reply, tokens).into();
        whole["usage"] = cost::usage(answer);
        whole["curt"] = cost::block(answer, queue_ms);
        whole
    }
}
