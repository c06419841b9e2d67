//! One line for each arm: difference to the baseline, tokens by phase, time to the answer.

use super::class_of;
use super::svg::{Drawing, Scale};
use super::table::number;
use crate::summary::{ArmSummary, Difference, Latency, Summary};

const WIDTH: f64 = 520.0;
/// Least room for names.
const LEFT: f64 = 112.0;
/// Width of a letter of a name.
const LETTER: f64 = 7.0;
const RIGHT: f64 = 506.0;
const TOP: f64 = 16.0;
const ROW: f64 = 25.0;

/// Where the drawing begins, right of the longest name.
fn left(arms: &[&ArmSummary]) -> f64 {
    let letters = arms.iter().map(|arm| arm.name.chars().count()).max();
    LEFT.max(LETTER * letters.unwrap_or(0) as f64 + 14.0)
}

/// A drawing with a named line for each arm and an axis beneath; `draw` puts in what each arm has.
fn lines(
    summary: &Summary,
    arms: &[&ArmSummary],
    range: (f64, f64),
    titles: (&str, &str),
    tick: impl Fn(f64) -> String,
    draw: impl Fn(&mut Drawing, &Scale, &ArmSummary, f64),
) -> String {
    let bottom = TOP + ROW * arms.len() as f64;
    let left = left(arms);
    let scale = Scale::new(range, (left, RIGHT));
    let mut drawing = Drawing::new(WIDTH, bottom + 44.0, titles.0);
    for at in scale.ticks(5) {
        drawing.line("grid", (scale.at(at), TOP), (scale.at(at), bottom));
        drawing.text("tick", (scale.at(at), bottom + 16.0), "middle", &tick(at));
    }
    drawing.text("axis", (RIGHT, bottom + 36.0), "end", titles.1);
    for (index, arm) in arms.iter().enumerate() {
        let middle = TOP + ROW * (index as f64 + 0.5);
        let class = class_of(summary, &arm.name);
        drawing.text(
            &format!("label {class}"),
            (left - 10.0, middle + 4.0),
            "end",
            &arm.name,
        );
        draw(&mut drawing, &scale, arm, middle);
    }
    drawing.finish()
}

/// Difference of accuracy to the baseline with its interval, and the limit of the verdict.
pub(super) fn differences(summary: &Summary) -> Option<String> {
    let titles = (
        "Difference of accuracy to the baseline, with 95 % intervals",
        "points of accuracy against the baseline",
    );
    let limit = -summary.run.max_accuracy_drop / 100.0;
    drawn_differences(summary, titles, Some(limit), |arm| arm.difference.as_ref())
}

/// Accuracy of the candidate less that of each other arm, with its interval.
pub(super) fn controls(summary: &Summary) -> Option<String> {
    let candidate = &summary.run.candidate;
    let titles = (
        format!("Accuracy of {candidate} less that of each other arm, with 95 % intervals"),
        format!("points by which {candidate} is more accurate"),
    );
    drawn_differences(summary, (&titles.0, &titles.1), None, |arm| {
        arm.candidate_less_this.as_ref()
    })
}

fn drawn_differences(
    summary: &Summary,
    titles: (&str, &str),
    limit: Option<f64>,
    of: impl Fn(&ArmSummary) -> Option<&Difference>,
) -> Option<String> {
    let arms: Vec<&ArmSummary> = summary
        .arms
        .iter()
        .filter(|arm| of(arm).is_some())
        .collect();
    let ends = |arm: &ArmSummary| {
        let difference = of(arm);
        let interval = difference.and_then(|d| d.interval);
        let mean = difference.map_or(0.0, |d| d.mean);
        interval.map_or((mean, mean), |i| (i.low, i.high))
    };
    if arms.is_empty() {
        return None;
    }
    let least = limit.unwrap_or(0.0);
    let low = arms.iter().map(|arm| ends(arm).0).fold(least, f64::min) - 0.01;
    let high = arms.iter().map(|arm| ends(arm).1).fold(0.0, f64::max) + 0.01;
    Some(lines(
        summary,
        &arms,
        (low, high),
        titles,
        |at| {
            format!("{:+.0}", 100.0 * at)
                .replace('-', "−")
                .replace("+0", "0")
        },
        |drawing, scale, arm, middle| {
            let class = class_of(summary, &arm.name);
            drawing.line(
                "base",
                (scale.at(0.0), middle - ROW / 2.0),
                (scale.at(0.0), middle + ROW / 2.0),
            );
            if let Some(limit) = limit {
                drawing.line(
                    "limit",
                    (scale.at(limit), middle - ROW / 2.0),
                    (scale.at(limit), middle + ROW / 2.0),
                );
            }
            let (low, high) = ends(arm);
            drawing.line(
                &format!("whisker {class}"),
                (scale.at(low), middle),
                (scale.at(high), middle),
            );
            let mean = of(arm).map_or(0.0, |d| d.mean);
            let title = format!("{}: {:+.1} points", arm.name, 100.0 * mean);
            drawing.dot(
                &format!("dot {class}"),
                (scale.at(mean), middle),
                5.5,
                &title,
            );
        },
    ))
}

