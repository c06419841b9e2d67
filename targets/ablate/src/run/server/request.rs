//! One request to a server and what comes back.

use curt::SamplingDefaults;
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::header::{AUTHORIZATION, LOCATION};

use super::key::Key;
use crate::arm::ServerArm;
use crate::record::MOST_TOKENS;
use crate::run::Unreachable;

/// Most bytes of a response: what is longer is no answer.
const LARGEST_RESPONSE: u64 = 16 << 20;

/// Most bytes of a model's name: every request repeats it.
const LONGEST_MODEL: usize = 1 << 10;

/// Letters of a response that an error shows.
const SHOWN: usize = 200;

/// An answer that did not come.
pub(super) struct Failure {
    pub(super) reason: String,
    pub(super) kind: Kind,
}

/// What an answer that did not come says of others.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Nothing: another question may be answered.
    OfTheItem,
    /// The same question may be answered later.
    Unreachable(Unreachable),
    /// No question will be, as the server is asked.
    OfTheRun,
}

/// What a server answers.
#[derive(Deserialize)]
pub(super) struct Completion {
    pub(super) choices: Vec<Choice>,
    #[serde(default)]
    usage: Value,
}

/// Fields beside the text are read leniently: an answer is one also where they are absent or odd.
#[derive(Deserialize)]
pub(super) struct Choice {
    message: Message,
    #[serde(default)]
    finish_reason: Value,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Value,
    /// Some servers tell a model's reasoning from its answer. The text of a path of curt's holds both.
    #[serde(default, alias = "reasoning")]
    reasoning_content: Value,
}

impl Completion {
    /// Tokens of the prompt, and tokens generated, where the server says them.
    pub(super) fn tokens(&self) -> (Option<usize>, Option<usize>) {
        let count = |name: &str, answers: usize| {
            let count = usize::try_from(self.usage.get(name)?.as_u64()?).ok()?;
            // More than there can be is no count.
            (count <= MOST_TOKENS * answers).then_some(count)
        };
        let answers = self.choices.len();
        (
            count("prompt_tokens", 1),
            count("completion_tokens", answers),
        )
    }
}

impl Choice {
    /// The answer's text: a string, or the text among its parts.
    pub(super) fn text(&self) -> String {
        let part = |part: &Value| part["text"].as_str().map(str::to_string);
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Array(parts) => parts.iter().filter_map(part).collect(),
            _ => String::new(),
        };
        let (reasoning, content) = (
            text(&self.message.reasoning_content),
            text(&self.message.content),
        );
        if reasoning.is_empty() {
            content
        } else {
            format!("{reasoning}\n{content}")
        }
    }

    /// Whether it was cut at the number of tokens allowed.
    pub(super) fn is_cut(&self) -> bool {
        self.finish_reason == "length"
    }
}

