//! Runs that must say the same: derived and run, side by side and one at a time, two check points and one.

use std::fs;

use serde_json::Value;

use super::{ablate, figures, succeeds, timeless};
use crate::support::{curt, library_or_skip};

#[test]
fn what_is_derived_is_what_runs() {
    if !library_or_skip("what_is_derived_is_what_runs") {
        return;
    }
    // f32 weights and one thread: rows do not depend on their batch on any machine that CI has.
    let arms = [
        "--limit",
        "6",
        "--arms",
        "greedy,full,fewer,random,confidence,stop,stop-twice,stop+early-vote,early-vote,short-m",
    ];
    let (derived, ran) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    succeeds(&mut ablate(derived.path(), &arms));
    succeeds(ablate(ran.path(), &arms).args(["--measure", "run"]));
    let exact: Value =
        serde_json::from_slice(&fs::read(derived.path().join("summary.json")).unwrap()).unwrap();
    if exact["tokens_exact"] == false {
        eprintln!(
            "rows depend on their batch here: derived tokens are approximate, and are not compared"
        );
        return;
    }
    assert_eq!(figures(derived.path()), figures(ran.path()));
    let arms = exact["arms"].as_array().unwrap();
    let right = |arm: &Value| arm["accuracy"]["mean"].as_f64().unwrap() > 0.0;
    assert!(
        arms.iter().any(right),
        "nobody is right: nothing was compared"
    );
    let unused = |name: &str| {
        let arm = arms.iter().find(|arm| arm["name"] == name).unwrap();
        arm["tokens"]["unused"].as_f64().unwrap()
    };
    for arm in ["stop", "stop-twice", "stop+early-vote"] {
        assert!(
            unused(arm) > 0.0,
            "{arm} drops nothing: it compares nothing"
        );
    }
}

#[test]
fn items_side_by_side_say_what_one_at_a_time_says() {
    if !library_or_skip("items_side_by_side_say_what_one_at_a_time_says") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let arms = ["--limit", "6", "--arms", "greedy,full,stop"];
    succeeds(&mut ablate(&at("one"), &arms));
    let said = succeeds(ablate(&at("two"), &arms).args(["--jobs", "2"]));
    assert!(said.contains("2 items were asked side by side"), "{said}");
    let without_jobs = |name: &str| {
        let mut summary = timeless(&at(name));
        // Two engines share the processor's cores.
        for of_jobs in ["jobs", "threads"] {
            summary["run"].as_object_mut().unwrap().remove(of_jobs);
        }
        summary["notes"]
            .as_array_mut()
            .unwrap()
            .retain(|note| !note.as_str().unwrap().contains("--jobs"));
        summary
    };
    assert_eq!(without_jobs("two"), without_jobs("one"));
}

#[test]
fn one_check_point_and_two_are_compared_in_one_run() {
    if !library_or_skip("one_check_point_and_two_are_compared_in_one_run") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let lists = ["--check-at", "32", "--check-at", "16,32", "--keep", "2"];
    let options = [
        "--limit",
        "1",
        "--paths",
        "8",
        "--arms",
        "full,stop,stop-twice",
    ];
    succeeds(
        curt(&[
            "ablate",
            "--workload",
            "models/workloads/reasoner",
            "--package",
            "models/packages/reasoner",
        ])
        .args(lists)
        .args(options)
        .arg("--out")
        .arg(dir.path()),
    );
    let arms = timeless(dir.path())["run"]["arms"].clone();
    let checks = |place: usize| {
        let checks = arms[place]["checks"].as_array().unwrap().iter();
        checks
            .map(|c| (c["at"].as_u64().unwrap(), c["keep"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (checks(1), checks(2)),
        (vec![(32, 2)], vec![(16, 4), (32, 2)])
    );
    let help = succeeds(&mut curt(&["ablate", "--help"]));
    for named in [
        "[[arm]]",
        "signal = \"head:stop\"",
        "--check-at 36 --check-at 16,36",
        "OPENAI_API_KEY",
    ] {
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(named), "{named:?} in {help}");
    }
}
