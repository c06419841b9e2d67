//! The runner: resumed where it was cut, and what is bad in a workload or a machine.

use crate::support;

use std::fs;

use curt_ablate::record::{Measure, Run, read_records};
use curt_ablate::run::Unreachable;
use curt_ablate::summary::Summary;
use curt_ablate::verdict::Decision;
use support::{MadeUp, Nature, error_of, execute, run_of, timeless, whole};

const RECORDS: &str = "records.jsonl";

#[test]
fn cut_anywhere_and_resumed_it_is_the_uninterrupted_run() {
    for measure in [Measure::Replay, Measure::Run] {
        let dir = tempfile::tempdir().unwrap();
        let run = run_of(5, measure);
        whole(&run, dir.path(), Nature::Mixed);
        let bytes = fs::read(dir.path().join(RECORDS)).unwrap();
        let expected = timeless(read_records(dir.path()).unwrap());
        let all = expected.results.len();
        // Cuts within lines and between them.
        let ends = bytes
            .iter()
            .enumerate()
            .filter(|(_, b)| **b == b'\n')
            .map(|(at, _)| at + 1);
        let cuts: Vec<usize> = ends
            .chain((0..bytes.len()).step_by(bytes.len() / 40))
            .collect();
        for cut in cuts {
            let cut_dir = tempfile::tempdir().unwrap();
            fs::write(cut_dir.path().join(RECORDS), &bytes[..cut]).unwrap();
            let left = bytes[..cut].iter().filter(|b| **b == b'\n').count();
            let finished = match left {
                0 => 0,
                _ => read_records_of(&bytes[..cut]),
            };
            let mut made_up = MadeUp::new(&run, Nature::Mixed);
            execute(&run, cut_dir.path(), true, &mut made_up).unwrap();
            let got = timeless(read_records(cut_dir.path()).unwrap());
            assert_eq!(got, expected, "cut at {cut}");
            let answers = made_up
                .asked
                .iter()
                .filter(|(arm, _, _)| !arm.is_empty())
                .count();
            assert!(
                answers <= all - finished,
                "cut at {cut}: {answers} asked, {finished} of {all} were there"
            );
        }
    }
}

/// Results in whole lines.
fn read_records_of(bytes: &[u8]) -> usize {
    let text = String::from_utf8_lossy(bytes);
    let whole = text.rfind('\n').map_or("", |at| &text[..at]);
    whole
        .lines()
        .filter(|line| line.contains("\"kind\":\"result\""))
        .count()
}

#[test]
fn a_finished_run_is_not_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_of(3, Measure::Replay);
    whole(&run, dir.path(), Nature::Mixed);
    let before = fs::read(dir.path().join(RECORDS)).unwrap();
    let mut made_up = MadeUp::new(&run, Nature::Mixed);
    execute(&run, dir.path(), true, &mut made_up).unwrap();
    assert!(made_up.asked.is_empty());
    assert_eq!(fs::read(dir.path().join(RECORDS)).unwrap(), before);
}

#[test]
fn records_hold_the_prompt_that_was_asked() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_of(3, Measure::Replay);
    whole(&run, dir.path(), Nature::Mixed);
    let items = read_records(dir.path()).unwrap().items;
    let ids: Vec<Vec<u32>> = items.into_iter().map(|item| item.prompt_ids).collect();
    assert_eq!(ids, [[1, 0], [1, 1], [1, 2]]);
}

#[test]
fn all_right_and_all_wrong_have_figures_and_no_ranking() {
    for (nature, note) in [
        (Nature::AllRight, "right on every item"),
        (Nature::AllWrong, "wrong on every item"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let summary = whole(&run_of(4, Measure::Replay), dir.path(), nature);
        let json = serde_json::to_string(&summary).unwrap();
        // serde_json writes NaN and infinities as null, and an absent figure not at all.
        let figures = &json[json
            .find("\"arms\":[{\"name\":\"greedy\",\"about\"")
            .unwrap()..];
        let figures = &figures[figures.find("\"results\"").unwrap()..];
        assert!(!figures.contains("null"), "{figures}");
        assert!(
            summary.notes.iter().any(|n| n.contains(note)),
            "{:?}",
            summary.notes
        );
        assert!(
            summary.notes.iter().any(|n| n.contains("cannot be judged")),
            "{:?}",
            summary.notes
        );
        assert!(
            summary
                .signals
                .iter()
                .all(|signal| signal.auroc_within_question.is_none())
        );
        let difference = summary.arm("stop").unwrap().difference.as_ref().unwrap();
        assert_eq!((difference.mean, difference.p), (0.0, 1.0));
        // Nothing differs, and four items are still too few to say that nothing is lost.
        assert_eq!(summary.verdict.decision, Decision::NotEnoughItems);
        assert!(
            summary.verdict.more_items.is_some_and(|more| more > 100),
            "{:?}",
            summary.verdict
        );
    }
}

#[test]
fn answers_that_never_parse_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let summary = whole(&run_of(3, Measure::Replay), dir.path(), Nature::Silent);
    let full = summary.arm("full").unwrap();
    assert_eq!((full.results, full.without_answer, full.failed), (6, 6, 0));
    assert!(
        summary
            .notes
            .iter()
            .any(|n| n.contains("gave no answer that the pattern finds")),
        "{:?}",
        summary.notes
    );
}

