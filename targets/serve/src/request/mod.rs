//! A request for an answer: read field by field, with every bound held before anything is allocated for it.

mod extension;
mod images;
mod messages;

use axum::http::StatusCode;
use curt::{AskOptions, Question, SamplingDefaults, Voting};
use serde_json::Value;

use crate::facts::Facts;
use crate::fields::{Fields, shown};
use crate::options::Limits;
use crate::refusal::Refusal;

/// Texts that end an answer, at most, and bytes of each.
const STOPS: usize = 16;
const STOP_BYTES: usize = 256;

/// What is asked, and how it is to be told.
pub(crate) struct Request {
    pub(crate) question: Question,
    pub(crate) options: AskOptions,
    pub(crate) reply: ReplyOptions,
}

/// How an answer is to be told.
#[derive(Debug, Clone)]
pub(crate) struct ReplyOptions {
    /// As it comes.
    pub(crate) stream: bool,
    /// The stream ends with what it cost.
    pub(crate) usage: bool,
    /// The stream also tells what happens on the way.
    pub(crate) events: bool,
    pub(crate) logprobs: bool,
    /// Every path is a choice; else they are one, by vote.
    pub(crate) several: bool,
}

/// Fields of OpenAI's that change no answer here.
const WITHOUT_EFFECT: [&str; 9] = [
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "parallel_tool_calls",
    "prediction",
    "modalities",
];

/// Fields of OpenAI's that nothing here honours, with the value that asks for nothing.
const NOT_OFFERED: [(&str, &[&str]); 9] = [
    ("tools", &["[]"]),
    ("tool_choice", &["\"none\"", "\"auto\""]),
    ("functions", &["[]"]),
    ("function_call", &["\"none\"", "\"auto\""]),
    ("response_format", &["{\"type\":\"text\"}"]),
    ("logit_bias", &["{}"]),
    ("presence_penalty", &["0", "0.0"]),
    ("frequency_penalty", &["0", "0.0"]),
    ("top_logprobs", &["0"]),
];

impl Request {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// A refusal that names the field.
    pub(crate) fn read(body: &[u8], facts: &Facts, limits: &Limits) -> Result<Self, Refusal> {
        let value = serde_json::from_slice(body)
            .map_err(|error| Refusal::field("body", "JSON", format!("something else ({error})")))?;
        let mut fields = Fields::of("", value)?;
        if let Some(model) = fields.text("model")?
            && model != facts.model
        {
            let expected = format!("{:?}, the one model here", facts.model);
            let refused = fields.refuse("model", expected, shown(&Value::String(model)));
            return Err(Refusal {
                status: StatusCode::NOT_FOUND,
                ..refused.coded("model_not_found")
            });
        }
        for (field, nothing) in NOT_OFFERED {
            if let Some(value) = fields.take(field)
                && !nothing.contains(&value.to_string().as_str())
            {
                let expected = "none: this server does not offer it";
                return Err(fields.refuse(field, expected, shown(&value)));
            }
        }
        for field in WITHOUT_EFFECT {
            fields.take(field);
        }
        let question = messages::question(&mut fields, facts, limits)?;
        let mut options = AskOptions {
            sampling: sampling(&mut fields)?,
            seed: match fields.seed("seed")? {
                Some(seed) => seed,
                None => drawn(),
            },
            stop: stops(&mut fields)?,
            max_image_pixels: limits.image_pixels,
            // An answer must not depend on the question of another client before it.
            reuse: false,
            ..AskOptions::default()
        };
        let n = fields.count("n")?;
        let mut events = false;
        let mut extended = false;
        if let Some(value) = fields.take("curt") {
            extended = true;
            let mut own = Fields::of("curt", value)?;
            events = own.bool("events")?.unwrap_or(false);
            extension::read(own, facts, limits, &mut options)?;
        }
        let several = n.is_some_and(|n| n > 1);
        if let Some(n) = n {
            if n == 0 || n > limits.paths {
                return Err(fields.refuse("n", format!("1 to {}", limits.paths), n));
            }
            if several && options.paths > 1 {
                let expected = "either `n` answers or one answer of `curt.paths` paths";
                return Err(fields.refuse("n", expected, "both"));
            }
            if several {
                options.paths = n;
                options.vote = Voting::Off;
            }
        }
        let stream = fields.bool("stream")?.unwrap_or(false);
        let mut usage = extended;
        if let Some(value) = fields.take("stream_options") {
            let mut own = Fields::of("stream_options", value)?;
            usage = own.bool("include_usage")?.unwrap_or(usage);
            // Padding against those who measure what is encrypted, which nothing here is.
            own.take("include_obfuscation");
            own.end()?;
        }
        let logprobs = fields.bool("logprobs")?.unwrap_or(false);
        fields.end()?;
        Ok(Self {
            question,
            options,
            reply: ReplyOptions {
                stream,
                usage,
                events,
                logprobs,
                several,
            },
        })
    }
}

fn sampling(fields: &mut Fields) -> Result<SamplingDefaults, Refusal> {
    let top_k = fields.count("top_k")?;
    let top_k = match top_k.map(u32::try_from).transpose() {
        Ok(top_k) => top_k,
        Err(_) => return Err(fields.refuse("top_k", "at most 4294967295", "more")),
    };
    let max_tokens = fields.count("max_tokens")?;
    let max_completion = fields.count("max_completion_tokens")?;
    if let (Some(one), Some(other)) = (max_tokens, max_completion)
        && one != other
    {
        let expected = format!("{one}, as `max_tokens`");
        return Err(fields.refuse("max_completion_tokens", expected, other));
    }
    // The same by two names: llama.cpp's and vLLM's.
    let repeat = fields.number("repeat_penalty")?;
    let repetition = fields.number("repetition_penalty")?;
    Ok(SamplingDefaults {
        temperature: fields.number("temperature")?,
        top_k,
        top_p: fields.number("top_p")?,
        min_p: fields.number("min_p")?,
        repetition_penalty: repetition.or(repeat),
        no_repeat_ngram_size: None,
        min_length: None,
        max_tokens: max_tokens.or(max_completion),
    })
}

fn stops(fields: &mut Fields) -> Result<Vec<String>, Refusal> {
    let given = fields.list("stop");
    if given.len() > STOPS {
        return Err(fields.refuse("stop", format!("at most {STOPS} texts"), given.len()));
    }
    let text = |value: &Value| match value.as_str() {
        Some(text) if !text.is_empty() && text.len() <= STOP_BYTES => Ok(text.to_owned()),
        _ => {
            let expected = format!("texts of 1 to {STOP_BYTES} bytes");
            Err(fields.refuse("stop", expected, shown(value)))
        }
    };
    given.iter().map(text).collect()
}

/// A seed nobody asked for: another for each request.
fn drawn() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    // Of 32 bits: a number that every client can read and send again.
    RandomState::new().hash_one(()) >> 32
}
