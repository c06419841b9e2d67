//! Configs as people have them: what onnxruntime-genai runs is opened, and what is not followed is said.

use crate::support;

use curt::generate::{DecoderPlan, MemoryLimits, Room};
use curt::{Package, SamplingDefaults};
use serde_json::{Value, json};
use support::onnx::{self, edit_graph};
use support::{assert_names, copy, edit, reasoner, refusal, tiny};

/// A copy of the tiny llama with another config.
fn changed(change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let dir = copy(&tiny("tiny-llama-fp32"));
    edit(dir.path(), "genai_config.json", change);
    dir
}

/// As [`changed`], opened; the folder is gone when it is dropped.
fn opened(change: impl FnOnce(&mut Value)) -> (tempfile::TempDir, Package) {
    let dir = changed(change);
    let package = Package::open(dir.path()).unwrap();
    (dir, package)
}

fn remove(json: &mut Value, parent: &str, key: &str) {
    let parent = json.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    parent.remove(key).unwrap();
}

#[test]
fn what_is_absent_has_the_default_of_onnxruntime_genai() {
    let plain = Package::open(&tiny("tiny-llama-fp32")).unwrap();
    let decoder = "/model/decoder";
    let absent: [&[(&str, &str)]; 4] = [
        &[(decoder, "inputs"), (decoder, "outputs")],
        &[
            ("/model/decoder/inputs", "past_key_names"),
            ("/model/decoder/outputs", "present_value_names"),
        ],
        &[
            (decoder, "head_size"),
            (decoder, "num_key_value_heads"),
            (decoder, "num_hidden_layers"),
            ("/model", "vocab_size"),
        ],
        &[("", "search")],
    ];
    // Nothing is said by a field that is not there, and by one that is null.
    for (fields, null) in absent.into_iter().flat_map(|f| [(f, false), (f, true)]) {
        let (_dir, package) = opened(|json| {
            for (parent, key) in fields {
                remove(json, parent, key);
                if null {
                    json.pointer_mut(parent).unwrap()[key] = Value::Null;
                }
            }
        });
        assert_eq!(package.graph().geometry(), plain.graph().geometry());
        assert_eq!(package.context_tokens(), plain.context_tokens());
        assert_eq!(package.eos_ids(), plain.eos_ids());
        // What is not said is not another package.
        assert_eq!(
            package.fingerprint().unwrap(),
            plain.fingerprint().unwrap(),
            "{fields:?}"
        );
    }
}

#[test]
fn null_stands_for_what_is_not_said() {
    let (_dir, package) = opened(|json| {
        for part in ["encoder", "embedding", "vision", "speech", "tokenizer_dir"] {
            json["model"][part] = Value::Null;
        }
        json["search"]["do_sample"] = Value::Null;
        json["search"]["past_present_share_buffer"] = Value::Null;
        json["search"]["temperature"] = Value::Null;
    });
    assert!(package.notes().is_empty(), "{:?}", package.notes());
}

#[test]
fn a_graph_that_the_config_names_must_be_there_whatever_is_asked() {
    for (part, name) in [("vision", "vision.onnx"), ("speech", "s/a.onnx")] {
        let dir = changed(|json| json["model"][part] = json!({"filename": name}));
        assert_names(&refusal(dir.path()), &[name, "No such file"]);
    }
}

#[test]
fn without_an_end_token_the_pad_token_ends_a_path_and_a_note_says_so() {
    for (pad, eos, noted) in [
        (json!(5), vec![5], "pad token 5"),
        (json!(-1), vec![], "no token ends a path"),
        (Value::Null, vec![0], "pad token 0"),
    ] {
        let (_dir, package) = opened(|json| {
            remove(json, "/model", "eos_token_id");
            json["model"]["pad_token_id"] = pad.clone();
        });
        assert_eq!(package.eos_ids(), eos);
        assert!(package.notes()[0].contains(noted), "{:?}", package.notes());
    }
}

