//! What each question is used for: fitting, stopping the fit, or measuring. And whether there are enough of each.

use crate::dataset::{Data, PATHS_FILE, deal};
use crate::error::{Error, Result};

/// One question in so many is not fitted to: half of these decide when the fit stops, half measure the head.
const KEPT_APART: usize = 5;

/// Fewest questions with both right and wrong paths at a check point: to fit to, to stop by, to measure on. The last two
/// are means over questions, which one question alone does not make.
const LEAST_MIXED_AT: [usize; 3] = [10, 2, 2];

/// Questions by use, ascending. No group stands in two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    /// Fitted to, and searched by cross-validation.
    pub fitted: Vec<usize>,
    /// Fitting stops where it orders these best.
    pub stopping: Vec<usize>,
    /// Calibrated and measured on, and used for nothing else.
    pub measured: Vec<usize>,
}

impl Parts {
    /// Deals all questions.
    pub fn deal(data: &Data, seed: u64) -> Self {
        let all: Vec<usize> = (0..data.questions.len()).collect();
        let mut dealt = deal(data, &all, KEPT_APART, seed).into_iter();
        let apart = dealt.next().unwrap_or_default();
        let mut fitted: Vec<usize> = dealt.flatten().collect();
        fitted.sort_unstable();
        // Other seeds than those that set this part apart, and that deal the folds of the rest.
        let mut halves = deal(data, &apart, 2, seed.wrapping_add(2)).into_iter();
        let mut half = || halves.next().unwrap_or_default();
        Self {
            fitted,
            stopping: half(),
            measured: half(),
        }
    }

    /// Refuses a check point at which a part has too few questions with both right and wrong paths. From the others no
    /// order of paths can be learned or measured.
    pub fn validate_enough(&self, data: &Data, at_tokens: usize) -> Result<()> {
        let parts = [&self.fitted, &self.stopping, &self.measured];
        let mixed = parts.map(|of| of.iter().filter(|&&q| is_mixed(data, q, at_tokens)).count());
        let uses = ["fit to", "stop by", "measure on"];
        for ((use_of, got), needed) in uses.into_iter().zip(mixed).zip(LEAST_MIXED_AT) {
            if got < needed {
                return Err(Error::TooLittle {
                    file: data.dir.join(PATHS_FILE),
                    what: format!(
                        "questions to {use_of} with right and with wrong paths that still run at {at_tokens} tokens (to fit \
                         to, stop by and measure on: {mixed:?}; an earlier `check_at` has more)"
                    ),
                    needed,
                    got,
                });
            }
        }
        Ok(())
    }

    /// Those of `grid` at which every part has enough.
    ///
    /// # Errors
    /// That of the first where none has.
    pub fn with_enough(&self, data: &Data, grid: Vec<usize>) -> Result<Vec<usize>> {
        let enough = |at: &usize| self.validate_enough(data, *at).is_ok();
        let kept: Vec<usize> = grid.iter().copied().filter(enough).collect();
        match (kept.is_empty(), grid.first()) {
            (true, Some(&first)) => self.validate_enough(data, first).map(|()| kept),
            _ => Ok(kept),
        }
    }
}

/// Whether some of the paths that run at `at_tokens` are right and some wrong.
fn is_mixed(data: &Data, question: usize, at_tokens: usize) -> bool {
    let running = data.questions[question].running(at_tokens);
    let (mut right, mut wrong) = (false, false);
    for path in running {
        right |= path.correct;
        wrong |= !path.correct;
    }
    right && wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::tests::{made_up, path};

    /// 60 questions in pairs of one group; those that `mixed` takes have right and wrong paths, of 10 tokens, and one of
    /// 40.
    fn data(mixed: impl Fn(usize) -> bool) -> Data {
        let groups: Vec<String> = (0..60).map(|q| (q / 2).to_string()).collect();
        let names: Vec<&str> = groups.iter().map(String::as_str).collect();
        made_up(&names, |q, p| {
            let tokens = if p == 0 { 40 } else { 10 };
            path(q, p, vec![1; tokens], p == 1 && mixed(q))
        })
    }

    #[test]
    fn no_group_stands_in_two_parts() {
        let data = data(|_| true);
        let parts = Parts::deal(&data, 0);
        assert_eq!(
            parts.fitted.len() + parts.stopping.len() + parts.measured.len(),
            60
        );
        assert_eq!([parts.stopping.len(), parts.measured.len()], [6, 6]);
        let groups = |of: &[usize]| of.iter().map(|q| q / 2).collect::<Vec<_>>();
        let [a, b, c] = [&parts.fitted, &parts.stopping, &parts.measured].map(|p| groups(p));
        assert!(a.iter().all(|g| !b.contains(g) && !c.contains(g)));
        assert!(b.iter().all(|g| !c.contains(g)));
    }

    #[test]
    fn a_part_without_mixed_questions_is_refused_with_the_numbers() {
        let whole = data(|_| true);
        let parts = Parts::deal(&whole, 0);
        assert!(parts.validate_enough(&whole, 8).is_ok());
        let refused = |data: &Data, at: usize, wanted: &str| {
            let error = parts.validate_enough(data, at).unwrap_err().to_string();
            assert!(error.contains(wanted), "expected {wanted:?} in {error:?}");
        };
        refused(
            &whole,
            20,
            "fit to with right and with wrong paths that still run at 20",
        );
        refused(&whole, 300, "[0, 0, 0]");
        refused(&data(|q| !parts.stopping.contains(&q)), 8, "[48, 0, 6]");
        refused(
            &data(|q| !parts.measured.contains(&q)),
            8,
            "questions to measure on",
        );
        assert_eq!(parts.with_enough(&whole, vec![4, 8, 20]).unwrap(), [4, 8]);
        assert!(parts.with_enough(&whole, vec![20, 30]).is_err());
    }
}
