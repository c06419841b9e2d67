//! Arms that an OpenAI-compatible server answers: tokens as it reports them, times as the client sees them.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use curt::SamplingDefaults;
use curt::paths::{Ending, Policy, Trace, find_answer, replay};
use curt_workload::{Item, Workload};
use regex::Regex;
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::Agent;

use super::{Asked, Given};
use crate::arm::{Arm, ServerArm};
use crate::derive::LAUNCH;
use crate::error::{Error, Result};
use crate::record::{PathRecord, Record, Run, Times};

/// Most bytes of a response: what is longer is no answer.
const LARGEST_RESPONSE: u64 = 16 << 20;

/// Letters of a response that an error shows.
const SHOWN: usize = 200;

/// Asks servers for the answers of a run's arms.
pub struct ServerRespondent<'a> {
    run: &'a Run,
    workload: &'a Workload,
    sampling: SamplingDefaults,
    pattern: Option<Regex>,
    servers: HashMap<String, Known>,
}

/// What was found out about a server.
struct Known {
    agent: Agent,
    model: String,
    /// Whether one request brings several answers, once that was tried.
    takes_n: Option<bool>,
}

/// An answer that did not come.
struct Failure {
    reason: String,
    /// Nobody answered, or said to come back later.
    unreachable: bool,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
}

/// Answers of one question, over all requests.
#[derive(Default)]
struct Answers {
    texts: Vec<(String, String)>,
    prompt_tokens: Option<usize>,
    /// Generated; `None` once a response did not say.
    generated: Option<usize>,
}

impl<'a> ServerRespondent<'a> {
    /// `sampling`: what the command line set, before the workload's own.
    ///
    /// # Errors
    /// [`Error::Option`] for an answer pattern that is none.
    pub fn new(run: &'a Run, workload: &'a Workload, sampling: SamplingDefaults) -> Result<Self> {
        let prompt = workload.prompt();
        let pattern = prompt.answer_pattern.as_deref().map(Regex::new).transpose();
        Ok(Self {
            run,
            workload,
            sampling: sampling.or(prompt.sampling),
            pattern: pattern
                .map_err(|error| Error::option("answer_pattern", "a regular expression", error))?,
            servers: HashMap::new(),
        })
    }

    /// What the server of `arm` answers.
    ///
    /// # Errors
    /// Where the grader cannot grade. A server that does not answer is a failed record.
    pub fn answer(
        &mut self,
        arm: &Arm,
        server: &ServerArm,
        asked: &Asked<'_>,
        repeat: u32,
    ) -> Result<Given> {
        let mut record = Record::unanswered(arm, asked.index, asked.item, repeat);
        let clock = Instant::now();
        let answers = if asked.item.image.is_some() {
            Err(Failure::of(
                "it has an image, and this version of curt asks in text alone",
            ))
        } else {
            self.ask(server, arm.paths, asked.item, repeat)
        };
        let total_ms = clock.elapsed().as_secs_f64() * 1e3;
        let unreachable = match answers {
            Ok(answers) => {
                self.fill(&mut record, arm, asked.item, answers)?;
                record.times = Some(Times {
                    total_ms,
                    ..Times::default()
                });
                false
            }
            Err(failure) => {
                record.error = Some(failure.reason);
                failure.unreachable
            }
        };
        Ok(Given {
            record,
            unreachable,
        })
    }

    fn fill(&self, record: &mut Record, arm: &Arm, item: &Item, answers: Answers) -> Result<()> {
        for (text, finish) in answers.texts {
            let answer = self
                .pattern
                .as_ref()
                .and_then(|pattern| find_answer(pattern, &text));
            record.paths.push(PathRecord {
                // Servers report tokens of a request, not of an answer.
                tokens: 0,
                finish,
                score: None,
                correct: Some(self.workload.grade(item, answer.as_deref(), &text)?),
                answer,
                text: Some(text),
            });
        }
        let traces: Vec<Trace> = record
            .paths
            .iter()
            .map(|path| Trace {
                tokens: 1,
                answer: path.answer.clone(),
                scores: Vec::new(),
            })
            .collect();
        let ending = Ending {
            vote: arm.vote.into(),
            ..Ending::default()
        };
        let policy = Policy::new(&[], ending);
        let votes = replay(&policy, &traces)?.votes;
        let speaker = votes.first().and_then(|vote| vote.paths.first().copied());
        let speaker = speaker.or((record.paths.len() == 1).then_some(0));
        if let Some(path) = speaker.and_then(|path| record.paths.get(path)) {
            record.answer.clone_from(&path.answer);
            record.correct = path.correct == Some(true);
        }
        record.finished = record.paths.len();
        record.finished_correct = record
            .paths
            .iter()
            .filter(|path| path.correct == Some(true))
            .count();
        record.prompt_tokens = answers.prompt_tokens;
        record.tokens = answers
            .generated
            .map_or_else(BTreeMap::new, |n| BTreeMap::from([(LAUNCH.into(), n)]));
        Ok(())
    }

