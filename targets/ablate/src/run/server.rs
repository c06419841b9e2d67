//! Arms that an OpenAI-compatible server answers: tokens as it reports them, times as the client sees them.

mod key;
mod request;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use curt::paths::{Ending, FinishReason, Policy, Trace, replay};
use curt::{CancelToken, SamplingDefaults};
use curt_workload::{Item, Workload};
use serde_json::{Value, json};
use ureq::Agent;

use super::{Asked, Given};
use crate::arm::{Arm, ServerArm};
use crate::derive::LAUNCH;
use crate::error::{Error, Result};
use crate::record::{PathRecord, Record, Run, Times};
use key::Key;
use request::{Completion, Failure, Kind, Line, body};

/// Most bytes of an answer's text that are recorded: a server may send any number.
const RECORDED_TEXT: usize = 256 << 10;
/// Most bytes of what the pattern finds there that are recorded.
const RECORDED_ANSWER: usize = 4 << 10;

/// Asks servers for the answers of a run's arms.
pub struct ServerRespondent<'a> {
    run: &'a Run,
    workload: &'a Workload,
    sampling: SamplingDefaults,
    cancel: CancelToken,
    /// Keys by arm, for those that have one.
    keys: HashMap<String, Key>,
    /// A server under another model or another timeout is another.
    servers: Vec<Known>,
    /// Arms, by name, whose server has answered a question that is not recorded.
    warm: HashSet<String>,
}

/// What was found out about a server.
struct Known {
    server: ServerArm,
    agent: Agent,
    model: String,
    /// Whether one request brings several answers, once that was tried.
    takes_n: Option<bool>,
}

/// Answers of one question, over all requests.
#[derive(Default)]
struct Answers {
    /// Each with whether it was cut at the number of tokens allowed.
    texts: Vec<(String, bool)>,
    prompt_tokens: Option<usize>,
    /// Generated; `None` once a response did not say.
    generated: Option<usize>,
}

impl<'a> ServerRespondent<'a> {
    /// `sampling`: that of the other arms; what it does not say is left to the server. `cancel` ends the run between two
    /// requests. `environment` gives the value of an environment variable: a key is read from one.
    ///
    /// # Errors
    /// [`Error::Option`] for an answer pattern that is none, and for a key that is not there.
    pub fn new(
        run: &'a Run,
        workload: &'a Workload,
        sampling: SamplingDefaults,
        cancel: CancelToken,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let mut keys = HashMap::new();
        for arm in &run.arms {
            let key = match &arm.server {
                Some(server) => Key::of(arm, server, environment)?,
                None => None,
            };
            keys.extend(key.map(|key| (arm.name.clone(), key)));
        }
        Ok(Self {
            run,
            workload,
            sampling,
            cancel,
            keys,
            servers: Vec::new(),
            warm: HashSet::new(),
        })
    }

    /// What the user has to know before a key is sent.
    pub fn notes(&self) -> Vec<String> {
        let note = |arm: &Arm| {
            let (server, key) = (arm.server.as_ref()?, self.keys.get(&arm.name)?);
            let leaves = !server.is_on_this_machine();
            leaves.then(|| {
                let (name, from, url) = (&arm.name, key.from(), &server.url);
                format!("arm {name}: {from} is sent to {url} unencrypted")
            })
        };
        self.run.arms.iter().filter_map(note).collect()
    }

