//! What keeping K paths at a check would have done with collected paths: tokens, votes, and how the kept came out.

use curt::paths::{Keep, Policy, Trace, replay};
use serde::Serialize;

use crate::dataset::{Data, Question};
use crate::error::Result;
use crate::measure::mean;

/// Scores of the paths that run at a check, by question of the data and number of the path; `None` where nothing was
/// scored.
pub type Scores = Vec<Vec<Option<f64>>>;

/// Means over questions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Kept {
    /// Paths that go on.
    pub keep: usize,
    /// Tokens over all paths, as a share of what all paths take to their ends.
    pub token_share: f64,
    /// Share of right paths among those that vote.
    pub survivors_right: f64,
    /// Share of questions whose vote is right.
    pub vote_right: f64,
}

/// What became of one question.
struct Outcome {
    tokens: usize,
    survivors_right: Option<f64>,
    vote_right: bool,
}

/// Replays one question, of whose paths `keep` go on after a check at `at_tokens`.
///
/// # Errors
/// [`curt::Error::Option`] where a path that runs there has no score.
fn outcome(
    question: &Question,
    scores: &[Option<f64>],
    at_tokens: usize,
    keep: usize,
) -> Result<Outcome> {
    let paths = &question.paths;
    let traces: Vec<Trace> = paths
        .iter()
        .map(|p| Trace {
            tokens: p.tokens.len(),
            answer: p.vote(),
            scores: vec![scores[p.path]],
        })
        .collect();
    let policy = Policy {
        checks: vec![(at_tokens, Keep::Top(keep.min(paths.len())))],
        ..Policy::default()
    };
    let replayed = replay(&policy, &traces)?;
    let finished = paths
        .iter()
        .zip(&replayed.tokens)
        .filter(|(path, tokens)| path.tokens.len() == **tokens);
    let survivors: Vec<f64> = finished
        .map(|(path, _)| f64::from(u8::from(path.correct)))
        .collect();
    let winner = replayed.votes.first().map(|v| v.answer.as_str());
    Ok(Outcome {
        tokens: replayed.tokens.iter().sum(),
        survivors_right: (!survivors.is_empty()).then(|| mean(survivors)),
        vote_right: paths.iter().any(|p| {
            p.correct && winner.is_some() && p.vote().as_ref().map(|v| v.text()) == winner
        }),
    })
}

/// Replays the questions `of` with a check at `at_tokens` that keeps `keep`.
///
/// # Errors
/// Those of [`curt::paths::replay`].
pub fn keeping(
    data: &Data,
    of: &[usize],
    scores: &Scores,
    at_tokens: usize,
    keep: usize,
) -> Result<Kept> {
    let outcomes = of
        .iter()
        .map(|&q| outcome(&data.questions[q], &scores[q], at_tokens, keep))
        .collect::<Result<Vec<_>>>()?;
    let tokens: usize = outcomes.iter().map(|o| o.tokens).sum();
    let whole: usize = of
        .iter()
        .flat_map(|&q| &data.questions[q].paths)
        .map(|p| p.tokens.len())
        .sum();
    let vote = outcomes.iter().map(|o| f64::from(u8::from(o.vote_right)));
    Ok(Kept {
        keep,
        token_share: tokens as f64 / whole as f64,
        survivors_right: mean(outcomes.iter().filter_map(|o| o.survivors_right)),
        vote_right: mean(vote),
    })
}

/// The largest number of paths whose tokens stay within `token_share` of all, on average; `None` where not even one does.
pub fn affordable(data: &Data, of: &[usize], at_tokens: usize, token_share: f64) -> Option<usize> {
    let lengths = of.iter().map(|&q| {
        let lengths = data.questions[q].paths.iter().map(|p| p.tokens.len());
        let prefix: usize = lengths.clone().map(|l| l.min(at_tokens)).sum();
        let rest: usize = lengths.clone().map(|l| l.saturating_sub(at_tokens)).sum();
        (prefix, rest)
    });
    let (prefix, rest) = lengths.fold((0, 0), |(a, b), (p, r)| (a + p, b + r));
    let spare = token_share * (prefix + rest) as f64 - prefix as f64;
    let paths = data.settings.paths as f64;
    let keep = (spare / (rest as f64 / paths)).floor();
    (keep >= 1.0).then_some((keep as usize).min(data.settings.paths))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::tests::{made_up, path};

    #[test]
    fn the_best_go_on_and_the_rest_stop_at_the_check() {
        // Path 0 is right, and every path takes 10 tokens.
        let data = made_up(&["a", "b"], |q, p| path(q, p, vec![1; 10], p == 0));
        let good: Scores = vec![vec![Some(0.9), Some(0.1), Some(0.2), Some(0.0)]; 2];
        let kept = keeping(&data, &[0, 1], &good, 4, 1).unwrap();
        assert_eq!(kept.token_share, (10.0 + 3.0 * 4.0) / 40.0);
        assert_eq!((kept.survivors_right, kept.vote_right), (1.0, 1.0));
        let kept = keeping(&data, &[0], &good, 4, 3).unwrap();
        assert_eq!((kept.survivors_right, kept.vote_right), (1.0 / 3.0, 0.0));
        assert!(keeping(&data, &[0], &vec![vec![None; 4]; 2], 4, 1).is_err());
    }

    #[test]
    fn what_a_budget_affords() {
        let data = made_up(&["a"], |q, p| path(q, p, vec![1; 10], p == 0));
        // 16 tokens of 40 for the prefixes, 6 for each path that goes on.
        assert_eq!(affordable(&data, &[0], 4, 0.54), None);
        assert_eq!(affordable(&data, &[0], 4, 0.56), Some(1));
        assert_eq!(affordable(&data, &[0], 4, 1.0), Some(4));
    }
}
