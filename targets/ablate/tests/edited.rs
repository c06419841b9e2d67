//! Records whose lines contradict each other, or lack some.

use serde_json::{Value, json};

use curt_ablate::merge;
use curt_ablate::record::{Measure, read_records};
use curt_ablate::summary::Summary;
use curt_ablate::verdict::Decision;

use crate::support::{error_of, first, lines_of, run_of, write_lines};

/// What is said of `lines`: an error, or the notes of reading and of the figures.
fn said(lines: &[Value]) -> Result<String, String> {
    let dir = tempfile::tempdir().unwrap();
    write_lines(dir.path(), lines);
    let merged = merge(&[dir.path()]).map_err(|error| error.to_string());
    match read_records(dir.path()) {
        Err(error) => {
            assert!(merged.is_err(), "merged what cannot be read");
            Err(error.to_string())
        }
        Ok(records) => {
            let figures = Summary::of(&records);
            Ok([records.notes.join("\n"), figures.notes.join("\n")].join("\n"))
        }
    }
}

#[test]
fn a_result_that_its_paths_do_not_give_is_refused() {
    for measure in [Measure::Replay, Measure::Run] {
        let run = run_of(4, measure);
        let whole = lines_of(&run);
        let said_of_it = said(&whole).unwrap();
        assert!(!said_of_it.contains("edited"), "{said_of_it}");
        for (place, line) in whole
            .iter()
            .enumerate()
            .filter(|(_, l)| l["kind"] == "result")
        {
            let flipped = json!(!line["correct"].as_bool().unwrap());
            let answered = line["answer"].is_string();
            let mut lines = whole.clone();
            lines[place]["correct"] = flipped;
            let error = said(&lines).unwrap_err();
            assert!(
                !answered || error.contains("expected a path with its answer that is"),
                "{error}"
            );
            let mut lines = whole.clone();
            lines[place]["answer"] = json!("12345");
            // Paths of arms that ran have no answers in these records.
            if line["derived"].is_object() {
                assert!(
                    said(&lines)
                        .unwrap_err()
                        .contains("expected a path with its answer")
                );
            }
        }
        let mut lines = whole.clone();
        let result = first(&mut lines, "result", "full");
        let finished = result["finished"].as_u64().unwrap();
        let right = result["finished_correct"].as_u64().unwrap();
        result["finished_correct"] = json!(if right == 0 { finished } else { 0 });
        assert!(said(&lines).unwrap_err().contains("paths that finished"));
    }
}

#[test]
fn a_sample_whose_figures_are_not_those_of_its_paths_is_refused() {
    let whole = lines_of(&run_of(4, Measure::Replay));
    let mut lines = whole.clone();
    let sample = first(&mut lines, "sample", "");
    sample["checks"][0]["concordant"] = json!(0.0);
    assert!(said(&lines).unwrap_err().contains("pairs in the order"));
    // One path the other way round is one rank the other way round.
    let mut lines = whole.clone();
    let path = &mut first(&mut lines, "sample", "")["paths"][0];
    path["correct"] = json!(!path["correct"].as_bool().unwrap());
    said(&lines).unwrap_err();
    // A result without its sample.
    let mut lines = whole.clone();
    let place = lines
        .iter()
        .position(|line| line["kind"] == "sample")
        .unwrap();
    lines.remove(place);
    assert!(
        said(&lines)
            .unwrap_err()
            .contains("expected its sample before")
    );
    let mut lines = whole;
    first(&mut lines, "result", "stop")["derived"]["launched"] = json!(0);
    assert!(
        said(&lines)
            .unwrap_err()
            .contains("launched: expected 1 to 8")
    );
}

#[test]
fn an_answer_that_is_right_here_and_wrong_there_is_said() {
    let mut lines = lines_of(&run_of(4, Measure::Run));
    // One answer in two results of a question, of which one is right.
    let of = |line: &Value, correct: bool| line["kind"] == "result" && line["correct"] == correct;
    let right = lines.iter().find(|line| of(line, true)).unwrap().clone();
    let other = |line: &&mut Value| of(line, false) && line["index"] == right["index"];
    lines.iter_mut().find(other).unwrap()["answer"] = right["answer"].clone();
    let notes = said(&lines).unwrap();
    assert!(
        notes.contains("right in one line and wrong in another"),
        "{notes}"
    );
    assert!(notes.contains("lines were edited"), "{notes}");

    let mut lines = lines_of(&run_of(4, Measure::Replay));
    let wrong = |line: &&mut Value| line["kind"] == "result" && line["correct"] == json!(false);
    let (index, answer) = {
        let line = lines.iter_mut().find(wrong).unwrap();
        (line["index"].clone(), line["answer"].clone())
    };
    let item = |line: &&mut Value| line["kind"] == "item" && line["index"] == index;
    lines.iter_mut().find(item).unwrap()["answer"] = json!([answer]);
    let notes = said(&lines).unwrap();
    assert!(
        notes.contains("word for word, and count as wrong"),
        "{notes}"
    );
}

#[test]
fn results_that_are_missing_are_counted_and_no_verdict_is_ready_without_them() {
    let mut run = run_of(40, Measure::Replay);
    run.max_accuracy_drop = 100.0;
    let whole = lines_of(&run);
    let figures = |lines: &[Value]| {
        let dir = tempfile::tempdir().unwrap();
        write_lines(dir.path(), lines);
        (
            Summary::of(&read_records(dir.path()).unwrap()),
            error_of_merging(dir.path()),
        )
    };
    let (all, _) = figures(&whole);
    assert_eq!(
        all.verdict.decision,
        Decision::Ready,
        "{}",
        all.verdict.sentence
    );
    // What an interrupted run leaves: whole questions, and one that is not.
    let end = whole.len() - 3;
    let (cut, refused) = figures(&whole[..end]);
    assert!(!cut.complete);
    assert!(
        cut.notes[0].contains("results are there"),
        "{:?}",
        cut.notes
    );
    assert!(
        cut.notes[0].contains("missing are 1 of 80 of"),
        "{:?}",
        cut.notes
    );
    assert!(
        !cut.notes.iter().any(|note| note.contains("no comparison")),
        "{:?}",
        cut.notes
    );
    assert!(refused.contains("finish it with --resume"), "{refused}");
    // The candidate's results of ten questions are gone.
    let gone = |line: &Value| {
        line["kind"] == "result" && line["arm"] == "stop" && line["index"].as_u64() < Some(10)
    };
    let kept: Vec<Value> = whole.iter().filter(|line| !gone(line)).cloned().collect();
    assert!(whole.len() - kept.len() >= 10);
    let (picked, _) = figures(&kept);
    let notes = picked.notes.join("\n");
    assert!(notes.contains("of 80 of stop"), "{notes}");
    assert!(
        notes.contains("lines were taken out, and no comparison"),
        "{notes}"
    );
    assert_eq!(picked.verdict.decision, Decision::NotEnoughItems);
    assert!(
        picked
            .verdict
            .sentence
            .contains("only one of the two has a result")
    );
}

fn error_of_merging(dir: &std::path::Path) -> String {
    match merge(&[dir]) {
        Ok(_) => String::new(),
        error => error_of(error),
    }
}
