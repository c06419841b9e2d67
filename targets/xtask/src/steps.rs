//! Named steps, each timed, and the table of them at the end.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The steps of one command, in the order they ran.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    took: Duration,
    failed: bool,
}

impl Steps {
    /// Runs one step, saying that it starts and how long it took.
    pub(crate) fn run<T>(&mut self, name: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        say(&format!("\n== {name}"))?;
        let outcome = self.time(name, step);
        if let Some(row) = self.rows.last() {
            let failed = if row.failed { "FAILED after " } else { "" };
            say(&format!(
                "-- {name}: {failed}{:.1} s",
                row.took.as_secs_f64()
            ))?;
        }
        outcome
    }

    fn time<T>(&mut self, name: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let outcome = step();
        self.rows.push(Row {
            name: name.to_owned(),
            took: start.elapsed(),
            failed: outcome.is_err(),
        });
        outcome.with_context(|| format!("step `{name}` failed"))
    }

    /// Prints every step that ran, its seconds, and the sum.
    pub(crate) fn print_table(&self) -> Result<()> {
        say(&format!("\n{}", self.table()))
    }

    fn table(&self) -> String {
        let total = self.rows.iter().map(|row| row.took).sum();
        let lines = self
            .rows
            .iter()
            .map(|row| (row.name.as_str(), row.took, row.failed))
            .chain([("total", total, false)]);
        let width = lines
            .clone()
            .map(|(name, ..)| name.chars().count())
            .max()
            .unwrap_or(0);
        let mut table = format!("{:width$}  seconds", "step");
        for (name, took, failed) in lines {
            let mark = if failed { "  FAILED" } else { "" };
            table.push_str(&format!(
                "\n{name:width$}  {:7.1}{mark}",
                took.as_secs_f64()
            ));
        }
        table
    }
}

/// Writes a line to standard output. A reader that went away is an error, not a panic.
pub(crate) fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_step_and_marks_the_failed_one() {
        let mut steps = Steps::default();
        assert_eq!(steps.time("first", || Ok(7)).unwrap(), 7);
        let error = steps
            .time("second one", || -> Result<()> { anyhow::bail!("broken") })
            .unwrap_err();
        assert_eq!(format!("{error:#}"), "step `second one` failed: broken");
        for row in &mut steps.rows {
            row.took = Duration::from_millis(1250);
        }
        let expected = "step        seconds\n\
                        first           1.2\n\
                        second one      1.2  FAILED\n\
                        total           2.5";
        assert_eq!(steps.table(), expected);
    }
}
