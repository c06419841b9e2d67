//! The items that the candidate did worst on, with their paths and where each was dropped.

use std::collections::HashMap;
use std::fmt::Write as _;

use curt::paths::FinishReason;

use super::svg::escape;
use crate::record::{AskedItem, PathRecord, Record, Records, Sample};
use crate::summary::Summary;

/// Items shown.
const SHOWN: usize = 8;
/// Letters of a path's text that are shown: the end says the answer.
const TEXT: usize = 1200;

struct Case<'a> {
    candidate: &'a Record,
    baseline: Option<&'a Record>,
    sample: Option<&'a Sample>,
    item: Option<&'a AskedItem>,
}

/// One path of a case.
struct Path<'a> {
    number: usize,
    record: &'a PathRecord,
    /// Tokens it would have come to.
    whole: usize,
    correct: bool,
    answer: Option<&'a str>,
    text: Option<&'a str>,
}

impl Case<'_> {
    fn paths(&self) -> Vec<Path<'_>> {
        let record = self.candidate;
        let of = |number: usize, path: &'_ PathRecord| {
            let sampled = self.sample.and_then(|sample| sample.paths.get(number));
            (
                sampled.map_or(path.tokens, |s| s.tokens),
                path.correct.or(sampled.map(|s| s.correct)).unwrap_or(false),
            )
        };
        record
            .paths
            .iter()
            .enumerate()
            .map(|(number, path)| {
                let (whole, correct) = of(number, path);
                let sampled = self.sample.and_then(|sample| sample.paths.get(number));
                Path {
                    number,
                    record: path,
                    whole,
                    correct,
                    answer: path
                        .answer
                        .as_deref()
                        .or(sampled.and_then(|s| s.answer.as_deref())),
                    text: path
                        .text
                        .as_deref()
                        .or(sampled.and_then(|s| s.text.as_deref())),
                }
            })
            .collect()
    }

    /// Right paths that did not get to vote.
    fn lost_paths(&self) -> usize {
        self.paths()
            .iter()
            .filter(|path| path.correct && cut(path.record))
            .count()
    }
}

fn cut(path: &PathRecord) -> bool {
    !path.finish.votes()
}

/// The worst items of the candidate: first what the baseline has right and it has not, then what it has wrong while right
/// paths were dropped. `None` where the records hold no paths.
pub(super) fn worst(summary: &Summary, records: &Records) -> Option<String> {
    let run = &summary.run;
    let of_arm = |name: &str| -> HashMap<usize, &Record> {
        let first = records
            .results
            .iter()
            .filter(|r| r.arm == name && r.repeat == 0);
        first.map(|record| (record.index, record)).collect()
    };
    let baseline = of_arm(&run.baseline);
    let samples: HashMap<usize, &Sample> = records
        .samples
        .iter()
        .filter(|s| s.repeat == 0)
        .map(|sample| (sample.index, sample))
        .collect();
    let items: HashMap<usize, &AskedItem> = records
        .items
        .iter()
        .map(|item| (item.index, item))
        .collect();
    let mut cases: Vec<Case<'_>> = of_arm(&run.candidate)
        .into_values()
        .filter(|record| !record.correct && !record.paths.is_empty())
        .map(|candidate| Case {
            candidate,
            baseline: baseline.get(&candidate.index).copied(),
            sample: samples.get(&candidate.index).copied(),
            item: items.get(&candidate.index).copied(),
        })
        .collect();
    if cases.is_empty() {
        return None;
    }
    cases.sort_by_key(|case| {
        let lost = case.baseline.is_some_and(|record| record.correct);
        (
            !lost,
            std::cmp::Reverse(case.lost_paths()),
            case.candidate.index,
        )
    });
    cases.truncate(SHOWN);
    Some(cases.iter().map(|case| show(case, summary)).collect())
}

fn show(case: &Case<'_>, summary: &Summary) -> String {
    let record = case.candidate;
    let paths = case.paths();
    let longest = paths
        .iter()
        .map(|path| path.whole)
        .max()
        .unwrap_or(1)
        .max(1) as f64;
    let mut html = String::from("<article class=\"case\">");
    let said = |record: &Record| record.answer.clone().unwrap_or_else(|| "nothing".into());
    if let Some(item) = case.item {
        let _ = write!(html, "<p class=\"question\">{}</p>", escape(&item.question));
        let _ = write!(
            html,
            "<p class=\"answers\">right: <b>{}</b> · ",
            escape(&item.answer.join(" or "))
        );
    } else {
        let _ = write!(
            html,
            "<p class=\"answers\">item {} · ",
            escape(&record.item)
        );
    }
    let _ = write!(
        html,
        "{}: <b class=\"bad\">{}</b>",
        escape(&record.arm),
        escape(&said(record))
    );
    if let Some(baseline) = case.baseline.filter(|_| summary.run.baseline != record.arm) {
        let class = if baseline.correct { "good" } else { "bad" };
        let _ = write!(
            html,
            " · {}: <b class=\"{class}\">{}</b>",
            escape(&baseline.arm),
            escape(&said(baseline))
        );
    }
    html.push_str("</p><div class=\"paths\">");
    for path in &paths {
        html.push_str(&bar(path, longest));
    }
    html.push_str("</div></article>");
    html
}

/// A path as a bar: what was decoded, solid; what a drop saved, hatched; its text behind it.
fn bar(path: &Path<'_>, longest: f64) -> String {
    let class = if path.correct { "good" } else { "bad" };
    let percent = |tokens: usize| 100.0 * tokens as f64 / longest;
    let saved = path.whole.saturating_sub(path.record.tokens);
    let fate = match path.record.finish {
        FinishReason::Dropped => format!("dropped at {}", path.record.tokens),
        FinishReason::Decided => format!("not needed after {}", path.record.tokens),
        FinishReason::MaxTokens => format!("cut at {}", path.record.tokens),
        _ => format!("{} tokens", path.record.tokens),
    };
    let score = path
        .record
        .score
        .map_or(String::new(), |score| format!(" · score {score:.2}"));
    let mut html = format!(
        "<details><summary><span class=\"n\">{}</span><span class=\"track\"><i class=\"{class}\" style=\"width:{:.1}%\"></i>\
         <i class=\"{class} saved\" style=\"width:{:.1}%\"></i></span><span class=\"fate\">{}{fate}{score}</span></summary>",
        path.number,
        percent(path.record.tokens),
        percent(saved),
        if path.correct { "✓ " } else { "✗ " },
    );
    if let Some(answer) = path.answer {
        let _ = write!(html, "<p>answer {}</p>", escape(answer));
    }
    if let Some(text) = path.text {
        let skipped = text.chars().count().saturating_sub(TEXT);
        let end: String = text.chars().skip(skipped).collect();
        let _ = write!(
            html,
            "<pre>{}{}</pre>",
            if skipped > 0 { "… " } else { "" },
            escape(end.trim())
        );
    }
    html.push_str("</details>");
    html
}
