//! Packages that see: their files, and processors that fit or do not.

use std::fs;
use std::path::Path;

use curt::{Package, Question};
use serde_json::Value;

use crate::support::{self, edit, tiny};
use crate::vision::{copy, file, options};

#[test]
fn a_processor_that_does_not_fit_its_graphs_is_named() {
    if !support::library_or_skip("a_processor_that_does_not_fit_its_graphs_is_named") {
        return;
    }
    let refusal = |name: &str, field: &str, value: Value| {
        let dir = copy("tiny-idefics3");
        edit(dir.path(), name, |json| json[field] = value);
        let mut engine = support::engine(dir.path());
        let question = Question::from("what is it?").about([file("dot.png")]);
        let error = engine.ask(&question, &options(), &mut |_| {}).unwrap_err();
        error.to_string()
    };
    let tokens = refusal("processor_config.json", "image_seq_len", 5.into());
    support::assert_names(&tokens, &["one for each image feature", "68", "85"]);
    let edge = serde_json::json!({"longest_edge": 64});
    let size = refusal("preprocessor_config.json", "max_image_size", edge);
    support::assert_names(&size, &["vision_encoder.onnx", "pixel_values", "64", "32"]);
}

#[test]
fn files_of_several_types_are_chosen_among() {
    let dir = copy("tiny-idefics3");
    let onnx = dir.path().join("onnx");
    for suffix in ["_q4", "_fp16", "_quantized"] {
        let to = onnx.join(format!("decoder_model_merged{suffix}.onnx"));
        fs::copy(onnx.join("decoder_model_merged.onnx"), to).unwrap();
    }
    let chosen = |dtype: Option<&str>| -> Result<String, String> {
        let package = Package::open_as(dir.path(), dtype).map_err(|e| e.to_string())?;
        let report = package.report().unwrap();
        let images = report.images.unwrap();
        assert_eq!(
            images,
            "squares of 32 pixels, and the whole in one, 4 tokens each"
        );
        Ok(report.files[0].0.clone())
    };
    assert_eq!(chosen(None).unwrap(), "decoder_model_merged_q4.onnx");
    assert_eq!(
        chosen(Some("decoder_model_merged=fp16")).unwrap(),
        "decoder_model_merged_fp16.onnx"
    );
    assert_eq!(chosen(Some("fp32")).unwrap(), "decoder_model_merged.onnx");
    edit(dir.path(), "config.json", |json| {
        json["transformers.js_config"] =
            serde_json::json!({"dtype": {"decoder_model_merged": "q8"}});
    });
    assert_eq!(chosen(None).unwrap(), "decoder_model_merged_quantized.onnx");
    support::assert_names(
        &chosen(Some("q5")).unwrap_err(),
        &["`dtype`", "q4f16", "got q5"],
    );
    support::assert_names(
        &chosen(Some("fp16")).unwrap_err(),
        &["embed_tokens", "fp32"],
    );
    let notes = Package::open(dir.path()).unwrap().notes().join("; ");
    support::assert_names(
        &notes,
        &[
            "decoder_model_merged has files in q4, q8, fp32, fp16",
            "config.json",
        ],
    );
    let genai = Package::open_as(&tiny("tiny-idefics3-genai"), Some("q4")).unwrap_err();
    support::assert_names(&genai.to_string(), &["one file of each graph"]);
}

