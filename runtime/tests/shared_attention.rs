//! A shared prompt against the graph's own attention, and the graphs that keep theirs.

use crate::support;

use std::path::Path;

use curt::kv::KvPlan;
use curt::{AskOptions, Attention, Engine, EngineOptions, Package, Question};
use support::onnx::{GRAPH_NODES, Message, NODE_ATTRIBUTES, Value, edit_graph};
use support::{largest_difference, never, planned, tiny, tokens};

/// How far logits may be from those of ONNX Runtime's attention where activations are f32: twice the largest difference that
/// this test prints on an AVX-512 machine with ONNX Runtime 1.31.1 (6.84e-5, at 600 positions, of logits up to 20).
const F32_LOGITS: f32 = 1.4e-4;

/// As far as they may be where keys and values are kept in f16, of 11 significant bits: twice the largest difference that
/// this test prints there (6.28e-2, at 130 positions).
const F16_LOGITS: f32 = 1.3e-1;

/// Largest difference of a logit between shared and dense attention, over a prompt and some steps of five rows.
fn difference(dir: &Path, asked: Attention, length: usize) -> f32 {
    let package = Package::open(dir).unwrap();
    let graph = package.graph();
    let (layout, report) = graph.attention(asked);
    assert!(report.shared, "{}: {report:?}", dir.display());
    let prompt = tokens(&package, length, 7);
    let mut decoders = [layout, graph.layout()].map(|layout| {
        let (rows, capacity) = ((5, length), length + 8);
        let plan = KvPlan::with_prompt(graph.geometry(), layout, rows, capacity, None).unwrap();
        let mut decoder = planned(&package, plan);
        decoder.prefill(&prompt, &never()).unwrap();
        decoder.fork(5, &never()).unwrap();
        decoder
    });
    let mut worst = 0.0f32;
    for step in 0..8u32 {
        let [shared, dense] = &decoders;
        for row in 0..if step == 0 { 1 } else { 5 } {
            worst = worst.max(largest_difference(shared.logits(row), dense.logits(row)));
        }
        let fed: Vec<u32> = (0..5).map(|row| (row * 31 + step * 7) % 200).collect();
        for decoder in &mut decoders {
            decoder.step(&fed, &never()).unwrap();
        }
    }
    worst
}

#[test]
fn shared_and_dense_attention_agree() {
    if !support::library_or_skip("shared_and_dense_attention_agree") {
        return;
    }
    for name in ["tiny-llama-fp32", "tiny-qwen2-fp32", "tiny-qwen3-fp32"] {
        // One chunk and its beginning, the end of one, several, and several prefill steps.
        for length in [1, 20, 130, 600] {
            let worst = difference(&tiny(name), Attention::Shared, length);
            println!("{name}, {length} tokens: {worst:.2e}");
            assert!(worst < F32_LOGITS, "{name}, {length} tokens: {worst:.2e}");
            let worst = difference(&tiny(name), Attention::SharedF16, length);
            println!("{name}, {length} tokens, f16: {worst:.2e}");
            assert!(worst < F16_LOGITS, "{name}, {length} tokens: {worst:.2e}");
            // Rounding shows: what is kept is f16.
            assert!(worst > F32_LOGITS, "{name}, {length} tokens: {worst:.2e}");
        }
    }
}

/// A copy of a package, its attention operators changed.
fn changed(name: &str, mut change: impl FnMut(&mut Message)) -> tempfile::TempDir {
    let dir = support::copy(&tiny(name));
    edit_graph(&dir.path().join("model.onnx"), |graph| {
        graph.each(GRAPH_NODES, |node| {
            if node.text(4) == "GroupQueryAttention" {
                change(node);
            }
        });
    });
    dir
}

type Change<'a> = &'a dyn Fn(&mut Message);

/// Sets an attribute that is a number.
fn set(node: &mut Message, name: &str, value: Value) {
    let field = if matches!(value, Value::Fixed(_)) {
        2
    } else {
        3
    };
    let mut found = false;
    node.each(NODE_ATTRIBUTES, |attribute| {
        if attribute.text(1) == name {
            attribute.remove(field);
            attribute.0.push((field, value.clone()));
            found = true;
        }
    });
    if !found {
        let mut attribute = Message::default().with(1, name);
        attribute.0.push((field, value));
        attribute
            .0
            .push((20, Value::Number(if field == 2 { 1 } else { 2 })));
        node.0
            .push((NODE_ATTRIBUTES, Value::Bytes(attribute.to_bytes())));
    }
}

