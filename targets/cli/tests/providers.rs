//! Execution providers, on real libraries: what cannot be used says why, and what can gives the processor's ids.
//!
//! `CURT_PROVIDER_LIBRARIES` names the folder that `cargo xtask providers` fills.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{checkout, curt, library_or_skip, skip, text};

const QUESTION: &str =
    "A machine turns 6 into 81 and 5 into 72. It is fed 1, 4, 7. What comes out?";
const REASONER: &str = "models/packages/reasoner";
const GROWING: &str = "models/recipes/reference/packages/tiny-llama-growing-fp32";

/// The folder of the libraries; notes `test` as skipped where there is none.
fn libraries_or_skip(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CURT_PROVIDER_LIBRARIES").map(PathBuf::from);
    let folder = folder.filter(|folder| folder.is_dir());
    if folder.is_none() {
        skip(
            test,
            "needs other builds of ONNX Runtime; `cargo xtask providers` fetches them",
        );
    }
    folder
}

/// `curt` with the ONNX Runtime in `library`.
fn with_library(library: &Path, args: &[&str]) -> Output {
    let mut command = curt(args);
    command.env("ORT_DYLIB_PATH", library).output().unwrap()
}

/// `curt` behind a C library that Mesa's software Vulkan runs on, with the ONNX Runtime that has WebGPU.
fn webgpu_command(folder: &Path, args: &[&str]) -> Command {
    let root = folder.join("mesa/usr");
    let libraries = root.join("lib/x86_64-linux-gnu");
    let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
    command
        .arg("--library-path")
        .arg(&libraries)
        .arg(env!("CARGO_BIN_EXE_curt"))
        .args(args)
        .current_dir(checkout())
        .env("ORT_DYLIB_PATH", folder.join("webgpu/libonnxruntime.so"))
        .env(
            "VK_ICD_FILENAMES",
            root.join("share/vulkan/icd.d/lvp_icd.json"),
        );
    command
}

fn on_webgpu(folder: &Path, args: &[&str]) -> Output {
    webgpu_command(folder, args).output().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn row<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let rows = answer["placement"]["providers"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == name).unwrap()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    text(&output.stderr)
}

fn tokens(answer: &Value) -> Vec<&Value> {
    let paths = answer["paths"].as_array().unwrap();
    paths.iter().map(|path| &path["tokens"]).collect()
}

