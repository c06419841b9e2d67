//! Records that others wrote: edited, endless, or not files at all.

use crate::support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use curt_ablate::merge;
use curt_ablate::record::{Folder, Line, Measure, Records, Run, read_records};
use curt_ablate::summary::Summary;
use serde_json::{Value, json};
use support::{MadeUp, Nature, error_of, execute, first, lines_of, run_of, whole, write_lines};

const RECORDS: &str = "records.jsonl";

/// Longest that anything here may take: what is refused is refused at once.
const AT_ONCE: Duration = Duration::from_secs(60);

/// Does `work` on a thread of its own; what never ends fails the test in place of hanging it.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, waits) = mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    waits.recv_timeout(AT_ONCE).expect("an end in bounded time")
}

#[test]
fn a_line_that_its_run_cannot_have_written_is_refused() {
    let run = run_of(4, Measure::Replay);
    let whole = lines_of(&run);
    let huge = u64::MAX / 2;
    // Kind of line, arm, field as a JSON pointer, value, what is said.
    let edits: Vec<(&str, &str, &str, Value, &str)> = vec![
        (
            "run",
            "",
            "/version",
            json!(2),
            "version: expected 1, got 2",
        ),
        ("run", "", "/items", json!(huge), "items: expected 1 to"),
        ("run", "", "/items", json!(0), "items: expected 1 to"),
        ("run", "", "/repeats", json!(0), "--repeat: expected 1 to"),
        (
            "run",
            "",
            "/repeats",
            json!(u32::MAX),
            "items × arms × repeats: expected",
        ),
        (
            "run",
            "",
            "/replicates",
            json!(huge),
            "replicates: expected 1 to",
        ),
        ("run", "", "/shard", json!([0, 0]), "--shard: expected 1 to"),
        (
            "run",
            "",
            "/shard",
            json!([3, 2]),
            "--shard: expected 1 to 2, got 3",
        ),
        (
            "run",
            "",
            "/shard",
            json!([1, huge]),
            "--shard: expected 1 to 65536",
        ),
        ("run", "", "/shard", json!([1, 2]), "of shard 1 of 2, got 1"),
        ("run", "", "/arms", json!([]), "at least one arm"),
        (
            "run",
            "",
            "/arms/1/paths",
            json!(huge),
            "paths: expected 1 to 4096",
        ),
        (
            "run",
            "",
            "/candidate",
            json!("nobody"),
            "--candidate: expected one of",
        ),
        (
            "run",
            "",
            "/baseline",
            json!("nobody"),
            "--baseline: expected one of",
        ),
        (
            "run",
            "",
            "/max_accuracy_drop",
            json!(-1.0),
            "--max-accuracy-drop",
        ),
        ("start", "", "/load_ms", json!(-1.0), "load_ms: expected"),
        (
            "item",
            "",
            "/index",
            json!(4),
            "index: expected one of 4 items, got 4",
        ),
        ("sample", "", "/paths", json!([]), "expected 8 paths, got 0"),
        (
            "sample",
            "",
            "/error",
            json!("none"),
            "expected no paths beside an error",
        ),
        (
            "sample",
            "",
            "/paths/0/tokens",
            json!(huge),
            "tokens: expected at most",
        ),
        (
            "sample",
            "",
            "/paths/0/scores",
            json!([0.5]),
            "expected one for each of 4 checks, got 1",
        ),
        (
            "sample",
            "",
            "/checks",
            json!([]),
            "expected the checks of the run's arms",
        ),
        (
            "sample",
            "",
            "/checks/0/pairs",
            json!(huge),
            "pairs: expected at most 64",
        ),
        (
            "sample",
            "",
            "/checks/0/concordant",
            json!(9.0),
            "concordant: expected 0 to",
        ),
        (
            "sample",
            "",
            "/times/decode_ms",
            json!(1e-300),
            "decode_ms: expected 0 or",
        ),
        (
            "sample",
            "",
            "/repeat",
            json!(2),
            "repeat: expected below 2, got 2",
        ),
        (
            "result",
            "stop",
            "/index",
            json!(7),
            "index: expected one of 4 items, got 7",
        ),
        (
            "result",
            "stop",
            "/item",
            json!("item-9"),
            "expected \"item-0\" as before",
        ),
        (
            "result",
            "stop",
            "/group",
            json!("mine"),
            "as before, got Some(\"mine\")",
        ),
        (
            "result",
            "stop",
            "/arm",
            json!("nobody"),
            "arm \"nobody\" is none of the run's",
        ),
        ("result", "stop", "/arm", json!("full"), "stands here twice"),
        (
            "result",
            "stop",
            "/repeat",
            json!(9),
            "repeat: expected below 2",
        ),
        (
            "result",
            "stop",
            "/tokens",
            json!({"launch": huge, "resume": huge}),
            "tokens: expected at most",
        ),
        (
            "result",
            "stop",
            "/unused_tokens",
            json!(huge),
            "tokens: expected at most",
        ),
        (
            "result",
            "stop",
            "/prompt_tokens",
            json!(huge),
            "prompt_tokens: expected at most",
        ),
        (
            "result",
            "stop",
            "/finished",
            json!(9),
            "finished: expected at most 8, got 9",
        ),
        (
            "result",
            "stop",
            "/finished_correct",
            json!(9),
            "finished_correct: expected at most",
        ),
        (
            "result",
            "stop",
            "/derived/row_steps",
            json!(huge),
            "row_steps: expected at most",
        ),
        (
            "result",
            "stop",
            "/derived/launched",
            json!(9),
            "launched: expected at most 8",
        ),
        (
            "result",
            "greedy",
            "/derived",
            json!({"launched": 1, "steps": 1, "row_steps": 1}),
            "expected a result that ran",
        ),
        (
            "result",
            "greedy",
            "/times/total_ms",
            json!(-5.0),
            "total_ms: expected 0 or",
        ),
        (
            "result",
            "greedy",
            "/joules",
            json!({"rail": -5.0}),
            "joules: expected 0 to",
        ),
    ];
    for (kind, arm, field, value, said) in edits {
        let mut lines = whole.clone();
        let line = first(&mut lines, kind, arm);
        match line.pointer_mut(field) {
            Some(there) => *there = value,
            None => line[field.trim_start_matches('/')] = value,
        }
        let dir = tempfile::tempdir().unwrap();
        let file = write_lines(dir.path(), &lines);
        let before = fs::read(&file).unwrap();
        for error in [
            error_of(read_records(dir.path())),
            error_of(Folder::new(dir.path()).open(&run, true)),
        ] {
            assert!(
                error.contains(said),
                "{kind} {arm} {field}: expected {said:?} in {error:?}"
            );
        }
        assert_eq!(
            fs::read(&file).unwrap(),
            before,
            "an edited file was touched"
        );
    }
    let mut lines = whole.clone();
    let result = first(&mut lines, "result", "greedy");
    (result["error"], result["correct"]) = (json!("failed"), json!(true));
    let dir = tempfile::tempdir().unwrap();
    write_lines(dir.path(), &lines);
    assert!(error_of(read_records(dir.path())).contains("expected one that is not right"));
}