#[test]
fn rotation_of_neighbours_and_none_agree_with_the_librarys() {
    if !support::library_or_skip("rotation_of_neighbours_and_none_agree_with_the_librarys") {
        return;
    }
    for name in ["tiny-llama-fp32", "tiny-qwen3-fp32"] {
        let neighbours = changed(name, |node| {
            set(node, "rotary_interleaved", Value::Number(1))
        });
        let none = changed(name, |node| {
            set(node, "do_rotary", Value::Number(0));
        });
        let scaled = changed(name, |node| {
            set(node, "scale", Value::Fixed(0.1f32.to_le_bytes().to_vec()));
        });
        for dir in [&neighbours, &none, &scaled] {
            let worst = difference(dir.path(), Attention::Shared, 150);
            assert!(worst < F32_LOGITS, "{name}: {worst:.2e}");
        }
    }
}

#[test]
fn what_our_attention_does_not_do_stays_with_the_graphs_own() {
    let why = |dir: &Path, asked| {
        let package = Package::open(dir).unwrap();
        let (layout, report) = package.graph().attention(asked);
        assert_eq!(report.shared, layout != package.graph().layout());
        report.why
    };
    let shared = Attention::Shared;
    let window = |node: &mut Message| set(node, "local_window_size", Value::Number(64));
    let cap = |node: &mut Message| {
        set(
            node,
            "softcap",
            Value::Fixed(30.0f32.to_le_bytes().to_vec()),
        );
    };
    let smooth = |node: &mut Message| set(node, "smooth_softmax", Value::Number(1));
    let unknown = |node: &mut Message| set(node, "of_a_later_version", Value::Number(0));
    // A tenth input is the attention's bias.
    let bias = |node: &mut Message| {
        let mut inputs = 0;
        for (number, value) in &mut node.0 {
            inputs += usize::from(*number == 1);
            if *number == 1 && inputs == 11 {
                *value = Value::Bytes(b"cos_cache".to_vec());
            }
        }
    };
    let changes: [(&str, Change<'_>); 5] = [
        ("local_window_size 64", &window),
        ("softcap 30", &cap),
        ("smooth_softmax 1", &smooth),
        ("of_a_later_version 0", &unknown),
        ("bias", &bias),
    ];
    for (expected, change) in changes {
        let dir = changed("tiny-llama-fp32", change);
        let why = why(dir.path(), shared).unwrap();
        assert!(why.contains(expected), "expected {expected:?} in {why:?}");
    }
    let growing = why(&tiny("tiny-llama-growing-fp32"), shared).unwrap();
    assert!(growing.contains("plain operators"), "{growing}");
    assert_eq!(why(&tiny("tiny-llama-int4"), shared), None);
    assert_eq!(why(&tiny("tiny-llama-fp32"), Attention::Dense), None);
}

#[test]
fn an_answer_says_which_attention_ran_and_counts_the_prompt_once() {
    let test = "an_answer_says_which_attention_ran_and_counts_the_prompt_once";
    if !support::library_or_skip(test) {
        return;
    }
    let ask = |name: &str, attention| {
        let options = EngineOptions {
            threads: Some(1),
            attention,
            ..EngineOptions::default()
        };
        let mut engine = Engine::open(tiny(name), &options).unwrap();
        let prompt = tokens(engine.package(), 30, 3);
        let mut options = AskOptions {
            paths: 4,
            ..AskOptions::default()
        };
        options.sampling.temperature = Some(1.0);
        options.sampling.max_tokens = Some(10);
        let question = Question::Tokens(prompt);
        engine.ask(&question, &options, &mut |_| {}).unwrap()
    };
    let shared = ask("tiny-llama-fp32", Attention::default());
    let dense = ask("tiny-llama-fp32", Attention::Dense);
    assert!(shared.attention.shared && !dense.attention.shared);
    let json = serde_json::to_value(&shared).unwrap();
    assert_eq!(json["attention"]["shared"], true);
    assert_eq!(json["kv"]["shared_tokens"], 30);
    assert_eq!(shared.kv.bytes, shared.kv.bytes_per_token * (30 + 4 * 10));
    assert_eq!(dense.kv.bytes, dense.kv.bytes_per_token * 4 * 40);
    // The same paths, token for token: they are drawn from logits that differ by less than what decides.
    let texts = |answer: &curt::Answer| -> Vec<Vec<u32>> {
        answer
            .paths
            .iter()
            .map(|path| path.tokens.clone())
            .collect()
    };
    assert_eq!(texts(&shared), texts(&dense));
    let plain = ask("tiny-llama-growing-fp32", Attention::Shared);
    assert_eq!(plain.notes, [""; 0]);
    let refused = ask("tiny-llama-growing-fp32", Attention::SharedF16);
    assert!(!refused.attention.shared);
    assert!(
        refused
            .notes
            .iter()
            .any(|note| note.contains("plain operators")),
        "{:?}",
        refused.notes
    );
}
