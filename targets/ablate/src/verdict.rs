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
    /// The arm is its own baseline.
    NothingToCompare,
    /// Every result of one of the two failed: what was seen is a fault, and no accuracy.
    NoVerdict,
}

/// The verdict on one arm against the baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The decision.
    pub decision: Decision,
    /// The sentence.
    pub sentence: String,
    /// Items to add for a decision at 80 % power, from the discordance seen; absent where they are there already.
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
    /// Median error of the model relative to the time, where times are modelled.
    pub model_error: Option<f64>,
    /// The one of the two whose results all failed, how many these are, and why the most of them did.
    pub all_failed: Option<(&'a str, usize, &'a str)>,
    /// Results of the baseline that failed and count as wrong, which makes the candidate look better.
    pub baseline_failed: usize,
    /// Questions that only one of the two has a result of: those that are missing may be those that it got wrong.
    pub unpaired: usize,
    /// Results of which no time is known, failed ones among them: they are not in `p95_ms`.
    pub untimed: usize,
    /// Why times do not count, where they do not.
    pub void: Option<&'a str>,
    /// Largest p95 allowed.
    pub budget_ms: Option<f64>,
    /// Items that both arms have.
    pub items: u64,
    /// Items that a decision needs, where that can be said.
    pub items_needed: Option<u64>,
}

/// What the times say of the budget.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Budget {
    /// There is none, or p95 is within it.
    Met,
    Missed,
    /// No time counts, or none was measured.
    Unmeasured,
    /// Modelled, and nearer to the budget than the model is good for.
    TooNear,
    /// Within it, but for results of which no time is known.
    Untimed,
}

impl Budget {
    fn of(evidence: &Evidence<'_>) -> Self {
        let (budget, p95) = match (evidence.budget_ms, evidence.p95_ms) {
            (None, _) => return Self::Met,
            (Some(_), None) => return Self::Unmeasured,
            (Some(budget), Some(p95)) => (budget, p95),
        };
        if (p95 - budget).abs() < evidence.model_error.unwrap_or(0.0) * p95 {
            Self::TooNear
        } else if p95 > budget {
            Self::Missed
        } else if evidence.untimed > 0 {
            Self::Untimed
        } else {
            Self::Met
        }
    }
}

impl Verdict {
    /// Decides. *Ready*: p95 within the budget, and the lower end of the one-sided 95 % interval of the paired difference
    /// above −drop, no result of the baseline failed, and the two have results of the same questions. *Not ready*: the budget is missed, or the upper end is below −drop.
    /// Else *not enough items*; *nothing to compare* for an arm that is its own baseline; and *no verdict* over failures
    /// alone.
    pub fn of(evidence: &Evidence<'_>) -> Self {
        if let Some((arm, results, reason)) = evidence.all_failed {
            let decision = Decision::NoVerdict;
            return Self {
                decision,
                sentence: format!(
                    "{}: all {results} results of {arm} failed: {reason}.",
                    decision.head()
                ),
                more_items: None,
            };
        }
        let budget = Budget::of(evidence);
        let low = evidence.one_sided.map(|interval| interval.low);
        let high = evidence.one_sided.map(|interval| interval.high);
        let worse = high.is_some_and(|high| high < -evidence.largest_drop);
        let no_worse = low.is_some_and(|low| low > -evidence.largest_drop);
        let decision = if budget == Budget::Missed || worse {
            Decision::NotReady
        } else if evidence.is_alone() {
            Decision::NothingToCompare
        } else if budget == Budget::Met
            && no_worse
            && evidence.baseline_failed == 0
            && evidence.unpaired == 0
        {
            Decision::Ready
        } else {
            Decision::NotEnoughItems
        };
        let more_items = evidence
            .items_needed
            .filter(|_| decision == Decision::NotEnoughItems && !no_worse)
            .and_then(|needed| needed.checked_sub(evidence.items))
            .filter(|&more| more > 0);
        let accuracy = accuracy(evidence);
        let latency = latency(evidence);
        let beside = latency
            .as_ref()
            .map_or(String::new(), |text| format!(", and {text}"));
        let sentence = match decision {
            Decision::NotReady if !worse => {
                format!("Not ready: {}; {accuracy}.", latency.unwrap_or_default())
            }
            Decision::NotEnoughItems => {
                let mut remedies = String::new();
                if !no_worse {
                    remedies.push_str(&of_accuracy(evidence, more_items));
                }
                remedies.push_str(&of_budget(evidence, budget));
                if evidence.baseline_failed > 0 {
                    remedies.push_str(&format!(
                        "; {} results of {} failed and count as wrong, which speaks for {}: what they say has to be mended \
                         first",
                        evidence.baseline_failed, evidence.baseline, evidence.candidate
                    ));
                }
                if evidence.unpaired > 0 {
                    remedies.push_str(&format!(
                        "; of {} questions only one of the two has a result: finish the run with --resume",
                        evidence.unpaired
                    ));
                }
                format!("{}: {accuracy}{beside}{remedies}.", decision.head())
            }
            _ => format!("{}: {accuracy}{beside}.", decision.head()),
        };
        Self {
            decision,
            sentence,
            more_items,
        }
    }
}

impl Decision {
    /// The words that its sentence begins with.
    pub fn head(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::NotReady => "Not ready",
            Self::NotEnoughItems => "Not enough items",
            Self::NothingToCompare => "Nothing to compare",
            Self::NoVerdict => "No verdict",
        }
    }
}

impl Evidence<'_> {
    fn is_alone(&self) -> bool {
        self.candidate == self.baseline
    }
}

/// What would decide about accuracy.
fn of_accuracy(evidence: &Evidence<'_>, more_items: Option<u64>) -> String {
    if evidence.one_sided.is_none() {
        return "; it takes at least two items".into();
    }
    match (more_items, evidence.items_needed) {
        (Some(more), _) => format!(
            "; about {more} more items would decide it (80 % power, if what was seen goes on)"
        ),
        (None, Some(needed)) => format!(
            "; the {needed} items that 80 % power asks for are there, and the interval is still too wide for the drop allowed"
        ),
        (None, None) => {
            "; the difference seen is the limit itself, which no number of items tells apart".into()
        }
    }
}

/// What would decide about the budget.
fn of_budget(evidence: &Evidence<'_>, budget: Budget) -> String {
    match budget {
        Budget::Met | Budget::Missed => String::new(),
        Budget::Unmeasured => "; no time was measured that a budget could be held to".into(),
        Budget::TooNear => format!(
            "; half of the modelled times are off by {:.0} % or more, so that these do not decide about the budget: measure \
             with --measure run",
            100.0 * evidence.model_error.unwrap_or(0.0)
        ),
        Budget::Untimed => format!(
            "; of {} results no time is known, so that p95 is not known either",
            evidence.untimed
        ),
    }
}

fn accuracy(evidence: &Evidence<'_>) -> String {
    let Evidence {
        candidate,
        baseline,
        ..
    } = evidence;
    if evidence.is_alone() {
        return format!(
            "{candidate} is the arm that others are held against, and one arm has nothing to be compared with"
        );
    }
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
            evidence.model_error.map_or("", |_| " (modelled)"),
            if p95 > budget { "beyond" } else { "within" },
        ),
    })
}
