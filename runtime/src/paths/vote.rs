//! Vote: one answer from many paths.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::PathId;
use crate::reading::FoundAnswer;

/// How finished answers are combined. Arm files and records write it as it is here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoteRule {
    /// The answer that most paths gave. Ties: the larger sum of scores, then the answer of the lowest path number.
    #[default]
    Majority,
    /// The answer whose paths' scores add up to most; a path that finished before it was scored weighs one half. Ties:
    /// more paths, then the lowest path number.
    ScoreWeighted,
}

/// Weight of a path in a score-weighted vote that finished before it was scored: it says nothing either way.
const UNSCORED_WEIGHT: f64 = 0.5;

/// What one path votes.
#[derive(Debug, Clone, PartialEq)]
pub struct Ballot {
    /// The path.
    pub path: PathId,
    /// Its answer; `None` where its text has none, which votes for nothing.
    pub answer: Option<FoundAnswer>,
    /// Its score, where it was checked.
    pub score: Option<f64>,
}

impl Ballot {
    /// What it counts in a score-weighted vote.
    pub fn weight(&self) -> f64 {
        self.score.unwrap_or(UNSCORED_WEIGHT)
    }
}

/// An answer and who gave it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Vote {
    /// The answer, as the lowest-numbered of these paths wrote it.
    pub answer: String,
    /// The paths that gave it, in order.
    pub paths: Vec<PathId>,
    /// Sum of their scores, where any was checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// What it counts in a score-weighted vote: the sum of scores, one half for each path without one.
    #[serde(skip)]
    pub weight: f64,
}

/// Counts the ballots, in the order of their paths, by `rule`: votes from the winner down. Answers that are the same
/// ([`FoundAnswer::is_same`]) are one, however they are written.
pub fn count(ballots: &[Ballot], rule: VoteRule) -> Vec<Vote> {
    let mut by_answer: BTreeMap<&str, Vote> = BTreeMap::new();
    for ballot in ballots {
        let Some(answer) = &ballot.answer else {
            continue;
        };
        let vote = by_answer.entry(answer.canonical()).or_insert_with(|| Vote {
            answer: answer.text().to_string(),
            paths: Vec::new(),
            score: None,
            weight: 0.0,
        });
        vote.paths.push(ballot.path);
        vote.weight += ballot.weight();
        if let Some(score) = ballot.score {
            vote.score = Some(vote.score.unwrap_or(0.0) + score);
        }
    }
    let mut votes: Vec<Vote> = by_answer.into_values().collect();
    for vote in &mut votes {
        vote.paths.sort_unstable();
    }
    votes.sort_by(|a, b| {
        let score = |v: &Vote| v.score.unwrap_or(0.0);
        let more_paths = b.paths.len().cmp(&a.paths.len());
        match rule {
            VoteRule::Majority => more_paths.then(score(b).total_cmp(&score(a))),
            VoteRule::ScoreWeighted => b.weight.total_cmp(&a.weight).then(more_paths),
        }
        .then(a.paths.cmp(&b.paths))
    });
    votes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::AnswerKind;

    fn majority(ballots: &[Ballot]) -> Vec<Vote> {
        count(ballots, VoteRule::Majority)
    }

    fn ballots(answers: &[Option<&str>]) -> Vec<Ballot> {
        answers
            .iter()
            .enumerate()
            .map(|(path, a)| Ballot {
                path,
                answer: a.map(|a| AnswerKind::Number.found(a)),
                score: None,
            })
            .collect()
    }

    #[test]
    fn the_most_frequent_answer_wins_and_silence_does_not_vote() {
        let votes = majority(&ballots(&[
            None,
            Some("7"),
            Some("8"),
            None,
            Some("8"),
            None,
        ]));
        assert_eq!(votes[0].answer, "8");
        assert_eq!(votes[0].paths, [2, 4]);
        assert_eq!(votes.len(), 2);
        assert!(majority(&ballots(&[None, None])).is_empty());
    }

    #[test]
    fn ties_go_to_the_larger_score_then_to_the_lowest_path() {
        let mut tied = ballots(&[Some("b"), Some("a"), Some("a"), Some("b")]);
        assert_eq!(majority(&tied)[0].answer, "b");
        for (ballot, score) in tied.iter_mut().zip([0.1, 0.4, 0.5, 0.2]) {
            ballot.score = Some(score);
        }
        assert_eq!(majority(&tied)[0].answer, "a");
    }

    #[test]
    fn scores_outweigh_numbers_where_they_are_asked_to() {
        let mut given = ballots(&[Some("a"), Some("a"), Some("b"), None]);
        for (ballot, score) in given.iter_mut().zip([0.2, 0.3, 0.9, 1.0]) {
            ballot.score = Some(score);
        }
        assert_eq!(count(&given, VoteRule::Majority)[0].answer, "a");
        let weighted = count(&given, VoteRule::ScoreWeighted);
        assert_eq!(
            (weighted[0].answer.as_str(), weighted[0].weight),
            ("b", 0.9)
        );
        given[2].score = None;
        // One half against 0.2 + 0.3: the same weight, and more paths.
        assert_eq!(count(&given, VoteRule::ScoreWeighted)[0].answer, "a");
    }

    #[test]
    fn answers_that_are_the_same_are_one_under_every_rule() {
        let given = ballots(&[
            Some("21"),
            Some("$18"),
            Some("21"),
            Some("18.00"),
            Some("18.0"),
            Some("18 apples"),
        ]);
        for rule in [VoteRule::Majority, VoteRule::ScoreWeighted] {
            let votes = count(&given, rule);
            assert_eq!(
                (votes[0].answer.as_str(), &votes[0].paths[..]),
                ("$18", &[1, 3, 4, 5][..])
            );
            assert_eq!(votes.len(), 2);
        }
    }
}