#[test]
fn a_negative_id_is_none_and_a_number_may_have_a_point() {
    let (_dir, package) = opened(|json| {
        json["model"]["bos_token_id"] = json!(-1);
        json["model"]["pad_token_id"] = json!(-1.0);
        json["model"]["eos_token_id"] = json!([2.0, -1]);
        json["model"]["decoder"]["head_size"] = json!(16.0);
        json["search"]["top_k"] = json!(50.0);
        json["search"]["do_sample"] = json!(true);
    });
    assert_eq!(package.bos_id(), None);
    assert_eq!(package.eos_ids(), [2]);
    assert_eq!(package.sampling().top_k, Some(50));
    for number in [json!(50.5), json!(1e12), json!("50")] {
        let dir = changed(|json| json["search"]["top_k"] = number);
        assert_names(&refusal(dir.path()), &["genai_config.json", "JSON"]);
    }
}

#[test]
fn settings_that_are_no_sampling_hold_without_sampling() {
    let (_dir, package) = opened(|json| {
        let search = &mut json["search"];
        search["do_sample"] = json!(false);
        search["temperature"] = json!(0.4);
        search["repetition_penalty"] = json!(1.5);
        search["no_repeat_ngram_size"] = json!(2);
        search["min_length"] = json!(40);
    });
    assert_eq!(
        package.sampling(),
        SamplingDefaults {
            repetition_penalty: Some(1.5),
            no_repeat_ngram_size: Some(2),
            min_length: Some(40),
            ..SamplingDefaults::default()
        }
    );
    assert!(package.notes().is_empty(), "{:?}", package.notes());
}

#[test]
fn settings_that_are_not_followed_are_told() {
    for (field, number) in [
        ("num_beams", 4),
        ("num_return_sequences", 3),
        ("max_length", 20),
        ("random_seed", 7),
    ] {
        let (_dir, package) = opened(|json| json["search"][field] = json!(number));
        let report = package.report().unwrap();
        assert!(
            report
                .notes
                .iter()
                .any(|n| n.contains(&format!("search.{field} is {number}"))),
            "{field}: {:?}",
            report.notes
        );
    }
    for (field, value, said) in [
        ("diversity_penalty", json!(0.5), "is 0.5: not followed"),
        ("length_penalty", json!(2.0), "is 2: not followed"),
        ("min_p", json!(0.1), "is not known"),
    ] {
        let (_dir, package) = opened(|json| json["search"][field] = value);
        let said = format!("search.{field} {said}");
        let notes = package.notes();
        assert!(notes.iter().any(|n| n.contains(&said)), "{notes:?}");
    }
    // What every builder writes, and what says how a search runs.
    let (_dir, package) = opened(|json| {
        let search = &mut json["search"];
        (search["diversity_penalty"], search["length_penalty"]) = (json!(0.0), json!(1.0));
        (search["early_stopping"], search["batch_size"]) = (json!(true), json!(1));
        (search["chunk_size"], search["min_p"]) = (json!(0), Value::Null);
    });
    assert!(package.notes().is_empty(), "{:?}", package.notes());
    for (field, number) in [("temperature", -1.0), ("repetition_penalty", 0.0)] {
        let dir = changed(|json| json["search"][field] = json!(number));
        assert_names(&refusal(dir.path()), &[&format!("search.{field}")]);
    }
}