#[test]
fn an_edited_run_is_not_taken_up_and_nobody_is_asked() {
    // A sample that lost its paths, and the results that would be derived from it.
    let run = run_of(2, Measure::Replay);
    let mut lines = lines_of(&run);
    first(&mut lines, "sample", "")["paths"] = json!([]);
    lines.retain(|line| line["kind"] != "result");
    let dir = tempfile::tempdir().unwrap();
    write_lines(dir.path(), &lines);
    let mut made_up = MadeUp::new(&run, Nature::Mixed);
    let error = error_of(execute(&run, dir.path(), true, &mut made_up));
    assert!(
        error.contains("expected 8 paths, got 0") && made_up.asked.is_empty(),
        "{error}"
    );
}

#[test]
fn a_byte_order_mark_is_no_letter_of_the_records() {
    let run = run_of(2, Measure::Replay);
    let dir = tempfile::tempdir().unwrap();
    whole(&run, dir.path(), Nature::Mixed);
    let file = dir.path().join(RECORDS);
    let expected = read_records(dir.path()).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    // As PowerShell writes it.
    fs::write(&file, format!("\u{feff}{}", text.replace('\n', "\r\n"))).unwrap();
    assert_eq!(read_records(dir.path()).unwrap(), expected);
    execute(
        &run,
        dir.path(),
        true,
        &mut MadeUp::new(&run, Nature::Mixed),
    )
    .unwrap();
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused_at_once() {
    let run = run_of(2, Measure::Replay);
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let made = std::process::Command::new("mkfifo")
        .arg(at(RECORDS))
        .status()
        .unwrap();
    assert!(made.success());
    let (folder, arms, pipe) = (
        Folder::new(dir.path()),
        at(RECORDS),
        dir.path().to_path_buf(),
    );
    let errors = in_time(move || {
        [
            error_of(read_records(&pipe)),
            error_of(folder.open(&run, true)),
            error_of(curt_ablate::arm::ArmFile::read(&arms)),
            error_of(read_records(Path::new("/dev/zero"))),
        ]
    });
    for error in errors {
        assert!(error.contains("expected a regular file, got a"), "{error}");
    }
    // A pipe where a file is to be written is replaced, not written through.
    fs::remove_file(at(RECORDS)).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(at("summary.json.part"))
        .status()
        .unwrap();
    assert!(made.success());
    let folder = Folder::new(dir.path());
    in_time(move || folder.write("summary.json", b"{}")).unwrap();
    assert_eq!(fs::read(at("summary.json")).unwrap(), b"{}");
    std::os::unix::fs::symlink("nowhere", at(RECORDS)).unwrap();
    let error = error_of(Folder::new(dir.path()).open(&run_of(2, Measure::Replay), false));
    assert!(
        error.contains("cannot be opened") && !at("nowhere").exists(),
        "{error}"
    );
}

/// Packs `parts` of `bytes`, one after the other.
fn packed(file: &Path, parts: usize, bytes: &[u8]) {
    let out = fs::File::create(file).unwrap();
    let mut gz = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
    for _ in 0..parts {
        gz.write_all(bytes).unwrap();
    }
    gz.finish().unwrap();
}

#[test]
fn a_packed_file_that_never_ends_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("records.jsonl.gz");
    // One line of zeros, longer than any that is written.
    packed(&file, 300, &vec![0; 1 << 20]);
    assert!(fs::metadata(&file).unwrap().len() < 4 << 20);
    let read = file.clone();
    let error = in_time(move || error_of(read_records(&read)));
    assert!(error.contains("cannot be read"), "{error}");
    // The same line again and again.
    let run = run_of(2, Measure::Replay);
    let mut text = serde_json::to_vec(&Line::Run(Box::new(run))).unwrap();
    text.push(b'\n');
    packed(&file, 1000, &text);
    let error = error_of(read_records(&file));
    assert!(error.contains("line 2: a second run"), "{error}");
}

