//! Packages that are incomplete, cut short, or disagree with themselves: refused with the file, the field, what was
//! expected and what is there.

use crate::support;

use std::fs;
use std::path::Path;

use curt::{AskOptions, Engine, EngineOptions, Message, Package, Question, Role};
use serde_json::{Value, json};
use support::{assert_names, copy, edit, reasoner, refusal, tiny};

#[test]
fn a_missing_file_is_named() {
    for file in [
        "genai_config.json",
        "model.onnx",
        "tokenizer.json",
        "model.onnx.data",
    ] {
        let dir = copy(&reasoner());
        fs::remove_file(dir.path().join(file)).unwrap();
        assert_names(&refusal(dir.path()), &[file]);
    }
    assert_names(
        &refusal(Path::new("/nonexistent/package")),
        &["/nonexistent/package", "nothing"],
    );
    let file = reasoner().join("model.onnx");
    assert_names(&refusal(&file), &["a file"]);
}

#[test]
fn a_file_cut_short_is_named() {
    for (file, keep, wanted) in [
        ("model.onnx", 20_000, "ONNX"),
        ("model.onnx.data", 4_096, "cut short"),
        ("tokenizer.json", 500, "JSON"),
        ("genai_config.json", 300, "JSON"),
    ] {
        let dir = copy(&reasoner());
        let path = dir.path().join(file);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..keep]).unwrap();
        assert_names(&refusal(dir.path()), &[file, wanted]);
        fs::write(&path, b"").unwrap();
        assert_names(&refusal(dir.path()), &[file]);
    }
}

const TEXTS: [&str; 5] = [
    "genai_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "prompt.toml",
];

