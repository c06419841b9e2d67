//! `curt collect` as it is killed and gone on with.

use crate::support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{curt, library_or_skip, text};

const ITEMS: usize = 8;
const PATHS: usize = 4;

/// A workload for the shipped package, and a folder to collect to.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("workload");
        fs::create_dir(&folder).unwrap();
        fs::write(
            folder.join("workload.toml"),
            "name = \"machines\"\nlicence = \"MIT OR Apache-2.0\"\nscorer = \"exact\"\n\n[prompt]\n\
             answer_pattern = 'Answer: ([0-9, ]+)'\n\n[prompt.sampling]\ntemperature = 1.0\nmin_p = 0.02\n\
             max_tokens = 200\n",
        )
        .unwrap();
        let fed = [1, 4, 7, 12, 2, 3, 11, 8, 9];
        let items: Vec<String> = (0..ITEMS)
            .map(|i| {
                let (times, plus) = (2 + i % 4, 3 + i);
                let out = |x: usize| (x * times + plus).to_string();
                let answer: Vec<String> = fed.iter().map(|&x| out(x)).collect();
                format!(
                    "{{\"id\": \"m{i}\", \"group\": \"{times} {plus}\", \"question\": \"A machine turns 6 into {} and 5 \
                     into {}. It is fed {}. What comes out?\", \"answer\": \"{}\"}}\n",
                    out(6),
                    out(5),
                    fed.map(|x| x.to_string()).join(", "),
                    answer.join(", ")
                )
            })
            .collect();
        fs::write(folder.join("train.jsonl"), items.concat()).unwrap();
        fs::write(folder.join("held_out.jsonl"), "").unwrap();
        Self { dir }
    }

    fn command(&self, out: &str, extra: &[&str]) -> Command {
        let workload = self.dir.path().join("workload");
        let out = self.dir.path().join(out);
        let paths = PATHS.to_string();
        let mut args = vec![
            "collect",
            "--workload",
            workload.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
            "--threads",
            "1",
        ];
        if !extra.contains(&"--paths") {
            args.extend(["--paths", &paths]);
        }
        args.extend(extra);
        let mut command = curt(&args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn collect(&self, out: &str, extra: &[&str]) -> Output {
        self.command(out, extra).output().unwrap()
    }

    fn lines(&self, out: &str) -> Vec<u8> {
        fs::read(self.file(out)).unwrap_or_default()
    }

    fn file(&self, out: &str) -> PathBuf {
        self.dir.path().join(out).join("paths.jsonl")
    }
}

#[test]
fn a_killed_collection_goes_on_where_it_was() {
    if !library_or_skip("a_killed_collection_goes_on_where_it_was") {
        return;
    }
    let bench = Bench::new();
    let whole = bench.collect("whole", &[]);
    assert!(whole.status.success(), "{}", text(&whole.stderr));
    assert!(
        text(&whole.stderr).contains("loading "),
        "silent while it loads"
    );
    let wanted = bench.lines("whole");
    let parsed: Vec<Value> = text(&wanted)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(parsed.len(), ITEMS * PATHS);
    let correct = parsed.iter().filter(|p| p["correct"] == true).count();
    assert!(0 < correct && correct < parsed.len(), "{correct} right");
    for path in &parsed {
        let count = path["tokens"].as_array().unwrap().len();
        assert_eq!(path["logprobs"].as_array().unwrap().len(), count);
        assert!(path["rate"].is_null());
    }

    // Killed after the first bytes, in the middle and near the end, on one folder; the rest of it is then collected.
    let mut resumed = 0;
    for share in [0.0, 0.3, 0.5, 0.8] {
        let mut child = bench.command("killed", &[]).spawn().unwrap();
        let enough = (wanted.len() as f64 * share) as usize;
        let clock = Instant::now();
        while bench.lines("killed").len() <= enough && clock.elapsed() < Duration::from_secs(120) {
            std::thread::sleep(Duration::from_millis(2));
        }
        // SIGKILL on Unix: nothing of the process runs after it.
        child.kill().unwrap();
        child.wait().unwrap();
        let there = bench.lines("killed");
        assert!(wanted.starts_with(&there), "a prefix after {share}");
        resumed += usize::from(there.len() < wanted.len());
    }
    assert!(resumed >= 3, "killed before it was done: {resumed} of 4");
    let rest = bench.collect("killed", &[]);
    assert!(rest.status.success(), "{}", text(&rest.stderr));
    assert!(text(&rest.stdout).contains("from before"));
    assert_eq!(bench.lines("killed"), wanted, "byte for byte");

    // Whatever byte the file ends at.
    let ends: Vec<usize> = wanted
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'\n')
        .map(|(at, _)| at + 1)
        .collect();
    let item = ends[5 * PATHS - 1];
    for cut in [
        1,
        item - 1,
        item,
        item + 1,
        ends[5 * PATHS],
        ends[5 * PATHS] + 40,
    ] {
        fs::write(bench.file("killed"), &wanted[..cut]).unwrap();
        assert!(bench.collect("killed", &[]).status.success());
        assert_eq!(bench.lines("killed"), wanted, "cut at byte {cut}");
    }

    // A line taken out of the middle: its item is redone, at the end.
    let mut damaged = wanted.clone();
    damaged.drain(ends[PATHS]..ends[PATHS + 1]);
    fs::write(bench.file("killed"), &damaged).unwrap();
    assert!(bench.collect("killed", &[]).status.success());
    let mended = bench.lines("killed");
    let (first, moved) = wanted.split_at(ends[PATHS - 1]);
    let (second, others) = moved.split_at(ends[2 * PATHS - 1] - ends[PATHS - 1]);
    assert_eq!(mended, [first, others, second].concat());
}

