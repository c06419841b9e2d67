//! The command as a person and a script meet it.

use crate::support;

use std::io::Write;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{checkout, curt, library_or_skip, text};

const QUESTION: &str = "A machine turns 6 into 81 and 5 into 72. It is fed 1, 4, 7, 12, 2, 3, 11, 8, 9. What comes out?";

fn run(args: &[&str]) -> Output {
    curt(args).output().unwrap()
}

/// A failure: status 1, nothing on standard output, one message that names `wanted`, no panic.
fn assert_refused(output: &Output, wanted: &[&str]) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    assert!(!error.contains("panicked"), "{error}");
    for part in wanted {
        assert!(error.contains(part), "expected {part:?} in {error:?}");
    }
}

#[test]
fn the_json_has_everything_that_was_measured() {
    if !library_or_skip("the_json_has_everything_that_was_measured") {
        return;
    }
    let output = run(&["ask", QUESTION, "--paths", "4", "--json", "--seed", "3"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let paths = json["paths"].as_array().unwrap();
    assert_eq!(paths.len(), 4);
    let mut generated = 0;
    for path in paths {
        assert!(["eos", "max_tokens"].contains(&path["finish"].as_str().unwrap()));
        assert!(path["mean_logprob"].as_f64().unwrap() < 0.0);
        generated += path["tokens"].as_array().unwrap().len() as u64;
    }
    assert_eq!(json["tokens"]["generated"], generated);
    for phase in [
        "load_ms",
        "prefill_ms",
        "fork_ms",
        "decode_ms",
        "vote_ms",
        "first_token_ms",
        "total_ms",
    ] {
        assert!(
            json["times"][phase].as_f64().unwrap() > 0.0,
            "{phase}: {}",
            json["times"]
        );
    }
    assert!(json["peak_resident_bytes"].as_u64().unwrap() > 1 << 20);
    assert_eq!(json["seed"], 3);

    // One path, no vote: what was not measured is absent.
    let output = run(&["ask", QUESTION, "--json", "--temperature", "0"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(json.get("votes").is_none() && json["times"].get("vote_ms").is_none());
}

#[test]
fn a_pruned_question_says_who_went_on_and_why() {
    if !library_or_skip("a_pruned_question_says_who_went_on_and_why") {
        return;
    }
    let pruned = [
        "ask",
        QUESTION,
        "--paths",
        "8",
        "--keep",
        "2",
        "--check-at",
        "10,29",
        "--head",
        "confidence",
    ];
    let output = run(&[&pruned[..], &["--json"]].concat());
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = json["checks"].as_array().unwrap();
    // 8 paths to 2 in two steps of the same ratio.
    assert_eq!(
        (&checks[0]["kept"], &checks[1]["kept"]),
        (&4.into(), &2.into())
    );
    let paths = json["paths"].as_array().unwrap();
    let dropped_at = |tokens: u64| {
        let these = paths.iter().filter(|p| p["dropped_at_tokens"] == tokens);
        these
            .inspect(|p| assert_eq!(p["finish"], "dropped"))
            .count()
    };
    assert_eq!((dropped_at(10), dropped_at(29)), (4, 2));
    for path in paths {
        let last = path["scores"].as_array().unwrap().last().unwrap();
        assert_eq!(last["kept"], path["dropped_at_tokens"].is_null());
        assert!(last["score"].as_f64().unwrap() > 0.0);
    }
    assert!(json["times"]["check_ms"].as_f64().unwrap() > 0.0);
    assert!(json["tokens"]["unused"].as_u64().unwrap() >= 4 * 10 + 2 * 29);

    let output = run(&pruned);
    let said = text(&output.stderr);
    for part in [
        "check at 29 tokens by confidence: 2 of 4 go on",
        "\n  go on ",
        "\n  dropped ",
        "check 0.",
    ] {
        assert!(said.contains(part), "{part:?}: {said}");
    }

    let none = run(&["ask", QUESTION, "--paths", "2", "--head", "none", "--json"]);
    let none: Value = serde_json::from_slice(&none.stdout).unwrap();
    assert!(none.get("checks").is_none());

    let tiny = "models/recipes/reference/packages/tiny-llama-int4";
    for (args, words) in [
        (&["--keep", "2"][..], &["--paths", "at least 2"][..]),
        (&["--paths", "4", "--head", "random"], &["--check-at"]),
        (
            &["--paths", "4", "--head", "random", "--check-at", "9"],
            &["--keep"],
        ),
        (
            &["--paths", "4", "--keep", "2", "--head", "nobody"],
            &["--head", "train-head"],
        ),
        (
            &[
                "--paths",
                "4",
                "--keep",
                "9",
                "--check-at",
                "9",
                "--head",
                "random",
            ],
            &["--keep", "1 to 4"],
        ),
    ] {
        let asked = [
            &["ask", QUESTION, "--package", tiny, "--max-tokens", "20"],
            args,
        ]
        .concat();
        assert_refused(&run(&asked), words);
    }
}

#[test]
fn a_question_comes_from_the_argument_or_standard_input() {
    if !library_or_skip("a_question_comes_from_the_argument_or_standard_input") {
        return;
    }
    let args = ["ask", "--quiet", "--temperature", "0"];
    let from_argument = curt(&args).arg(QUESTION).output().unwrap();
    assert!(
        from_argument.status.success(),
        "{}",
        text(&from_argument.stderr)
    );
    let mut child = curt(&args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(format!("{QUESTION}\n").as_bytes())
        .unwrap();
    let from_stdin = child.wait_with_output().unwrap();
    assert_eq!(text(&from_argument.stdout), text(&from_stdin.stdout));
    assert!(from_argument.stderr.is_empty(), "--quiet says nothing else");
    assert_refused(&curt(&args).output().unwrap(), &["QUESTION", "empty"]);
}

/// The ids of the prompt that `curt ask` makes of these arguments and this standard input.
fn prompt_ids(args: &[&str], stdin: &str) -> Vec<u64> {
    let ask = ["ask", "--json", "--temperature", "0", "--max-tokens", "1"];
    let mut child = curt(&ask)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(stdin.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ids = json["prompt"].as_array().unwrap();
    assert_eq!(json["tokens"]["prompt"], ids.len());
    ids.iter().map(|id| id.as_u64().unwrap()).collect()
}

#[test]
fn white_space_of_a_question_is_the_questions() {
    if !library_or_skip("white_space_of_a_question_is_the_questions") {
        return;
    }
    let tiny = "models/recipes/reference/packages/tiny-llama-fp32";
    let ids = |question: &str| prompt_ids(&["--package", tiny, question], "");
    for question in ["    x = 1", "x = 1\n", "x = 1  "] {
        let piped = prompt_ids(&["--package", tiny, "-"], &format!("{question}\n"));
        assert_eq!(ids(question), piped, "{question:?}");
        assert_ne!(piped, ids(question.trim()), "{question:?}");
    }
    assert_eq!(prompt_ids(&["--package", tiny, "-"], "x\r\n"), ids("x"));
}

#[test]
fn a_workloads_prompt_goes_around_a_question() {
    if !library_or_skip("a_workloads_prompt_goes_around_a_question") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_string()
    };
    let prompt = write("prompt.toml", "system = 'Be brief.'\n");
    let workload = write(
        "workload.toml",
        "name = 'w'\nscorer = 'number'\n\n[prompt]\nsystem = 'Be brief.'\n",
    );
    let tiny = "models/recipes/reference/packages/tiny-llama-fp32";
    let ids = |prompt: &str| prompt_ids(&["--package", tiny, "--prompt", prompt, "x"], "");
    assert_eq!(ids(&workload), ids(&prompt));
}

#[test]
fn piped_output_is_plain_and_says_what_it_cost_elsewhere() {
    if !library_or_skip("piped_output_is_plain_and_says_what_it_cost_elsewhere") {
        return;
    }
    let output = run(&["ask", QUESTION, "--paths", "3"]);
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{error}");
    assert!(!out.contains('\u{1b}') && !error.contains('\u{1b}'));
    assert!(
        error.contains("KV cache: (38 shared tokens + 3 rows"),
        "{error}"
    );
    assert!(
        error.contains("prefill") && error.contains("decode") && error.contains("peak"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_done_is_said_with_its_remedy_and_status_1() {
    if !library_or_skip("what_cannot_be_done_is_said_with_its_remedy_and_status_1") {
        return;
    }
    assert_refused(&run(&["ask", ""]), &["QUESTION", "empty"]);
    assert_refused(&run(&["ask", "x", "--paths", "0"]), &["--paths"]);
    assert_refused(
        &run(&["ask", "x", "--paths", "3", "--max-kv-bytes", "4096"]),
        &["--max-kv-bytes"],
    );
    assert_refused(
        &run(&["ask", "x", "--package", "no/such/folder"]),
        &["no/such/folder"],
    );
    assert_refused(
        &run(&["ask", "x", "--package", "runtime"]),
        &["genai_config.json"],
    );
    assert_refused(&run(&["ask", "x", "--prompt", "no.toml"]), &["no.toml"]);
    assert_refused(&run(&["ask", "x", "--threads", "0"]), &["--threads"]);
    let tiny = "models/recipes/reference/packages/tiny-llama-int4";
    assert_refused(
        &run(&["ask", "x", "--package", tiny, "--vote", "majority"]),
        &["--answer-pattern"],
    );
    assert_refused(
        &run(&["ask", &"word ".repeat(1500), "--package", tiny]),
        &["tokens", "shorten the question"],
    );
    // More than any text of so many tokens can have: refused before it is cut into tokens.
    assert_refused(
        &run(&["ask", &"word ".repeat(5000), "--package", tiny]),
        &["bytes of text", "shorten the question"],
    );
    let without = curt(&["ask", "x"])
        .env("ORT_DYLIB_PATH", "/no/such/library.so")
        .output()
        .unwrap();
    assert_refused(
        &without,
        &["ORT_DYLIB_PATH", "/no/such/library.so", "cargo xtask setup"],
    );
    let wrong = checkout().join("Cargo.toml");
    let wrong = curt(&["ask", "x"])
        .env("ORT_DYLIB_PATH", wrong)
        .output()
        .unwrap();
    assert_refused(&wrong, &["Cargo.toml", "cargo xtask setup"]);
    // Usage errors are clap's, status 2.
    assert_eq!(run(&["ask", "x", "--paths", "many"]).status.code(), Some(2));
}

#[test]
fn doctor_finds_this_machine_sound() {
    if !library_or_skip("doctor_finds_this_machine_sound") {
        return;
    }
    let output = run(&["doctor"]);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{out}{}", text(&output.stderr));
    for line in ["ISA", "ONNX Runtime", "its EPs", "rows", "transcript"] {
        assert!(out.lines().any(|l| l.starts_with(line)), "{line} in {out}");
    }
}

#[test]
fn doctor_reads_a_transcript_as_any_other_text_of_a_package() {
    if !library_or_skip("doctor_reads_a_transcript_as_any_other_text_of_a_package") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(checkout().join("models/packages/reasoner")).unwrap() {
        let from = entry.unwrap().path();
        if from.is_file() {
            std::fs::copy(&from, dir.path().join(from.file_name().unwrap())).unwrap();
        }
    }
    let file = dir.path().join("transcript.json");
    let marked = format!("\u{feff}{}", std::fs::read_to_string(&file).unwrap());
    std::fs::write(&file, marked).unwrap();
    let package = dir.path().to_str().unwrap();
    let output = run(&["doctor", "--package", package]);
    let out = text(&output.stdout);
    assert!(
        out.contains("replay token for token"),
        "{out}{}",
        text(&output.stderr)
    );

    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let refused = text(&run(&["doctor", "--package", package]).stderr);
    assert!(
        refused.contains("transcript.json") && refused.contains("regular file"),
        "{refused}"
    );
}

#[test]
fn inspect_needs_no_library() {
    let output = curt(&["inspect", "models/packages/reasoner", "--json"])
        .env("ORT_DYLIB_PATH", "/no/such/library.so")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(json["kv_bytes_per_token"].as_u64().unwrap() > 0);
    assert_eq!(json["fingerprint"].as_str().unwrap().len(), 64);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_at_any_moment_with_status_130() {
    if !library_or_skip("ctrl_c_ends_it_at_any_moment_with_status_130") {
        return;
    }
    for milliseconds in [30, 100, 200, 400, 700] {
        // 200 nearly random paths of 900 tokens take seconds: it is never done by then.
        let child = curt(&[
            "ask",
            QUESTION,
            "--paths",
            "200",
            "--temperature",
            "50",
            "--min-p",
            "0",
            "--max-tokens",
            "900",
            "--json",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        let interrupted = Instant::now();
        // Not by a command: on a crowded machine it starts seconds later.
        // SAFETY: a signal to a child that nobody has waited for yet.
        let killed = unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) };
        assert_eq!(killed, 0);
        let output = child.wait_with_output().unwrap();
        let error = text(&output.stderr);
        // Before the handler stands, the system's own: no status at all.
        assert!(
            matches!(output.status.code(), Some(130) | None),
            "{:?} {error}",
            output.status
        );
        // What there was is not lost, and no JSON is half written.
        if !output.stdout.is_empty() {
            let json: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert!(json["error"].as_str().unwrap().contains("cancelled"));
            assert!(json["tokens"]["generated"].as_u64().unwrap() > 0);
            let paths = json["paths"].as_array().unwrap();
            assert!(paths.iter().any(|p| p["finish"] == "interrupted"));
        }
        assert!(!error.contains("panicked"), "{error}");
        assert!(interrupted.elapsed() < Duration::from_secs(60), "it hung");
    }
}

#[test]
fn an_image_is_asked_about_from_a_file_and_from_standard_input() {
    if !library_or_skip("an_image_is_asked_about_from_a_file_and_from_standard_input") {
        return;
    }
    let reference = checkout().join("models/recipes/reference");
    let package = reference.join("packages/tiny-idefics3");
    let image = reference.join("pictures/alpha.png");
    let [package, image] = [&package, &image].map(|path| path.to_str().unwrap());
    let ask = [
        "ask",
        "what is it?",
        "--package",
        package,
        "--max-tokens",
        "4",
        "--json",
        "--image",
    ];
    let output = run(&[&ask[..], &[image]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let of_file: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(of_file["images"][0]["tiles"], 13);
    assert_eq!(of_file["images"][0]["tokens"], 52);
    assert_eq!(of_file["images"][0]["cached"], false);

    let mut child = curt(&[&ask[..], &["-"]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let bytes = std::fs::read(image).unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    let of_input: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(of_input["paths"], of_file["paths"]);

    let readme = checkout().join("README.md");
    for (more, wanted) in [
        (
            vec![readme.to_str().unwrap()],
            "a JPEG, PNG, WebP, GIF or BMP image",
        ),
        (vec![image, "--max-image-pixels", "9"], "--max-image-pixels"),
        (vec![image, "--dtype", "q5"], "--dtype"),
        (vec!["-", "--image", "-"], "one image at the most"),
    ] {
        assert_refused(&run(&[&ask[..], &more].concat()), &[wanted]);
    }
    let texts = reference.join("packages/tiny-llama-fp32");
    let refused = run(&[
        "ask",
        "x",
        "--package",
        texts.to_str().unwrap(),
        "--image",
        image,
    ]);
    assert_refused(&refused, &["--image", "texts alone"]);
    let both = run(&["ask", "--package", package, "--image", "-"]);
    assert_refused(&both, &["give the question as an argument"]);
}
