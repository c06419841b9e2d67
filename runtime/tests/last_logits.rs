//! Graphs that give logits of every position are made to give those of the last alone.

use crate::support;

use std::path::{Path, PathBuf};

use curt::Package;
use support::onnx::{GRAPH_NODES, Message, Value, edit_graph};
use support::{bits, decoder, largest_difference, never, tokens};

/// What `curt inspect` says of a package's logits.
fn logits(dir: &Path) -> &'static str {
    Package::open(dir).unwrap().report().unwrap().logits
}

fn is_cut(dir: &Path) -> bool {
    logits(dir).contains("cut")
}

/// Packages whose graphs give logits of every position, each with its graph file.
fn packages() -> Vec<(PathBuf, &'static str)> {
    let found: Vec<_> = support::TINY
        .iter()
        .map(|name| (support::tiny(name), "model.onnx"))
        .chain([(support::reasoner(), "model.onnx")])
        .filter(|(dir, _)| is_cut(dir))
        .collect();
    assert!(!found.is_empty());
    found
}

fn node(op_type: &str, input: &str, output: &str) -> Value {
    let node = Message::default().with(1, input).with(2, output);
    Value::Bytes(node.with(4, op_type).to_bytes())
}

/// A copy of a package, another node behind its logits.
fn with_node(
    dir: &Path,
    file: &str,
    op_type: &str,
    input: &str,
    output: &str,
) -> tempfile::TempDir {
    let copy = support::copy(dir);
    edit_graph(&copy.path().join(file), |graph| {
        graph.0.push((GRAPH_NODES, node(op_type, input, output)));
    });
    copy
}

/// Logits after a prompt of 40 tokens, and after three more.
fn run(dir: &Path) -> Vec<Vec<f32>> {
    let package = Package::open(dir).unwrap();
    let mut decoder = decoder(&package, 1, 48);
    decoder.prefill(&tokens(&package, 40, 3), &never()).unwrap();
    let mut all = vec![decoder.logits(0).to_vec()];
    for token in [5, 9, 2] {
        decoder.step(&[token], &never()).unwrap();
        all.push(decoder.logits(0).to_vec());
    }
    all
}

fn worst(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let pairs = a.iter().zip(b).map(|(a, b)| largest_difference(a, b));
    pairs.fold(0.0, f32::max)
}

#[test]
fn the_last_logits_are_those_of_the_whole_graph() {
    if !support::library_or_skip("the_last_logits_are_those_of_the_whole_graph") {
        return;
    }
    for (dir, file) in packages() {
        // Somebody else reads all of them, so that they stay.
        let whole = with_node(&dir, file, "Identity", "logits", "watched");
        assert!(!is_cut(whole.path()), "{}", logits(whole.path()));
        let [cut, whole] = [dir.as_path(), whole.path()].map(run);
        for (cut, whole) in cut.iter().zip(&whole) {
            assert_eq!(bits(cut), bits(whole), "{}", dir.display());
        }
    }
}

#[test]
fn what_stands_behind_the_product_is_kept() {
    if !support::library_or_skip("what_stands_behind_the_product_is_kept") {
        return;
    }
    let (dir, file) = packages().remove(0);
    let capped = support::copy(&dir);
    edit_graph(&capped.path().join(file), |graph| {
        graph.each(GRAPH_NODES, |node| {
            for (field, value) in &mut node.0 {
                if *field == 2 && *value == Value::Bytes(b"logits".to_vec()) {
                    *value = Value::Bytes(b"raw".to_vec());
                }
            }
        });
        graph.0.push((GRAPH_NODES, node("Tanh", "raw", "logits")));
    });
    assert!(is_cut(capped.path()), "{}", logits(capped.path()));
    let expected: Vec<Vec<f32>> = run(&dir)
        .into_iter()
        .map(|logits| logits.into_iter().map(f32::tanh).collect())
        .collect();
    // The library's own tanh is within a few units in the last place of 1.
    assert!(worst(&run(capped.path()), &expected) < 8.0 * f32::EPSILON);
    // A sum over positions is no such thing.
    let summed = support::copy(&dir);
    edit_graph(&summed.path().join(file), |graph| {
        graph.each(GRAPH_NODES, |node| {
            for (field, value) in &mut node.0 {
                if *field == 2 && *value == Value::Bytes(b"logits".to_vec()) {
                    *value = Value::Bytes(b"raw".to_vec());
                }
            }
        });
        graph
            .0
            .push((GRAPH_NODES, node("Softmax", "raw", "logits")));
    });
    assert!(!is_cut(summed.path()));
}
