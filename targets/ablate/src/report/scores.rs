//! Score against correctness: does a higher score mean a better path?

use curt::paths::SignalName;

use super::svg::{Drawing, Scale, escape};
use super::table::number;
use crate::record::{Records, Sample};
use crate::stats::wilson;
use crate::summary::{LEVEL, SignalSummary, Summary};

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 228.0;
const LEFT: f64 = 34.0;
const RIGHT: f64 = 292.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 178.0;

/// Paths of one drawing that are enough for ten points.
const TENTHS: usize = 10;

/// A drawing for each signal and check point; none where the records hold no scores.
pub(super) fn scores(summary: &Summary, records: &Records) -> Vec<String> {
    summary
        .signals
        .iter()
        .filter_map(|signal| {
            let mut scored = scored(signal, &records.samples);
            if scored.len() < 2 {
                return None;
            }
            scored.sort_by(|a, b| a.0.total_cmp(&b.0));
            Some(figure(signal, &scored))
        })
        .collect()
}

/// Score and correctness of every path that this signal scored there.
fn scored(signal: &SignalSummary, samples: &[Sample]) -> Vec<(f64, bool)> {
    samples
        .iter()
        .flat_map(|sample| {
            let index = sample
                .checks
                .iter()
                .position(|c| c.signal == signal.signal && c.at == signal.at);
            let paths = if index.is_some() {
                &sample.paths[..]
            } else {
                &[]
            };
            paths.iter().filter_map(move |path| {
                Some((path.scores.get(index?).copied().flatten()?, path.correct))
            })
        })
        .collect()
}

fn figure(signal: &SignalSummary, scored: &[(f64, bool)]) -> String {
    let caption = match signal.auroc_within_question {
        Some(auroc) => format!("AUROC within a question {auroc:.3}"),
        None => "no question has both a right and a wrong path".into(),
    };
    format!(
        "<figure class=\"small\"><h3>{}</h3>{}<figcaption>at {} tokens · {} paths · {caption}</figcaption></figure>",
        escape(&match &signal.signal {
            SignalName::Head(name) => format!("{name} head"),
            other => other.to_string(),
        }),
        draw(signal, scored),
        signal.at,
        number(scored.len() as f64),
    )
}

fn draw(signal: &SignalSummary, scored: &[(f64, bool)]) -> String {
    let mut drawing = Drawing::new(
        WIDTH,
        HEIGHT,
        &format!(
            "Share of right paths by tenth of the scores of {}",
            signal.signal
        ),
    );
    let ys = Scale::new((0.0, 1.0), (BOTTOM, TOP));
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
        drawing.line("grid", (LEFT, ys.at(tick)), (RIGHT, ys.at(tick)));
        drawing.text(
            "tick",
            (LEFT - 6.0, ys.at(tick) + 4.0),
            "end",
            &format!("{:.0}", 100.0 * tick),
        );
    }
    let all = scored.iter().filter(|(_, right)| *right).count() as f64 / scored.len() as f64;
    drawing.line("base", (LEFT, ys.at(all)), (RIGHT, ys.at(all)));
    let bins = scored.len().min(TENTHS);
    let step = (RIGHT - LEFT) / bins as f64;
    for bin in 0..bins {
        let from = bin * scored.len() / bins;
        let to = (bin + 1) * scored.len() / bins;
        let these = &scored[from..to];
        let right = these.iter().filter(|(_, right)| *right).count();
        let share = right as f64 / these.len() as f64;
        let middle = LEFT + step * (bin as f64 + 0.5);
        let title = format!(
            "scores {:.3} to {:.3}: {right} of {} paths are right",
            these[0].0,
            these[these.len() - 1].0,
            these.len()
        );
        let top = ys.at(share);
        drawing.bar(
            "fill candidate",
            (middle - step * 0.36, top),
            (step * 0.72, BOTTOM - top),
            &title,
        );
        if let Some(interval) = wilson(right as u64, these.len() as u64, LEVEL) {
            drawing.line(
                "whisker over",
                (middle, ys.at(interval.low)),
                (middle, ys.at(interval.high)),
            );
        }
    }
    drawing.text(
        "tick",
        (LEFT, BOTTOM + 17.0),
        "start",
        "lowest tenth of scores",
    );
    drawing.text("tick", (RIGHT, BOTTOM + 17.0), "end", "highest");
    drawing.text(
        "axis",
        (LEFT, BOTTOM + 38.0),
        "start",
        "right paths, % · dashed: of all paths",
    );
    drawing.finish()
}
