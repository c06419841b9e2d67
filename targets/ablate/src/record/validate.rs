//! What a line of records may say. Records are files that others hand over: every count is bounded before anything is
//! summed, allocated or replayed by it, and a line that its run cannot have written is refused.

use std::collections::{HashMap, HashSet};

use curt::paths::SignalName;

use super::agree::Samples;
use super::{AskedItem, Readings, Record, Run, Sample, Start, Times};

/// Most processes that wrote to one file.
const MOST_STARTS: usize = 100_000;
/// Most tokens of a path or a prompt: a replay walks through them one by one.
pub(crate) const MOST_TOKENS: usize = 1 << 20;
/// Most phases that an arm's tokens are told apart by.
const MOST_PHASES: usize = 16;
/// Longest time, in milliseconds: thirty years.
const LONGEST_MS: f64 = 1e12;
/// Shortest time other than none, in milliseconds: clocks tick in nanoseconds, and what is divided by must not vanish.
const SHORTEST_MS: f64 = 1e-7;
/// Largest reading of power, energy or frequency.
const LARGEST_READING: f64 = 1e15;

/// Why a line is refused.
type Refused = Result<(), String>;

/// Holds each line against the run and the lines before it.
pub(super) struct Validator {
    run: Run,
    points: Vec<(usize, SignalName)>,
    sample_paths: Option<usize>,
    /// Place of each arm in the run.
    arms: HashMap<String, usize>,
    /// Name of the item at each place, and its group once a result has said it.
    items: HashMap<usize, (String, Option<Option<String>>)>,
    /// Place of each item.
    places: HashMap<String, usize>,
    starts: usize,
    told: HashSet<usize>,
    samples: HashSet<(usize, u32)>,
    sampled: Samples,
    results: HashSet<(usize, u32, usize)>,
}

impl Validator {
    /// For the lines that follow the one of `run`.
    pub(super) fn new(run: &Run) -> Result<Self, String> {
        run.validate().map_err(|error| error.to_string())?;
        let arms = run.arms.iter().enumerate();
        Ok(Self {
            points: run.check_points(),
            sample_paths: run.sample_paths(),
            arms: arms.map(|(place, arm)| (arm.name.clone(), place)).collect(),
            items: HashMap::new(),
            places: HashMap::new(),
            starts: 0,
            told: HashSet::new(),
            samples: HashSet::new(),
            sampled: Samples::default(),
            results: HashSet::new(),
            run: run.clone(),
        })
    }

    pub(super) fn start(&mut self, start: &Start) -> Refused {
        self.starts += 1;
        at_most("starts", MOST_STARTS, self.starts)?;
        time("load_ms", Some(start.load_ms))?;
        time("cold_answer_ms", start.cold_answer_ms)?;
        reading("mhz", start.mhz)?;
        start
            .idle_watts
            .values()
            .try_for_each(|&watts| reading("idle_watts", Some(watts)))
    }

    pub(super) fn item(&mut self, item: &AskedItem) -> Refused {
        self.place(item.index, &item.item)?;
        if !self.told.insert(item.index) {
            return Err(format!("item {:?} is told twice", item.item));
        }
        Ok(())
    }

    pub(super) fn sample(&mut self, sample: &Sample) -> Refused {
        self.place(sample.index, &sample.item)?;
        self.repeat(sample.repeat)?;
        if !self.samples.insert((sample.index, sample.repeat)) {
            return Err(format!("item {:?} is sampled twice", sample.item));
        }
        let Some(paths) = self.sample_paths else {
            return Err("a sample in a run that derives no arm from one".into());
        };
        match (&sample.error, sample.paths.len()) {
            (Some(_), 0) => {}
            (None, there) if there == paths => {}
            (Some(_), there) => {
                return Err(format!(
                    "sample: expected no paths beside an error, got {there}"
                ));
            }
            (None, there) => {
                return Err(format!("sample: expected {paths} paths, got {there}"));
            }
        }
        at_most("prompt_tokens", MOST_TOKENS, sample.prompt_tokens)?;
        let points = sample.checks.iter().map(|check| (check.at, &check.signal));
        if !points.eq(self.points.iter().map(|(at, signal)| (*at, signal))) {
            return Err("sample: expected the checks of the run's arms, got others".into());
        }
        for check in &sample.checks {
            at_most("scored", paths, check.scored)?;
            at_most("pairs", paths as u64 * paths as u64, check.pairs)?;
            if !(0.0..=check.pairs as f64).contains(&check.concordant) {
                let (pairs, got) = (check.pairs, check.concordant);
                return Err(format!(
                    "concordant: expected 0 to {pairs}, the pairs, got {got}"
                ));
            }
            time("score_ms", check.score_ms)?;
        }
        for path in &sample.paths {
            at_most("tokens", MOST_TOKENS, path.tokens)?;
            // Records that were made small have none.
            if !path.scores.is_empty() && path.scores.len() != self.points.len() {
                let (expected, got) = (self.points.len(), path.scores.len());
                return Err(format!(
                    "scores: expected one for each of {expected} checks, got {got}"
                ));
            }
        }
        self.sampled.take(sample)?;
        times(sample.times.as_ref())?;
        readings(&sample.machine)
    }

