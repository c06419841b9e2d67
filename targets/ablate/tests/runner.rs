//! The runner: records, resume, refusals, and what is bad in a workload or a machine.

mod support;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use curt_ablate::record::{Folder, Line, Measure, Run, Sink, Writer, read_records};
use curt_ablate::summary::Summary;
use curt_ablate::verdict::Decision;
use curt_ablate::{Error, merge, run};
use support::{MadeUp, Nature, asked, items, run_of, timeless};

const RECORDS: &str = "records.jsonl";

/// Runs all of `run` into `dir`; the questions that were asked.
fn execute(
    run: &Run,
    dir: &Path,
    resume: bool,
    made_up: &mut MadeUp<'_>,
) -> curt_ablate::Result<()> {
    let items = items(run.items);
    let (shard, shards) = run.shard.unwrap_or((1, 1));
    let asked: Vec<_> = asked(&items)
        .into_iter()
        .filter(|a| a.index % shards == shard - 1)
        .collect();
    run::run(run, &asked, &Folder::new(dir), resume, made_up, &mut |_| {})
}

fn whole(run: &Run, dir: &Path, nature: Nature) -> Summary {
    execute(run, dir, false, &mut MadeUp::new(run, nature)).unwrap();
    Summary::of(&read_records(dir).unwrap())
}

fn error_of<T: std::fmt::Debug>(result: curt_ablate::Result<T>) -> String {
    result.unwrap_err().to_string()
}

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
fn another_run_is_refused_and_said_to_differ() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_of(2, Measure::Replay);
    whole(&run, dir.path(), Nature::Mixed);
    let mut fewer_arms = run.arms.clone();
    fewer_arms.pop();
    let mut other_keep = run.arms.clone();
    other_keep[2].paths = 7;
    let others = [
        (
            Run {
                package_fingerprint: "ab".into(),
                ..run.clone()
            },
            "package fingerprint: was \"aa\", is \"ab\"",
        ),
        (
            Run {
                workload_digest: "ab".into(),
                ..run.clone()
            },
            "workload digest: was",
        ),
        (
            Run {
                seed: 1,
                ..run.clone()
            },
            "seed: was 0, is 1",
        ),
        (
            Run {
                repeats: 3,
                ..run.clone()
            },
            "repeats: was 2, is 3",
        ),
        (
            Run {
                arms: fewer_arms,
                ..run.clone()
            },
            "arms: was greedy,full",
        ),
        (
            Run {
                arms: other_keep,
                ..run.clone()
            },
            "arm fewer: was {",
        ),
        (
            Run {
                heads: [("stop".to_string(), "dd".to_string())].into(),
                ..run.clone()
            },
            "heads stop: was \"cc\", is \"dd\"",
        ),
        (
            Run {
                curt: "0.0.1".into(),
                ..run.clone()
            },
            "curt: was \"0.0.0\"",
        ),
    ];
    for (other, said) in others {
        let error = error_of(execute(
            &other,
            dir.path(),
            true,
            &mut MadeUp::new(&other, Nature::Mixed),
        ));
        assert!(
            error.contains(said) && error.contains("cannot be resumed"),
            "{error}"
        );
    }
    let error = error_of(execute(
        &run,
        dir.path(),
        false,
        &mut MadeUp::new(&run, Nature::Mixed),
    ));
    assert!(
        error.contains("--resume") && error.contains("records of an earlier run"),
        "{error}"
    );
}

#[test]
fn two_runs_into_one_folder_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_of(2, Measure::Replay);
    let folder = Folder::new(dir.path());
    let _writing = folder.open(&run, false).unwrap();
    let error = error_of(Folder::new(dir.path()).open(&run, true));
    assert!(error.contains("another run is writing here"), "{error}");
}