#[test]
fn several_jobs_write_what_one_does() {
    if !library_or_skip("several_jobs_write_what_one_does") {
        return;
    }
    let bench = Bench::new();
    for (out, jobs) in [("one", "1"), ("three", "3")] {
        let output = bench.collect(out, &["--jobs", jobs]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let lines = bench.lines("one");
    assert!(!lines.is_empty());
    assert_eq!(bench.lines("three"), lines);
    let none = bench.collect("none", &["--jobs", "100000"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(
        text(&none.stderr).contains("1 to 256"),
        "{}",
        text(&none.stderr)
    );
}

#[test]
fn the_cache_read_while_paths_are_drawn_is_the_rebuilt_one() {
    if !library_or_skip("the_cache_read_while_paths_are_drawn_is_the_rebuilt_one") {
        return;
    }
    let bench = Bench::new();
    let at = ["--check-at", "9,150"];
    let live = [&at[..], &["--jobs", "2"]].concat();
    let in_parts = [&at[..], &["--limit", "5"]].concat();
    // Drawn with it; drawn without it and rebuilt; half and half, with a kill between a line and its means.
    let runs: [(&str, &[&[&str]]); 3] = [
        ("live", &[&live]),
        ("rebuilt", &[&[], &at]),
        ("both", &[&["--limit", "2"], &in_parts, &at]),
    ];
    for (out, commands) in runs {
        for extra in commands {
            let output = bench.collect(out, extra);
            assert!(output.status.success(), "{}", text(&output.stderr));
            if extra == &in_parts {
                let means = bench.dir.path().join(out).join("features/means-9.f16");
                let whole = fs::read(&means).unwrap();
                fs::write(&means, &whole[..whole.len() - 50]).unwrap();
            }
        }
    }
    let read = |out: &str, at: &str| {
        let file = bench.dir.path().join(out).join("features").join(at);
        fs::read(file).unwrap()
    };
    for at in ["means-9.f16", "means-150.f16"] {
        let live = read("live", at);
        // A digest of what it is, and digests and numbers of the items.
        assert!(live.len() > ITEMS * PATHS * 64, "{}", live.len());
        assert!(live == read("rebuilt", at), "{at}: rebuilt");
        assert!(live == read("both", at), "{at}: rebuilt and live");
    }
    // After what the file is, which says where: digests of the items, and numbers.
    assert!(read("live", "means-9.f16")[32..] != read("live", "means-150.f16")[32..]);
}

#[test]
fn paths_of_a_picture_part_after_the_perception() {
    if !library_or_skip("paths_of_a_picture_part_after_the_perception") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let collect = |out: &str, extra: &[&str]| {
        let out = dir.path().join(out);
        let mut args = vec![
            "collect",
            "--package",
            "models/packages/vqa",
            "--workload",
            "models/workloads/vqa",
            "--paths",
            "3",
            "--limit",
            "4",
            "--out",
            out.to_str().unwrap(),
        ];
        args.extend(extra);
        curt(&args).output().unwrap()
    };
    let at = ["--check-at", "4,12"];
    for (out, commands) in [("live", &[&at[..]][..]), ("rebuilt", &[&[], &at])] {
        for extra in commands {
            let output = collect(out, extra);
            assert!(output.status.success(), "{}", text(&output.stderr));
        }
    }
    let read = |out: &str, file: &str| fs::read(dir.path().join(out).join(file)).unwrap();
    assert!(read("live", "paths.jsonl") == read("rebuilt", "paths.jsonl"));
    for file in ["features/means-4.f16", "features/means-12.f16"] {
        let [live, rebuilt] = ["live", "rebuilt"].map(|out| read(out, file));
        assert_eq!(live.len(), rebuilt.len());
        assert_eq!(live[..32], rebuilt[..32], "what it is");
        // The perception was drawn token by token and is prefilled here, and this package's products round what they
        // multiply to 8 bits, each block by its largest: one step of 127, here and there.
        let item = (live.len() - 32) / 4;
        for (live, rebuilt) in live[32..]
            .chunks_exact(item)
            .zip(rebuilt[32..].chunks_exact(item))
        {
            assert_eq!(live[..32], rebuilt[..32], "of which item");
            let numbers = |bytes: &[u8]| -> Vec<f64> {
                bytes[32..]
                    .chunks_exact(2)
                    .map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f64())
                    .collect()
            };
            let (live, rebuilt) = (numbers(live), numbers(rebuilt));
            let apart: f64 = live
                .iter()
                .zip(&rebuilt)
                .map(|(a, b)| (a - b).powi(2))
                .sum();
            let size: f64 = live.iter().map(|a| a.powi(2)).sum();
            let apart = (apart / size).sqrt();
            assert!(apart < 2.0 / 127.0, "{file}: {apart}");
        }
    }
    let settings = text(&read("live", "collect.toml"));
    assert!(settings.contains("format = \"full\""), "{settings}");
    let lines = text(&read("live", "paths.jsonl"));
    let paths: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(paths.len(), 4 * 3);
    // The image's 64 places, and behind them what all paths have in common: the tag of the perception, 300.
    let prompt: Vec<u64> = serde_json::from_value(paths[0]["prompt"].clone()).unwrap();
    let image = prompt.iter().rposition(|&id| id == 5).unwrap();
    assert_eq!(prompt.iter().filter(|&&id| id == 5).count(), 64);
    assert!(prompt[image..].contains(&300), "{prompt:?}");
    let own: Vec<u64> = serde_json::from_value(paths[0]["tokens"].clone()).unwrap();
    assert!(!own.contains(&300) && own.contains(&302), "{own:?}");
    let refused = collect("rolled", &["--prefix", "4", "--rollouts", "2"]);
    let error = text(&refused.stderr);
    assert!(
        error.contains("--rollouts") && error.contains("formats"),
        "{error}"
    );
}

#[test]
fn a_folder_begun_otherwise_is_refused() {
    if !library_or_skip("a_folder_begun_otherwise_is_refused") {
        return;
    }
    let bench = Bench::new();
    let refused = |extra: &[&str], wanted: &[&str]| {
        let output = bench.collect("out", extra);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        for part in wanted {
            assert!(error.contains(part), "expected {part:?} in {error:?}");
        }
    };
    refused(&["--paths", "1"], &["--paths", "at least 2"]);
    refused(
        &["--prefix", "0", "--rollouts", "2"],
        &["--prefix", "from 1 token"],
    );
    refused(&["--check-at", "0"], &["--check-at", "from 1 token"]);
    let output = bench.collect("out", &["--limit", "1"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let before = bench.lines("out");
    refused(&["--seed", "7"], &["seed was 0", "is 7 now", "--out"]);
    refused(&["--paths", "3"], &["paths was 4", "is 3 now"]);
    refused(
        &[
            "--package",
            "models/recipes/reference/packages/tiny-llama-int8",
        ],
        &["package, package_fingerprint was \"reasoner\""],
    );
    assert_eq!(bench.lines("out"), before, "a refusal writes nothing");

    let other = fs::read_to_string(bench.dir.path().join("workload/workload.toml")).unwrap();
    fs::write(
        bench.dir.path().join("workload/workload.toml"),
        other.replace("temperature = 1.0", "temperature = 0.5"),
    )
    .unwrap();
    refused(
        &[],
        &["sampling.temperature", "1.0", "0.5", "workload_digest"],
    );

    // Another ONNX Runtime may draw other tokens.
    let settings = bench.dir.path().join("out/collect.toml");
    let recorded = fs::read_to_string(&settings).unwrap();
    fs::write(bench.dir.path().join("workload/workload.toml"), &other).unwrap();
    let edited: String = recorded
        .lines()
        .map(|line| match line.starts_with("onnxruntime = ") {
            true => "onnxruntime = \"1.0.0\"\n".into(),
            false => format!("{line}\n"),
        })
        .collect();
    assert_ne!(edited, recorded);
    fs::write(&settings, edited).unwrap();
    refused(&["--limit", "1"], &["onnxruntime was \"1.0.0\""]);
    fs::write(&settings, &recorded).unwrap();

    let held = fs::File::open(bench.file("out")).unwrap();
    held.lock().unwrap();
    refused(&["--limit", "1"], &["another process is writing"]);
    drop(held);

    // A damaged line that a kill cannot explain.
    let lines = text(&before);
    let (first, rest) = lines.split_once('\n').unwrap();
    fs::write(bench.file("out"), format!("{first}\n{{}}\n{rest}")).unwrap();
    refused(&["--limit", "1"], &["line 2", "curt collect"]);
    fs::write(bench.file("out"), format!("{first}\n{first}\n{rest}")).unwrap();
    refused(&["--limit", "1"], &["each path once", "path 0 twice"]);
}

#[test]
fn paths_are_not_thrown_away_because_their_settings_are_lost() {
    if !library_or_skip("paths_are_not_thrown_away_because_their_settings_are_lost") {
        return;
    }
    let bench = Bench::new();
    let output = bench.collect("out", &["--limit", "2"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let before = bench.lines("out");
    let settings = bench.dir.path().join("out/collect.toml");
    let recorded = fs::read_to_string(&settings).unwrap();
    let refused = |extra: &[&str], wanted: &str| {
        let output = bench.collect("out", extra);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(wanted), "expected {wanted:?} in {error:?}");
        assert_eq!(bench.lines("out"), before, "nothing is thrown away");
    };
    fs::remove_file(&settings).unwrap();
    refused(&[], "expected collect.toml beside it");
    refused(&["--paths", "6"], "expected collect.toml beside it");
    assert!(!settings.exists());
    // Settings of another folder, under which no item is whole.
    fs::write(&settings, recorded.replace("paths = 4", "paths = 6")).unwrap();
    refused(&["--paths", "6"], "6 of at least one of the 2 items");
    fs::write(&settings, recorded).unwrap();
    let output = bench.collect("out", &["--limit", "2"]);
    assert!(text(&output.stdout).contains("2 from before"));
}

#[test]
fn rates_come_from_continuations() {
    if !library_or_skip("rates_come_from_continuations") {
        return;
    }
    let bench = Bench::new();
    let extra = ["--limit", "2", "--prefix", "8,40", "--rollouts", "3"];
    let output = bench.collect("rates", &extra);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (mut sums, mut right) = ([0.0; 2], 0);
    for line in text(&bench.lines("rates")).lines() {
        let path: Value = serde_json::from_str(line).unwrap();
        for (sum, length) in sums.iter_mut().zip(["8", "40"]) {
            let rate = path["rate"][length].as_f64().unwrap();
            assert!([0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0].contains(&rate), "{rate}");
            *sum += rate;
        }
        right += usize::from(path["correct"] == true);
    }
    assert!(
        right > 0 && sums[0] > 0.0 && sums[1] > 0.0,
        "{sums:?} {right}"
    );
    // After the rule is written a path's outcome hardly changes: its rate is nearly its outcome.
    assert!((sums[1] - right as f64).abs() < 1.5, "{sums:?} {right}");
}