    /// `paths` answers: in one request where the server takes `n`, else in as many requests.
    fn ask(
        &mut self,
        server: &ServerArm,
        paths: usize,
        item: &Item,
        repeat: u32,
    ) -> std::result::Result<Answers, Failure> {
        let messages = self.messages(item);
        let sampling = self.sampling;
        let seed = self.run.seed.wrapping_add(u64::from(repeat));
        let known = self.known(server)?;
        let mut answers = Answers {
            generated: Some(0),
            ..Answers::default()
        };
        while answers.texts.len() < paths {
            let missing = paths - answers.texts.len();
            let n = if known.takes_n == Some(false) {
                1
            } else {
                missing
            };
            // A seed of its own for each request: servers that obey it would give one answer N times.
            let seed = seed
                .wrapping_mul(1 << 20)
                .wrapping_add(answers.texts.len() as u64);
            let body = body(&known.model, &messages, sampling, n, seed);
            let completion = match complete(&known.agent, server, &body) {
                // A server that refuses `n` may take single requests.
                Err(failure) if n > 1 && known.takes_n.is_none() && !failure.unreachable => {
                    known.takes_n = Some(false);
                    continue;
                }
                other => other?,
            };
            if n > 1 {
                known.takes_n = Some(completion.choices.len() > 1);
            }
            answers.take(completion, missing)?;
        }
        Ok(answers)
    }

    fn messages(&self, item: &Item) -> Vec<Value> {
        let prompt = self.workload.prompt();
        let message = |role: &str, content: &str| json!({"role": role, "content": content});
        let mut messages: Vec<Value> = prompt
            .system
            .iter()
            .map(|text| message("system", text))
            .collect();
        for turn in &prompt.turns {
            messages.push(message("user", &turn.user));
            messages.push(message("assistant", &turn.assistant));
        }
        messages.push(message("user", &item.asked()));
        messages
    }

    fn known(&mut self, server: &ServerArm) -> std::result::Result<&mut Known, Failure> {
        if !self.servers.contains_key(&server.url) {
            let agent: Agent = Agent::config_builder()
                .timeout_global(Some(Duration::from_secs_f64(server.timeout_s)))
                .http_status_as_error(false)
                .build()
                .into();
            let model = match &server.model {
                Some(model) => model.clone(),
                None => first_model(&agent, server)?,
            };
            let known = Known {
                agent,
                model,
                takes_n: None,
            };
            self.servers.insert(server.url.clone(), known);
        }
        self.servers
            .get_mut(&server.url)
            .ok_or_else(|| Failure::of("the server is not known"))
    }
}

impl Answers {
    fn take(&mut self, completion: Completion, missing: usize) -> std::result::Result<(), Failure> {
        if completion.choices.is_empty() {
            return Err(Failure::of("the server answered with no choice"));
        }
        for choice in completion.choices.into_iter().take(missing) {
            let finish = match choice.finish_reason.as_deref() {
                Some("length") => "max_tokens",
                _ => "eos",
            };
            self.texts
                .push((choice.message.content.unwrap_or_default(), finish.into()));
        }
        match completion.usage {
            Some(usage) => {
                self.prompt_tokens = self.prompt_tokens.or(Some(usage.prompt_tokens));
                self.generated = self.generated.map(|n| n + usage.completion_tokens);
            }
            None => self.generated = None,
        }
        Ok(())
    }
}

impl Failure {
    fn of(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            unreachable: false,
        }
    }
}

fn body(model: &str, messages: &[Value], sampling: SamplingDefaults, n: usize, seed: u64) -> Value {
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
    set("top_k", sampling.top_k.filter(|&k| k > 0).map(|k| json!(k)));
    set(
        "min_p",
        sampling.min_p.filter(|&p| p > 0.0).map(|p| json!(p)),
    );
    body
}

fn complete(
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

fn first_model(agent: &Agent, server: &ServerArm) -> std::result::Result<String, Failure> {
    let url = format!("{}/models", server.url.trim_end_matches('/'));
    let listed: Value = parse(&read(agent.get(&url).call(), server)?)?;
    let id = listed["data"][0]["id"].as_str();
    id.map(str::to_string)
        .ok_or_else(|| Failure::of("the server lists no model: name one by --server-model"))
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