#[test]
fn a_provider_that_nobody_knows_is_a_wrong_command_line() {
    let output = curt(&["ask", QUESTION, "--ep", "gpu"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(
        error.contains("\"gpu\"") && error.contains("webgpu"),
        "{error}"
    );
    let output = curt(&["ask", QUESTION, "--ep-only"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn what_neither_the_library_nor_this_build_has_falls_back_with_its_reason() {
    if !library_or_skip("what_neither_the_library_nor_this_build_has_falls_back_with_its_reason") {
        return;
    }
    let ask = ["ask", QUESTION, "--temperature", "0", "--json"];
    let plain = json(&curt(&ask).output().unwrap());
    let asked = [&ask[..], &["--ep", "webgpu,nnapi,./no.so"]].concat();
    let answer = json(&curt(&asked).output().unwrap());
    for (name, why) in [
        ("WebGpuExecutionProvider", "not supported in this build"),
        // Not in this build, or not in the library.
        ("NnapiExecutionProvider", "nnapi"),
        ("./no.so", "No such file"),
    ] {
        let row = row(&answer, name);
        assert_eq!(row["requested"], true);
        assert_eq!(row["registered"], false);
        let reason = row["reason"].as_str().unwrap();
        let said = reason.to_lowercase().contains(&why.to_lowercase());
        assert!(said, "{name}: {reason}");
        let notes = answer["notes"].as_array().unwrap();
        let noted = |note: &Value| note.as_str().unwrap().starts_with(name);
        assert!(notes.iter().any(noted), "{notes:?}");
    }
    let cpu = row(&answer, "CPUExecutionProvider");
    assert_eq!(cpu["requested"], false);
    assert!(cpu["nodes"].as_u64().unwrap() > 0);
    // All of it runs as if nothing had been asked for.
    assert_eq!(tokens(&answer), tokens(&plain));
    assert_eq!(answer["attention"], plain["attention"]);
    let said = text(
        &curt(&asked[..4])
            .args(["--ep", "webgpu"])
            .output()
            .unwrap()
            .stderr,
    );
    assert!(
        said.contains("note: WebGpuExecutionProvider runs nothing"),
        "{said}"
    );

    let only = [&ask[..], &["--ep", "webgpu", "--ep-only"]].concat();
    let error = refused(&curt(&only).output().unwrap());
    assert!(
        error.contains("execution provider webgpu cannot be used"),
        "{error}"
    );
    assert!(error.contains("--ep-only"), "{error}");
}

#[test]
fn a_library_with_nothing_beneath_it_falls_back_or_refuses() {
    let Some(folder) = libraries_or_skip("a_library_with_nothing_beneath_it_falls_back_or_refuses")
    else {
        return;
    };
    let library = folder.join("gpu/libonnxruntime.so");
    let ask = [
        "ask",
        QUESTION,
        "--package",
        REASONER,
        "--temperature",
        "0",
        "--json",
    ];
    let asked = [&ask[..], &["--ep", "tensorrt,cuda"]].concat();
    let answer = json(&with_library(&library, &asked));
    let rows = answer["placement"]["providers"].as_array().unwrap();
    let names: Vec<_> = rows
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "TensorrtExecutionProvider",
            "CUDAExecutionProvider",
            "CPUExecutionProvider"
        ]
    );
    for row in &rows[..2] {
        assert_eq!(
            (&row["registered"], &row["nodes"]),
            (&false.into(), &0.into())
        );
        // Without the machine's libraries; with them, without its device.
        let reason = row["reason"].as_str().unwrap();
        assert!(
            reason.contains("libcublas") || reason.contains("CUDA"),
            "{reason}"
        );
    }
    assert!(answer["answer"].as_str().unwrap().contains("36, 63, 90"));
    let only = [&ask[..], &["--ep", "cuda,cpu", "--ep-only"]].concat();
    let error = refused(&with_library(&library, &only));
    assert!(
        error.contains("execution provider cuda cannot be used"),
        "{error}"
    );

    let said = with_library(&library, &["doctor", "--package", REASONER, "--ep", "cuda"]);
    let said = text(&said.stdout);
    assert!(
        said.contains("not used        CUDAExecutionProvider: "),
        "{said}"
    );
    assert!(said.contains("CUDAExecutionProvider none"), "{said}");
}

#[test]
fn a_library_that_is_too_old_or_of_another_machine_is_named() {
    let Some(folder) =
        libraries_or_skip("a_library_that_is_too_old_or_of_another_machine_is_named")
    else {
        return;
    };
    for (name, why) in [
        ("old/libonnxruntime.so", "got '1.23.2'"),
        ("other/libonnxruntime.so", "dlopen failed"),
    ] {
        let library = folder.join(name);
        let error = refused(&with_library(&library, &["doctor"]));
        assert!(error.contains(library.to_str().unwrap()), "{error}");
        assert!(
            error.contains(why) && error.contains("1.24 or newer"),
            "{error}"
        );
    }
}

#[test]
fn a_plugin_runs_what_it_says_and_answers_as_the_processor() {
    let test = "a_plugin_runs_what_it_says_and_answers_as_the_processor";
    let Some(folder) = libraries_or_skip(test) else {
        return;
    };
    let plugin = folder.join("openvino/libonnxruntime_providers_openvino_plugin.so");
    let plugin = plugin.to_str().unwrap();
    // Where the processor has bf16, the plugin computes in it: other words of the same answer.
    let ask = [
        "ask",
        QUESTION,
        "--package",
        REASONER,
        "--temperature",
        "0",
        "--json",
    ];
    let plain = json(&curt(&ask).output().unwrap());
    let asked = [&ask[..], &["--ep", plugin]].concat();
    let answer = json(&curt(&asked).output().unwrap());
    let rows = answer["placement"]["providers"].as_array().unwrap();
    assert_eq!(answer["answer"], plain["answer"]);
    match rows[0]["name"].as_str().unwrap() {
        // It has devices of Intel alone.
        "OpenVINOExecutionProvider" => {
            assert!(rows[0]["nodes"].as_u64().unwrap() > 30, "{rows:?}");
            assert!(rows[0]["partitions"].as_u64() < rows[0]["nodes"].as_u64());
            assert_eq!(rows[0]["device"], "CPU Intel");
            assert_eq!(answer["attention"]["shared"], false);
        }
        refused => {
            assert_eq!(refused, plugin);
            let reason = rows[0]["reason"].as_str().unwrap();
            assert!(reason.contains("offers no device"), "{reason}");
        }
    }
    // A library that is no plugin, and one that is not a library.
    let not = folder.join("gpu/libonnxruntime.so");
    for not in [not.to_str().unwrap(), "README.md", "."] {
        let path = format!("./{not}");
        let not = if not.starts_with('/') {
            not
        } else {
            path.as_str()
        };
        let answer = json(&curt(&[&ask[..], &["--ep", not]].concat()).output().unwrap());
        let rows = answer["placement"]["providers"].as_array().unwrap();
        assert_eq!(rows[0]["registered"], false, "{rows:?}");
        assert!(rows[0]["reason"].as_str().unwrap().len() > 10, "{rows:?}");
        assert_eq!(tokens(&answer), tokens(&plain));
    }
}

#[test]
fn graphics_give_the_processors_ids_through_fork_check_and_drop() {
    let test = "graphics_give_the_processors_ids_through_fork_check_and_drop";
    let Some(folder) = libraries_or_skip(test) else {
        return;
    };
    // Of WebGPU's GroupQueryAttention, what the software adapter makes is right for some lengths of a prompt and wrong for
    // others (1.30 on llvmpipe): the package whose attention is made of plain operators is the one to hold it to.
    for (package, max_tokens) in [(GROWING, "16")] {
        let ask = [
            "ask",
            QUESTION,
            "--package",
            package,
            "--max-tokens",
            max_tokens,
            "--json",
        ];
        let greedy = [&ask[..], &["--temperature", "0"]].concat();
        let pruned = [
            &ask[..],
            &[
                "--paths",
                "4",
                "--keep",
                "2",
                "--check-at",
                "5",
                "--head",
                "confidence",
            ],
        ]
        .concat();
        for asked in [greedy, pruned] {
            let plain = json(
                &curt(&[&asked[..], &["--attention", "dense"]].concat())
                    .output()
                    .unwrap(),
            );
            let answer = json(&on_webgpu(
                &folder,
                &[&asked[..], &["--ep", "webgpu"]].concat(),
            ));
            let placed = row(&answer, "WebGpuExecutionProvider");
            assert!(placed["nodes"].as_u64().unwrap() > 200, "{placed}");
            assert_eq!(placed["registered"], true);
            assert_eq!(tokens(&answer), tokens(&plain), "{package} {asked:?}");
            let kept = |answer: &Value| answer["checks"][0]["kept"].clone();
            assert_eq!(kept(&answer), kept(&plain));
        }
    }
    // The nodes that compute shapes stay on the CPU: without it, there is no running.
    let ask = [
        "ask",
        QUESTION,
        "--package",
        GROWING,
        "--max-tokens",
        "2",
        "--ep-only",
    ];
    let error = refused(&on_webgpu(
        &folder,
        &[&ask[..], &["--ep", "webgpu"]].concat(),
    ));
    assert!(
        error.contains("execution provider webgpu cannot be used"),
        "{error}"
    );
    json(&on_webgpu(
        &folder,
        &[&ask[..], &["--ep", "webgpu,cpu", "--json"]].concat(),
    ));
}

#[test]
fn auto_takes_the_fastest_that_is_right_and_remembers_it() {
    let test = "auto_takes_the_fastest_that_is_right_and_remembers_it";
    let Some(folder) = libraries_or_skip(test) else {
        return;
    };
    let cache = tempfile::tempdir().unwrap();
    let ask = |package: &str| {
        let asked = [
            "ask",
            QUESTION,
            "--package",
            package,
            "--max-tokens",
            "2",
            "--ep",
            "auto",
            "--json",
        ];
        let mut command = webgpu_command(&folder, &asked);
        json(
            &command
                .env("CURT_CACHE_DIR", cache.path())
                .output()
                .unwrap(),
        )
    };
    let tried = |answer: &Value, name: &str| {
        let tried = answer["probe"]["tried"].as_array().unwrap();
        let found = tried.iter().find(|tried| tried["provider"] == name);
        found.unwrap().clone()
    };
    // Software that plays a graphics card is right here, and slow.
    let first = ask(GROWING);
    assert_eq!(first["probe"]["chosen"], "cpu");
    assert_eq!(first["probe"]["remembered"], false);
    assert!(first["probe"].get("not_remembered").is_none());
    let webgpu = tried(&first, "webgpu");
    assert!(webgpu.get("reason").is_none(), "{webgpu}");
    for time in ["load_ms", "prefill_ms", "step_ms", "rows_step_ms"] {
        assert!(webgpu[time].as_f64().unwrap() > 0.0, "{webgpu}");
        assert!(tried(&first, "cpu")[time].as_f64().unwrap() > 0.0);
    }
    // Compiled into the library, without what lies beneath it here.
    let cuda = tried(&first, "cuda");
    assert!(cuda["reason"].as_str().unwrap().contains("oad"), "{cuda}");
    let second = ask(GROWING);
    assert_eq!(second["probe"]["remembered"], true);
    assert_eq!(second["probe"]["tried"], first["probe"]["tried"]);
    // Of another package's nothing is known. Whether its attention is computed right hangs on the adapter: where it is not, the
    // ids say so.
    let other = ask("models/recipes/reference/packages/tiny-llama-fp32");
    assert_eq!(other["probe"]["remembered"], false);
    let reason = tried(&other, "webgpu")["reason"].clone();
    assert!(
        reason.is_null() || reason.as_str().unwrap().contains("greedy ids"),
        "{reason}"
    );
    // Half a file is none.
    for entry in std::fs::read_dir(cache.path().join("probes")).unwrap() {
        std::fs::write(entry.unwrap().path(), "{").unwrap();
    }
    assert_eq!(ask(GROWING)["probe"]["remembered"], false);
    // A folder that cannot be is said, and nothing else changes.
    std::fs::remove_dir_all(cache.path().join("probes")).unwrap();
    std::fs::write(cache.path().join("probes"), "").unwrap();
    let blocked = ask(GROWING);
    assert_eq!(blocked["probe"]["chosen"], "cpu");
    assert!(blocked["probe"]["not_remembered"].is_string(), "{blocked}");

    let wrong = curt(&["ask", QUESTION, "--ep", "auto,cuda"])
        .output()
        .unwrap();
    assert!(refused(&wrong).contains("--ep auto: expected alone"));
}