/// Tokens of a question by phase, and those that were thrown away.
pub(super) fn tokens(summary: &Summary) -> Option<String> {
    let arms: Vec<&ArmSummary> = summary
        .arms
        .iter()
        .filter(|arm| arm.tokens.is_some())
        .collect();
    let most = arms
        .iter()
        .filter_map(|arm| arm.tokens.as_ref())
        .map(|t| t.generated)
        .fold(0.0, f64::max);
    if most == 0.0 {
        return None;
    }
    let titles = ("Tokens generated for a question", "tokens for a question");
    Some(lines(
        summary,
        &arms,
        (0.0, most * 1.12),
        titles,
        |at| format!("{at:.0}"),
        |drawing, scale, arm, middle| {
            let Some(tokens) = &arm.tokens else { return };
            let unused = tokens.unused.unwrap_or(0.0);
            let used = tokens.generated - unused;
            let top = middle - 8.0;
            let width = |n: f64| scale.at(n) - scale.at(0.0);
            let class = class_of(summary, &arm.name);
            let says = |what: &str, n: f64| format!("{}: {} {what}", arm.name, number(n));
            drawing.bar(
                &format!("fill {class}"),
                (scale.at(0.0), top),
                (width(used), 16.0),
                &says("by paths that voted", used),
            );
            if unused > 0.0 {
                let at = (scale.at(used), top);
                drawing.bar(
                    "unused",
                    at,
                    (width(unused), 16.0),
                    &says("by paths that did not vote", unused),
                );
            }
            drawing.text(
                "tick",
                (scale.at(tokens.generated) + 5.0, middle + 4.0),
                "start",
                &number(tokens.generated),
            );
        },
    ))
}

/// Distribution of the time from question to answer.
pub(super) fn latency(summary: &Summary) -> Option<String> {
    let arms: Vec<&ArmSummary> = summary
        .arms
        .iter()
        .filter(|arm| arm.latency.is_some())
        .collect();
    let p95 = |arm: &&ArmSummary| arm.latency.as_ref().map_or(0.0, |l| l.p95_ms);
    let most = arms
        .iter()
        .map(p95)
        .fold(summary.run.latency_budget_ms.unwrap_or(0.0), f64::max);
    if most == 0.0 {
        return None;
    }
    let titles = (
        "Time from question to answer",
        "milliseconds from question to answer",
    );
    Some(lines(
        summary,
        &arms,
        (0.0, most * 1.06),
        titles,
        |at| format!("{at:.0}"),
        |drawing, scale, arm, middle| {
            let Some(Latency {
                deciles_ms,
                p50_ms,
                p95_ms,
                modelled,
                ..
            }) = &arm.latency
            else {
                return;
            };
            let class = class_of(summary, &arm.name);
            let at = |decile: usize| scale.at(deciles_ms.get(decile).copied().unwrap_or(*p50_ms));
            let hollow = if *modelled { " modelled" } else { "" };
            let title = format!(
                "{}: half within {} ms, 95 % within {} ms",
                arm.name,
                number(*p50_ms),
                number(*p95_ms)
            );
            drawing.line(
                &format!("whisker {class}"),
                (at(0), middle),
                (scale.at(*p95_ms), middle),
            );
            for (from, to, half) in [(1, 9, 5.0), (3, 7, 8.0)] {
                let size = (at(to) - at(from), 2.0 * half);
                drawing.bar(
                    &format!("spread {class}{hollow}"),
                    (at(from), middle - half),
                    size,
                    &title,
                );
            }
            drawing.line(
                "median",
                (scale.at(*p50_ms), middle - 8.0),
                (scale.at(*p50_ms), middle + 8.0),
            );
            drawing.line(
                &format!("whisker {class}"),
                (scale.at(*p95_ms), middle - 5.0),
                (scale.at(*p95_ms), middle + 5.0),
            );
            if let Some(budget) = summary.run.latency_budget_ms {
                drawing.line(
                    "limit",
                    (scale.at(budget), middle - ROW / 2.0),
                    (scale.at(budget), middle + ROW / 2.0),
                );
            }
        },
    ))
}
