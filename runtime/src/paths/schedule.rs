//! Which of N paths go on, decided from their scores and answers alone: no model, no clock. The live launch and the replay
//! of recorded paths both ask it, so that a replay saves exactly what a live run saves.

use super::vote::{Ballot, count};
use super::{Keep, PathId, Policy, Vote, VoteRule};
use crate::reading::FoundAnswer;

/// What became of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It still decodes.
    Running,
    /// It ended by itself, and votes.
    Finished,
    /// The check of this index dropped it.
    Dropped(usize),
    /// The question was settled without it.
    Decided,
}

/// How far two sums of the same weights may lie apart when they are added in another order: more than rounding makes of a
/// thousand numbers of at most 1.
const ROUNDING: f64 = 1e-9;

/// Which paths go on.
#[derive(Debug, Clone)]
pub struct Schedule {
    policy: Policy,
    fates: Vec<Fate>,
    /// What finished paths answered, and each path's latest score.
    ballots: Vec<Ballot>,
    next_check: usize,
    /// Something happened since the question was last found open.
    changed: bool,
}

impl Schedule {
    /// `paths` paths, all running.
    pub fn new(paths: usize, policy: Policy) -> Self {
        Self {
            policy,
            fates: vec![Fate::Running; paths],
            ballots: (0..paths)
                .map(|path| Ballot {
                    path,
                    answer: None,
                    score: None,
                })
                .collect(),
            next_check: 0,
            changed: false,
        }
    }

    /// What became of each path, by number.
    pub fn fates(&self) -> &[Fate] {
        &self.fates
    }

