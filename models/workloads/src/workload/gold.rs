//! Whether a workload's own answers are found by its pattern and graded right: a model that says the right answer must not
//! be wrong.

use std::path::Path;

use curt::reading::composed;

use crate::error::Problem;
use crate::read::Placed;
use crate::scorer::Scorer;
use crate::{Item, Workload};

/// Items whose answers a model could not give: one problem each, for the file of the part they stand in.
pub fn faults(workload: &Workload, file: &Path, placed: &[Placed]) -> Vec<Problem> {
    let lost = placed.iter().filter_map(|Placed { line, item }| {
        let what = item.answer.iter().find_map(|gold| lost(workload, item, gold))?;
        Some(Problem {
            file: file.into(),
            line: Some(*line),
            what,
            remedy: "correct the answer or the answer_pattern: with the numeric and the choice scorer a pattern without \
                     groups, such as '(?i)answer is:?', marks where one follows, and '\\boxed{}' reads nested braces"
                .into(),
        })
    });
    lost.collect()
}

/// What comes of `gold`, said as the pattern asks for it, where that is not found or not right.
fn lost(workload: &Workload, item: &Item, gold: &str) -> Option<String> {
    let reader = workload.reader(item)?;
    let scorer = item.scorer.as_ref().unwrap_or(workload.scorer());
    let forms = match scorer {
        // What such an answer is like, only its author knows.
        Scorer::Regex => return None,
        Scorer::Choice => choices(item, gold),
        _ => vec![gold.to_string()],
    };
    let mut first = None;
    for form in forms {
        for example in reader.examples(&form) {
            let found = reader.read(&example);
            let found = found.as_ref().map(|found| found.text());
            let right = match (scorer, found) {
                // It would run a program for each.
                (Scorer::Command { .. }, found) => {
                    found.is_some_and(|found| same_words(found, gold))
                }
                // These look at the whole text where nothing is found.
                (_, None) => false,
                (_, found) => workload.grade(item, found, &example).unwrap_or(false),
            };
            if right {
                return None;
            }
            first.get_or_insert_with(|| match found {
                Some(found) => format!(
                    "in {example:?} the answer pattern finds {found:?}, which is not {gold:?}"
                ),
                None => {
                    format!("in {example:?} the answer pattern finds nothing, and not {gold:?}")
                }
            });
        }
    }
    first
}

/// The ways in which a model may name the choice that `gold` names.
fn choices(item: &Item, gold: &str) -> Vec<String> {
    let mut forms = vec![gold.to_string()];
    if let Some(index) = curt::reading::choice(gold, &item.choices) {
        let letter = ('A'..='Z').nth(index).unwrap_or_default();
        forms.extend([
            letter.to_string(),
            format!("{letter}. {}", item.choices[index]),
            item.choices[index].clone(),
        ]);
    }
    forms
}

fn same_words(a: &str, b: &str) -> bool {
    let (a, b) = (composed(a), composed(b));
    a.split_whitespace().eq(b.split_whitespace())
}
