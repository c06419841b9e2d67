//! Exact greedy token ids of onnxruntime-genai and Hugging Face transformers, and their logits.
//!
//! `models/recipes/reference/make.py` makes the references; its README has the format.

use crate::support;

use std::path::{Path, PathBuf};

use curt::generate::Decoder;
use curt::paths::FinishReason;
use curt::{AskOptions, Package, Question, SamplingDefaults};
use serde::Deserialize;
use support::{argmax, decoder, never};

#[derive(Deserialize)]
struct Reference {
    package: String,
    runtime: String,
    onnxruntime: String,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    prompt: Vec<u32>,
    greedy: Vec<u32>,
    margins: Vec<f32>,
    logits: Vec<StepLogits>,
}

#[derive(Deserialize)]
struct StepLogits {
    step: usize,
    top: Vec<(u32, f32)>,
}

/// Logits of onnxruntime-genai on the same file and ONNX Runtime version: 5.7e-6 is the largest difference that this test
/// prints on the machine that made the references (on SmolLM2 and the shipped package), doubled.
const SAME_LIBRARY: f32 = 1.2e-5;

/// Logits of transformers' f32 kernels against ONNX Runtime's: the recipe measures the two references against each other
/// (`data/README.md`: 8.4e-5 the largest, on a tiny Llama), doubled.
const OTHER_KERNELS: f32 = 1.7e-4;

#[test]
fn the_tiny_packages_repeat_their_references() {
    if !support::library_or_skip("the_tiny_packages_repeat_their_references") {
        return;
    }
    for name in support::TINY {
        check(name, support::tiny(name));
    }
}

#[test]
fn the_shipped_package_repeats_its_reference() {
    if !support::library_or_skip("the_shipped_package_repeats_its_reference") {
        return;
    }
    check("reasoner", support::reasoner());
}

#[test]
fn smollm2_int4_repeats_its_reference() {
    check_cached(
        "smollm2-135m-instruct-int4",
        "models/recipes/smollm2/make.py",
    );
}

#[test]
fn smollm2_int8_repeats_its_reference() {
    check_cached(
        "smollm2-135m-instruct-int8",
        "models/recipes/smollm2/make.py",
    );
}

#[test]
fn smollm2_f32_repeats_transformers() {
    check_cached(
        "smollm2-135m-instruct-fp32",
        "models/recipes/smollm2/make.py --precision fp32",
    );
}

#[test]
fn the_shipped_package_in_f32_repeats_transformers() {
    check_cached(
        "reasoner-fp32",
        "models/recipes/reference/make.py --only reasoner",
    );
}

/// Checks a package that a recipe builds into curt's cache.
fn check_cached(name: &str, recipe: &str) {
    let test = format!("{name} repeats its reference");
    if !support::library_or_skip(&test) {
        return;
    }
    match support::cached(name) {
        Some(dir) => check(name, dir),
        None => support::skip(&test, &format!("the package is not built: python {recipe}")),
    }
}