    pub(super) fn result(&mut self, record: &Record) -> Refused {
        self.place(record.index, &record.item)?;
        self.group(record)?;
        self.repeat(record.repeat)?;
        let Some(&place) = self.arms.get(&record.arm) else {
            return Err(format!("arm {:?} is none of the run's", record.arm));
        };
        if !self.results.insert((record.index, record.repeat, place)) {
            let Record { item, arm, .. } = record;
            return Err(format!("item {item:?} of arm {arm:?} stands here twice"));
        }
        let arm = &self.run.arms[place];
        let most_tokens = MOST_TOKENS * arm.paths;
        if record.error.is_some() && record.correct {
            return Err("a failed result: expected one that is not right, got one that is".into());
        }
        at_most("finished", arm.paths, record.finished)?;
        at_most("finished_correct", record.finished, record.finished_correct)?;
        at_most(
            "prompt_tokens",
            MOST_TOKENS,
            record.prompt_tokens.unwrap_or(0),
        )?;
        at_most("phases", MOST_PHASES, record.tokens.len())?;
        for &tokens in record.tokens.values().chain(&record.unused_tokens) {
            at_most("tokens", most_tokens, tokens)?;
        }
        at_most("paths", arm.paths, record.paths.len())?;
        for path in &record.paths {
            at_most("tokens", MOST_TOKENS, path.tokens)?;
        }
        if let Some(derived) = &record.derived {
            if !self.run.derives(arm) {
                return Err(format!(
                    "arm {:?}: expected a result that ran, got a derived one",
                    arm.name
                ));
            }
            at_most("launched", arm.paths, derived.launched)?;
            at_most("steps", MOST_TOKENS, derived.steps)?;
            at_most("row_steps", most_tokens, derived.row_steps)?;
            time("check_ms", derived.check_ms)?;
        }
        self.sampled.hold(record)?;
        times(record.times.as_ref())?;
        readings(&record.machine)
    }

    /// Refuses an item that the run does not have, or a second name of one.
    fn place(&mut self, index: usize, item: &str) -> Refused {
        if !self.run.has(index) {
            let of = match self.run.shard {
                Some((shard, shards)) => format!(" of shard {shard} of {shards}"),
                None => String::new(),
            };
            let items = self.run.items;
            return Err(format!(
                "index: expected one of {items} items{of}, got {index}"
            ));
        }
        let (known, _) = self
            .items
            .entry(index)
            .or_insert_with(|| (item.into(), None));
        if known != item {
            return Err(format!(
                "item {index}: expected {known:?} as before, got {item:?}"
            ));
        }
        let place = *self.places.entry(item.into()).or_insert(index);
        if place != index {
            return Err(format!(
                "item {item:?}: expected at {place} as before, got {index}"
            ));
        }
        Ok(())
    }

    /// Refuses a second group of an item: what is resampled together hangs on it.
    fn group(&mut self, record: &Record) -> Refused {
        let Some((_, group)) = self.items.get_mut(&record.index) else {
            return Ok(());
        };
        let known = group.get_or_insert_with(|| record.group.clone());
        if *known != record.group {
            let Record { item, group, .. } = record;
            return Err(format!(
                "item {item:?}: expected the group {known:?} as before, got {group:?}"
            ));
        }
        Ok(())
    }

    fn repeat(&self, repeat: u32) -> Refused {
        if repeat < self.run.repeats {
            return Ok(());
        }
        Err(format!(
            "repeat: expected below {}, got {repeat}",
            self.run.repeats
        ))
    }
}

fn at_most<T: PartialOrd + std::fmt::Display>(field: &str, most: T, got: T) -> Refused {
    if got <= most {
        return Ok(());
    }
    Err(format!("{field}: expected at most {most}, got {got}"))
}

fn time(field: &str, ms: Option<f64>) -> Refused {
    match ms {
        Some(ms) if ms != 0.0 && !(SHORTEST_MS..=LONGEST_MS).contains(&ms) => Err(format!(
            "{field}: expected 0 or {SHORTEST_MS} to {LONGEST_MS} ms, got {ms}"
        )),
        _ => Ok(()),
    }
}

fn times(times: Option<&Times>) -> Refused {
    let Some(times) = times else { return Ok(()) };
    time("total_ms", Some(times.total_ms))?;
    time("first_token_ms", times.first_token_ms)?;
    time("prefill_ms", times.prefill_ms)?;
    time("fork_ms", times.fork_ms)?;
    time("decode_ms", times.decode_ms)?;
    time("check_ms", times.check_ms)?;
    time("compact_ms", times.compact_ms)
}

fn reading(field: &str, value: Option<f64>) -> Refused {
    match value {
        Some(value) if !(0.0..=LARGEST_READING).contains(&value) => Err(format!(
            "{field}: expected 0 to {LARGEST_READING}, got {value}"
        )),
        _ => Ok(()),
    }
}

fn readings(readings: &Readings) -> Refused {
    reading("mhz", readings.mhz)?;
    reading("warm_mhz", readings.warm_mhz)?;
    let joules = readings
        .joules
        .values()
        .chain(readings.idle_joules.values());
    joules
        .copied()
        .try_for_each(|joules| reading("joules", Some(joules)))
}
