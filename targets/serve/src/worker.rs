//! The engine, on a thread of its own: takes one question after the other from the queue and tells what happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use curt::format::SectionEvent;
use curt::paths::{CheckTaken, PathId};
use curt::{Answer, AskError, AskOptions, Engine, Event, Question};
use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;

use crate::queue::Queue;

/// Least time between two tellings of how far paths are.
const PROGRESS: Duration = Duration::from_millis(40);

/// A question that waits.
pub(crate) struct Job {
    pub(crate) question: Question,
    pub(crate) options: AskOptions,
    pub(crate) heard: Heard,
    pub(crate) asked: Instant,
    /// What is told is bounded by the tokens that the question may take: a slow reader holds up nobody else.
    pub(crate) tell: UnboundedSender<Told>,
}

/// How much of what happens somebody wants to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Heard {
    /// The answer alone.
    Answer,
    /// Texts too.
    Text,
    /// Everything.
    Everything,
}

/// What is told of a question.
pub(crate) enum Told {
    /// It is being answered: what it asks for can be done.
    Began {
        /// It waited so long.
        queue_ms: f64,
    },
    /// Something happens.
    Seen(Seen),
    /// It is over.
    Ended(Box<std::result::Result<Answer, AskError>>),
}

/// What happens while a question is answered, as the stream's events have it.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Seen {
    /// The prompt is cached.
    Prefilled { tokens: usize, reused: usize },
    /// A path's text goes on.
    Text { path: PathId, text: String },
    /// A section begins.
    SectionBegan { path: PathId, section: &'static str },
    /// It goes on.
    SectionText {
        path: PathId,
        section: &'static str,
        text: String,
    },
    /// It has ended.
    SectionEnded {
        path: PathId,
        section: &'static str,
        tokens: usize,
        ms: f64,
    },
    /// Tokens of each path since its launch.
    Progress { tokens: Vec<usize> },
    /// Paths were scored, and some perhaps dropped.
    Checked {
        #[serde(flatten)]
        check: CheckTaken,
        scores: Vec<Scored>,
    },
    /// An answer of the cascade was not accepted: what comes is path 0's anew.
    Escalated {
        #[serde(flatten)]
        escalation: curt::answer::Escalation,
    },
}

/// What a check said of a path.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Scored {
    path: PathId,
    score: f64,
    kept: bool,
    tokens: usize,
}

/// What the worker has done, for whoever counts.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) questions: AtomicU64,
    pub(crate) tokens: AtomicU64,
    pub(crate) busy_us: AtomicU64,
}

/// Answers what comes until the queue is closed, which also happens when this thread ends in any other way.
pub(crate) fn work(engine: &mut Engine, queue: &Arc<Queue<Job>>, done: &Done) {
    struct Closes<'a>(&'a Queue<Job>);
    impl Drop for Closes<'_> {
        fn drop(&mut self) {
            self.0.close();
        }
    }
    let _closes = Closes(queue);
    while let Some(job) = queue.pop() {
        // Its client is gone.
        if job.options.cancel.is_cancelled() {
            continue;
        }
        let clock = Instant::now();
        let outcome = answer(engine, &job);
        if let Ok(answer) = &outcome {
            let tokens = answer.tokens.generated as u64;
            done.tokens.fetch_add(tokens, Ordering::Relaxed);
        }
        done.questions.fetch_add(1, Ordering::Relaxed);
        let busy = u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX);
        done.busy_us.fetch_add(busy, Ordering::Relaxed);
        // Nobody may be left to hear it.
        let _ = job.tell.send(Told::Ended(Box::new(outcome)));
    }
}

fn answer(engine: &mut Engine, job: &Job) -> Result<Answer, AskError> {
    let queue_ms = job.asked.elapsed().as_secs_f64() * 1e3;
    let mut tokens = vec![0; job.options.paths];
    let mut told = Instant::now();
    engine.ask(&job.question, &job.options, &mut |event| {
        let tell = |told| {
            let _ = job.tell.send(told);
        };
        if let Event::Planned(_) = event {
            tell(Told::Began { queue_ms });
        }
        if job.heard == Heard::Answer {
            return;
        }
        if let Event::Token { path } = event {
            tokens[path] += 1;
            if job.heard == Heard::Everything && told.elapsed() >= PROGRESS {
                told = Instant::now();
                let tokens = tokens.clone();
                tell(Told::Seen(Seen::Progress { tokens }));
            }
            return;
        }
        if let Some(seen) = seen(&event)
            && (job.heard == Heard::Everything || seen.is_text())
        {
            tell(Told::Seen(seen));
        }
        if let Event::Escalated(_) = event {
            tokens.fill(0);
        }
    })
}

impl Seen {
    fn is_text(&self) -> bool {
        matches!(self, Self::Text { .. } | Self::SectionText { .. })
    }
}

/// What others may hear of an event.
fn seen(event: &Event<'_>) -> Option<Seen> {
    Some(match *event {
        Event::Prefilled { tokens, reused } => Seen::Prefilled { tokens, reused },
        Event::Text { path, text } => Seen::Text {
            path,
            text: text.into(),
        },
        Event::Section { path, section } => match *section {
            SectionEvent::Began(kind) => Seen::SectionBegan {
                path,
                section: kind.name(),
            },
            SectionEvent::Text(kind, text) => Seen::SectionText {
                path,
                section: kind.name(),
                text: text.into(),
            },
            SectionEvent::Ended(section) => Seen::SectionEnded {
                path,
                section: section.kind.name(),
                tokens: section.tokens,
                ms: section.ms,
            },
        },
        Event::Checked { check, paths } => {
            let scores = paths.iter().filter_map(|path| {
                let score = path.scores.last().filter(|s| s.check == check.check)?;
                Some(Scored {
                    path: path.id,
                    score: score.score,
                    kept: score.kept,
                    tokens: path.tokens.len(),
                })
            });
            Seen::Checked {
                check: check.clone(),
                scores: scores.collect(),
            }
        }
        Event::Escalated(escalation) => Seen::Escalated {
            escalation: escalation.clone(),
        },
        _ => return None,
    })
}
