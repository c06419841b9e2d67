//! Arms that an OpenAI-compatible server answers: tokens as it reports them, times as the client sees them.

mod request;

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use curt::paths::{Ending, Policy, Trace, replay};
use curt::{CancelToken, SamplingDefaults};
use curt_workload::{Item, Workload};
use serde_json::{Value, json};
use ureq::Agent;

use super::{Asked, Given};
use crate::arm::{Arm, ServerArm};
use crate::derive::LAUNCH;
use crate::error::Result;
use crate::record::{PathRecord, Record, Run, Times};
use request::{Completion, Failure, body, complete, first_model};

/// Asks servers for the answers of a run's arms.
pub struct ServerRespondent<'a> {
    run: &'a Run,
    workload: &'a Workload,
    sampling: SamplingDefaults,
    cancel: CancelToken,
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
    texts: Vec<(String, String)>,
    prompt_tokens: Option<usize>,
    /// Generated; `None` once a response did not say.
    generated: Option<usize>,
}

impl<'a> ServerRespondent<'a> {
    /// `sampling`: that of the other arms; what it does not say is left to the server. `cancel` ends the run between two
    /// requests.
    ///
    /// # Errors
    /// [`Error::Option`] for an answer pattern that is none.
    pub fn new(
        run: &'a Run,
        workload: &'a Workload,
        sampling: SamplingDefaults,
        cancel: CancelToken,
    ) -> Result<Self> {
        Ok(Self {
            run,
            workload,
            sampling,
            cancel,
            servers: Vec::new(),
            warm: HashSet::new(),
        })
    }

    /// Connects to the servers of the run's arms and asks each arm one of `asked`, off the record. A server that is not
    /// there is met again at its first item.
    pub fn start(&mut self, asked: &[Asked<'_>]) {
        let in_text = |asked: &&Asked<'_>| asked.item.image.is_none();
        let Some(last) = asked.iter().rev().find(in_text) else {
            return;
        };
        let run = self.run;
        for arm in &run.arms {
            if let Some(server) = &arm.server {
                let _ = self.warm_up(arm, server, last.item);
            }
        }
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
            Err(failure) if failure.unreachable => Err(failure),
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
    /// Where the grader cannot grade, and [`curt::Error::Cancelled`]. A server that does not answer is a failed record.
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
                "it has an image, and this version of curt asks in text alone",
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
                false
            }
            Err(_) if self.cancel.is_cancelled() => {
                return Err(curt::Error::Cancelled { tokens: 0 }.into());
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
        let reader = self.workload.reader(item)?;
        let kind = self.workload.answer_kind(item);
        for (text, finish) in answers.texts {
            let found = reader.as_ref().and_then(|reader| reader.read(&text));
            let answer = found.map(|found| found.text().to_string());
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
                answer: path.answer.as_deref().map(|answer| kind.found(answer)),
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
        let known = self.known(server)?;
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
            let completion = match complete(&known.agent, server, &body) {
                // A server that refuses `n` may take single requests.
                Err(failure) if n > 1 && known.takes_n.is_none() && !failure.unreachable => {
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

    fn known(&mut self, server: &ServerArm) -> std::result::Result<&mut Known, Failure> {
        let place = match self
            .servers
            .iter()
            .position(|known| known.server == *server)
        {
            Some(place) => place,
            None => {
                let agent: Agent = Agent::config_builder()
                    .timeout_global(Some(Duration::from_secs_f64(server.timeout_s)))
                    .http_status_as_error(false)
                    .build()
                    .into();
                let model = match &server.model {
                    Some(model) => model.clone(),
                    None => first_model(&agent, server)?,
                };
                self.servers.push(Known {
                    server: server.clone(),
                    agent,
                    model,
                    takes_n: None,
                });
                self.servers.len() - 1
            }
        };
        Ok(&mut self.servers[place])
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
