//! The verdict, at every side of its limits.

use curt_ablate::stats::Interval;
use curt_ablate::verdict::{Decision, Evidence, Verdict};

fn evidence() -> Evidence<'static> {
    Evidence {
        candidate: "stop",
        baseline: "full",
        difference: Some(0.004),
        one_sided: Some(Interval {
            low: -0.006,
            high: 0.014,
        }),
        largest_drop: 0.01,
        all_failed: None,
        baseline_failed: 0,
        unpaired: 0,
        p95_ms: Some(90.0),
        model_error: None,
        untimed: 0,
        void: None,
        budget_ms: Some(100.0),
        items: 1000,
        items_needed: Some(700),
    }
}

fn decided(evidence: &Evidence<'_>) -> (Decision, String, Option<u64>) {
    let verdict = Verdict::of(evidence);
    (verdict.decision, verdict.sentence, verdict.more_items)
}

#[test]
fn ready_needs_the_budget_and_the_lower_end() {
    let (decision, sentence, more) = decided(&evidence());
    assert_eq!((decision, more), (Decision::Ready, None));
    assert!(
        sentence.contains("+0.4 points") && sentence.contains("−0.6 or more"),
        "{sentence}"
    );
    let unlimited = Evidence {
        budget_ms: None,
        p95_ms: None,
        ..evidence()
    };
    assert_eq!(decided(&unlimited).0, Decision::Ready);
}

#[test]
fn a_missed_budget_or_a_sure_drop_is_not_ready() {
    let slow = Evidence {
        p95_ms: Some(101.0),
        ..evidence()
    };
    let (decision, sentence, _) = decided(&slow);
    assert_eq!(decision, Decision::NotReady);
    assert!(
        sentence.contains("101 ms") && sentence.contains("beyond the budget of 100 ms"),
        "{sentence}"
    );
    let worse = Evidence {
        difference: Some(-0.03),
        one_sided: Some(Interval {
            low: -0.05,
            high: -0.011,
        }),
        ..evidence()
    };
    let (decision, sentence, _) = decided(&worse);
    assert_eq!(decision, Decision::NotReady);
    assert!(sentence.contains("−1.1 or less"), "{sentence}");
}

#[test]
fn between_them_more_items_decide() {
    let open = Evidence {
        difference: Some(-0.002),
        one_sided: Some(Interval {
            low: -0.012,
            high: 0.008,
        }),
        items_needed: Some(1300),
        ..evidence()
    };
    let (decision, sentence, more) = decided(&open);
    assert_eq!((decision, more), (Decision::NotEnoughItems, Some(300)));
    assert!(sentence.contains("about 300 more items"), "{sentence}");
    // "Not significant" alone never makes ready: the interval holds both 0 and the limit.
    let at_the_limit = Evidence {
        items_needed: None,
        ..open
    };
    assert!(decided(&at_the_limit).1.contains("the limit itself"));
}

#[test]
fn items_that_are_there_already_are_not_asked_for() {
    for needed in [700, 1000] {
        let open = Evidence {
            difference: Some(-0.002),
            one_sided: Some(Interval {
                low: -0.012,
                high: 0.008,
            }),
            items_needed: Some(needed),
            ..evidence()
        };
        let (decision, sentence, more) = decided(&open);
        assert_eq!((decision, more), (Decision::NotEnoughItems, None));
        assert!(
            sentence.contains("still too wide for the drop allowed")
                && !sentence.contains("more items would"),
            "{sentence}"
        );
    }
}

#[test]
fn one_arm_has_nothing_to_be_compared_with() {
    let alone = Evidence {
        candidate: "full",
        difference: None,
        one_sided: None,
        ..evidence()
    };
    let (decision, sentence, more) = decided(&alone);
    assert_eq!((decision, more), (Decision::NothingToCompare, None));
    assert!(
        sentence.starts_with("Nothing to compare: ")
            && sentence.contains("one arm has nothing to be compared with")
            && !sentence.contains("items"),
        "{sentence}"
    );
    let slow = Evidence {
        p95_ms: Some(101.0),
        ..alone
    };
    assert_eq!(decided(&slow).0, Decision::NotReady);
}

#[test]
fn a_modelled_time_nearer_to_the_budget_than_the_model_is_good_for_decides_nothing() {
    for (p95, error, expected) in [
        (90.0, Some(0.05), Decision::Ready),
        (90.0, Some(0.2), Decision::NotEnoughItems),
        (110.0, Some(0.2), Decision::NotEnoughItems),
        (110.0, Some(0.05), Decision::NotReady),
        (110.0, None, Decision::NotReady),
    ] {
        let modelled = Evidence {
            p95_ms: Some(p95),
            model_error: error,
            ..evidence()
        };
        let (decision, sentence, _) = decided(&modelled);
        assert_eq!(decision, expected, "{sentence}");
        assert_eq!(
            sentence.contains("--measure run"),
            expected == Decision::NotEnoughItems,
            "{sentence}"
        );
    }
}

#[test]
fn results_without_a_time_cannot_be_within_a_budget() {
    let untimed = Evidence {
        untimed: 3,
        ..evidence()
    };
    let (decision, sentence, _) = decided(&untimed);
    assert_eq!(decision, Decision::NotEnoughItems);
    assert!(
        sentence.contains("of 3 results no time is known"),
        "{sentence}"
    );
    let unlimited = Evidence {
        budget_ms: None,
        ..untimed
    };
    assert_eq!(decided(&unlimited).0, Decision::Ready);
}

#[test]
fn times_that_do_not_count_cannot_meet_a_budget() {
    let void = Evidence {
        p95_ms: None,
        void: Some("the cores fell"),
        ..evidence()
    };
    let (decision, sentence, _) = decided(&void);
    assert_eq!(decision, Decision::NotEnoughItems);
    assert!(
        sentence.contains("the cores fell") && sentence.contains("no time was measured"),
        "{sentence}"
    );
    let unmeasured = Evidence {
        p95_ms: None,
        ..evidence()
    };
    assert_eq!(decided(&unmeasured).0, Decision::NotEnoughItems);
}
