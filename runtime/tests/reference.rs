//! Exact greedy token ids of onnxruntime-genai and Hugging Face transformers, and their logits.
//!
//! `models/recipes/reference/make.py` makes the references; its README has the format.

mod support;

use std::ops::ControlFlow;
use std::path::PathBuf;

use curt::Package;
use curt::generate::{Decoder, Sampling};
use curt::paths::{Launch, launch};
use serde::Deserialize;
use support::{decoder, never};

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

/// Logits of the same file and ONNX Runtime version on the machine that made the references: the same operators on the
/// same numbers, printed with 6 decimals.
const SAME_LIBRARY: f32 = 2e-5;

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
    match support::cached("reasoner-fp32") {
        Some(dir) => check("reasoner-fp32", dir),
        None => support::skip(
            "the_shipped_package_repeats_its_reference (f32, against transformers)",
            "the package is not built: python models/recipes/reference/make.py",
        ),
    }
}

#[test]
fn smollm2_repeats_its_references() {
    if !support::library_or_skip("smollm2_repeats_its_references") {
        return;
    }
    for precision in ["int4", "int8", "fp32"] {
        let name = format!("smollm2-135m-instruct-{precision}");
        match support::cached(&name) {
            Some(dir) => check(&name, dir),
            None => support::skip(
                &format!("smollm2_repeats_its_references ({precision})"),
                "the package is not built: python models/recipes/smollm2/make.py",
            ),
        }
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
    for item in &reference.items {
        if let Err(fault) = repeat(&mut decoder, &package, item, tolerance) {
            faults.push(format!("{}: {fault}", item.id));
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
        "{name}: {} prompts, the same ids as {}",
        reference.items.len(),
        reference.runtime
    );
}

/// Greedy ids, then the logits at the stored steps with the reference's own tokens fed.
fn repeat(
    decoder: &mut Decoder,
    package: &Package,
    item: &Item,
    tolerance: f32,
) -> Result<(), String> {
    let cancel = never();
    let eos_ids = package.eos_ids();
    decoder.rewind(0).unwrap();
    decoder.prefill(&item.prompt, &cancel).unwrap();
    let launched = Launch {
        paths: 1,
        prompt: &item.prompt,
        sampling: Sampling::default(),
        seed: 0,
        max_tokens: item.greedy.len(),
        eos_ids: &eos_ids,
        cancel: &cancel,
    };
    let (paths, _, _) = launch(decoder, &launched, &mut |_, _| {
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    let got = &paths[0].tokens;
    if *got != item.greedy {
        let at = got
            .iter()
            .zip(&item.greedy)
            .take_while(|(a, b)| a == b)
            .count();
        return Err(format!(
            "token {at}: expected {:?}, got {:?}; the reference's margin there is {:?}",
            item.greedy.get(at),
            got.get(at),
            item.margins.get(at)
        ));
    }
    decoder.rewind(0).unwrap();
    decoder.prefill(&item.prompt, &cancel).unwrap();
    let mut fed = 0;
    for stored in &item.logits {
        while fed < stored.step {
            decoder.step(&[item.greedy[fed]], &cancel).unwrap();
            fed += 1;
        }
        let logits = decoder.logits(0);
        for &(token, expected) in &stored.top {
            let difference = (logits[token as usize] - expected).abs();
            if difference.is_nan() || difference > tolerance {
                return Err(format!(
                    "step {}, logit of {token}: expected {expected}, got {} (tolerance {tolerance})",
                    stored.step, logits[token as usize]
                ));
            }
        }
    }
    Ok(())
}
