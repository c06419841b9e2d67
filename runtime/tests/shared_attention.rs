//! A shared prompt against the graph's own attention.

use crate::support;

use curt::generate::Decoder;
use curt::kv::{KvLayout, KvPlan};
use curt::session::SessionOptions;
use curt::{Attention, Package};
use support::{largest_difference, never, tiny, tokens};

fn open(
    package: &Package,
    layout: KvLayout,
    rows: usize,
    prompt: usize,
    capacity: usize,
) -> Decoder {
    let geometry = package.graph().geometry();
    let plan = KvPlan::with_prompt(geometry, layout, (rows, prompt), capacity, None).unwrap();
    let options = SessionOptions {
        threads: Some(2),
        ..SessionOptions::default()
    };
    Decoder::open(package, plan, &options).unwrap()
}

#[test]
fn shared_and_dense_attention_agree() {
    if !support::library_or_skip("shared_and_dense_attention_agree") {
        return;
    }
    for name in ["tiny-llama-fp32", "tiny-qwen2-fp32", "tiny-qwen3-fp32"] {
        let package = Package::open(&tiny(name)).unwrap();
        let (layout, report) = package.graph().attention(Attention::Auto);
        assert!(report.shared, "{name}: {report:?}");
        for length in [1, 20, 130, 600] {
            let prompt = tokens(&package, length, 7);
            let mut shared = open(&package, layout, 5, length, length + 8);
            let mut dense = open(&package, package.graph().layout(), 5, length, length + 8);
            let mut worst = 0.0f32;
            for decoder in [&mut shared, &mut dense] {
                decoder.prefill(&prompt, &never()).unwrap();
                decoder.fork(5, &never()).unwrap();
            }
            worst = worst.max(largest_difference(shared.logits(0), dense.logits(0)));
            for step in 0..8u32 {
                let fed: Vec<u32> = (0..5).map(|row| (row * 31 + step * 7) % 200).collect();
                shared.step(&fed, &never()).unwrap();
                dense.step(&fed, &never()).unwrap();
                for row in 0..5 {
                    worst = worst.max(largest_difference(shared.logits(row), dense.logits(row)));
                }
            }
            println!("{name}, {length} tokens: {worst:.2e}");
            assert!(worst < 1e-4, "{name}, {length} tokens: {worst:.2e}");
        }
    }
}
