//! Replay: what a policy would have done with paths that were sampled to their ends.

use super::{Fate, PathId, Policy, Schedule, Vote};
use crate::error::{Error, Result};
use crate::reading::FoundAnswer;

/// A recorded path.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Tokens it generated.
    pub tokens: usize,
    /// Its answer, where its text has one.
    pub answer: Option<FoundAnswer>,
    /// Its score at each check of the policy; `None` where it had finished by then.
    pub scores: Vec<Option<f64>>,
}

/// What a policy did with recorded paths.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// Tokens that each path generated, by number.
    pub tokens: Vec<usize>,
    /// What became of each path.
    pub fates: Vec<Fate>,
    /// Paths that decoded together, for each token from the first: what a step ran on.
    pub rows: Vec<usize>,
    /// Votes from the winner down.
    pub votes: Vec<Vote>,
}

/// Follows `policy` over recorded paths, as a live launch would have: exactly, where a row's numbers do not depend on its
/// batch ([`crate::Engine::probe_row_invariance`]).
///
/// # Errors
/// [`Error::Option`] for no paths or one without tokens, which no launch has; where the policy does not fit the number of
/// paths, or a path lacks the score of a check it reaches.
pub fn replay(policy: &Policy, traces: &[Trace]) -> Result<Replayed> {
    if traces.is_empty() {
        return Err(Error::option("paths", "at least 1", 0));
    }
    if let Some(path) = traces.iter().position(|trace| trace.tokens == 0) {
        let got = format!("path {path} of none");
        return Err(Error::option("traces", "paths of at least one token", got));
    }
    policy.validate(traces.len())?;
    let mut schedule = Schedule::new(traces.len(), policy.clone());
    let mut tokens = vec![0; traces.len()];
    let mut rows = Vec::new();
    let longest = traces.iter().map(|t| t.tokens).max().unwrap_or(0);
    'steps: for step in 1..=longest {
        let running: Vec<PathId> = schedule.running().collect();
        if running.is_empty() {
            break;
        }
        rows.push(running.len());
        for path in running {
            tokens[path] = step;
            if traces[path].tokens <= step {
                schedule.finished(path, traces[path].answer.clone());
            }
        }
        if schedule.settle() {
            break;
        }
        while let Some(index) = schedule.due(step) {
            let scores = schedule
                .running()
                .map(|path| {
                    let score = traces[path].scores.get(index).copied().flatten();
                    score.map(|score| (path, score)).ok_or_else(|| {
                        Error::option(
                            "check_at",
                            format!("a score of path {path} at {step} tokens"),
                            "none in the record",
                        )
                    })
                })
                .collect::<Result<Vec<_>>>()?;
            schedule.check(&scores);
            if schedule.settle() {
                break 'steps;
            }
        }
    }
    Ok(Replayed {
        tokens,
        fates: schedule.fates().to_vec(),
        rows,
        votes: schedule.votes(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Ending, Keep, VoteRule};
    use super::*;
    use crate::reading::AnswerKind;

    fn trace(tokens: usize, answer: &str, score: f64) -> Trace {
        Trace {
            tokens,
            answer: Some(AnswerKind::Text.found(answer)),
            scores: vec![Some(score)],
        }
    }

    #[test]
    fn dropped_paths_stop_at_the_check() {
        let traces = [
            trace(10, "a", 0.1),
            trace(20, "b", 0.9),
            trace(3, "a", 0.0),
            trace(12, "a", 0.2),
        ];
        let policy = Policy {
            checks: vec![(4, Keep::Top(1))],
            ..Policy::default()
        };
        let replayed = replay(&policy, &traces).unwrap();
        assert_eq!(replayed.tokens, [4, 20, 3, 4]);
        assert_eq!(replayed.fates[0], Fate::Dropped(0));
        assert_eq!(replayed.rows[..5], [4, 4, 4, 3, 1]);
        assert_eq!(replayed.rows.iter().sum::<usize>(), 31);
        // One against one: the larger score.
        assert_eq!(replayed.votes[0].answer, "b");
    }

    #[test]
    fn a_settled_vote_cuts_the_rest() {
        let traces = [trace(5, "a", 0.), trace(5, "a", 0.), trace(50, "b", 0.)];
        let policy = Policy {
            ending: Ending {
                early_vote: true,
                ..Ending::default()
            },
            ..Policy::default()
        };
        let replayed = replay(&policy, &traces).unwrap();
        assert_eq!(replayed.tokens, [5, 5, 5]);
        assert_eq!(replayed.fates[2], Fate::Decided);
    }

    fn arbitrary_trace(checks: usize) -> impl Strategy<Value = Trace> {
        let answer = proptest::option::weighted(0.8, prop_oneof!["a", "b"]);
        // Few values, so that there are ties.
        let scores = proptest::collection::vec((0..5u8).prop_map(|s| f64::from(s) / 4.0), checks);
        (1..6usize, answer, scores).prop_map(|(tokens, answer, scores)| Trace {
            tokens,
            answer: answer.map(|answer| AnswerKind::Text.found(&answer)),
            scores: scores.into_iter().map(Some).collect(),
        })
    }

    fn arbitrary_keep(paths: usize) -> impl Strategy<Value = Keep> {
        prop_oneof![
            Just(Keep::All),
            (1..=paths).prop_map(Keep::Top),
            (0.01..1.0f64).prop_map(Keep::Ratio),
            (0.0..1.0f64).prop_map(Keep::AtLeast),
        ]
    }

    fn arbitrary_plan() -> impl Strategy<Value = (Vec<(usize, Keep)>, Vec<Trace>)> {
        (1..9usize, 0..3usize).prop_flat_map(|(paths, checks)| {
            let points = proptest::collection::vec((1..6usize, arbitrary_keep(paths)), checks);
            let points = points.prop_map(|mut points| {
                points.sort_by_key(|p| p.0);
                points
            });
            (
                points,
                proptest::collection::vec(arbitrary_trace(checks), paths),
            )
        })
    }

    proptest! {
        // Of so many, some would be settled wrongly by a bound that counted on checks to come.
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn an_early_vote_never_changes_the_winner((checks, traces) in arbitrary_plan(), weighted: bool) {
            let vote = if weighted { VoteRule::ScoreWeighted } else { VoteRule::Majority };
            let winner = |early_vote| {
                let ending = Ending { early_vote, vote, ..Ending::default() };
                let policy = Policy { checks: checks.clone(), ending };
                let replayed = replay(&policy, &traces).unwrap();
                (replayed.votes.first().map(|v| v.answer.clone()), replayed.tokens)
            };
            let ((whole, all), (early, some)) = (winner(false), winner(true));
            prop_assert_eq!(whole, early);
            prop_assert!(some.iter().zip(&all).all(|(some, all)| some <= all));
        }
    }

    #[test]
    fn what_no_launch_has_is_refused() {
        let policy = Policy::default();
        let refused = |traces: &[Trace]| replay(&policy, traces).unwrap_err().to_string();
        assert!(refused(&[]).starts_with("`paths`"));
        let traces = [trace(3, "a", 0.1), trace(0, "a", 0.1)];
        assert!(refused(&traces).contains("path 1 of none"));
    }

    #[test]
    fn a_missing_score_is_said() {
        let mut traces = [trace(5, "a", 0.1), trace(9, "a", 0.2)];
        traces[1].scores.clear();
        let policy = Policy {
            checks: vec![(4, Keep::Top(1))],
            ..Policy::default()
        };
        let error = replay(&policy, &traces).unwrap_err().to_string();
        assert!(error.contains("path 1 at 4 tokens"), "{error}");
    }
}
