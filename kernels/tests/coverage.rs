//! Which instruction sets the other tests run on here.
//!
//! They take the sets that the processor has, and would pass on a machine that has the plain one alone. A job that means
//! to test certain sets names them in `EXPECT_ISAS`, as in `EXPECT_ISAS=scalar,avx2`, and fails here without them.

use std::fs::OpenOptions;
use std::io::Write;

use curt_kernels::{Attend, Dense, Isa, Mean, Softmax, SplitAttention};

/// Of every operation, the sets that it has a variant for.
fn variants() -> [(&'static str, Vec<Isa>); 5] {
    let of = |new: fn(Isa) -> Option<Isa>| Isa::ALL.into_iter().filter_map(new).collect();
    [
        ("Attend", of(|isa| Attend::new(isa).map(|v| v.isa()))),
        ("Mean", of(|isa| Mean::new(isa).map(|v| v.isa()))),
        ("Dense", of(|isa| Dense::new(isa).map(|v| v.isa()))),
        ("Softmax", of(|isa| Softmax::new(isa).map(|v| v.isa()))),
        (
            "SplitAttention",
            of(|isa| SplitAttention::new(isa).map(|v| v.isa())),
        ),
    ]
}

#[test]
fn every_operation_has_a_variant_for_every_available_instruction_set() {
    let available: Vec<Isa> = Isa::available().collect();
    for (operation, run) in variants() {
        assert_eq!(run, available, "{operation}");
    }
    let best = [
        Attend::best().isa(),
        Mean::best().isa(),
        Dense::best().isa(),
        Softmax::best().isa(),
        SplitAttention::best().isa(),
    ];
    assert_eq!(best, [Isa::best(); 5]);
}

#[test]
fn the_claimed_instruction_sets_are_those_that_run() {
    let Ok(claimed) = std::env::var("EXPECT_ISAS") else {
        return;
    };
    for (operation, run) in variants() {
        let names: Vec<&str> = run.iter().map(|isa| isa.name()).collect();
        assert_eq!(names.join(","), claimed, "{operation}");
    }
}

/// AVX-512, which an emulator does not run either, and the flags of /proc/cpuinfo that it needs.
const NATIVE_ALONE: (Isa, &str) = (Isa::Avx512, "avx512f avx512bw avx512dq avx512vl");

/// `cargo xtask test` lists what `CURT_SKIP_LOG` holds, and compares it with /proc/cpuinfo.
#[test]
fn a_set_that_runs_nowhere_else_is_not_skipped_silently() {
    let (isa, flags) = NATIVE_ALONE;
    if isa.is_available() {
        return;
    }
    let line = format!("kernels, {}\thardware: {flags}\n", isa.name());
    eprint!("{line}");
    if let Some(file) = std::env::var_os("CURT_SKIP_LOG") {
        let mut log = OpenOptions::new().append(true).open(file).unwrap();
        log.write_all(line.as_bytes()).unwrap();
    }
}
