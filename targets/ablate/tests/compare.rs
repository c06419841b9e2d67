//! Two runs held against each other.

use std::path::{Path, PathBuf};

use curt_ablate::record::read_records;
use curt_ablate::summary::Summary;
use curt_ablate::{AFTER, BEFORE, Error, compare};

fn record(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../records/xeon-2-cores")
        .join(name)
}

fn words() -> PathBuf {
    record("2026-11-28-ablate-word-problems")
}

#[test]
fn a_run_differs_in_nothing_from_itself() {
    let joined = compare([&words(), &words()], "stop").unwrap();
    let summary = Summary::of(&joined);
    let [before, after] = [BEFORE, AFTER].map(|arm| summary.arm(arm).unwrap());
    assert_eq!(before.results, 400);
    assert_eq!(before.accuracy, after.accuracy);
    assert_eq!(joined.run.baseline, BEFORE);
    let own = Summary::of(&read_records(&words()).unwrap());
    assert_eq!(own.arm("stop").unwrap().accuracy, after.accuracy);
}

/// Of a run that was cut short, the questions that it has; and each is its own control.
#[test]
fn questions_that_both_asked_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let mut records = read_records(&words()).unwrap();
    records.results.retain(|result| result.index < 40);
    let mut lost = 0;
    for result in &mut records.results {
        if result.arm == "stop" && result.correct && lost < 7 {
            result.correct = false;
            lost += 1;
        }
    }
    let mut joined = compare([&words(), &words()], "stop").unwrap();
    joined.results.retain(|result| result.index < 40);
    records.samples.retain(|sample| sample.index < 40);
    records.items.retain(|item| item.index < 40);
    records.write(dir.path(), true).unwrap();
    let changed = compare([&words(), dir.path()], "stop").unwrap();
    assert_eq!(changed.results.len(), 80);
    assert!(
        changed.notes.iter().any(|note| note.contains("left out")),
        "{:?}",
        changed.notes
    );
    let of = |records, arm: &str| {
        Summary::of(records)
            .arm(arm)
            .unwrap()
            .accuracy
            .clone()
            .unwrap()
            .mean
    };
    let drop = of(&joined, AFTER) - of(&changed, AFTER);
    assert!((drop - 7.0 / 40.0).abs() < 1e-9, "{drop}");
    assert_eq!(of(&joined, BEFORE), of(&changed, BEFORE));
}

#[test]
fn runs_of_other_questions_are_refused() {
    let other = record("2026-11-27-ablate-reasoner");
    let refused = compare([&words(), &other], "stop").unwrap_err();
    assert!(refused.to_string().contains("workload"), "{refused}");
    let unknown = compare([&words(), &words()], "nobody").unwrap_err();
    assert!(matches!(&unknown, Error::Option { .. }), "{unknown}");
    assert!(unknown.to_string().contains("greedy"), "{unknown}");
}
