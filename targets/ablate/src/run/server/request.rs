//! One request to a server and what comes back.

use curt::SamplingDefaults;
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::Agent;

use crate::arm::ServerArm;

/// Most bytes of a response: what is longer is no answer.
const LARGEST_RESPONSE: u64 = 16 << 20;

/// Letters of a response that an error shows.
const SHOWN: usize = 200;

/// An answer that did not come.
pub(super) struct Failure {
    pub(super) reason: String,
    /// Nobody answered, or said to come back later.
    pub(super) unreachable: bool,
}

/// What a server answers.
#[derive(Deserialize)]
pub(super) struct Completion {
    pub(super) choices: Vec<Choice>,
    #[serde(default)]
    pub(super) usage: Option<Usage>,
}

#[derive(Deserialize)]
pub(super) struct Choice {
    pub(super) message: Message,
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Message {
    #[serde(default)]
    pub(super) content: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Usage {
    pub(super) prompt_tokens: usize,
    pub(super) completion_tokens: usize,
}

impl Failure {
    pub(super) fn of(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            unreachable: false,
        }
    }
}

/// The request for `n` answers.
pub(super) fn body(
    model: &str,
    messages: &[Value],
    sampling: SamplingDefaults,
    n: usize,
    seed: u64,
) -> Value {
    // Servers take seeds of 32 bits, some signed.
    let mut body =
        json!({"model": model, "messages": messages, "stream": false, "seed": seed % (1 << 31)});
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body[name] = value;
        }
    };
    set("n", (n > 1).then(|| json!(n)));
    set("temperature", sampling.temperature.map(|t| json!(t)));
    set("top_p", sampling.top_p.map(|p| json!(p)));
    set("max_tokens", sampling.max_tokens.map(|n| json!(n)));
    // Not of OpenAI's, but llama.cpp, vLLM and their kin know them; 0 is off in both.
    // An explicit 0 is sent, too: llama-cpp-python's own are 40 and 0.05.
    set("top_k", sampling.top_k.map(|k| json!(k)));
    set("min_p", sampling.min_p.map(|p| json!(p)));
    let penalty = sampling
        .repetition_penalty
        .filter(|&penalty| penalty != 1.0);
    for name in ["repeat_penalty", "repetition_penalty"] {
        set(name, penalty.map(|penalty| json!(penalty)));
    }
    body
}

/// Sends a request and reads its answer.
pub(super) fn complete(
    agent: &Agent,
    server: &ServerArm,
    body: &Value,
) -> std::result::Result<Completion, Failure> {
    let url = format!("{}/chat/completions", server.url.trim_end_matches('/'));
    let text = serde_json::to_vec(body).map_err(|error| Failure::of(error.to_string()))?;
    let sent = agent
        .post(&url)
        .header("Content-Type", "application/json")
        .send(&text[..]);
    parse(&read(sent, server)?)
}

/// The first model that a server lists.
pub(super) fn first_model(
    agent: &Agent,
    server: &ServerArm,
) -> std::result::Result<String, Failure> {
    let url = format!("{}/models", server.url.trim_end_matches('/'));
    let listed: Value = parse(&read(agent.get(&url).call(), server)?)?;
    let id = listed["data"][0]["id"].as_str();
    id.map(str::to_string).ok_or_else(|| {
        Failure::of(
            "the server lists no model: name one by --server-model, or as `model` in an arm file",
        )
    })
}

/// The body of a response that went well.
fn read(
    response: std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    server: &ServerArm,
) -> std::result::Result<String, Failure> {
    let unreachable = |error: ureq::Error| Failure {
        reason: match error {
            ureq::Error::Timeout(_) => {
                format!("the server gave no answer within {} s", server.timeout_s)
            }
            other => format!("the server cannot be reached: {other}"),
        },
        unreachable: true,
    };
    let mut response = response.map_err(unreachable)?;
    let status = response.status().as_u16();
    let body = response
        .body_mut()
        .with_config()
        .limit(LARGEST_RESPONSE)
        .read_to_string();
    let body = match body {
        Ok(body) => body,
        Err(ureq::Error::BodyExceedsLimit(limit)) => {
            return Err(Failure::of(format!(
                "the server's answer has more than {limit} bytes"
            )));
        }
        // A line that breaks in the middle, or bytes that are no text.
        Err(error) => return Err(unreachable(error)),
    };
    match status {
        200 => Ok(body),
        429 | 502..=504 => Err(Failure {
            reason: format!("the server is not ready: status {status}"),
            unreachable: true,
        }),
        _ => Err(Failure::of(format!(
            "the server refused: status {status}: {}",
            shown(&body)
        ))),
    }
}

fn parse<T: for<'de> Deserialize<'de>>(body: &str) -> std::result::Result<T, Failure> {
    serde_json::from_str(body).map_err(|_| {
        Failure::of(format!(
            "the server's answer is no completion: {}",
            shown(body)
        ))
    })
}

fn shown(body: &str) -> String {
    let mut text: String = body.trim().chars().take(SHOWN).collect();
    if text.is_empty() {
        text.push_str("nothing");
    }
    text
}
