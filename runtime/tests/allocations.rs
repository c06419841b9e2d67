//! A decode step allocates nothing outside ONNX Runtime.
//!
//! Its own test binary: the counter is the process's allocator. ONNX Runtime allocates through C, which is not counted.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use curt::Package;
use curt::generate::Sampling;
use curt::paths::{Ending, Launch, PathId, launch};
use support::{decoder, never, tokens};

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
        let mut decoder = decoder(&package, 8, 24 + 40);
        for sampling in samplings {
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
                eos_ids: &[],
                checks: &[],
                show_kv_at: &[],
                ending: Ending::default(),
                cancel: &cancel,
            };
            // Counts at the first and at the last token of each path lie around all steps between.
            let mut counts = Vec::with_capacity(8 * 40);
            let mut ended = [0usize; 8];
            launch(&mut decoder, &launched, &mut |path: PathId, _: u32| {
                counts.push(ALLOCATIONS.load(Ordering::Relaxed));
                ended[path] += 1;
                // Paths leave at different lengths, so that rows move.
                Ok(if ended[path] > 20 + path {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            })
            .unwrap();
            let (first, last) = (counts[0], counts[counts.len() - 1]);
            assert_eq!(
                last - first,
                0,
                "{name}: allocations between the first and the last token, {sampling:?}"
            );
        }
    }
}
