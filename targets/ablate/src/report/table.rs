//! The table of the arms, for a terminal and for Markdown. A figure that was not measured is an empty cell, and a column
//! without a figure is left out.

use crate::stats::Interval;
use crate::summary::{ArmSummary, Difference, Summary};

/// A column: its heading, what it means, and its cell for an arm.
pub struct Column {
    /// Heading, with the unit.
    pub title: &'static str,
    /// What it means, in a line.
    pub meaning: &'static str,
    cell: fn(&ArmSummary) -> Option<String>,
}

impl Column {
    /// The cell of `arm`; empty where the figure was not measured.
    pub fn cell(&self, arm: &ArmSummary) -> String {
        (self.cell)(arm).unwrap_or_default()
    }
}

/// A table: headings, then rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Headings.
    pub titles: Vec<String>,
    /// Cells by row.
    pub rows: Vec<Vec<String>>,
}

const COLUMNS: &[Column] = &[
    Column {
        title: "accuracy, %",
        meaning: "right answers, with the 95 % interval",
        cell: |arm| {
            let accuracy = arm.accuracy.as_ref()?;
            Some(format!(
                "{:.1}{}",
                100.0 * accuracy.mean,
                brackets(accuracy.interval, 100.0, 1, false)
            ))
        },
    },
    Column {
        title: "± baseline, points",
        meaning: "accuracy less the baseline's on the same questions, with the 95 % bootstrap interval",
        cell: |arm| arm.difference.as_ref().map(points),
    },
    Column {
        title: "p",
        meaning: "against the baseline, adjusted by Holm over the arms of this run: the sign-flip test over groups where \
                  questions have groups, since those of a group belong together; else the exact McNemar test, which takes \
                  questions for independent",
        cell: |arm| arm.difference.as_ref().map(|d| p_value(d.p_holm)),
    },
    Column {
        title: "could see, points",
        meaning: "the smallest true drop that this sample would have shown at 80 % power",
        cell: |arm| {
            Some(format!(
                "−{:.1}",
                100.0 * arm.difference.as_ref()?.smallest_drop?
            ))
        },
    },
    Column {
        title: "candidate less it, points",
        meaning: "accuracy of the arm that the verdict is about less that of this one on the same questions, with the 95 % \
                  bootstrap interval",
        cell: |arm| arm.candidate_less_this.as_ref().map(points),
    },
    Column {
        title: "p of that",
        meaning: "of that difference, by the same test as p, adjusted by Holm over the arms of this column",
        cell: |arm| arm.candidate_less_this.as_ref().map(|d| p_value(d.p_holm)),
    },
    Column {
        title: "survivors, %",
        meaning: "mean accuracy of the paths that came to their end",
        cell: |arm| arm.survivors.map(|s| format!("{:.1}", 100.0 * s)),
    },
    Column {
        title: "tokens",
        meaning: "generated for a question, over all paths",
        cell: |arm| arm.tokens.as_ref().map(|t| number(t.generated)),
    },
    Column {
        title: "of baseline, %",
        meaning: "these as a share of the baseline's",
        cell: |arm| Some(format!("{:.0}", 100.0 * arm.tokens.as_ref()?.of_baseline?)),
    },
    Column {
        title: "direct / perception / full, %",
        meaning: "responses by format",
        cell: |arm| {
            let shares = arm.formats.as_ref()?;
            let [direct, perception, full] =
                [shares.direct, shares.perception, shares.full].map(|share| 100.0 * share);
            Some(format!("{direct:.0} / {perception:.0} / {full:.0}"))
        },
    },
    Column {
        title: "by section",
        meaning: "tokens of perception, reasoning and answer, and of answers that the cascade did not accept",
        cell: |arm| {
            arm.formats.as_ref()?;
            let of = |phase: &str| arm.tokens.as_ref()?.by_phase.get(phase).copied();
            let phases = ["perception", "reasoning", "answer", "discarded"];
            let tokens = phases.map(|phase| number(of(phase).unwrap_or(0.0)));
            Some(tokens.join(" + "))
        },
    },
    Column {
        title: "thrown away",
        meaning: "tokens of paths that did not vote",
        cell: |arm| arm.tokens.as_ref()?.unused.map(number),
    },
    Column {
        title: "p50, ms",
        meaning: "median time from question to answer; ~ modelled",
        cell: |arm| {
            arm.latency
                .as_ref()
                .map(|l| format!("{}{}", tilde(l.modelled), number(l.p50_ms)))
        },
    },
    Column {
        title: "p95, ms",
        meaning: "95th percentile of that time; ~ modelled",
        cell: |arm| {
            arm.latency
                .as_ref()
                .map(|l| format!("{}{}", tilde(l.modelled), number(l.p95_ms)))
        },
    },
    Column {
        title: "first token, ms",
        meaning: "median time to the first token",
        cell: |arm| {
            let latency = arm.latency.as_ref()?;
            Some(format!(
                "{}{}",
                tilde(latency.modelled),
                number(latency.first_token_p50_ms?)
            ))
        },
    },
    Column {
        title: "check, %",
        meaning: "scoring paths, as a share of the time from question to answer",
        cell: |arm| Some(format!("{:.2}", 100.0 * arm.latency.as_ref()?.check_share?)),
    },
    Column {
        title: "KV, MiB",
        meaning: "KV cache planned, the largest",
        cell: |arm| arm.kv_bytes.map(mebibytes),
    },
    Column {
        title: "J/question",
        meaning: "energy, idle not subtracted",
        cell: |arm| arm.energy.as_ref().map(|e| number(e.per_question)),
    },
    Column {
        title: "net J/question",
        meaning: "energy less what the machine draws idle",
        cell: |arm| arm.energy.as_ref()?.per_question_net.map(number),
    },
    Column {
        title: "J/right answer",
        meaning: "energy for a right answer, idle not subtracted",
        cell: |arm| arm.energy.as_ref()?.per_correct.map(number),
    },
    Column {
        title: "net J/right answer",
        meaning: "the same, less what the machine draws idle",
        cell: |arm| arm.energy.as_ref()?.per_correct_net.map(number),
    },
    Column {
        title: "failed",
        meaning: "questions without an answer for a reason that the notes give; they count as wrong",
        cell: |arm| (arm.failed > 0).then(|| arm.failed.to_string()),
    },
];