#[test]
fn a_window_is_judged_by_what_slides() {
    let window =
        |value: Value| move |json: &mut Value| json["model"]["decoder"]["sliding_window"] = value;
    let still = json!({"window_size": 2048, "slide_key_value_cache": false, "slide_inputs": false});
    let (_dir, package) = opened(window(still));
    assert_eq!(package.min_capacity_tokens(), 2048);
    let room = Room {
        rows: 2,
        prompt_tokens: 3,
        prefill_tokens: 3,
        capacity_tokens: 10,
    };
    let layout = package.graph().layout();
    let planned = DecoderPlan::new(&package, layout, room, MemoryLimits::default()).unwrap();
    assert_eq!(planned.kv.capacity_tokens, 2048);
    assert_eq!(opened(window(Value::Null)).1.min_capacity_tokens(), 0);

    // Attention itself looks back on a window: nothing need slide.
    let dir = changed(window(json!({"window_size": 48})));
    edit_graph(&dir.path().join("model.onnx"), |graph| {
        graph.each(onnx::GRAPH_NODES, |node| {
            node.each(onnx::NODE_ATTRIBUTES, |attribute| {
                if attribute.text(1) == "local_window_size" {
                    attribute.remove(3);
                    attribute.0.push((3, onnx::Value::Number(64)));
                }
            });
        });
    });
    let package = Package::open(dir.path()).unwrap();
    assert_eq!(package.min_capacity_tokens(), 64);
    for slides in [
        json!({"window_size": 64, "slide_key_value_cache": true, "slide_inputs": false}),
        json!({"window_size": 64, "slide_key_value_cache": false, "slide_inputs": true}),
        // Both slide in onnxruntime-genai where nothing is said, and this graph's attention looks back on all.
        json!({"window_size": 64}),
    ] {
        let dir = changed(window(slides));
        assert_names(
            &refusal(dir.path()),
            &["sliding_window", "64 positions", "windowed_kv_cache=false"],
        );
    }
    let empty = |pipeline| move |json: &mut Value| json["model"]["decoder"]["pipeline"] = pipeline;
    opened(empty(json!([])));
    let dir = changed(empty(json!([{"a": {"filename": "model.onnx"}}])));
    assert_names(&refusal(dir.path()), &["pipeline", "1 stages"]);
}

#[test]
fn a_context_beyond_the_table_of_positions_is_cut_to_it_with_a_note() {
    let plain = Package::open(&tiny("tiny-llama-fp32")).unwrap();
    let (_dir, package) = opened(|json| json["model"]["context_length"] = json!(100_000));
    assert_eq!(package.context_tokens(), plain.context_tokens());
    let table = plain.context_tokens().to_string();
    assert_names(&package.notes().join(" "), &["100000", &table]);
}

#[test]
fn a_token_that_has_no_logits_is_no_fault_of_the_package() {
    let dir = copy(&reasoner());
    let plain = Package::open(&reasoner()).unwrap();
    let beyond = plain.graph().vocabulary();
    edit(dir.path(), "tokenizer.json", |json| {
        json["added_tokens"].as_array_mut().unwrap().push(json!({
            "id": beyond, "content": "<image_soft_token>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true
        }));
    });
    let package = Package::open(dir.path()).unwrap();
    assert_eq!(package.text().vocabulary(), plain.text().vocabulary() + 1);
}

#[test]
fn tokenizer_and_template_may_stand_in_a_folder_of_their_own() {
    let dir = changed(|json| json["model"]["tokenizer_dir"] = json!("texts"));
    std::fs::create_dir(dir.path().join("texts")).unwrap();
    for file in [
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    ] {
        let to = dir.path().join("texts").join(file);
        std::fs::rename(dir.path().join(file), to).unwrap();
    }
    let package = Package::open(dir.path()).unwrap();
    let plain = Package::open(&tiny("tiny-llama-fp32")).unwrap();
    assert_eq!(package.fingerprint().unwrap(), plain.fingerprint().unwrap());
    let outside = changed(|json| json["model"]["tokenizer_dir"] = json!("../texts"));
    assert_names(&refusal(outside.path()), &["model.tokenizer_dir", "inside"]);
}

#[test]
fn another_layout_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("onnx")).unwrap();
    std::fs::write(dir.path().join("config.json"), "{}").unwrap();
    assert_names(
        &refusal(dir.path()),
        &["decoder_model_merged.onnx or model.onnx", "neither"],
    );
}
