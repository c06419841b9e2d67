//! A reply as it comes: server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Bytes;
use curt::Answer;
use futures_core::Stream;
use serde_json::{Value, json};

use super::{Head, Tokens, choice, cost};
use crate::counts::Counts;
use crate::refusal::Refusal;
use crate::request::ReplyOptions;
use crate::waiting::{Next, Waiting};
use crate::worker::{Seen, Told};

/// A reply as it comes. Dropped, when the client goes away, it cancels the question.
pub(crate) struct Chunks {
    waiting: Option<Waiting>,
    ready: VecDeque<Bytes>,
    head: Head,
    course: Course,
    tokens: Arc<Tokens>,
    counts: Arc<Counts>,
    /// The choices whose role was told.
    began: Vec<bool>,
}

/// How a reply is told, and what of it is known beforehand.
pub(crate) struct Course {
    pub(crate) reply: ReplyOptions,
    pub(crate) paths: usize,
    /// Texts are told as they come. Else what comes may not be what is answered: the cascade may discard it, of several
    /// paths that vote nobody knows yet who speaks, and those with sections have some of them in common.
    pub(crate) live: bool,
    /// What it waited in the queue, in milliseconds.
    pub(crate) queue_ms: f64,
    /// Seconds that it may take.
    pub(crate) seconds: f64,
}

impl Chunks {
    /// `waiting` has been told that its question is being answered.
    pub(crate) fn new(
        waiting: Waiting,
        head: Head,
        course: Course,
        tokens: Arc<Tokens>,
        counts: Arc<Counts>,
    ) -> Self {
        let choices = if course.reply.several {
            course.paths
        } else {
            1
        };
        Self {
            waiting: Some(waiting),
            ready: VecDeque::new(),
            head,
            tokens,
            counts,
            began: vec![false; choices],
            course,
        }
    }

    fn send(&mut self, value: &Value) {
        self.ready.push_back(format!("data: {value}\n\n").into());
    }

    fn chunk(&self) -> Value {
        self.head.object("chat.completion.chunk")
    }

    fn delta(&mut self, index: usize, delta: Value) {
        self.choose(index, delta, Value::Null, Value::Null);
    }

    fn choose(&mut self, index: usize, mut delta: Value, logprobs: Value, finish: Value) {
        if !std::mem::replace(&mut self.began[index], true) {
            delta["role"] = "assistant".into();
        }
        let mut chunk = self.chunk();
        chunk["choices"] = json!([{"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}]);
        self.send(&chunk);
    }

    fn take(&mut self, told: Told) {
        match told {
            Told::Began { .. } => {}
            Told::Seen(seen) => {
                match &seen {
                    Seen::Text { path, text } if self.course.live => {
                        self.delta(*path, json!({"content": text}));
                    }
                    Seen::SectionText {
                        path,
                        section,
                        text,
                    } if self.course.live => {
                        let field = match *section {
                            "answer" => "content",
                            _ => "reasoning_content",
                        };
                        self.delta(*path, json!({field: text}));
                    }
                    _ => {}
                }
                if self.course.reply.events {
                    let mut chunk = self.chunk();
                    chunk["curt"] = serde_json::to_value(&seen).unwrap_or_default();
                    self.send(&chunk);
                }
            }
            Told::Ended(outcome) => match *outcome {
                Ok(answer) => self.end(&answer),
                Err(failed) => {
                    self.fail(&Refusal::of_engine(
                        &failed.error,
                        self.course.reply.several,
                    ));
                }
            },
        }
    }

    fn end(&mut self, answer: &Answer) {
        let several = self.course.reply.several;
        let paths: Vec<usize> = match several {
            true => (0..answer.paths.len()).collect(),
            false => vec![choice::speaker(answer).id],
        };
        for path in paths {
            let path = &answer.paths[path];
            let index = if several { path.id } else { 0 };
            if !self.course.live {
                let (content, reasoning) = choice::texts(answer, path);
                if !reasoning.is_empty() {
                    self.delta(index, json!({"reasoning_content": reasoning}));
                }
                self.delta(index, json!({"content": content}));
            }
            // The last chunk of a choice has the log-probabilities of all its tokens: texts come in other pieces.
            let logprobs = match self.course.reply.logprobs {
                true => choice::logprobs(path, &self.tokens),
                false => Value::Null,
            };
            let finish = choice::finish(path.finish);
            self.choose(index, json!({}), logprobs, finish.into());
        }
        if self.course.reply.usage {
            let mut chunk = self.chunk();
            chunk["usage"] = cost::usage(answer);
            chunk["curt"] = cost::block(answer, self.course.queue_ms);
            self.send(&chunk);
        }
        self.counts.answered(answer);
        self.finish();
    }

    fn fail(&mut self, refusal: &Refusal) {
        self.counts.broke_off();
        self.send(&refusal.body());
        self.finish();
    }

    fn finish(&mut self) {
        self.ready
            .push_back(Bytes::from_static(b"data: [DONE]\n\n"));
        self.waiting = None;
    }
}

impl Stream for Chunks {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            let Some(waiting) = &mut self.waiting else {
                return Poll::Ready(None);
            };
            let Poll::Ready(next) = waiting.poll(context) else {
                return Poll::Pending;
            };
            match next {
                Next::Told(told) => self.take(told),
                Next::Late => {
                    let seconds = self.course.seconds;
                    self.fail(&Refusal::late(seconds));
                }
                Next::Gone => self.fail(&Refusal::ending()),
            }
        }
    }
}
