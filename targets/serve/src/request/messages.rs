//! The conversation, and the images in it.

use curt::vision::Image;
use curt::{Message, Question, Role};
use serde_json::Value;

use super::images::image;
use crate::facts::Facts;
use crate::fields::{Fields, shown};
use crate::options::Limits;
use crate::refusal::Refusal;

/// Messages of a request, at most; a context is full long before.
const MESSAGES: usize = 1024;

/// Fields of a message that change no answer: what other servers have put into their own answers, and names.
const WITHOUT_EFFECT: [&str; 7] = [
    "name",
    "refusal",
    "reasoning_content",
    "reasoning",
    "annotations",
    "audio",
    "function_call",
];

/// The conversation that the model is to go on with.
pub(super) fn question(
    fields: &mut Fields,
    facts: &Facts,
    limits: &Limits,
) -> Result<Question, Refusal> {
    let given = match fields.take("messages") {
        Some(Value::Array(messages)) if (1..=MESSAGES).contains(&messages.len()) => messages,
        Some(Value::Array(messages)) => {
            let expected = format!("1 to {MESSAGES} messages");
            return Err(fields.refuse("messages", expected, messages.len()));
        }
        Some(other) => return Err(fields.refuse("messages", "a list of messages", shown(&other))),
        None => return Err(fields.refuse("messages", "a list of messages", "nothing")),
    };
    let mut images = Vec::new();
    let mut messages = Vec::with_capacity(given.len());
    for (place, value) in given.into_iter().enumerate() {
        let name = format!("messages[{place}]");
        messages.push(message(
            Fields::of(&name, value)?,
            facts,
            limits,
            &mut images,
        )?);
    }
    if messages.last().is_some_and(|last| last.role != Role::User) {
        let expected = "a last message of the role \"user\", for the model to answer";
        return Err(fields.refuse("messages", expected, "one of another"));
    }
    let question = Question::Messages(messages);
    Ok(if images.is_empty() {
        question
    } else {
        question.about(images)
    })
}

fn message(
    mut fields: Fields,
    facts: &Facts,
    limits: &Limits,
    images: &mut Vec<Image>,
) -> Result<Message, Refusal> {
    let role = fields.text("role")?;
    let role = match role.as_deref() {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        other => {
            let expected = "\"system\", \"developer\", \"user\" or \"assistant\"";
            return Err(fields.refuse("role", expected, other.unwrap_or("nothing")));
        }
    };
    for field in WITHOUT_EFFECT {
        fields.take(field);
    }
    let seen = images.len();
    let mut text = String::new();
    match fields.take("content") {
        Some(Value::String(content)) => text = content,
        Some(Value::Array(parts)) => {
            for (place, value) in parts.into_iter().enumerate() {
                let name = fields.name(&format!("content[{place}]"));
                part(Fields::of(&name, value)?, facts, limits, &mut text, images)?;
            }
        }
        Some(other) => {
            return Err(fields.refuse("content", "text, or a list of parts", shown(&other)));
        }
        None => return Err(fields.refuse("content", "text, or a list of parts", "nothing")),
    }
    let seen = images.len() - seen;
    if seen > 0 && role != Role::User {
        return Err(fields.refuse("content", "images in messages of the user alone", "one"));
    }
    fields.end()?;
    Ok(Message {
        images: seen,
        ..Message::new(role, text)
    })
}

/// Text and images of a message. Its images stand before its text, whatever their order: that is how models are trained.
fn part(
    mut fields: Fields,
    facts: &Facts,
    limits: &Limits,
    text: &mut String,
    images: &mut Vec<Image>,
) -> Result<(), Refusal> {
    match fields.text("type")?.as_deref() {
        Some("text") => match fields.text("text")? {
            Some(more) => {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&more);
            }
            None => return Err(fields.refuse("text", "text", "nothing")),
        },
        Some("image_url") => {
            if !facts.vision {
                let expected = "no images: this model takes texts alone";
                return Err(fields.refuse("type", expected, "\"image_url\""));
            }
            if images.len() == limits.images {
                let expected = format!("at most {} images", limits.images);
                return Err(fields.refuse("type", expected, "more"));
            }
            let url = match fields.take("image_url") {
                Some(Value::String(url)) => url,
                Some(value) => {
                    let mut own = Fields::of(&fields.name("image_url"), value)?;
                    // The package says how much of an image it sees.
                    own.take("detail");
                    let url = own.text("url")?;
                    let url = url.ok_or_else(|| own.refuse("url", "a data: URI", "nothing"))?;
                    own.end()?;
                    url
                }
                None => return Err(fields.refuse("image_url", "a data: URI", "nothing")),
            };
            images.push(image(&fields.name("image_url.url"), &url, limits)?);
        }
        other => {
            let expected = "\"text\" or \"image_url\"";
            return Err(fields.refuse("type", expected, other.unwrap_or("nothing")));
        }
    }
    fields.end()
}