fn check(name: &str, dir: PathBuf) {
    let file = support::checkout().join(format!("models/recipes/reference/data/{name}.json"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let reference: Reference = serde_json::from_str(&text).unwrap();
    assert_eq!(reference.package, name);
    let tolerance = match reference.runtime.as_str() {
        "transformers" => OTHER_KERNELS,
        _ => SAME_LIBRARY,
    };
    let package = Package::open(&dir).unwrap();
    let capacity = reference
        .items
        .iter()
        .map(|i| i.prompt.len() + i.greedy.len())
        .max()
        .unwrap();
    let mut decoder = decoder(&package, 1, capacity);
    let mut faults = Vec::new();
    let mut largest = 0.0f32;
    for item in &reference.items {
        match repeat(&mut decoder, &package, item, tolerance) {
            Ok(difference) => largest = largest.max(difference),
            Err(fault) => faults.push(format!("{}: {fault}", item.id)),
        }
    }
    assert!(
        faults.is_empty(),
        "{name}: {} of {} prompts differ from {} (ONNX Runtime {}); is this another version or processor?\n{}",
        faults.len(),
        reference.items.len(),
        reference.runtime,
        reference.onnxruntime,
        faults
            .iter()
            .take(3)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );
    println!(
        "{name}: {} prompts, the same ids as {}; logits differ by up to {largest:.1e}",
        reference.items.len(),
        reference.runtime
    );
}

/// Decodes greedily: each step's most probable token is the reference's, and its logits where those are stored.
fn repeat(
    decoder: &mut Decoder,
    package: &Package,
    item: &Item,
    tolerance: f32,
) -> Result<f32, String> {
    let mut largest = 0.0f32;
    decoder.rewind(0).unwrap();
    decoder.prefill(&item.prompt, &never()).unwrap();
    for (step, &expected) in item.greedy.iter().enumerate() {
        let logits = decoder.logits(0);
        let got = argmax(logits);
        if got != expected {
            return Err(format!(
                "token {step}: expected {expected}, got {got}; the reference's margin there is {:?}",
                item.margins.get(step)
            ));
        }
        let stored = item.logits.iter().filter(|s| s.step == step);
        for &(token, expected) in stored.flat_map(|s| &s.top) {
            let got = logits[token as usize];
            let difference = (got - expected).abs();
            largest = largest.max(difference);
            if difference.is_nan() || difference > tolerance {
                return Err(format!(
                    "step {step}, logit of {token}: expected {expected}, got {got} (tolerance {tolerance})"
                ));
            }
        }
        if package.eos_ids().contains(&expected) {
            assert_eq!(step + 1, item.greedy.len(), "the reference ends with EOS");
            break;
        }
        if step + 1 < item.greedy.len() {
            decoder.step(&[expected], &never()).unwrap();
        }
    }
    Ok(largest)
}

#[derive(Deserialize)]
struct SearchReference {
    package: String,
    new_tokens: usize,
    prompt: Vec<u32>,
    cases: Vec<SearchCase>,
}

#[derive(Deserialize)]
struct SearchCase {
    search: serde_json::Map<String, serde_json::Value>,
    eos_token_id: Option<u32>,
    greedy: Vec<u32>,
}

/// `original` with another `genai_config.json`.
fn with_config(original: &Path, edit: impl FnOnce(&mut serde_json::Value)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(original).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    let file = dir.path().join("genai_config.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    edit(&mut config);
    std::fs::write(&file, config.to_string()).unwrap();
    dir
}

/// `models/recipes/reference/search.py` makes the reference.
#[test]
fn the_packages_search_settings_give_the_ids_of_onnxruntime_genai() {
    if !support::library_or_skip("the_packages_search_settings_give_the_ids_of_onnxruntime_genai") {
        return;
    }
    let file = support::checkout().join("models/recipes/reference/data/search.json");
    let reference: SearchReference =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let original = support::tiny(&reference.package);
    for case in &reference.cases {
        let dir = with_config(&original, |config| {
            for (name, value) in &case.search {
                config["search"][name] = value.clone();
            }
            if let Some(id) = case.eos_token_id {
                config["model"]["eos_token_id"] = id.into();
            }
        });
        let mut engine = support::engine(dir.path());
        let options = AskOptions {
            sampling: SamplingDefaults {
                max_tokens: Some(reference.new_tokens),
                ..SamplingDefaults::default()
            },
            ..AskOptions::default()
        };
        let question = Question::Tokens(reference.prompt.clone());
        let answer = engine.ask(&question, &options, &mut |_| {}).unwrap();
        let mut got = answer.paths[0].tokens.clone();
        // onnxruntime-genai leaves out the id that ends a sequence.
        if answer.paths[0].finish == FinishReason::Eos {
            got.pop();
        }
        assert_eq!(got, case.greedy, "{:?}", case.search);
        assert!(answer.notes.is_empty(), "{:?}", answer.notes);
    }
}

#[test]
fn search_settings_that_are_not_followed_are_said() {
    if !support::library_or_skip("search_settings_that_are_not_followed_are_said") {
        return;
    }
    let dir = with_config(&support::tiny("tiny-llama-fp32"), |config| {
        config["search"]["num_beams"] = 4.into();
        config["search"]["max_length"] = 100.into();
    });
    let mut engine = support::engine(dir.path());
    let question = Question::Tokens(support::tokens(engine.package(), 8, 1));
    let options = AskOptions {
        sampling: SamplingDefaults {
            max_tokens: Some(4),
            ..SamplingDefaults::default()
        },
        ..AskOptions::default()
    };
    let notes = engine.ask(&question, &options, &mut |_| {}).unwrap().notes;
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].contains("num_beams is 4"), "{notes:?}");
    assert!(notes[1].contains("max_length is 100"), "{notes:?}");
}
