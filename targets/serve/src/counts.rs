//! What the server has done, as Prometheus reads it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use curt::Answer;

use crate::worker::Done;

/// Upper bounds of the times that are counted, in seconds.
const BOUNDS_S: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

/// What the server has done since it began.
#[derive(Default)]
pub(crate) struct Counts {
    /// Responses by route and status.
    responses: Mutex<BTreeMap<(&'static str, u16), u64>>,
    /// Streams that ended in an error after they had begun.
    broken: AtomicU64,
    prompt_tokens: AtomicU64,
    first_token: Times,
    total: Times,
    pub(crate) connections: AtomicU64,
}

/// How many times fell below each bound.
#[derive(Default)]
struct Times {
    below: [AtomicU64; BOUNDS_S.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

impl Times {
    fn take(&self, ms: f64) {
        for (bound, below) in BOUNDS_S.iter().zip(&self.below) {
            if ms <= bound * 1e3 {
                below.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add((ms * 1e3) as u64, Ordering::Relaxed);
    }

    fn write(&self, text: &mut String, name: &str, help: &str) {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
        for (bound, below) in BOUNDS_S.iter().zip(&self.below) {
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {}", read(below));
        }
        let (count, sum) = (read(&self.count), read(&self.sum_us) as f64 / 1e6);
        let _ = writeln!(
            text,
            "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}"
        );
    }
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

impl Counts {
    pub(crate) fn responded(&self, route: &'static str, status: u16) {
        let mut responses = self
            .responses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *responses.entry((route, status)).or_default() += 1;
    }

    pub(crate) fn answered(&self, answer: &Answer) {
        self.prompt_tokens
            .fetch_add(answer.tokens.prompt as u64, Ordering::Relaxed);
        self.first_token.take(answer.times.first_token_ms);
        self.total.take(answer.times.total_ms);
    }

    pub(crate) fn broke_off(&self) {
        self.broken.fetch_add(1, Ordering::Relaxed);
    }

    /// In the text format 0.0.4 of Prometheus.
    pub(crate) fn text(&self, done: &Done, waiting: usize) -> String {
        let mut text = String::new();
        let mut number = |name: &str, kind: &str, help: &str, value: f64| {
            let _ = writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
            );
        };
        let count = |value: &AtomicU64| read(value) as f64;
        number(
            "curt_queue_length",
            "gauge",
            "Requests that wait for the engine.",
            waiting as f64,
        );
        number(
            "curt_connections",
            "gauge",
            "Open connections.",
            count(&self.connections),
        );
        number(
            "curt_questions_total",
            "counter",
            "Questions the engine has taken.",
            count(&done.questions),
        );
        number(
            "curt_engine_busy_seconds_total",
            "counter",
            "Time the engine was busy.",
            count(&done.busy_us) / 1e6,
        );
        number(
            "curt_prompt_tokens_total",
            "counter",
            "Tokens of prompts.",
            count(&self.prompt_tokens),
        );
        number(
            "curt_generated_tokens_total",
            "counter",
            "Tokens generated.",
            count(&done.tokens),
        );
        number(
            "curt_broken_streams_total",
            "counter",
            "Streams that ended in an error.",
            count(&self.broken),
        );
        if let Some(bytes) = curt::metrics::resident_bytes() {
            number(
                "process_resident_memory_bytes",
                "gauge",
                "Resident memory.",
                bytes as f64,
            );
        }
        let name = "curt_responses_total";
        let _ = writeln!(
            text,
            "# HELP {name} Responses by route and status.\n# TYPE {name} counter"
        );
        let responses = self
            .responses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for ((route, status), count) in responses.iter() {
            let _ = writeln!(
                text,
                "{name}{{route=\"{route}\",status=\"{status}\"}} {count}"
            );
        }
        drop(responses);
        self.first_token.write(
            &mut text,
            "curt_first_token_seconds",
            "From the engine's start to the first token.",
        );
        self.total.write(
            &mut text,
            "curt_answer_seconds",
            "From the engine's start to the answer.",
        );
        text
    }
}