impl Failure {
    pub(super) fn of(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            kind: Kind::OfTheItem,
        }
    }

    fn of_the_run(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            kind: Kind::OfTheRun,
        }
    }

    fn unreachable(reason: impl Into<String>, unreachable: Unreachable) -> Self {
        Self {
            reason: reason.into(),
            kind: Kind::Unreachable(unreachable),
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

/// How a server is asked.
pub(super) struct Line<'a> {
    pub(super) agent: &'a Agent,
    pub(super) server: &'a ServerArm,
    pub(super) key: Option<&'a Key>,
}

type Response = std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>;

impl Line<'_> {
    /// Sends a request and reads its answer.
    pub(super) fn complete(&self, body: &Value) -> std::result::Result<Completion, Failure> {
        let text = serde_json::to_vec(body).map_err(|error| Failure::of(error.to_string()))?;
        let mut request = self
            .agent
            .post(self.server.address("/chat/completions"))
            .header("Content-Type", "application/json");
        if let Some(key) = self.key {
            request = request.header(AUTHORIZATION, key.header());
        }
        parse(&self.read(request.send(&text[..]))?)
    }

    /// The first model that the server lists.
    pub(super) fn first_model(&self) -> std::result::Result<String, Failure> {
        let mut request = self.agent.get(self.server.address("/models"));
        if let Some(key) = self.key {
            request = request.header(AUTHORIZATION, key.header());
        }
        let listed: Value = parse(&self.read(request.call())?)?;
        let id = listed["data"][0]["id"].as_str();
        let id = id.filter(|id| id.len() <= LONGEST_MODEL);
        id.map(str::to_string).ok_or_else(|| {
            Failure::of_the_run(
                "the server lists no model: name one by --server-model, or as `model` in an arm file",
            )
        })
    }

    /// The body of a response that went well.
    fn read(&self, response: Response) -> std::result::Result<String, Failure> {
        let mut response = response.map_err(|error| self.broken(&error))?;
        let status = response.status().as_u16();
        if response.status().is_redirection() {
            let to = response.headers().get(LOCATION);
            let to = to.map_or("nowhere".into(), |to| {
                self.shown(&String::from_utf8_lossy(to.as_bytes()))
            });
            return Err(Failure::of_the_run(format!(
                "the server at {} sends the question on to {to} (status {status}), where curt does not follow: give the address \
                 that answers as --server, or as server.url in an arm file",
                self.server.url
            )));
        }
        let body = response
            .body_mut()
            .with_config()
            .limit(LARGEST_RESPONSE)
            .read_to_vec();
        let body = match body {
            Ok(body) => self.without_secrets(&String::from_utf8_lossy(&body)),
            Err(ureq::Error::BodyExceedsLimit(limit)) => {
                return Err(Failure::of(format!(
                    "the server's answer has more than {limit} bytes"
                )));
            }
            Err(error) => return Err(self.broken(&error)),
        };
        let said = || shown(&body);
        match status {
            // Gateways answer with 201 or 202 what they pass on. Whether it is an answer, its body says.
            200..=299 => Ok(body),
            429 | 502..=504 => Err(Failure::unreachable(
                format!("the server is not ready: status {status}"),
                Unreachable::NotAsked,
            )),
            401 | 403 => Err(Failure::of_the_run(format!(
                "the server refuses to be asked {}: status {status}: {}; name the environment variable that holds its key by \
                 --server-key-env (or server.key_env in an arm file), or set OPENAI_API_KEY",
                match self.key {
                    Some(key) => format!("with {}", key.from()),
                    None => "without a key".into(),
                },
                said()
            ))),
            404 | 405 => Err(Failure::of_the_run(format!(
                "{} has nothing that answers, or not under this model: status {status}: {}; expected the address up to and \
                 without /chat/completions",
                self.server.url,
                said()
            ))),
            _ => Err(Failure::of(format!(
                "the server refused: status {status}: {}",
                said()
            ))),
        }
    }

    /// A line that broke, or could not be had.
    fn broken(&self, error: &ureq::Error) -> Failure {
        let not_asked = matches!(
            error,
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed
        ) || matches!(error, ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused);
        match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Failure::of_the_run(format!(
                "{} is no address that can be asked",
                self.server.url
            )),
            ureq::Error::Timeout(_) => Failure::unreachable(
                format!(
                    "the server gave no answer within {} s",
                    self.server.timeout_s
                ),
                Unreachable::NoAnswer,
            ),
            error => Failure::unreachable(
                format!(
                    "the server cannot be reached: {}",
                    self.shown(&error.to_string())
                ),
                if not_asked {
                    Unreachable::NotAsked
                } else {
                    Unreachable::NoAnswer
                },
            ),
        }
    }

    /// What of a server's words an error may show.
    fn shown(&self, text: &str) -> String {
        shown(&self.without_secrets(text))
    }

    /// `text` without the key, which a server may repeat.
    fn without_secrets(&self, text: &str) -> String {
        match self.key.map(Key::secret) {
            Some(secret) if secret.len() >= SHORTEST_SECRET => text.replace(secret, "[key]"),
            _ => text.into(),
        }
    }
}

/// A shorter secret stands by chance in any text, which taking it out would spoil, and shows nothing there.
const SHORTEST_SECRET: usize = 8;

fn parse<T: for<'de> Deserialize<'de>>(body: &str) -> std::result::Result<T, Failure> {
    serde_json::from_str(body).map_err(|_| {
        Failure::of(format!(
            "the server's answer is no completion: {}",
            shown(body)
        ))
    })
}

fn shown(body: &str) -> String {
    let text: String = body.trim().chars().take(SHOWN).collect();
    if text.is_empty() {
        return "nothing".into();
    }
    // In one line: what it says must not look like lines of curt's.
    text.replace(['\n', '\r'], " ")
}