    /// Paths that still decode.
    pub fn running(&self) -> impl Iterator<Item = PathId> + '_ {
        (0..self.fates.len()).filter(|&path| self.fates[path] == Fate::Running)
    }

    /// A path has ended by itself, with this answer.
    pub fn finished(&mut self, path: PathId, answer: Option<FoundAnswer>) {
        self.fates[path] = Fate::Finished;
        self.ballots[path].answer = answer;
        self.changed = true;
    }

    /// The next check, where it is due when `tokens` tokens of each running path are cached.
    pub fn due(&self, tokens: usize) -> Option<usize> {
        let &(at_tokens, _) = self.policy.checks.get(self.next_check)?;
        (at_tokens == tokens).then_some(self.next_check)
    }

    /// Takes the scores of the check that is due, of every running path, and returns those it drops, in order.
    pub fn check(&mut self, scores: &[(PathId, f64)]) -> Vec<PathId> {
        let index = self.next_check;
        self.next_check += 1;
        self.changed = true;
        let Some(&(_, keep)) = self.policy.checks.get(index) else {
            return Vec::new();
        };
        for &(path, score) in scores {
            self.ballots[path].score = Some(score);
        }
        let mut ranked = scores.to_vec();
        // Equal scores: the lower number goes on.
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let kept = match keep {
            Keep::AtLeast(threshold) => {
                let kept = ranked.iter().take_while(|(_, s)| *s >= threshold).count();
                let answered = self.ballots.iter().any(|b| b.answer.is_some());
                kept.max(usize::from(!answered))
            }
            keep => keep.at_most(ranked.len(), self.fates.len()),
        };
        let mut dropped: Vec<PathId> = ranked.iter().skip(kept).map(|&(path, _)| path).collect();
        dropped.sort_unstable();
        for &path in &dropped {
            self.fates[path] = Fate::Dropped(index);
        }
        dropped
    }

    /// Settles the question where the policy allows it: every running path is then `Decided`. Says whether it did.
    pub fn settle(&mut self) -> bool {
        if !std::mem::take(&mut self.changed) || !self.is_settled() {
            return false;
        }
        for fate in &mut self.fates {
            if *fate == Fate::Running {
                *fate = Fate::Decided;
            }
        }
        true
    }

    /// Votes from the winner down.
    pub fn votes(&self) -> Vec<Vote> {
        count(&self.ballots, self.policy.ending.vote)
    }

    fn is_settled(&self) -> bool {
        let finished = self.fates.iter().filter(|&&f| f == Fate::Finished).count();
        if self
            .policy
            .ending
            .first_finished
            .is_some_and(|m| finished >= m)
        {
            return true;
        }
        if !self.policy.ending.early_vote {
            return false;
        }
        let votes = self.votes();
        let Some(winner) = votes.first() else {
            return false;
        };
        let weight = |vote: &Vote| match self.policy.ending.vote {
            VoteRule::Majority => vote.paths.len() as f64,
            VoteRule::ScoreWeighted => vote.weight,
        };
        // Even the next answer, or one that nobody has given yet, with all that is still out.
        let rival = votes.get(1).map_or(0.0, weight);
        weight(winner) > rival + self.still_out() + ROUNDING
    }

    /// The most weight that running paths can add. Checks to come do not lessen it: all may end before the next.
    fn still_out(&self) -> f64 {
        let most = self.running().count();
        match self.policy.ending.vote {
            VoteRule::Majority => most as f64,
            // A path's weight is its latest score, which no later check will change once the last is over.
            VoteRule::ScoreWeighted if self.next_check == self.policy.checks.len() => {
                self.running().map(|path| self.ballots[path].weight()).sum()
            }
            VoteRule::ScoreWeighted => most as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Ending;
    use super::*;
    use crate::reading::AnswerKind;

    fn said(answer: &str) -> Option<FoundAnswer> {
        Some(AnswerKind::Number.found(answer))
    }

    fn schedule(paths: usize, checks: &[(usize, Keep)], early_vote: bool) -> Schedule {
        Schedule::new(
            paths,
            Policy {
                checks: checks.to_vec(),
                ending: Ending {
                    early_vote,
                    ..Ending::default()
                },
            },
        )
    }

    fn scores(values: &[f64]) -> Vec<(PathId, f64)> {
        values.iter().copied().enumerate().collect()
    }

    #[test]
    fn the_best_go_on_and_the_finished_are_not_counted() {
        let mut s = schedule(4, &[(8, Keep::Top(2))], false);
        s.finished(1, said("7"));
        assert_eq!(s.due(7), None);
        assert_eq!(s.due(8), Some(0));
        assert_eq!(s.check(&[(0, 0.1), (2, 0.9), (3, 0.5)]), [0]);
        assert_eq!(s.due(8), None);
        let fates = [
            Fate::Dropped(0),
            Fate::Finished,
            Fate::Running,
            Fate::Running,
        ];
        assert_eq!(s.fates(), fates);
    }

    #[test]
    fn equal_scores_keep_the_lower_number_and_zero_is_not_minus_zero() {
        let mut s = schedule(3, &[(1, Keep::Top(1))], false);
        assert_eq!(s.check(&scores(&[0.5, 0.5, 0.5])), [1, 2]);
    }

    #[test]
    fn a_ratio_is_of_the_paths_launched_and_keeps_at_least_one() {
        let mut s = schedule(8, &[(1, Keep::Ratio(0.5)), (2, Keep::Ratio(0.01))], false);
        let all = [0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1];
        assert_eq!(s.check(&scores(&all)), [4, 5, 6, 7]);
        assert_eq!(s.check(&scores(&all[..4])), [1, 2, 3]);
    }

    #[test]
    fn a_threshold_that_nobody_reaches_keeps_the_best_unless_somebody_has_answered() {
        let check = [(1, Keep::AtLeast(0.9))];
        let mut s = schedule(3, &check, false);
        assert_eq!(s.check(&scores(&[0.1, 0.3, 0.2])), [0, 2]);
        let mut s = schedule(3, &check, false);
        s.finished(0, said("7"));
        assert_eq!(s.check(&[(1, 0.3), (2, 0.2)]), [1, 2]);
        let mut s = schedule(3, &check, false);
        s.finished(0, None);
        assert_eq!(s.check(&[(1, 0.3), (2, 0.2)]), [2]);
    }

    #[test]
    fn a_vote_is_settled_only_when_the_rest_cannot_change_it() {
        let mut s = schedule(5, &[], true);
        s.finished(0, said("a"));
        s.finished(1, said("a"));
        // Three out: they could make another answer.
        assert!(!s.settle());
        s.finished(2, said("b"));
        // 2 against 1 + 2.
        assert!(!s.settle());
        s.finished(3, said("a"));
        assert!(s.settle());
        assert_eq!(s.fates()[4], Fate::Decided);
        assert_eq!(s.votes()[0].answer, "a");
    }

    #[test]
    fn a_vote_is_settled_by_answers_that_are_the_same() {
        let mut s = schedule(5, &[], true);
        for (path, answer) in ["18", "$18", "18.00"].into_iter().enumerate() {
            assert!(!s.settle());
            s.finished(path, said(answer));
        }
        assert!(s.settle());
    }

    #[test]
    fn a_tie_that_is_still_possible_is_not_settled() {
        let mut s = schedule(3, &[], true);
        s.finished(0, said("a"));
        s.finished(1, None);
        // 1 against 0 + 1: the scores or the lower number would decide.
        assert!(!s.settle());
    }

    #[test]
    fn a_check_to_come_does_not_settle_a_vote() {
        let mut s = schedule(8, &[(9, Keep::Top(1))], true);
        s.finished(0, said("a"));
        s.finished(1, said("a"));
        // One of six would be kept, but all six may end before they are checked, with another answer.
        assert!(!s.settle());
        let all: Vec<(PathId, f64)> = (2..8).map(|path| (path, 0.5)).collect();
        s.check(&all);
        assert!(s.settle());
    }

    #[test]
    fn the_first_to_finish_settle_without_a_check() {
        let mut s = Schedule::new(
            4,
            Policy {
                checks: Vec::new(),
                ending: Ending {
                    first_finished: Some(2),
                    ..Ending::default()
                },
            },
        );
        s.finished(3, None);
        assert!(!s.settle());
        s.finished(2, said("b"));
        assert!(s.settle());
        assert_eq!(s.votes()[0].paths, [2]);
    }

    #[test]
    fn weights_are_the_latest_scores() {
        let policy = Policy {
            checks: vec![(1, Keep::All)],
            ending: Ending {
                early_vote: true,
                vote: VoteRule::ScoreWeighted,
                ..Ending::default()
            },
        };
        let mut s = Schedule::new(3, policy);
        s.check(&scores(&[0.9, 0.2, 0.3]));
        s.finished(0, said("a"));
        // 0.9 against the 0.2 and 0.3 that are out.
        assert!(s.settle());
        assert_eq!(s.votes()[0].weight, 0.9);
    }
}