    /// Connects to the servers of the run's arms and asks each arm one of `asked`, off the record. A server that is not
    /// there is met again at its first item.
    ///
    /// # Errors
    /// [`Error::Server`] for one that no question can be put to.
    pub fn start(&mut self, asked: &[Asked<'_>]) -> Result<()> {
        let in_text = |asked: &&Asked<'_>| asked.item.image.is_none();
        let Some(last) = asked.iter().rev().find(in_text) else {
            return Ok(());
        };
        let run = self.run;
        for arm in &run.arms {
            let Some(server) = &arm.server else { continue };
            match self.warm_up(arm, server, last.item) {
                Err(failure) if failure.kind == Kind::OfTheRun => {
                    return Err(of_the_run(arm, failure));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The first question of an arm pays for a connection, for what the server loads, and for what is found out about it:
    /// none of it is an item's.
    fn warm_up(
        &mut self,
        arm: &Arm,
        server: &ServerArm,
        item: &Item,
    ) -> std::result::Result<(), Failure> {
        if self.warm.contains(&arm.name) {
            return Ok(());
        }
        match self.ask(arm, server, item, 0) {
            Err(failure) if failure.kind != Kind::OfTheItem => Err(failure),
            // Whatever else it says to a question, it says again on the record.
            _ => {
                self.warm.insert(arm.name.clone());
                Ok(())
            }
        }
    }

    /// What the server of `arm` answers.
    ///
    /// # Errors
    /// Where the grader cannot grade, [`Error::Server`] where no question can be put to it, and [`curt::Error::Cancelled`]. A
    /// server that does not answer this question is a failed record.
    pub fn answer(
        &mut self,
        arm: &Arm,
        server: &ServerArm,
        asked: &Asked<'_>,
        repeat: u32,
    ) -> Result<Given> {
        let mut record = Record::unanswered(arm, asked.index, asked.item, repeat);
        let mut total_ms = 0.0;
        let answers = if asked.item.image.is_some() {
            Err(Failure::of(
                "it has an image, and a server is asked in text alone",
            ))
        } else {
            self.warm_up(arm, server, asked.item).and_then(|()| {
                let clock = Instant::now();
                let answers = self.ask(arm, server, asked.item, repeat);
                total_ms = clock.elapsed().as_secs_f64() * 1e3;
                answers
            })
        };
        let unreachable = match answers {
            Ok(answers) => {
                self.fill(&mut record, arm, asked.item, answers)?;
                record.times = Some(Times {
                    total_ms,
                    ..Times::default()
                });
                None
            }
            Err(_) if self.cancel.is_cancelled() => {
                return Err(curt::Error::Cancelled { tokens: 0 }.into());
            }
            Err(failure) => match failure.kind {
                Kind::OfTheRun => return Err(of_the_run(arm, failure)),
                kind => {
                    record.error = Some(failure.reason);
                    match kind {
                        Kind::Unreachable(unreachable) => Some(unreachable),
                        _ => None,
                    }
                }
            },
        };
        Ok(Given {
            record,
            unreachable,
        })
    }

    fn fill(&self, record: &mut Record, arm: &Arm, item: &Item, answers: Answers) -> Result<()> {
        let reader = self.workload.reader(item);
        let kind = self.workload.answer_kind(item);
        for (text, cut) in answers.texts {
            let found = reader.as_ref().and_then(|reader| reader.read(&text));
            let answer = found.map(|found| found.text().to_string());
            record.paths.push(PathRecord {
                // Servers report tokens of a request, not of an answer.
                tokens: 0,
                finish: if cut {
                    FinishReason::MaxTokens
                } else {
                    FinishReason::Eos
                },
                score: None,
                correct: Some(self.workload.grade(item, answer.as_deref(), &text)?),
                answer,
                text: Some(text),
                cut_from_bytes: None,
            });
        }
        let traces: Vec<Trace> = record
            .paths
            .iter()
            .map(|path| Trace {
                tokens: 1,
                answer: path.answer.as_deref().map(|answer| kind.found(answer)),
                scores: Vec::new(),
            })
            .collect();
        let ending = Ending {
            vote: arm.vote,
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
        // The vote is on the whole answers: only what is kept of them is cut.
        for path in &mut record.paths {
            path.cut_from_bytes = path.text.as_mut().and_then(|text| cut(text, RECORDED_TEXT));
            path.answer
                .as_mut()
                .and_then(|answer| cut(answer, RECORDED_ANSWER));
        }
        record
            .answer
            .as_mut()
            .and_then(|answer| cut(answer, RECORDED_ANSWER));
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

    /// The answers of `arm`: in one request where the server takes `n`, else in as many requests.
    fn ask(
        &mut self,
        arm: &Arm,
        server: &ServerArm,
        item: &Item,
        repeat: u32,
    ) -> std::result::Result<Answers, Failure> {
        let messages = self.messages(item);
        let greedy = SamplingDefaults {
            temperature: arm.greedy.then_some(0.0),
            ..SamplingDefaults::default()
        };
        let sampling = greedy.or(self.sampling);
        let seed = self.run.seed.wrapping_add(u64::from(repeat));
        let cancel = self.cancel.clone();
        let key = self.keys.get(&arm.name);
        let known = known(&mut self.servers, server, key)?;
        let mut answers = Answers {
            generated: Some(0),
            ..Answers::default()
        };
        let mut refused = false;
        while answers.texts.len() < arm.paths {
            if cancel.is_cancelled() {
                return Err(Failure::of("cancelled"));
            }
            let missing = arm.paths - answers.texts.len();
            let n = if refused || known.takes_n == Some(false) {
                1
            } else {
                missing
            };
            // A seed of its own for each request: servers that obey it would give one answer N times.
            let seed = seed
                .wrapping_mul(1 << 20)
                .wrapping_add(answers.texts.len() as u64);
            let body = body(&known.model, &messages, sampling, n, seed);
            let line = Line {
                agent: &known.agent,
                server,
                key,
            };
            let completion = match line.complete(&body) {
                // A server that refuses `n` may take single requests.
                Err(failure)
                    if n > 1 && known.takes_n.is_none() && failure.kind == Kind::OfTheItem =>
                {
                    refused = true;
                    continue;
                }
                other => other?,
            };
            if n > 1 {
                known.takes_n = Some(completion.choices.len() > 1);
            } else if refused {
                // It was `n` that it refused: without it, the same question is answered.
                known.takes_n = Some(false);
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
}

/// What is known of `server`, which is met for the first time where nothing is.
fn known<'k>(
    servers: &'k mut Vec<Known>,
    server: &ServerArm,
    key: Option<&Key>,
) -> std::result::Result<&'k mut Known, Failure> {
    let place = match servers.iter().position(|known| known.server == *server) {
        Some(place) => place,
        None => {
            let agent: Agent = Agent::config_builder()
                .timeout_global(Some(Duration::from_secs_f64(server.timeout_s)))
                .http_status_as_error(false)
                // Questions and a key go where the user said, and nowhere else.
                .max_redirects(0)
                .build()
                .into();
            let model = match &server.model {
                Some(model) => model.clone(),
                None => {
                    let line = Line {
                        agent: &agent,
                        server,
                        key,
                    };
                    line.first_model()?
                }
            };
            servers.push(Known {
                server: server.clone(),
                agent,
                model,
                takes_n: None,
            });
            servers.len() - 1
        }
    };
    Ok(&mut servers[place])
}

fn of_the_run(arm: &Arm, failure: Failure) -> Error {
    Error::Server {
        arm: arm.name.clone(),
        reason: failure.reason,
    }
}

/// Cuts `text` to at most so many bytes, and says how many it had where it had more.
fn cut(text: &mut String, bytes: usize) -> Option<usize> {
    let whole = text.len();
    if whole <= bytes {
        return None;
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    Some(whole)
}

impl Answers {
    fn take(&mut self, completion: Completion, missing: usize) -> std::result::Result<(), Failure> {
        if completion.choices.is_empty() {
            return Err(Failure::of("the server answered with no choice"));
        }
        let (prompt, generated) = completion.tokens();
        self.prompt_tokens = self.prompt_tokens.or(prompt);
        self.generated = self.generated.zip(generated).map(|(sum, n)| sum + n);
        for choice in completion.choices.iter().take(missing) {
            self.texts.push((choice.text(), choice.is_cut()));
        }
        Ok(())
    }
}