#[test]
fn items_that_fail_are_counted_as_wrong_and_never_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_of(8, Measure::Replay);
    let summary = whole(&run, dir.path(), Nature::FailingFrom(6));
    for arm in &summary.arms {
        assert_eq!((arm.results, arm.failed), (16, 4), "{}", arm.name);
        assert_eq!(arm.failures[0].1, 4);
    }
    assert!(summary.complete);
    assert!(
        summary
            .notes
            .iter()
            .any(|n| n.contains("4 of 16 failed and count as wrong")),
        "{:?}",
        summary.notes
    );
}

#[test]
fn an_arm_that_fails_from_the_first_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_of(30, Measure::Replay);
    let error = error_of(execute(
        &run,
        dir.path(),
        false,
        &mut MadeUp::new(&run, Nature::Failing),
    ));
    assert!(
        error.contains("10 failures in a row") && error.contains("context 8"),
        "{error}"
    );
}

#[test]
fn one_item_has_figures_and_no_interval() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run {
        repeats: 1,
        ..run_of(1, Measure::Replay)
    };
    let summary = whole(&run, dir.path(), Nature::Mixed);
    assert_eq!(summary.units, 1);
    assert!(
        summary
            .arm("stop")
            .unwrap()
            .difference
            .as_ref()
            .unwrap()
            .one_sided
            .is_none()
    );
    assert_eq!(summary.verdict.decision, Decision::NotEnoughItems);
    assert!(
        summary.verdict.sentence.contains("at least two items"),
        "{}",
        summary.verdict.sentence
    );
}

#[test]
fn what_nobody_answers_is_asked_again_by_a_resumed_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = run_of(6, Measure::Run);
    run.arms.retain(|arm| arm.name == "full");
    run.candidate = "full".into();
    let mut dead = MadeUp::new(&run, Nature::Mixed);
    dead.unreachable = (4..100).collect();
    let error = error_of(execute(&run, dir.path(), false, &mut dead));
    assert!(
        error.contains("5 failures in a row, the last: nobody answers"),
        "{error}"
    );
    assert_eq!(read_records(dir.path()).unwrap().results.len(), 4);
    let mut alive = MadeUp::new(&run, Nature::Mixed);
    execute(&run, dir.path(), true, &mut alive).unwrap();
    assert_eq!(alive.asked.len(), 8);
    assert_eq!(
        Summary::of(&read_records(dir.path()).unwrap())
            .arm("full")
            .unwrap()
            .failed,
        0
    );
}

/// A run of one arm, whose fifth question of twelve nobody answers, and, `twice`, neither when it is asked again.
fn shaky(
    twice: bool,
    why: Unreachable,
) -> (tempfile::TempDir, Run, curt_ablate::Result<()>, usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut run = run_of(6, Measure::Run);
    run.arms.retain(|arm| arm.name == "full");
    run.candidate = "full".into();
    let mut shaky = MadeUp::new(&run, Nature::Mixed);
    (shaky.unreachable, shaky.why) = (vec![4], why);
    if twice {
        // The twelve, and then this one once more.
        shaky.unreachable.push(12);
    }
    let ended = execute(&run, dir.path(), false, &mut shaky);
    let asked = shaky.asked.len();
    (dir, run, ended, asked)
}

