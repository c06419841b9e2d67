//! `curt workload`, as a person and a script meet it.

use crate::support;

use std::fs;
use std::process::Output;

use support::{curt, text};

fn run(args: &[&str]) -> Output {
    curt(&[&["workload"], args].concat()).output().unwrap()
}

#[test]
fn check_says_what_is_in_a_workload() {
    let output = run(&["check", "models/workloads/word-problems"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    for line in [
        "word-problems (MIT OR Apache-2.0, made by models/recipes/word_problems, seed 1)\n",
        "  train     960 items, 466 groups\n",
        "  held out  400 items, 224 groups\n",
        "  scorer    numeric\n",
        "  digest    ",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    assert_eq!(told.lines().count(), 6, "nothing to warn of: {told}");
}

#[test]
fn check_lists_every_problem_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("w.csv");
    fs::write(&file, "question,answer\n1?,\n,2\n").unwrap();
    let prompt = dir.path().join("p.toml");
    fs::write(&prompt, "").unwrap();
    let (file, prompt) = (file.to_str().unwrap(), prompt.to_str().unwrap());
    let output = run(&["check", file, "--prompt", prompt]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let told = text(&output.stderr);
    let lines: Vec<&str> = told.lines().collect();
    let expected = [
        format!("{file}:2: has no answer: write the right answer, or a list of all that are right"),
        format!("{file}:3: has no question: write what the model is asked"),
        format!("curt: {file}: 2 problems"),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn check_says_what_a_workload_without_parts_or_pattern_cannot_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("w.jsonl");
    fs::write(&file, "{\"question\": \"1?\", \"answer\": 1}\n").unwrap();
    let prompt = dir.path().join("p.toml");
    fs::write(&prompt, "").unwrap();
    let output = run(&[
        "check",
        file.to_str().unwrap(),
        "--prompt",
        prompt.to_str().unwrap(),
    ]);
    let told = text(&output.stdout);
    assert!(
        told.contains("no pattern: the whole text is the answer, and paths cannot vote"),
        "{told}"
    );
    assert!(
        told.ends_with("no train part: it can be measured on, and no head can be trained on it\n"),
        "{told}"
    );
}

#[test]
fn import_makes_a_workload_that_check_accepts() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let out = out.to_str().unwrap();
    let layouts = "models/workloads/tests/layouts";
    let output = run(&[
        "import",
        "--format",
        "gsm8k",
        &format!("{layouts}/gsm8k"),
        out,
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert!(
        told.starts_with(&format!(
            "{out}: 1 items to train on, 2 held out\n1 of the train part left out"
        )),
        "{told}"
    );
    assert!(run(&["check", out]).status.success());

    let again = run(&[
        "import",
        "--format",
        "gsm8k",
        &format!("{layouts}/gsm8k"),
        out,
    ]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        text(&again.stderr).contains("expected a folder that is not there yet"),
        "{}",
        text(&again.stderr)
    );
    let wrong = run(&[
        "import",
        "--format",
        "math",
        &format!("{layouts}/gsm8k"),
        &format!("{out}2"),
    ]);
    assert!(
        text(&wrong.stderr).contains("problem: expected a text, got nothing"),
        "{}",
        text(&wrong.stderr)
    );
}
