//! The folder of a run: what is compared before it is taken up or merged, and what a file there may be.

use crate::support;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use curt_ablate::record::{Folder, Line, Measure, Run, Sink, Writer, read_records};
use curt_ablate::summary::Summary;
use curt_ablate::{Error, merge, run};
use support::{MadeUp, Nature, asked, error_of, execute, items, run_of, timeless, whole};

const RECORDS: &str = "records.jsonl";

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
        (
            Run {
                onnxruntime: Some("1.0.0".into()),
                ..run.clone()
            },
            "onnxruntime: was \"0\", is \"1.0.0\"",
        ),
        (
            Run {
                max_kv_bytes: Some(4096),
                ..run.clone()
            },
            "max kv bytes: was null, is 4096",
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
fn records_that_do_not_say_their_runtime_are_taken_up_with_a_note() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_of(2, Measure::Replay);
    let old = Run {
        onnxruntime: None,
        ..run.clone()
    };
    whole(&old, dir.path(), Nature::Mixed);
    let limited = Run {
        max_kv_bytes: Some(4096),
        ..run.clone()
    };
    let (writer, earlier) = Folder::new(dir.path()).open(&limited, true).unwrap();
    let notes = earlier.unwrap().notes;
    assert!(
        notes.len() == 1 && notes[0].contains("do not say their ONNX Runtime"),
        "{notes:?}"
    );
    drop(writer);

    let shards = [1, 2].map(|shard| {
        let dir = tempfile::tempdir().unwrap();
        let of = if shard == 1 { &old } else { &run };
        let sharded = Run {
            shard: Some((shard, 2)),
            ..of.clone()
        };
        whole(&sharded, dir.path(), Nature::Mixed);
        dir
    });
    let places = shards.each_ref().map(|dir| dir.path());
    assert_eq!(merge(&places).unwrap().notes, notes);
    let other = Run {
        onnxruntime: Some("1".into()),
        shard: Some((1, 2)),
        ..run.clone()
    };
    let dir = tempfile::tempdir().unwrap();
    whole(&other, dir.path(), Nature::Mixed);
    let error = error_of(merge(&[dir.path(), places[1]]));
    assert!(
        error.contains("onnxruntime: was \"1\", is \"0\""),
        "{error}"
    );
}

#[test]
fn a_file_that_is_not_of_records_is_left_as_it_is() {
    let run = run_of(2, Measure::Replay);
    for foreign in ["my notes", "\n", "{\"kind\":\"item\"", "my\nnotes\n"] {
        for resume in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join(RECORDS);
            fs::write(&file, foreign).unwrap();
            let error = error_of(Folder::new(dir.path()).open(&run, resume));
            assert!(error.contains("choose another --out"), "{error}");
            assert_eq!(fs::read_to_string(&file).unwrap(), foreign);
        }
    }
}

#[test]
fn records_cut_within_a_line_are_read_to_the_line_before() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_of(3, Measure::Replay);
    whole(&run, dir.path(), Nature::Mixed);
    let all = read_records(dir.path()).unwrap();
    assert!(all.notes.is_empty());
    let file = dir.path().join(RECORDS);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 9]).unwrap();
    let cut = read_records(dir.path()).unwrap();
    assert_eq!(cut.results, all.results[..all.results.len() - 1]);
    assert!(
        cut.notes[0].contains("last line is cut short"),
        "{:?}",
        cut.notes
    );
    assert!(error_of(merge(&[dir.path()])).contains("finish it with --resume"));
}

#[test]
fn the_folder_is_held_until_the_writer_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_of(2, Measure::Replay);
    let items = items(2);
    let folder = Folder::new(dir.path());
    let mut made_up = MadeUp::new(&run, Nature::Mixed);
    let mut writer = run::run(
        &run,
        &asked(&items),
        &folder,
        false,
        &mut [&mut made_up],
        &mut |_| {},
    )
    .unwrap();
    let error = error_of(folder.open(&run, true));
    assert!(error.contains("another run is writing here"), "{error}");
    assert_eq!(writer.records().unwrap(), read_records(dir.path()).unwrap());
    drop(writer);
    folder.open(&run, true).unwrap();
}

#[test]
fn a_folder_that_goes_away_ends_the_run() {
    for replace in [false, true] {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("out");
        let run = run_of(4, Measure::Replay);
        let items = items(4);
        let mut made_up = MadeUp::new(&run, Nature::Mixed);
        let mut results = 0;
        let error = error_of(run::run(
            &run,
            &asked(&items),
            &Folder::new(&dir),
            false,
            &mut [&mut made_up],
            &mut |progress| {
                if matches!(progress, run::Progress::Result(_)) {
                    results += 1;
                }
                if results == 5 && replace {
                    fs::rename(&dir, parent.path().join("elsewhere")).unwrap();
                    fs::create_dir(&dir).unwrap();
                    fs::write(dir.join(RECORDS), "").unwrap();
                } else if results == 5 {
                    fs::remove_dir_all(&dir).unwrap();
                }
            },
        ));
        assert!(error.contains("removed, moved or replaced"), "{error}");
        // The next line notices.
        assert_eq!(results, 5);
    }
}

#[test]
fn records_of_other_items_are_not_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_of(3, Measure::Replay);
    whole(&run, dir.path(), Nature::Mixed);
    let file = dir.path().join(RECORDS);
    let text = fs::read_to_string(&file).unwrap();
    for (was, is) in [("\"item-2\"", "\"item-9\""), ("\"group-1\"", "\"group-9\"")] {
        fs::write(&file, text.replace(was, is)).unwrap();
        let mut made_up = MadeUp::new(&run, Nature::Mixed);
        let error = error_of(execute(&run, dir.path(), true, &mut made_up));
        assert!(
            error.contains("cannot be resumed") && error.contains("item 2: was"),
            "{error}"
        );
        assert!(made_up.asked.is_empty());
    }
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

    fn is_still(&self, _: &Path) -> bool {
        true
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
