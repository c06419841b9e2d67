//! The session as its callers meet it: options out of range, a load that is cancelled, memory that does not fit.

use crate::support;

use std::time::Duration;

use curt::generate::Decoder;
use curt::session::{BoundGraph, MAX_THREADS, Provider, Providers, SessionOptions, TensorSpec};
use curt::{AskOptions, CancelToken, Engine, EngineOptions, Error, Package, Question};
use curt_kernels::Dtype;
use support::{never, plan, reasoner, tiny, tokens};

#[test]
fn threads_and_providers_out_of_range_are_refused() {
    for (options, field) in [
        (Some(0), "`threads`"),
        (Some(MAX_THREADS + 1), "`threads`"),
        (Some(100_000), "`threads`"),
        (Some(usize::MAX), "`threads`"),
    ]
    .map(|(threads, field)| {
        let options = EngineOptions {
            threads,
            ..EngineOptions::default()
        };
        (options, field)
    })
    .into_iter()
    .chain(
        [
            vec![],
            vec![Provider::Cpu, Provider::Cpu],
            vec![Provider::Cpu, Provider::Cuda],
        ]
        .map(|providers| {
            let options = EngineOptions {
                providers: Providers::Prefer(providers),
                ..EngineOptions::default()
            };
            (options, "`providers`")
        }),
    ) {
        let error = Engine::open(reasoner(), &options).err().unwrap();
        assert!(matches!(error, Error::Option { .. }), "{error}");
        assert!(error.to_string().starts_with(field), "{error}");
    }
}

#[test]
fn an_answer_says_where_its_nodes_ran() {
    if !support::library_or_skip("an_answer_says_where_its_nodes_ran") {
        return;
    }
    let mut engine = support::engine(reasoner());
    let question = Question::Tokens(vec![1, 2, 3]);
    let answer = engine
        .ask(&question, &AskOptions::default(), &mut |_| {})
        .unwrap();
    let [cpu] = &answer.placement.providers[..] else {
        panic!("{:?}", answer.placement);
    };
    assert_eq!(cpu.name, Provider::Cpu.name());
    assert!(cpu.requested && cpu.registered);
    assert!(cpu.nodes > 0 && cpu.partitions <= cpu.nodes);
    let json = serde_json::to_value(&answer).unwrap();
    assert_eq!(json["placement"]["providers"][0]["nodes"], cpu.nodes);
}

#[test]
fn a_load_is_cancelled_before_and_meanwhile() {
    if !support::library_or_skip("a_load_is_cancelled_before_and_meanwhile") {
        return;
    }
    let open = |cancel: &CancelToken| {
        let options = EngineOptions {
            threads: Some(1),
            cancel: cancel.clone(),
            ..EngineOptions::default()
        };
        Engine::open(reasoner(), &options).map(|_| ())
    };
    let cancelled = CancelToken::new();
    cancelled.cancel();
    let error = open(&cancelled).unwrap_err();
    assert!(matches!(error, Error::Cancelled { .. }), "{error}");
    for microseconds in [0, 500, 2_000, 5_000, 20_000] {
        let token = CancelToken::new();
        let other = token.clone();
        let canceller = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(microseconds));
            other.cancel();
        });
        match open(&token) {
            Ok(()) | Err(Error::Cancelled { .. }) => {}
            Err(error) => panic!("after {microseconds} µs: {error}"),
        }
        canceller.join().unwrap();
    }
    // Nothing is left behind that would stop another.
    open(&CancelToken::new()).unwrap();
}

#[test]
fn memory_that_no_tensor_fits_in_is_refused() {
    if !support::library_or_skip("memory_that_no_tensor_fits_in_is_refused") {
        return;
    }
    let graph = tiny("tiny-llama-fp32").join("model.onnx");
    let bytes = [0u64; 8];
    // SAFETY: any bytes of a number are bytes.
    let bytes = unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<u8>(), 64) };
    for (shape, bytes) in [
        (&[17][..], bytes),
        (&[-1], bytes),
        (&[i64::MAX, 4], bytes),
        (&[2], &bytes[1..]),
    ] {
        let spec = TensorSpec {
            name: c"past_key_values.0.key",
            dtype: Dtype::F32,
            shape,
        };
        let mut out = vec![0; 64];
        let options = SessionOptions::default();
        let output = TensorSpec {
            name: c"logits",
            ..spec
        };
        let opened = BoundGraph::open(&graph, &options, &[(spec, bytes)], (output, &mut out));
        let error = opened.err().unwrap();
        assert!(
            matches!(error, curt::session::Error::Memory { .. }),
            "{error}"
        );
    }
}

#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn what_is_held_is_what_is_touched() {
    if !support::library_or_skip("what_is_held_is_what_is_touched") {
        return;
    }
    let package = Package::open(&reasoner()).unwrap();
    let large = plan(&package, 64, 1024);
    let options = SessionOptions {
        threads: Some(1),
        ..SessionOptions::default()
    };
    let mut decoder = Decoder::open(&package, large, &options).unwrap();
    let before = decoder.resident_bytes();
    decoder.prefill(&tokens(&package, 20, 1), &never()).unwrap();
    let held = decoder.resident_bytes();
    assert!(held > before);
    assert!(held < large.bytes / 2, "{held} of {} planned", large.bytes);
}