/// A finished shard of `run`.
fn shard(run: &Run, shard: (usize, usize)) -> Vec<Value> {
    lines_of(&Run {
        shard: Some(shard),
        ..run.clone()
    })
}

#[test]
fn a_merge_takes_from_each_shard_what_is_its_own() {
    let run = run_of(4, Measure::Replay);
    let merged = |shards: [&[Value]; 2]| {
        let dirs = shards.map(|lines| {
            let dir = tempfile::tempdir().unwrap();
            write_lines(dir.path(), lines);
            dir
        });
        merge(&dirs.each_ref().map(|dir| dir.path()))
    };
    let (one, two) = (shard(&run, (1, 2)), shard(&run, (2, 2)));
    let whole: Records = merged([&one, &two]).unwrap();
    assert!(Summary::of(&whole).complete);

    // A result of the other shard in place of one of its own: as many, and not the same.
    let mut foreign = one.clone();
    let taken = two.iter().find(|line| line["kind"] == "result").unwrap();
    *first(&mut foreign, "result", "") = taken.clone();
    let error = error_of(merged([&foreign, &two]));
    assert!(error.contains("of shard 1 of 2, got 1"), "{error}");

    // Two items of one name.
    let mut renamed = two.clone();
    for line in &mut renamed {
        let text = line.to_string().replace("\"item-1\"", "\"item-0\"");
        *line = serde_json::from_str(&text).unwrap();
    }
    let error = error_of(merged([&one, &renamed]));
    assert!(
        error.contains("item \"item-0\": expected at 0 as before, got 1"),
        "{error}"
    );

    // So many shards that a list of them has no room.
    let mut many = one.clone();
    many[0]["shard"] = json!([1, u64::MAX / 2]);
    let error = error_of(merged([&many, &two]));
    assert!(error.contains("--shard: expected 1 to 65536"), "{error}");
}

#[test]
fn committed_records_are_read_and_say_what_they_said() {
    let records = Path::new(env!("CARGO_MANIFEST_DIR")).join("../records/xeon-2-cores");
    let mut read = 0;
    for entry in fs::read_dir(&records).unwrap() {
        let dir = entry.unwrap().path();
        if !dir.join("records.jsonl.gz").exists() {
            continue;
        }
        let found = read_records(&dir).unwrap();
        assert_eq!(
            found.results.len(),
            found.run.expected_results(),
            "{}",
            dir.display()
        );
        assert!(found.notes.is_empty(), "{:?}", found.notes);
        read += 1;
        // The bootstrap of the larger ones takes a minute each.
        if dir.ends_with("2026-11-28-ablate-word-problems") {
            let summary = serde_json::to_string_pretty(&Summary::of(&found)).unwrap() + "\n";
            let committed = fs::read_to_string(dir.join("summary.json")).unwrap();
            assert!(
                summary == committed,
                "the summary of {} is another",
                dir.display()
            );
        }
    }
    assert_eq!(read, 4);
}
