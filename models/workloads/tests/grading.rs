//! What each scorer calls right, and what a command may do.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use curt_workload::{Item, Part, Scorer, Workload};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A workload of one held-out item.
fn workload(scorer: &str, pattern: bool, item: &Value) -> (TempDir, Workload) {
    let dir = tempfile::tempdir().unwrap();
    let pattern = if pattern {
        "answer_pattern = 'is (.*)'"
    } else {
        ""
    };
    let manifest = format!("name = \"t\"\nscorer = {scorer}\n[prompt]\n{pattern}\n");
    fs::write(dir.path().join("workload.toml"), manifest).unwrap();
    fs::write(dir.path().join("held_out.jsonl"), item.to_string()).unwrap();
    let workload = Workload::open(dir.path(), None).unwrap();
    (dir, workload)
}

fn item(workload: &Workload) -> &Item {
    &workload.part(Part::HeldOut)[0]
}

/// Grades `given` as what the pattern found, for an item with these answers.
fn right(scorer: &str, answer: Value, given: &str) -> bool {
    let fields = json!({"id": "a", "question": "?", "answer": answer, "choices": ["red", "blue"]});
    let (_dir, workload) = workload(scorer, true, &fields);
    workload
        .grade(item(&workload), Some(given), "the whole text")
        .unwrap()
}

#[test]
fn exact_compares_the_text_white_space_apart() {
    for (answer, given, want) in [
        (json!("36, 63"), "36,  63 ", true),
        (json!("36, 63"), "36,63", false),
        (json!("Red"), "red", false),
        (json!(["red", "scarlet"]), "scarlet", true),
        (json!(13), "13", true),
        (json!("13"), "13.0", false),
    ] {
        assert_eq!(
            right("\"exact\"", answer.clone(), given),
            want,
            "{answer} {given}"
        );
    }
    assert!(right(
        "{ kind = \"exact\", ignore_case = true }",
        json!("Red"),
        "rED"
    ));
}

#[test]
fn numbers_are_graded_exactly() {
    for (answer, given, want) in [
        (
            json!("123456789012345678901"),
            "123456789012345678902",
            false,
        ),
        (json!("1e400"), "1e400", true),
        (json!("1e400"), "1e401", false),
        (json!("0.3"), "0.30000000000000004", false),
        (json!("1/2"), "0.5", true),
        (json!("1/3"), "0.333333333333333333", false),
    ] {
        assert_eq!(
            right("\"numeric\"", answer.clone(), given),
            want,
            "{answer} {given}"
        );
    }
    let tolerant = "{ kind = \"numeric\", tolerance = 0.3 }";
    assert!(right(tolerant, json!("13"), "13.3"));
    // Written as a number, its digits are kept.
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("workload.toml"),
        "name = \"t\"\nscorer = \"numeric\"\n[prompt]\nanswer_pattern = 'is (.*)'\n",
    )
    .unwrap();
    fs::write(
        dir.path().join("held_out.jsonl"),
        r#"{"id": 1, "question": 2, "answer": [123456789012345678901, 1e400, 2.50]}"#,
    )
    .unwrap();
    let workload = Workload::open(dir.path(), None).unwrap();
    assert_eq!(
        item(&workload).answer,
        ["123456789012345678901", "1e400", "2.50"]
    );
    assert!(
        !workload
            .grade(item(&workload), Some("123456789012345678900"), "")
            .unwrap()
    );
}

#[test]
fn numeric_compares_the_number() {
    for (scorer, given, want) in [
        ("\"numeric\"", "13.0", true),
        ("\"numeric\"", "13.001", false),
        ("\"numeric\"", "13 apples", true),
        ("\"numeric\"", "13 or 14", false),
        ("{ kind = \"numeric\", tolerance = 0.5 }", "13.5", true),
        ("{ kind = \"numeric\", tolerance = 0.5 }", "12.4", false),
    ] {
        assert_eq!(right(scorer, json!("13"), given), want, "{scorer} {given}");
    }
}

#[test]
fn choice_contains_and_regex() {
    for (scorer, answer, given, want) in [
        ("\"choice\"", json!("B"), "blue", true),
        ("\"choice\"", json!("blue"), "(b)", true),
        ("\"choice\"", json!("blue"), "A", false),
        ("\"choice\"", json!("blue"), "green", false),
        ("\"contains\"", json!("red"), "it was RED, I think", true),
        ("\"contains\"", json!("red"), "it was bored", false),
        ("\"contains\"", json!("dark  red"), "a dark red kite", true),
        ("\"contains\"", json!("5"), "it is 1.5", false),
        ("\"contains\"", json!("1000"), "it is $1,000", true),
        ("\"choice\"", json!("B"), "B. blue.", true),
        ("\"choice\"", json!("B"), "**B**", true),
        ("\"choice\"", json!("A. red"), "red.", true),
        ("\"regex\"", json!("^1[0-9]$"), "13", true),
        ("\"regex\"", json!("^1[0-9]$"), "130", false),
    ] {
        assert_eq!(
            right(scorer, answer.clone(), given),
            want,
            "{scorer} {answer} {given}"
        );
    }
}