/// A disk with so many bytes left.
#[derive(Debug)]
struct Disk {
    left: usize,
    written: Vec<u8>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let fits = bytes.len().min(self.left);
        self.left -= fits;
        self.written.extend_from_slice(&bytes[..fits]);
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Disk {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_said_and_what_was_written_can_be_resumed() {
    let run = run_of(2, Measure::Replay);
    let line = Line::Run(Box::new(run.clone()));
    let length = serde_json::to_vec(&line).unwrap().len() + 1;
    let mut writer = Writer::new(
        PathBuf::from("records.jsonl"),
        Disk {
            left: length + 40,
            written: Vec::new(),
        },
    );
    writer.append(&line).unwrap();
    let error = writer.append(&line).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert!(error.to_string().contains("--resume"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(RECORDS), &writer.into_inner().written).unwrap();
    execute(
        &run,
        dir.path(),
        true,
        &mut MadeUp::new(&run, Nature::Mixed),
    )
    .unwrap();
    assert!(Summary::of(&read_records(dir.path()).unwrap()).complete);
}

#[test]
fn a_line_that_is_no_record_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_of(2, Measure::Replay);
    whole(&run, dir.path(), Nature::Mixed);
    let file = dir.path().join(RECORDS);
    let text = fs::read_to_string(&file).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines[3] = "{}";
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    assert!(error_of(read_records(dir.path())).contains("line 4: expected a record"));
    lines[3] = lines[4];
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    assert!(error_of(read_records(dir.path())).contains("twice"));
    fs::write(&file, "").unwrap();
    assert!(error_of(read_records(dir.path())).contains("got nothing"));
}

#[test]
fn shards_make_the_run_that_was_not_sharded() {
    let one = tempfile::tempdir().unwrap();
    let run = run_of(7, Measure::Replay);
    whole(&run, one.path(), Nature::Mixed);
    let shards: Vec<tempfile::TempDir> = (1..=3)
        .map(|shard| {
            let dir = tempfile::tempdir().unwrap();
            whole(
                &Run {
                    shard: Some((shard, 3)),
                    ..run.clone()
                },
                dir.path(),
                Nature::Mixed,
            );
            dir
        })
        .collect();
    let places: Vec<&Path> = shards.iter().map(tempfile::TempDir::path).collect();
    let merged = merge(&[places[2], places[0], places[1]]).unwrap();
    assert_eq!(
        timeless(merged.clone()),
        timeless(read_records(one.path()).unwrap())
    );
    let out = tempfile::tempdir().unwrap();
    merged.write(out.path(), false).unwrap();
    let again = Summary::of(&read_records(out.path()).unwrap());
    assert_eq!(again, Summary::of(&merged));
    assert!(again.complete);
    assert!(matches!(
        merged.write(out.path(), true),
        Err(Error::Occupied { .. })
    ));

    assert!(error_of(merge(&places[..2])).contains("missing of 3: 3"));
    assert!(error_of(merge(&[places[0], places[0], places[1]])).contains("both shard 1 of 3"));
    let other = tempfile::tempdir().unwrap();
    whole(
        &Run {
            shard: Some((3, 3)),
            seed: 9,
            ..run.clone()
        },
        other.path(),
        Nature::Mixed,
    );
    let error = error_of(merge(&[places[0], places[1], other.path()]));
    assert!(error.contains("seed: was 0, is 9"), "{error}");
    let unfinished = tempfile::tempdir().unwrap();
    let third = Run {
        shard: Some((3, 3)),
        ..run.clone()
    };
    let mut dying = MadeUp::new(&third, Nature::Mixed);
    dying.dies_at = Some(3);
    execute(&third, unfinished.path(), false, &mut dying).unwrap_err();
    let error = error_of(merge(&[places[0], places[1], unfinished.path()]));
    assert!(error.contains("finish it with --resume"), "{error}");
}

#[test]
fn records_without_paths_say_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_of(6, Measure::Replay);
    let summary = whole(&run, dir.path(), Nature::Mixed);
    let out = tempfile::tempdir().unwrap();
    read_records(dir.path())
        .unwrap()
        .without_paths()
        .write(out.path(), true)
        .unwrap();
    let small = read_records(out.path()).unwrap();
    assert_eq!(Summary::of(&small), summary);
    assert!(small.items.is_empty());
    let texts = |records: &curt_ablate::record::Records| {
        serde_json::to_string(&records.samples)
            .unwrap()
            .contains("script")
    };
    assert!(!texts(&small) && texts(&read_records(dir.path()).unwrap()));
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
    dead.unreachable = 4..100;
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

#[test]
fn one_answer_that_did_not_come_is_a_failed_item() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = run_of(6, Measure::Run);
    run.arms.retain(|arm| arm.name == "full");
    run.candidate = "full".into();
    let mut shaky = MadeUp::new(&run, Nature::Mixed);
    shaky.unreachable = 4..5;
    execute(&run, dir.path(), false, &mut shaky).unwrap();
    assert_eq!(
        Summary::of(&read_records(dir.path()).unwrap())
            .arm("full")
            .unwrap()
            .failed,
        1
    );
}