/// The columns that have a figure for any arm.
pub fn columns(summary: &Summary) -> Vec<&'static Column> {
    COLUMNS
        .iter()
        .filter(|column| summary.arms.iter().any(|arm| (column.cell)(arm).is_some()))
        .collect()
}

impl Table {
    /// The arms of `summary`, every figure that there is.
    pub fn of(summary: &Summary) -> Self {
        Self::with(summary, |_| true)
    }

    /// The columns that a README has room for.
    pub fn readme(summary: &Summary) -> Self {
        let wanted = [
            "accuracy, %",
            "± baseline, points",
            "p",
            "survivors, %",
            "tokens",
            "of baseline, %",
            "p50, ms",
        ];
        Self::with(summary, |title| wanted.contains(&title))
    }

    /// The arms of `summary`, the columns whose heading `wanted` accepts.
    pub fn with(summary: &Summary, wanted: impl Fn(&str) -> bool) -> Self {
        let columns: Vec<&Column> = columns(summary)
            .into_iter()
            .filter(|c| wanted(c.title))
            .collect();
        let arms = summary.arms.iter().filter(|arm| arm.results > 0);
        Self {
            titles: std::iter::once("arm".into())
                .chain(columns.iter().map(|c| c.title.into()))
                .collect(),
            rows: arms
                .map(|arm| {
                    std::iter::once(arm.name.clone())
                        .chain(columns.iter().map(|c| c.cell(arm)))
                        .collect()
                })
                .collect(),
        }
    }

    /// For a terminal: columns as wide as they need, numbers to the right.
    pub fn text(&self) -> String {
        let lines = || std::iter::once(&self.titles).chain(&self.rows);
        let widths: Vec<usize> = (0..self.titles.len())
            .map(|column| {
                lines()
                    .map(|row| row[column].chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let line = |row: &Vec<String>| {
            let cells = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, &width))| {
                    if column == 0 {
                        format!("{cell:<width$}")
                    } else {
                        format!("{cell:>width$}")
                    }
                });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
        };
        lines().map(line).collect::<Vec<_>>().join("\n")
    }

    /// For Markdown.
    pub fn markdown(&self) -> String {
        let safe = |cell: &String| cell.replace('|', "\\|");
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(safe).collect();
            format!("| {} |", cells.join(" | "))
        };
        let rule = format!("|{}", "---|".repeat(self.titles.len()));
        let mut lines = vec![line(&self.titles), rule];
        lines.extend(self.rows.iter().map(|row| line(row)));
        lines.join("\n")
    }
}

/// A number with as many digits as a reader wants: 1,234 · 56.7 · 0.89.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 100.0 {
        let whole = format!("{magnitude:.0}");
        let mut grouped = String::new();
        for (index, digit) in whole.chars().enumerate() {
            if index > 0 && (whole.len() - index) % 3 == 0 {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        return format!("{}{grouped}", if value < 0.0 { "−" } else { "" });
    }
    let digits = if magnitude >= 10.0 { 1 } else { 2 };
    format!("{value:.digits$}").replace('-', "−")
}

/// A difference in points with its interval.
fn points(difference: &Difference) -> String {
    format!(
        "{}{}",
        signed(100.0 * difference.mean),
        brackets(difference.interval, 100.0, 1, true)
    )
}

fn tilde(modelled: bool) -> &'static str {
    if modelled { "~" } else { "" }
}

fn signed(value: f64) -> String {
    format!("{value:+.1}").replace('-', "−")
}

fn brackets(interval: Option<Interval>, scale: f64, digits: usize, sign: bool) -> String {
    let Some(Interval { low, high }) = interval else {
        return String::new();
    };
    let end = |value: f64| {
        let text = if sign {
            signed(scale * value)
        } else {
            format!("{:.digits$}", scale * value)
        };
        text.replace('-', "−")
    };
    format!(" ({} to {})", end(low), end(high))
}

/// A p-value as it is read: three digits, or how small it is.
pub(super) fn p_value(p: f64) -> String {
    if p < 0.001 {
        "<0.001".into()
    } else {
        format!("{p:.3}")
    }
}

pub(super) fn mebibytes(bytes: u64) -> String {
    number(bytes as f64 / f64::from(1 << 20))
}