#[test]
fn a_question_that_nobody_answered_is_asked_once_more() {
    let failed = |dir: &tempfile::TempDir| {
        let summary = Summary::of(&read_records(dir.path()).unwrap());
        (summary.complete, summary.arm("full").unwrap().failed)
    };
    for why in [Unreachable::NotAsked, Unreachable::NoAnswer] {
        let (dir, _, ended, asked) = shaky(false, why);
        ended.unwrap();
        assert_eq!((failed(&dir), asked), ((true, 0), 13));
    }
    // Asked twice, and no answer: that is the arm's failure.
    let (dir, _, ended, _) = shaky(true, Unreachable::NoAnswer);
    ended.unwrap();
    assert_eq!(failed(&dir), (true, 1));
    // It could not be asked: whether it would be right, nobody knows.
    let (dir, run, ended, _) = shaky(true, Unreachable::NotAsked);
    let error = error_of(ended);
    let said = "arm full: 1 questions could not be asked, the last: nobody answers";
    assert!(
        error.contains(said) && error.contains("--resume"),
        "{error}"
    );
    assert_eq!(failed(&dir), (false, 0));
    execute(
        &run,
        dir.path(),
        true,
        &mut MadeUp::new(&run, Nature::Mixed),
    )
    .unwrap();
    assert_eq!(failed(&dir), (true, 0));
}

#[test]
fn an_arm_that_never_answered_ends_a_run_however_short() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_of(2, Measure::Replay);
    for resume in [false, true] {
        let mut made_up = MadeUp::new(&run, Nature::Failing);
        let error = error_of(execute(&run, dir.path(), resume, &mut made_up));
        assert!(
            error.contains("4 failures in a row, the last: the prompt has 9 tokens"),
            "{error}"
        );
        assert_eq!(made_up.asked.is_empty(), resume);
    }
}

#[test]
fn a_dead_servers_items_wait_for_the_server_whoever_else_answers() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = run_of(6, Measure::Run);
    run.arms
        .retain(|arm| ["greedy", "full"].contains(&arm.name.as_str()));
    run.candidate = "greedy".into();
    let mut dead = MadeUp::new(&run, Nature::Mixed);
    dead.dead_arm = Some("full");
    let error = error_of(execute(&run, dir.path(), false, &mut dead));
    assert!(
        error.contains("arm full: 5 failures in a row, the last: nobody answers"),
        "{error}"
    );
    let left = read_records(dir.path()).unwrap().results;
    assert!(!left.is_empty() && left.iter().all(|record| record.arm == "greedy"));
    execute(
        &run,
        dir.path(),
        true,
        &mut MadeUp::new(&run, Nature::Mixed),
    )
    .unwrap();
    let records = read_records(dir.path()).unwrap();
    assert!(records.results.iter().all(|record| record.error.is_none()));
    assert!(Summary::of(&records).complete);
}

#[test]
fn an_arm_that_nobody_ever_answered_is_no_failed_item_of_a_short_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = run_of(1, Measure::Run);
    run.arms
        .retain(|arm| ["greedy", "full"].contains(&arm.name.as_str()));
    run.candidate = "greedy".into();
    let mut dead = MadeUp::new(&run, Nature::Mixed);
    dead.dead_arm = Some("full");
    let error = error_of(execute(&run, dir.path(), false, &mut dead));
    assert!(error.contains("arm full: 2 failures in a row"), "{error}");
    assert_eq!(read_records(dir.path()).unwrap().results.len(), 2);
}

#[test]
fn a_resumed_run_remembers_how_its_arms_fared() {
    let mut run = run_of(30, Measure::Run);
    run.repeats = 1;
    run.arms.retain(|arm| arm.name == "full");
    run.candidate = "full".into();
    // Failing from the first: the ten are counted over both lives.
    let dir = tempfile::tempdir().unwrap();
    let mut killed = MadeUp::new(&run, Nature::Failing);
    killed.dies_at = Some(6);
    execute(&run, dir.path(), false, &mut killed).unwrap_err();
    let mut again = MadeUp::new(&run, Nature::Failing);
    let error = error_of(execute(&run, dir.path(), true, &mut again));
    assert!(error.contains("10 failures in a row"), "{error}");
    assert_eq!(again.asked.len(), 4);
    // Failing from the third: an arm that has answered is not given up, in the second life neither.
    let dir = tempfile::tempdir().unwrap();
    let mut killed = MadeUp::new(&run, Nature::FailingFrom(2));
    killed.dies_at = Some(4);
    execute(&run, dir.path(), false, &mut killed).unwrap_err();
    let mut again = MadeUp::new(&run, Nature::FailingFrom(2));
    execute(&run, dir.path(), true, &mut again).unwrap();
    assert_eq!(again.asked.len(), 26);
}
