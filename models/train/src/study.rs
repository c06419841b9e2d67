//! Cross-validation: every question is scored by a head that has not seen its group.

use std::collections::BTreeMap;

use crate::dataset::{Data, deal};
use crate::error::{Error, Result};
use crate::features::Table;
use crate::fit::{Examples, FitOptions, Shape, fit, score};
use crate::measure::auroc;
use crate::replays::Scores;
use crate::scaling;

/// Parts of the cross-validation.
const FOLDS: usize = 3;

/// Questions dealt into folds.
pub struct Study<'a> {
    data: &'a Data,
    /// Questions studied.
    pub questions: Vec<usize>,
    folds: Vec<Vec<usize>>,
}

/// Scores of a cross-validation.
#[derive(Debug, Clone)]
pub struct Ranking {
    /// By check point: scores by question and path.
    pub scores: BTreeMap<usize, Scores>,
    /// By check point: AUROC within each question studied; `None` where its running paths came out the same.
    pub within: BTreeMap<usize, Vec<Option<f64>>>,
}

impl<'a> Study<'a> {
    /// Deals `questions` of `data`.
    pub fn new(data: &'a Data, questions: Vec<usize>, seed: u64) -> Self {
        // Another seed than those that set questions apart, or the folds would follow that order.
        let folds = deal(data, &questions, FOLDS, seed.wrapping_add(1));
        Self {
            data,
            questions,
            folds,
        }
    }

    /// Fits a network for each fold on the others and scores the fold, without questions to stop by.
    ///
    /// # Errors
    /// [`Error::Fit`] where a fold leaves no other question to fit to, and those of [`fit`].
    pub fn rank(
        &self,
        table: &Table,
        mut attend: Option<&mut crate::fit::AttendSource<'_>>,
        shape: Shape,
        options: &FitOptions,
    ) -> Result<Ranking> {
        let paths = self.data.settings.paths;
        let nothing = vec![vec![None; paths]; self.data.questions.len()];
        let mut scores: BTreeMap<usize, Scores> = table
            .groups
            .iter()
            .map(|g| (g.at_tokens, nothing.clone()))
            .collect();
        for fold in &self.folds {
            let (mut train, mut test) = (Vec::new(), Vec::new());
            for (number, group) in table.groups.iter().enumerate() {
                if fold.binary_search(&group.question).is_ok() {
                    test.push(number);
                } else if self.questions.binary_search(&group.question).is_ok() {
                    train.push(number);
                }
            }
            if test.is_empty() {
                continue;
            }
            if train.is_empty() {
                return Err(Error::Fit {
                    what: "cross-validation".into(),
                    expected: "questions of several groups, so that each is scored by a head that has not seen its group"
                        .into(),
                    got: format!("{} questions, all of one", self.questions.len()),
                });
            }
            let mut scaled = table.clone();
            let (shift, scale) = scaling::of_groups(table, &train);
            scaling::apply(&mut scaled, &shift, &scale);
            let mut examples = Examples {
                table: &scaled,
                attend: attend.as_deref_mut(),
            };
            let fitted = fit(&mut examples, &train, &[], shape, options)?;
            let logits = score(&fitted.network, &mut examples, &test)?;
            let mut logits = logits.into_iter();
            for &number in &test {
                let group = &table.groups[number];
                if let Some(of) = scores.get_mut(&group.at_tokens) {
                    for row in group.rows.clone() {
                        of[group.question][table.paths[row]] = logits.next();
                    }
                }
            }
        }
        let within = scores
            .iter()
            .map(|(&at, scores)| (at, self.within(scores)))
            .collect();
        Ok(Ranking { scores, within })
    }

    /// AUROC within each question studied.
    pub fn within(&self, scores: &Scores) -> Vec<Option<f64>> {
        self.questions
            .iter()
            .map(|&q| {
                let paths = scores[q].iter().zip(&self.data.questions[q].paths);
                let scored = paths.filter_map(|(s, path)| Some(((*s)?, path.correct)));
                let (scores, right): (Vec<f64>, Vec<bool>) = scored.unzip();
                auroc(&scores, &right)
            })
            .collect()
    }
}

impl Ranking {
    /// AUROC within each question at each check point, one list.
    pub fn all_within(&self) -> Vec<Option<f64>> {
        self.within.values().flatten().copied().collect()
    }

    /// Mean AUROC within a question over all check points.
    pub fn auroc(&self) -> f64 {
        crate::measure::mean(self.all_within().into_iter().flatten())
    }
}