#[test]
fn a_byte_order_mark_changes_nothing() {
    let question = [Message::new(Role::User, "Hi")];
    let plain = Package::open(&reasoner()).unwrap();
    for file in TEXTS {
        let dir = copy(&reasoner());
        let path = dir.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("\u{feff}{text}")).unwrap();
        let marked = Package::open(dir.path()).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(
            marked.render(&question).unwrap(),
            plain.render(&question).unwrap()
        );
        assert_eq!(marked.prompt(), plain.prompt());
        assert_eq!(
            marked.fingerprint().unwrap(),
            plain.fingerprint().unwrap(),
            "{file}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_a_device_a_folder_or_a_link_to_nothing_is_refused_at_once() {
    use std::os::unix::fs::symlink;

    type Put = fn(&Path);
    let put: [(&str, Put); 4] = [
        ("a named pipe", |at| {
            let made = std::process::Command::new("mkfifo").arg(at).status();
            assert!(made.unwrap().success());
        }),
        ("a device", |at| symlink("/dev/zero", at).unwrap()),
        ("a folder", |at| fs::create_dir(at).unwrap()),
        ("No such file", |at| symlink("gone", at).unwrap()),
    ];
    for file in TEXTS.into_iter().chain(["model.onnx", "model.onnx.data"]) {
        for (kind, put) in put {
            let dir = copy(&reasoner());
            let path = dir.path().join(file);
            fs::remove_file(&path).unwrap();
            put(&path);
            assert_names(&refusal(dir.path()), &[file, kind]);
        }
    }
}

#[cfg(unix)]
#[test]
fn files_that_are_links_to_files_elsewhere_open_as_those_of_hub_caches() {
    let store = copy(&reasoner());
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(store.path()).unwrap() {
        let entry = entry.unwrap();
        std::os::unix::fs::symlink(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    Package::open(dir.path()).unwrap().report().unwrap();
}

#[test]
fn a_text_larger_than_anybody_writes_is_refused_unread() {
    let dir = copy(&reasoner());
    let config = fs::File::options()
        .write(true)
        .open(dir.path().join("genai_config.json"))
        .unwrap();
    config.set_len(1 << 40).unwrap();
    assert_names(
        &refusal(dir.path()),
        &["genai_config.json", "size", "16777216"],
    );
}

#[test]
fn a_config_that_disagrees_with_the_graph_is_refused_with_both_numbers() {
    let cases: [(&str, Value, &[&str]); 8] = [
        (
            "/model/decoder/num_hidden_layers",
            json!(7),
            &["num_hidden_layers", "got 7"],
        ),
        (
            "/model/decoder/num_key_value_heads",
            json!(9),
            &["num_key_value_heads", "got 9"],
        ),
        (
            "/model/decoder/head_size",
            json!(48),
            &["head_size", "got 48"],
        ),
        ("/model/vocab_size", json!(12), &["vocab_size", "got 12"]),
        (
            "/model/eos_token_id",
            json!([99_999]),
            &["eos_token_id", "99999"],
        ),
        (
            "/model/context_length",
            json!(0),
            &["context_length", "got 0"],
        ),
        (
            "/model/decoder/inputs/past_key_names",
            json!("cache.%d.k"),
            &["keys named \"cache.%d.k\"", "past_key_values.0.key"],
        ),
        (
            "/model/decoder/outputs/logits",
            json!("scores"),
            &["scores", "logits"],
        ),
    ];
    for (field, value, wanted) in cases {
        let dir = copy(&reasoner());
        edit(dir.path(), "genai_config.json", |json| {
            *json.pointer_mut(field).unwrap_or_else(|| panic!("{field}")) = value;
        });
        assert_names(&refusal(dir.path()), wanted);
    }
}

#[test]
fn a_pattern_without_a_layer_is_refused() {
    let dir = copy(&reasoner());
    edit(dir.path(), "genai_config.json", |json| {
        json["model"]["decoder"]["inputs"]["past_key_names"] = json!("past.key");
    });
    assert_names(&refusal(dir.path()), &["past_key_names", "%d"]);
}

#[test]
fn one_buffer_for_a_graph_that_does_not_share_is_refused() {
    let dir = copy(&tiny("tiny-llama-growing-fp32"));
    edit(dir.path(), "genai_config.json", |json| {
        json["search"]["past_present_share_buffer"] = json!(true);
    });
    assert_names(
        &refusal(dir.path()),
        &["past_present_share_buffer", "garbage"],
    );
}

#[test]
fn a_graph_with_an_input_nobody_knows_is_refused() {
    // The mask under a name that the config does not have.
    let dir = copy(&reasoner());
    edit(dir.path(), "genai_config.json", |json| {
        json["model"]["decoder"]["inputs"]["attention_mask"] = json!("visibility");
    });
    assert_names(&refusal(dir.path()), &["graph input", "\"attention_mask\""]);
}

#[test]
fn weights_outside_the_package_are_refused() {
    let dir = copy(&reasoner());
    let file = dir.path().join("model.onnx");
    let mut bytes = fs::read(&file).unwrap();
    let name = b"model.onnx.data";
    let escape = b"../../../secret";
    assert_eq!(name.len(), escape.len());
    let mut changed = 0;
    for at in 0..bytes.len() - name.len() {
        if bytes[at..at + name.len()] == *name {
            bytes[at..at + name.len()].copy_from_slice(escape);
            changed += 1;
        }
    }
    assert!(changed > 0);
    fs::write(file, bytes).unwrap();
    assert_names(
        &refusal(dir.path()),
        &["inside the package", "../../../secret"],
    );
}

#[test]
fn a_graph_outside_the_package_is_refused() {
    for filename in ["../model.onnx", "/etc/passwd", "", "."] {
        let dir = copy(&reasoner());
        edit(dir.path(), "genai_config.json", |json| {
            json["model"]["decoder"]["filename"] = json!(filename);
        });
        assert_names(
            &refusal(dir.path()),
            &["model.decoder.filename", "inside the package"],
        );
    }
}

#[test]
fn a_chat_template_that_loops_or_does_not_compile_is_refused() {
    let dir = copy(&reasoner());
    let file = dir.path().join("chat_template.jinja");
    fs::write(&file, "{% for m in messages %}").unwrap();
    assert_names(&refusal(dir.path()), &["chat_template.jinja"]);
    fs::write(
        &file,
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}",
    )
    .unwrap();
    let package = Package::open(dir.path()).unwrap();
    let error = package
        .render(&[Message::new(Role::User, "Hi")])
        .unwrap_err();
    assert_names(&error.to_string(), &["does it loop?"]);
}

#[test]
fn a_prompt_file_with_a_key_nobody_knows_is_refused() {
    let dir = copy(&reasoner());
    fs::write(dir.path().join("prompt.toml"), "sistem = 'x'\n").unwrap();
    assert_names(&refusal(dir.path()), &["prompt.toml", "sistem"]);
}

#[test]
fn a_package_that_vanishes_mid_run_gives_an_error_or_an_answer_but_no_crash() {
    if !support::library_or_skip(
        "a_package_that_vanishes_mid_run_gives_an_error_or_an_answer_but_no_crash",
    ) {
        return;
    }
    let dir = copy(&reasoner());
    let package = Package::open(dir.path()).unwrap();
    let mut engine = support::engine(dir.path());
    drop(fs::remove_dir_all(dir.path()));
    // The graph is loaded: the question is answered. What reads the folder anew says which file has gone.
    engine
        .ask(
            &Question::Tokens(vec![5, 6, 7]),
            &AskOptions::default(),
            &mut |_| {},
        )
        .unwrap();
    let error = package.report().unwrap_err();
    assert_names(&error.to_string(), &[&dir.path().display().to_string()]);
    assert!(Engine::open(dir.path(), &EngineOptions::default()).is_err());
}

#[test]
fn weights_that_are_no_numbers_give_an_error_that_names_path_and_step() {
    if !support::library_or_skip(
        "weights_that_are_no_numbers_give_an_error_that_names_path_and_step",
    ) {
        return;
    }
    // Scales of the quantised weights are f32: every one becomes a NaN.
    let dir = copy(&reasoner());
    let file = dir.path().join("model.onnx.data");
    let length = fs::metadata(&file).unwrap().len() as usize;
    fs::write(&file, vec![0xff; length]).unwrap();
    let mut engine = support::engine(dir.path());
    let error = engine
        .ask(
            &Question::Tokens(vec![5, 6, 7]),
            &AskOptions::default(),
            &mut |_| {},
        )
        .unwrap_err();
    assert_names(
        &error.to_string(),
        &["path 0, step 0", "NaN", "curt doctor"],
    );
}

#[test]
fn the_fingerprint_follows_contents_and_meaning_not_names_of_folders() {
    let original = Package::open(&reasoner()).unwrap().fingerprint().unwrap();
    let same = copy(&reasoner());
    fs::write(same.path().join("README.md"), "another card").unwrap();
    assert_eq!(
        Package::open(same.path()).unwrap().fingerprint().unwrap(),
        original
    );

    let weights = copy(&reasoner());
    let file = weights.path().join("model.onnx.data");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_ne!(
        Package::open(weights.path())
            .unwrap()
            .fingerprint()
            .unwrap(),
        original
    );

    let meaning = copy(&reasoner());
    edit(meaning.path(), "genai_config.json", |json| {
        json["model"]["eos_token_id"] = json!([0, 1, 2]);
    });
    assert_ne!(
        Package::open(meaning.path())
            .unwrap()
            .fingerprint()
            .unwrap(),
        original
    );

    let template = copy(&reasoner());
    fs::write(
        template.path().join("chat_template.jinja"),
        "{{ messages[0].content }}",
    )
    .unwrap();
    assert_ne!(
        Package::open(template.path())
            .unwrap()
            .fingerprint()
            .unwrap(),
        original
    );
}

#[test]
fn the_report_says_what_is_really_there() {
    for (name, stored_as) in [
        ("tiny-llama-fp32", "f32"),
        ("tiny-llama-int4", "int4"),
        ("tiny-llama-int8", "int8"),
    ] {
        let report = Package::open(&tiny(name)).unwrap().report().unwrap();
        assert!(
            report.quantized[0].stored_as.starts_with(stored_as),
            "{name}: {:?}",
            report.quantized
        );
        assert_eq!(
            report.kv_bytes_per_token,
            (2 * report.layers * report.kv_heads * report.head_dim * 4) as u64
        );
        assert!(!report.eos.is_empty());
    }
}
