//! What is made of records: reports, and shards that are merged.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::{ablate, figures, files, refused, succeeds};
use crate::support::{curt, library_or_skip, text};

#[test]
fn a_report_replaces_nothing_that_it_was_not_told_to() {
    if !library_or_skip("a_report_replaces_nothing_that_it_was_not_told_to") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let arms = ["--limit", "3", "--arms", "full,confidence,early-vote"];
    succeeds(&mut ablate(&at("a"), &arms));
    succeeds(ablate(&at("b"), &arms).args(["--seed", "1"]));
    let before = files(&at("a"));
    let report = |options: &[&str], place: &str| {
        let mut command = curt(&["ablate", "report"]);
        command.args(options).arg(at(place));
        command
    };

    let shown = succeeds(&mut report(&[], "a"));
    assert!(shown.contains("confidence"), "{shown}");
    succeeds(&mut report(&["--candidate", "early-vote"], "a"));
    let beside = ["--format", "files", "--candidate", "early-vote"];
    refused(&report(&beside, "a").output().unwrap(), "give --out DIR");
    refused(
        &report(&["--candidate", "early-vote"], "a")
            .arg("--out")
            .arg(at("a"))
            .output()
            .unwrap(),
        "give --out DIR",
    );
    refused(
        &report(&[], "b").arg("--out").arg(at("a")).output().unwrap(),
        "without records of its own",
    );
    refused(
        &report(&["--format", "json"], "b")
            .arg("--out")
            .arg(at("c"))
            .output()
            .unwrap(),
        "only --format files writes files",
    );
    for more in [&[][..], &["--without-paths"]] {
        refused(
            &curt(&["ablate", "merge", "--out"])
                .arg(at("a"))
                .arg(at("b"))
                .args(more)
                .output()
                .unwrap(),
            "holds 9 records of an earlier run",
        );
    }
    assert!(files(&at("a")) == before, "a file in a was touched");

    succeeds(
        report(&["--candidate", "early-vote"], "a")
            .arg("--out")
            .arg(at("d")),
    );
    let other: Value =
        serde_json::from_slice(&fs::read(at("d").join("summary.json")).unwrap()).unwrap();
    assert_eq!(other["run"]["candidate"], "early-vote");

    // Records without texts, beside a page that has them.
    succeeds(
        curt(&["ablate", "merge", "--without-paths", "--out"])
            .arg(at("small"))
            .arg(at("a")),
    );
    let before = files(&at("small"));
    refused(
        &report(&["--format", "files"], "small").output().unwrap(),
        "shows paths and their texts",
    );
    assert!(files(&at("small")) == before);
    succeeds(report(&[], "small").arg("--out").arg(at("e")));
}

#[test]
fn shards_are_merged_and_packed() {
    if !library_or_skip("shards_are_merged_and_packed") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let arms = ["--limit", "5", "--arms", "full,confidence"];
    succeeds(&mut ablate(&at("one"), &arms));
    for shard in ["1", "2"] {
        succeeds(ablate(&at(shard), &arms).args(["--shard", &format!("{shard}/2")]));
    }
    succeeds(
        curt(&["ablate", "merge", "--without-paths", "--out"])
            .arg(at("merged"))
            .arg(at("2"))
            .arg(at("1")),
    );
    assert_eq!(figures(&at("merged")), figures(&at("one")));
    let again = curt(&["ablate", "merge", "--out"])
        .arg(at("merged"))
        .args([at("1"), at("2")])
        .output()
        .unwrap();
    refused(&again, "of an earlier run: choose another --out");
    // Read and written again, a number is what it was to the last digit.
    succeeds(
        curt(&["ablate", "merge", "--out"])
            .arg(at("whole"))
            .arg(at("1"))
            .arg(at("2")),
    );
    let results = |name: &str| -> BTreeSet<String> {
        let records = fs::read_to_string(at(name).join("records.jsonl")).unwrap();
        let marks = ["{\"kind\":\"sample\"", "{\"kind\":\"result\""];
        let results = records
            .lines()
            .filter(|line| marks.iter().any(|m| line.starts_with(m)));
        results.map(str::to_owned).collect()
    };
    let drawn: BTreeSet<String> = results("1").union(&results("2")).cloned().collect();
    assert_eq!(drawn.len(), 5 + 10);
    assert_eq!(results("whole"), drawn);
    let readme = succeeds(
        curt(&["ablate", "report", "--format", "readme"])
            .arg(at("merged").join("records.jsonl.gz")),
    );
    assert!(readme.starts_with("| arm | accuracy, %"), "{readme}");
    let svg = succeeds(
        curt(&["ablate", "report", "--format", "svg"]).arg(at("merged").join("records.jsonl.gz")),
    );
    // A file of its own: what a browser needs to take it for a picture, and every arm in it.
    assert!(
        svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""),
        "{svg}"
    );
    for part in [
        "--candidate:",
        ">full</text>",
        ">confidence</text>",
        "</svg>",
    ] {
        assert!(svg.contains(part), "{part}: {svg}");
    }
    let shown = |arms: &str, format: &str| {
        curt(&["ablate", "report", "--arms", arms, "--format", format])
            .arg(at("merged").join("records.jsonl.gz"))
            .output()
            .unwrap()
    };
    let svg = text(&shown("confidence", "svg").stdout);
    assert!(svg.contains(">confidence</text>") && !svg.contains(">full</text>"));
    refused(
        &shown("confidence,stop", "readme"),
        "(full, confidence), got \"stop\"",
    );
    refused(&shown("full", "files"), "files hold every arm");
    let alone = curt(&["ablate", "merge", "--out"])
        .arg(at("none"))
        .arg(at("1"))
        .output()
        .unwrap();
    refused(&alone, "missing of 2: 2");
}
