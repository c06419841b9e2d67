//! Thresholds of the cascade: the fewest tokens at an accuracy.

use super::Observed;

/// Thresholds that are tried for each stage: so many quantiles of its confidences, and never.
const TRIED: usize = 100;

/// Above every confidence: a stage that never accepts does not pay, and is left out.
const NEVER: f64 = f64::INFINITY;

/// An item's estimates of P(right): in direct and in perception.
pub type Confidences = [f64; 2];

/// Thresholds and what the cascade gives with them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Of direct and of perception; infinite: the stage is left out.
    pub thresholds: [f64; 2],
    /// Accuracy of the answers.
    pub accuracy: f64,
    /// Mean tokens of a question, discarded ones included.
    pub tokens: f64,
    /// Share of questions answered in direct, perception, full.
    pub shares: [f64; 3],
}

impl Choice {
    /// What a cascade with these thresholds gives.
    pub fn of(thresholds: [f64; 2], items: &[(Observed, Confidences)]) -> Self {
        let mut right = 0;
        let mut tokens = 0;
        let mut shares = [0; 3];
        let [direct, perception] = thresholds;
        for (item, [of_direct, of_perception]) in items {
            let mut spent = 0;
            if direct != NEVER {
                spent += item.direct.tokens;
                if *of_direct >= direct {
                    tokens += spent;
                    right += usize::from(item.direct.correct);
                    shares[0] += 1;
                    continue;
                }
            }
            if perception != NEVER {
                if *of_perception >= perception {
                    tokens += spent + item.perception.tokens;
                    right += usize::from(item.perception.correct);
                    shares[1] += 1;
                    continue;
                }
                // Full goes on from the perception: what it answered is lost, and nothing else.
                spent += item.perception_discarded;
            }
            tokens += spent + item.full.tokens;
            right += usize::from(item.full.correct);
            shares[2] += 1;
        }
        let n = items.len().max(1) as f64;
        Self {
            thresholds,
            accuracy: right as f64 / n,
            tokens: tokens as f64 / n,
            shares: shares.map(|count| f64::from(count) / n),
        }
    }
}

/// Every choice that no other beats in both accuracy and tokens, the fewest tokens first.
pub fn frontier(items: &[(Observed, Confidences)]) -> Vec<Choice> {
    let tried = |stage: usize| {
        let mut known: Vec<f64> = items.iter().map(|(_, p)| p[stage]).collect();
        known.sort_by(f64::total_cmp);
        let last = known.len().saturating_sub(1);
        let mut tried: Vec<f64> = (0..=TRIED)
            .filter_map(|i| known.get(last * i / TRIED).copied())
            .collect();
        tried.dedup();
        tried.push(NEVER);
        tried
    };
    let (direct, perception) = (tried(0), tried(1));
    let mut all: Vec<Choice> = direct
        .iter()
        .flat_map(|&d| perception.iter().map(move |&p| [d, p]))
        .map(|thresholds| Choice::of(thresholds, items))
        .collect();
    all.sort_by(|a, b| {
        let cheaper = a.tokens.total_cmp(&b.tokens);
        cheaper.then(b.accuracy.total_cmp(&a.accuracy))
    });
    let mut best = f64::NEG_INFINITY;
    all.retain(|choice| {
        let better = choice.accuracy > best;
        best = best.max(choice.accuracy);
        better
    });
    all
}

/// The cheapest of `frontier` with at least this accuracy; the most accurate where none has it.
pub fn at(frontier: &[Choice], accuracy: f64) -> Option<Choice> {
    let mut reaching = frontier.iter().filter(|choice| choice.accuracy >= accuracy);
    reaching.next().or(frontier.last()).copied()
}

#[cfg(test)]
mod tests {
    use super::super::Tried;
    use super::*;

    fn item(direct: bool, perception: bool, full: bool, p: Confidences) -> (Observed, Confidences) {
        let tried = |correct, tokens| Tried {
            correct,
            tokens,
            features: None,
        };
        let observed = Observed {
            unit: String::new(),
            direct: tried(direct, 5),
            perception: tried(perception, 20),
            perception_discarded: 4,
            full: tried(full, 60),
            lengths: [16, 40, 4],
        };
        (observed, p)
    }

    #[test]
    fn tokens_are_those_that_would_be_generated() {
        let items = [
            item(true, true, true, [0.9, 0.9]),
            item(false, true, true, [0.2, 0.8]),
            item(false, false, true, [0.3, 0.1]),
            item(true, false, false, [0.4, 0.2]),
        ];
        let choice = Choice::of([0.5, 0.5], &items);
        assert_eq!(
            choice.tokens,
            (5 + (5 + 20) + 2 * (5 + 4 + 60)) as f64 / 4.0
        );
        assert_eq!((choice.accuracy, choice.shares), (0.75, [0.25, 0.25, 0.5]));
        let full = Choice::of([NEVER, NEVER], &items);
        assert_eq!((full.accuracy, full.tokens), (0.75, 60.0));
        let frontier = frontier(&items);
        assert!(
            frontier
                .windows(2)
                .all(|w| w[0].tokens < w[1].tokens && w[0].accuracy < w[1].accuracy)
        );
        // Right in direct, and only there: confidence ranks it above the wrong ones.
        let best = at(&frontier, 1.0).unwrap();
        assert_eq!(best.accuracy, 1.0);
        assert!(
            best.thresholds[0] <= 0.4 && best.thresholds[0] > 0.3,
            "{best:?}"
        );
        let cheapest = at(&frontier, 0.0).unwrap();
        assert_eq!(cheapest.tokens, 5.0);
    }
}