#[test]
fn a_path_without_an_answer_is_wrong_unless_its_whole_text_is_looked_at() {
    let fields = json!({"id": "a", "question": "?", "answer": "13"});
    let grade = |scorer: &str, pattern: bool, text: &str| {
        let (_dir, workload) = workload(scorer, pattern, &fields);
        workload.grade(item(&workload), None, text).unwrap()
    };
    assert!(!grade("\"exact\"", true, "13"), "the pattern found nothing");
    assert!(
        grade("\"exact\"", false, " 13\n"),
        "no pattern: the text is the answer"
    );
    assert!(!grade("\"numeric\"", true, "13"));
    assert!(grade("\"numeric\"", false, "13."));
    assert!(grade("\"contains\"", true, "So 13 it is"));
    assert!(grade("\"regex\"", true, "So 13 it is"));
}

#[test]
fn an_item_may_name_its_own_scorer() {
    let fields = json!({"id": "a", "question": "?", "answer": "13", "scorer": {"kind": "numeric", "tolerance": 1}});
    let (_dir, workload) = workload("\"exact\"", true, &fields);
    assert_eq!(
        item(&workload).scorer,
        Some(Scorer::Numeric { tolerance: 1.0 })
    );
    assert!(workload.grade(item(&workload), Some("14"), "").unwrap());
}

#[cfg(unix)]
mod command {
    use super::*;

    /// Grades with this shell script.
    fn grade(script: &str, timeout_s: f64) -> Result<bool, String> {
        let scorer = format!(
            "{{ kind = \"command\", argv = [\"sh\", \"grade.sh\"], timeout_s = {timeout_s} }}"
        );
        let fields = json!({"id": "a", "group": "g", "question": "1 + 1?", "answer": ["2", "two"]});
        let (dir, workload) = workload(&scorer, true, &fields);
        fs::write(dir.path().join("grade.sh"), script).unwrap();
        let graded = workload.grade(item(&workload), Some("2"), "it is 2");
        graded.map_err(|e| e.to_string())
    }

    #[test]
    fn the_status_says_right_or_wrong_and_the_item_is_on_standard_input() {
        assert_eq!(grade("exit 0", 10.0), Ok(true));
        assert_eq!(grade("exit 1", 10.0), Ok(false));
        let asked = r#"{"id":"a","group":"g","question":"1 + 1?","image":null,"choices":[],"answer":["2","two"],"found":"2","text":"it is 2"}"#;
        assert_eq!(
            grade(&format!("test \"$(cat)\" = '{asked}'"), 10.0),
            Ok(true)
        );
    }

    #[test]
    fn it_runs_in_the_workloads_folder() {
        assert_eq!(grade("test -f workload.toml", 10.0), Ok(true));
    }

    #[test]
    fn another_status_is_a_failure_with_what_it_said() {
        assert_eq!(
            grade("echo no such table >&2; exit 3", 10.0),
            Err("item a: command scorer: sh ended with exit status: 3, and only 0 (right) and 1 (wrong) are answers: no such table".into())
        );
        let killed = grade("kill -9 $$", 10.0).unwrap_err();
        assert!(killed.contains("sh ended with signal: 9"), "{killed}");
    }

    #[test]
    fn one_that_hangs_is_ended_with_what_it_started() {
        let marker = tempfile::tempdir().unwrap();
        let file = marker.path().join("late");
        let started = Instant::now();
        let hung = grade(
            &format!("(sleep 1; touch {}) & sleep 30", file.display()),
            0.2,
        );
        assert_eq!(
            hung,
            Err("item a: command scorer: sh was ended after 0.2 s; raise timeout_s if it needs longer".into())
        );
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{:?}",
            started.elapsed()
        );
        std::thread::sleep(Duration::from_millis(1500));
        assert!(!file.exists(), "what the program had started went on");
    }

    #[test]
    fn one_that_writes_without_end_is_ended() {
        let error = grade("exec cat /dev/zero >&2", 60.0).unwrap_err();
        assert!(error.contains("bytes on standard error"), "{error}");
    }

    #[test]
    fn what_it_leaves_behind_is_ended_and_what_it_says_is_no_command_to_a_terminal() {
        let marker = tempfile::tempdir().unwrap();
        let file = marker.path().join("late");
        let script = format!("(sleep 1; touch {}) & exit 0", file.display());
        assert_eq!(grade(&script, 10.0), Ok(true));
        std::thread::sleep(Duration::from_millis(1500));
        assert!(!file.exists(), "what the program had started went on");
        let error = grade("printf 'a\\033[2Jb' >&2; exit 3", 10.0).unwrap_err();
        assert!(error.ends_with("a [2Jb"), "{error}");
    }

    #[test]
    fn one_that_reads_nothing_or_writes_much_does_no_harm() {
        // More than a pipe holds, on both sides.
        let scorer = "{ kind = \"command\", argv = [\"sh\", \"-c\", \"head -c 300000 /dev/zero >&2; exit 0\"] }";
        let fields = json!({"id": "a", "question": "?", "answer": "2"});
        let (_dir, workload) = workload(scorer, true, &fields);
        assert!(
            workload
                .grade(item(&workload), Some("2"), &"x".repeat(300_000))
                .unwrap()
        );
    }

    #[test]
    fn one_that_is_not_there_is_told() {
        let fields = json!({"id": "a", "question": "?", "answer": "2"});
        let (dir, workload) =
            workload("{ kind = \"command\", argv = [\"./none\"] }", true, &fields);
        let error = workload
            .grade(item(&workload), Some("2"), "")
            .unwrap_err()
            .to_string();
        let program = dir.path().join(Path::new("./none"));
        let start = format!(
            "item a: command scorer: {} does not start: ",
            program.display()
        );
        assert!(
            error.starts_with(&start) && error.ends_with("; check argv"),
            "{error}"
        );
    }
}
