//! A decode step allocates nothing outside ONNX Runtime.
//!
//! Its own test binary: the counter is the process's allocator. ONNX Runtime allocates through C, which is not counted.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use curt::generate::Sampling;
use curt::kv::KvPlan;
use curt::paths::{Ending, Launch, Launched, Next, PathId, TokenSource, Watch, launch};
use curt::{Attention, Package};
use support::{decoder, never, planned, tokens};

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: forwards to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: forwarded.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: forwarded.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: forwarded.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Ends paths at different lengths, so that rows move.
struct EndsApart;

impl TokenSource for EndsApart {
    fn next(&mut self, path: PathId, tokens: &[u32]) -> Next {
        match tokens.len() {
            taken if taken == 20 + path => Next::Last(1),
            taken if taken % 5 == 4 => Next::Forced(2),
            taken if taken % 5 == 3 => Next::Masked,
            _ => Next::Drawn,
        }
    }

    fn mask(&mut self, _path: PathId, _tokens: &[u32], logits: &mut [f32]) {
        logits[0] = f32::NEG_INFINITY;
    }
}

/// Allocations so far, at every token.
struct Counts(Vec<usize>);

impl Watch for Counts {
    fn token(&mut self, _path: PathId, _token: u32) {
        self.0.push(ALLOCATIONS.load(Ordering::Relaxed));
    }
}

#[test]
fn no_step_allocates_whatever_the_sampling_and_however_many_paths_end() {
    if !support::library_or_skip(
        "no_step_allocates_whatever_the_sampling_and_however_many_paths_end",
    ) {
        return;
    }
    let warm = Sampling {
        temperature: 1.0,
        ..Sampling::default()
    };
    let samplings = [
        Sampling::default(),
        warm,
        Sampling { top_k: 40, ..warm },
        Sampling { top_p: 0.9, ..warm },
        Sampling {
            min_p: 0.05,
            ..warm
        },
        Sampling {
            repetition_penalty: 1.2,
            no_repeat_ngram_size: 3,
            min_length: 30,
            ..warm
        },
    ];
    for name in [
        "tiny-llama-int4",
        "tiny-llama-growing-fp32",
        "tiny-qwen3-fp32",
    ] {
        let package = Package::open(&support::tiny(name)).unwrap();
        let prompt = tokens(&package, 24, 1);
        let graph = package.graph();
        let (layout, _) = graph.attention(Attention::Shared);
        let plan = KvPlan::with_prompt(graph.geometry(), layout, (8, 24), 24 + 40, None).unwrap();
        let mut decoders = [decoder(&package, 8, 24 + 40), planned(&package, plan)];
        let runs = (0..2).flat_map(|which| samplings.map(|sampling| (which, sampling)));
        for (which, sampling) in runs {
            let decoder = &mut decoders[which];
            decoder.rewind(0).unwrap();
            decoder.keep_first_row();
            decoder.prefill(&prompt, &never()).unwrap();
            let cancel = never();
            let launched = Launch {
                paths: 8,
                prompt: &prompt,
                sampling,
                seed: 3,
                max_tokens: 40,
                context_tokens: 24 + 40,
                eos_ids: &[],
                reading: None,
                checks: &[],
                show_kv_at: &[],
                ending: Ending::default(),
                cancel: &cancel,
            };
            // Counts at the first and at the last token of each path lie around all steps between.
            let mut counts = Counts(Vec::with_capacity(8 * 40));
            launch(decoder, &launched, &mut EndsApart, &mut counts)
                .and_then(Launched::whole)
                .unwrap();
            let counts = counts.0;
            let (first, last) = (counts[0], counts[counts.len() - 1]);
            assert_eq!(
                last - first,
                0,
                "{name}: allocations between the first and the last token, {sampling:?}"
            );
        }
    }
}
