//! The read-out: what the model would choose, from the logits where formats part.

use serde::Serialize;

use super::SectionKind;

/// What the model says of a choice between the answer and another section, before it is made (AVR, arXiv 2604.14568: no
/// router decides, the next token does).
///
/// The first choice is told by the prefill alone: the tags' common beginning is a part of it. The second comes after the
/// perception.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReadOut {
    /// The section that it comes after; `None`: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<SectionKind>,
    /// Tokens of the response before the choice.
    pub at_tokens: usize,
    /// P(the answer comes next), of the two: \[0, 1\]. At the first choice this is P(direct). What a model is trained to
    /// choose, and no probability that the answer is right.
    pub p_answer: f64,
    /// The difference of the two logits, in nats: it still ranks where `p_answer` is all but 0 or 1.
    pub margin: f64,
    /// Probability of all other tokens: near 0 for a model that knows the formats. An alarm.
    pub off_grammar: f64,
    /// Nats that the deadline added to the answer's side.
    #[serde(skip_serializing_if = "is_zero")]
    pub deadline_bias: f64,
}

fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

impl ReadOut {
    /// The read-out of `logits` (`[vocabulary]`) where the token `answer` begins the answer and `other` another section.
    pub fn of(logits: &[f32], answer: u32, other: u32, at_tokens: usize) -> Option<Self> {
        let logit = |id: u32| logits.get(id as usize).map(|&x| f64::from(x));
        let (answer, other) = (logit(answer)?, logit(other)?);
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let max = f64::from(max);
        let sum: f64 = logits.iter().map(|&x| (f64::from(x) - max).exp()).sum();
        let both = ((answer - max).exp() + (other - max).exp()) / sum;
        let margin = answer - other;
        margin.is_finite().then(|| Self {
            after: None,
            at_tokens,
            p_answer: 1.0 / (1.0 + (-margin).exp()),
            margin,
            off_grammar: (1.0 - both).clamp(0.0, 1.0),
            deadline_bias: 0.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_of_the_two_and_of_the_rest() {
        let logits = [0.0, 2.0, 1.0, 0.0];
        let e = |x: f64| x.exp();
        let read = ReadOut::of(&logits, 1, 2, 3).unwrap();
        assert!((read.p_answer - e(2.0) / (e(2.0) + e(1.0))).abs() < 1e-12);
        assert!((read.off_grammar - 2.0 / (2.0 + e(2.0) + e(1.0))).abs() < 1e-12);
        assert_eq!((read.margin, read.at_tokens), (1.0, 3));
        assert!(ReadOut::of(&logits, 1, 9, 3).is_none());
        assert!(ReadOut::of(&[f32::NEG_INFINITY; 4], 1, 2, 3).is_none());
    }
}