#[test]
fn a_text_model_in_the_layout_of_transformers_js_answers_as_in_the_other() {
    if !support::library_or_skip(
        "a_text_model_in_the_layout_of_transformers_js_answers_as_in_the_other",
    ) {
        return;
    }
    let source = tiny("tiny-llama-growing-fp32");
    let dir = support::copy(&source);
    fs::remove_file(dir.path().join("genai_config.json")).unwrap();
    fs::create_dir(dir.path().join("onnx")).unwrap();
    let graph = dir.path().join("onnx/model.onnx");
    fs::rename(dir.path().join("model.onnx"), &graph).unwrap();
    let config = r#"{"model_type": "llama", "max_position_embeddings": 640, "eos_token_id": [2], "bos_token_id": 1}"#;
    fs::write(dir.path().join("config.json"), config).unwrap();
    let options = options();
    let ask = |dir: &Path| {
        let question = Question::Tokens((5..60).collect());
        let mut engine = support::engine(dir);
        engine.ask(&question, &options, &mut |_| {}).unwrap().paths[0]
            .tokens
            .clone()
    };
    let expected = ask(&source);
    assert_eq!(ask(dir.path()), expected);
    // As optimum merges a graph without a past and one with: told which it is to be. Appended messages are merged.
    let mut bytes = fs::read(&graph).unwrap();
    bytes.extend(input_of_bool("use_cache_branch"));
    fs::write(&graph, bytes).unwrap();
    assert_eq!(ask(dir.path()), expected);
}

/// A `ModelProto` whose graph has an input `[1]` of bool and nothing else.
fn input_of_bool(name: &str) -> Vec<u8> {
    let field = |number: u8, value: &[u8]| {
        let mut bytes = vec![number << 3 | 2, value.len() as u8];
        bytes.extend_from_slice(value);
        bytes
    };
    let shape = field(1, &[1 << 3, 1]);
    let mut tensor = vec![1 << 3, 9];
    tensor.extend(field(2, &shape));
    let mut info = field(1, name.as_bytes());
    info.extend(field(2, &field(1, &tensor)));
    field(7, &field(11, &info))
}

#[test]
fn a_package_of_several_graphs_is_known_by_all_of_them() {
    let fingerprint = |dir: &Path| Package::open(dir).unwrap().fingerprint().unwrap();
    let whole = fingerprint(&tiny("tiny-idefics3"));
    assert_eq!(fingerprint(copy("tiny-idefics3").path()), whole);
    for graph in ["vision_encoder", "embed_tokens", "decoder_model_merged"] {
        let dir = copy("tiny-idefics3");
        let file = dir.path().join(format!("onnx/{graph}.onnx"));
        let mut bytes = fs::read(&file).unwrap();
        // Inside a weight: in the middle of the largest part of the file.
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).unwrap();
        assert_ne!(fingerprint(dir.path()), whole, "{graph}");
    }
    for (file, field, value) in [
        ("preprocessor_config.json", "resample", Value::from(3)),
        ("config.json", "image_token_id", Value::from(5)),
    ] {
        let dir = copy("tiny-idefics3");
        edit(dir.path(), file, |json| json[field] = value);
        assert_ne!(fingerprint(dir.path()), whole, "{file}");
    }
}

#[test]
fn what_a_processor_cannot_do_is_named() {
    let change = |field: &str, value: Value| {
        let dir = copy("tiny-idefics3");
        edit(dir.path(), "preprocessor_config.json", |json| {
            json[field] = value
        });
        dir
    };
    for (field, value) in [
        ("resample", Value::from(0)),
        ("size", serde_json::json!({"longest_edge": 1 << 30})),
        ("size", serde_json::json!({"shortest_edge": 5})),
        ("max_image_size", serde_json::json!({"longest_edge": 0})),
        ("image_mean", serde_json::json!([0.5])),
        ("image_std", serde_json::json!([0.5, 0.0, 0.5])),
    ] {
        let refusal = support::refusal(change(field, value).path());
        support::assert_names(&refusal, &["preprocessor_config.json", field]);
    }
    // A text can still be asked about where images cannot.
    let other = change("image_processor_type", "Qwen2VLImageProcessor".into());
    let package = Package::open(other.path()).unwrap();
    assert!(package.image_processor().is_none());
    let notes = package.notes().join("; ");
    support::assert_names(&notes, &["Idefics3ImageProcessor", "Qwen2VLImageProcessor"]);
}
