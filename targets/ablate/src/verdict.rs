//! The verdict: may this be shipped, in one sentence with its reason.

use serde::{Deserialize, Serialize};

use crate::stats::Interval;

/// What the sample allows to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The latency budget is met and accuracy does not drop by more than allowed.
    Ready,
    /// The budget is missed, or accuracy drops by more than allowed.
    NotReady,
    /// Neither is shown.
    NotEnoughItems,
}

/// The verdict on one arm against the baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The decision.
    pub decision: Decision,
    /// The sentence.
    pub sentence: String,
    /// Items to add for a decision at 80 % power, from the discordance seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_items: Option<u64>,
}

/// What a verdict is made of. Accuracies and differences are fractions.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence<'a> {
    /// The arm.
    pub candidate: &'a str,
    /// What it is held against.
    pub baseline: &'a str,
    /// Difference of accuracy, candidate less baseline; `None` without items that both have.
    pub difference: Option<f64>,
    /// Ends of its one-sided 95 % intervals.
    pub one_sided: Option<Interval>,
    /// Largest drop allowed.
    pub largest_drop: f64,
    /// p95 of the time to the answer, in milliseconds, where it was measured or modelled and counts.
    pub p95_ms: Option<f64>,
    /// Whether times are modelled.
    pub modelled: bool,
    /// Why times do not count, where they do not.
    pub void: Option<&'a str>,
    /// Largest p95 allowed.
    pub budget_ms: Option<f64>,
    /// Items that both arms have.
    pub items: u64,
    /// Items that a decision needs, where that can be said.
    pub items_needed: Option<u64>,
}

impl Verdict {
    /// Decides. *Ready*: p95 within the budget, and the lower end of the one-sided 95 % interval of the paired difference
    /// above −drop. *Not ready*: the budget is missed, or the upper end is below −drop. Else *not enough items*.
    pub fn of(evidence: &Evidence<'_>) -> Self {
        let missed = match (evidence.budget_ms, evidence.p95_ms) {
            (Some(budget), Some(p95)) => Some(p95 > budget),
            (Some(_), None) => None,
            (None, _) => Some(false),
        };
        let low = evidence.one_sided.map(|interval| interval.low);
        let high = evidence.one_sided.map(|interval| interval.high);
        let worse = high.is_some_and(|high| high < -evidence.largest_drop);
        let no_worse = low.is_some_and(|low| low > -evidence.largest_drop);
        let decision = if missed == Some(true) || worse {
            Decision::NotReady
        } else if missed == Some(false) && no_worse {
            Decision::Ready
        } else {
            Decision::NotEnoughItems
        };
        let more_items = evidence
            .items_needed
            .filter(|_| decision == Decision::NotEnoughItems && !no_worse)
            .map(|needed| needed.saturating_sub(evidence.items).max(1));
        Self {
            decision,
            sentence: sentence(decision, evidence, worse, no_worse, more_items),
            more_items,
        }
    }
}

fn sentence(
    decision: Decision,
    evidence: &Evidence<'_>,
    worse: bool,
    no_worse: bool,
    more_items: Option<u64>,
) -> String {
    let accuracy = accuracy(evidence);
    let latency = latency(evidence);
    match decision {
        Decision::Ready => format!("Ready: {accuracy}{}.", and(&latency)),
        Decision::NotReady if worse => format!("Not ready: {accuracy}{}.", and(&latency)),
        Decision::NotReady => format!(
            "Not ready: {}; {accuracy}.",
            latency.unwrap_or_else(|| "the latency budget is missed".into())
        ),
        Decision::NotEnoughItems => {
            let remedy = match more_items {
                Some(more) => format!(
                    "; about {more} more items would decide it (80 % power, if what was seen goes on)"
                ),
                None if no_worse => "; no time was measured that a budget could be held to".into(),
                None if evidence.one_sided.is_none() => "; it takes at least two items".into(),
                None => "; the difference seen is the limit itself, which no number of items tells apart".into(),
            };
            format!("Not enough items: {accuracy}{}{remedy}.", and(&latency))
        }
    }
}

fn and(latency: &Option<String>) -> String {
    latency
        .as_ref()
        .map_or(String::new(), |text| format!(", and {text}"))
}

fn accuracy(evidence: &Evidence<'_>) -> String {
    let Evidence {
        candidate,
        baseline,
        ..
    } = evidence;
    let (Some(difference), Some(ends)) = (evidence.difference, evidence.one_sided) else {
        return format!(
            "{} items do not say how {candidate} compares with {baseline}",
            evidence.items
        );
    };
    let points = |x: f64| format!("{:+.1}", 100.0 * x).replace('-', "−");
    let end = if ends.high < -evidence.largest_drop {
        format!("95 % sure of {} or less", points(ends.high))
    } else {
        format!("95 % sure of {} or more", points(ends.low))
    };
    format!(
        "on {} items the accuracy of {candidate} is {} points from that of {baseline} ({end}; allowed {})",
        evidence.items,
        points(difference),
        points(-evidence.largest_drop),
    )
}

fn latency(evidence: &Evidence<'_>) -> Option<String> {
    let budget = evidence.budget_ms?;
    Some(match (evidence.p95_ms, evidence.void) {
        (_, Some(void)) => format!("its times do not count: {void}"),
        (None, None) => "its times were not measured".into(),
        (Some(p95), None) => format!(
            "p95 is {p95:.0} ms{} {} the budget of {budget:.0} ms",
            if evidence.modelled { " (modelled)" } else { "" },
            if p95 > budget { "beyond" } else { "within" },
        ),
    })
}
