//! What a person sees while arms run: a bar with the time left, and the arms as they stand.

use std::collections::{BTreeMap, VecDeque};
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
/// Items whose median time says how long the others will take.
const RECENT: usize = 25;
/// Items before that median is worth its name.
const SETTLED: usize = 5;

/// The view of a run.
pub struct View {
    bar: ProgressBar,
    arms: Vec<String>,
    tallies: BTreeMap<String, Tally>,
    shown: Instant,
    pace: Pace,
    /// Items left.
    left: usize,
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

/// How long the last items took. The mean since the start would count what loads and warms up.
struct Pace {
    seconds: VecDeque<f64>,
    /// Items asked side by side.
    jobs: usize,
}

impl Pace {
    fn add(&mut self, took: Duration) {
        if self.seconds.len() == RECENT {
            self.seconds.pop_front();
        }
        self.seconds.push_back(took.as_secs_f64());
    }

    /// How long `items` will take.
    fn left(&self, items: usize) -> String {
        let mut sorted: Vec<f64> = self.seconds.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let Some(median) = sorted.get(sorted.len() / 2) else {
            return "time left not known yet".into();
        };
        let rounds = items.div_ceil(self.jobs) as f64;
        let unsettled = match sorted.len() {
            settled if settled >= SETTLED => String::new(),
            1 => ", by the first item: not settled yet".into(),
            few => format!(", by the first {few} items: not settled yet"),
        };
        format!("about {} left{unsettled}", duration(median * rounds))
    }
}

/// Seconds as a person says them.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 90.0 * 60.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

impl View {
    pub fn new(run: &Run) -> Self {
        let bar = ProgressBar::new(0);
        let style = "{bar:32} {pos} of {len} results, {elapsed} gone, {msg}";
        bar.set_style(
            ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        Self {
            bar,
            arms: run.arms.iter().map(|arm| arm.name.clone()).collect(),
            tallies: BTreeMap::new(),
            shown: Instant::now(),
            pace: Pace {
                seconds: VecDeque::new(),
                jobs: run.jobs.unwrap_or(1).max(1),
            },
            left: 0,
            terminal: stderr().is_terminal(),
        }
    }

    pub fn show(&mut self, progress: &Progress<'_>) {
        match progress {
            Progress::Begun {
                done,
                total,
                items,
                notes,
            } => {
                super::report::say(notes);
                self.bar.set_length(*total as u64);
                self.bar.set_position(done.len() as u64);
                self.left = *items;
                done.iter().for_each(|record| self.count(record));
            }
            Progress::GettingReady => self.say(
                "getting ready: questions that are not recorded, then whether rows depend on their batch",
            ),
            Progress::Ready { took } => {
                let items = self.left;
                self.say(&format!(
                    "ready after {}; {items} items to ask",
                    duration(took.as_secs_f64())
                ));
            }
            Progress::Result(record) => {
                self.bar.inc(1);
                self.count(record);
                self.draw(false);
            }
            Progress::Item { took, left } => {
                self.pace.add(*took);
                self.left = *left;
                // The first says how long the rest may take: nobody waits for it.
                self.draw(self.pace.seconds.len() == 1);
            }
        }
    }

    pub fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// Says what is going on before there is a result.
    fn say(&self, text: &str) {
        if self.terminal {
            self.bar.enable_steady_tick(REDRAW);
            self.bar.set_message(plain(text).into_owned());
        } else {
            note!("{text}");
        }
    }

    fn draw(&mut self, at_once: bool) {
        let due = if self.terminal { REDRAW } else { LINE };
        if !at_once && self.shown.elapsed() < due {
            return;
        }
        self.shown = Instant::now();
        let left = self.pace.left(self.left);
        if self.terminal {
            let message = format!("{left}\n{}", self.table().text());
            self.bar.set_message(plain(&message).into_owned());
        } else {
            let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
            note!("{done} of {total} results, {left}");
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn left(seconds: &[f64], jobs: usize, items: usize) -> String {
        let mut pace = Pace {
            seconds: VecDeque::new(),
            jobs,
        };
        for &seconds in seconds {
            pace.add(Duration::from_secs_f64(seconds));
        }
        pace.left(items)
    }

    #[test]
    fn the_time_left_hangs_on_no_slow_start() {
        assert_eq!(left(&[], 1, 50), "time left not known yet");
        // The mean would say 72 minutes.
        let slow_start = [80.0, 2.0, 2.0, 2.0, 2.0];
        assert_eq!(left(&slow_start, 1, 245), "about 8 min left");
        assert_eq!(left(&slow_start, 2, 245), "about 4 min left");
        let unsettled = "about 8 s left, by the first 3 items: not settled yet";
        assert_eq!(left(&slow_start[..3], 1, 4), unsettled);
        // What was slow long ago is forgotten.
        let mut warmed_up = vec![100.0; 40];
        warmed_up.extend([1.0; RECENT]);
        assert_eq!(left(&warmed_up, 1, 7200), "about 2.0 h left");
    }
}
