//! What a person sees while arms run: a bar with the time left, and the arms as they stand.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use curt_ablate::record::{Record, Run};
use curt_ablate::report::{Table, number};
use curt_ablate::run::Progress;
use indicatif::{ProgressBar, ProgressStyle};

use curt_command::note;
use curt_command::output::plain;

/// Time between two tables on a terminal.
const REDRAW: Duration = Duration::from_millis(500);
/// Time between two lines where nobody watches.
const LINE: Duration = Duration::from_secs(30);

/// The view of a run.
pub struct View {
    bar: ProgressBar,
    arms: Vec<String>,
    tallies: BTreeMap<String, Tally>,
    shown: Instant,
    began: Instant,
    /// Results that an earlier run had left.
    before: u64,
    terminal: bool,
}

#[derive(Default)]
struct Tally {
    results: usize,
    correct: usize,
    failed: usize,
    tokens: usize,
    with_tokens: usize,
}

impl View {
    pub fn new(run: &Run) -> Self {
        let bar = ProgressBar::new(0);
        let style = "{bar:32} {pos} of {len} results, {elapsed} gone, {eta} left\n{msg}";
        bar.set_style(
            ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        Self {
            bar,
            arms: run.arms.iter().map(|arm| arm.name.clone()).collect(),
            tallies: BTreeMap::new(),
            shown: Instant::now(),
            began: Instant::now(),
            before: 0,
            terminal: stderr().is_terminal(),
        }
    }

    pub fn show(&mut self, progress: &Progress<'_>) {
        match progress {
            Progress::Begun { done, total, notes } => {
                super::report::say(notes);
                self.bar.set_length(*total as u64);
                self.bar.set_position(done.len() as u64);
                self.bar.reset_eta();
                self.before = done.len() as u64;
                done.iter().for_each(|record| self.count(record));
            }
            Progress::Result(record) => {
                self.bar.inc(1);
                self.count(record);
                let due = if self.terminal { REDRAW } else { LINE };
                if self.shown.elapsed() >= due {
                    self.shown = Instant::now();
                    self.draw();
                }
            }
        }
    }

    pub fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn draw(&self) {
        if self.terminal {
            self.bar
                .set_message(plain(&self.table().text()).into_owned());
            return;
        }
        let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let rate = (done - self.before) as f64 / self.began.elapsed().as_secs_f64();
        let left = (total - done) as f64 / rate;
        note!("{done} of {total} results, about {left:.0} s left");
    }

    fn count(&mut self, record: &Record) {
        let tally = self.tallies.entry(record.arm.clone()).or_default();
        tally.results += 1;
        tally.correct += usize::from(record.correct);
        tally.failed += usize::from(record.error.is_some());
        if let Some(tokens) = record.generated() {
            tally.tokens += tokens;
            tally.with_tokens += 1;
        }
    }

    fn table(&self) -> Table {
        let row = |name: &String| {
            let tally = self.tallies.get(name)?;
            Some(vec![
                name.clone(),
                tally.results.to_string(),
                format!("{:.1}", 100.0 * tally.correct as f64 / tally.results as f64),
                match tally.with_tokens {
                    0 => String::new(),
                    n => number(tally.tokens as f64 / n as f64),
                },
                if tally.failed > 0 {
                    tally.failed.to_string()
                } else {
                    String::new()
                },
            ])
        };
        Table {
            titles: ["arm", "results", "accuracy, %", "tokens", "failed"]
                .map(String::from)
                .to_vec(),
            rows: self.arms.iter().filter_map(row).collect(),
        }
    }
}
