//! Which instruction sets the other tests run on here.
//!
//! They go over those that the processor has, and would pass on a machine that has none but the plain one. A job that
//! means to test certain sets names them in `EXPECT_ISAS`, as in `EXPECT_ISAS=scalar,avx2`, and in `EXPECT_ATTEND` the
//! variants of `Attend` where a set has several, and fails here without them.

use std::fs::OpenOptions;
use std::io::Write;

use curt_kernels::{Attend, Dense, Isa, Mean, Softmax};

/// Of every operation, the sets that it has a variant for.
fn variants() -> [(&'static str, Vec<Isa>); 4] {
    let of = |new: fn(Isa) -> Option<Isa>| Isa::ALL.into_iter().filter_map(new).collect();
    [
        ("Attend", of(|isa| Attend::new(isa).map(|v| v.isa()))),
        ("Mean", of(|isa| Mean::new(isa).map(|v| v.isa()))),
        ("Dense", of(|isa| Dense::new(isa).map(|v| v.isa()))),
        ("Softmax", of(|isa| Softmax::new(isa).map(|v| v.isa()))),
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
    ];
    assert_eq!(best, [Isa::best(); 4]);
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

#[test]
fn the_claimed_variants_of_attend_are_those_that_run() {
    let Ok(claimed) = std::env::var("EXPECT_ATTEND") else {
        return;
    };
    assert_eq!(attends().join(","), claimed);
}

fn attends() -> Vec<&'static str> {
    let variants = Isa::available().flat_map(Attend::variants);
    variants.map(|v| v.name()).collect()
}

#[test]
fn the_widest_variant_of_a_set_is_the_one_chosen() {
    for isa in Isa::available() {
        let last = Attend::variants(isa).last().map(|v| v.name());
        assert_eq!(Attend::new(isa).map(|v| v.name()), last);
    }
}

/// Variants that an emulator does not run either, and the flags of /proc/cpuinfo that they need.
const NATIVE_ALONE: [(&str, &str); 2] = [
    ("avx512", "avx512f avx512bw avx512dq avx512vl"),
    (
        "avx512+vnni",
        "avx512f avx512bw avx512dq avx512vl avx512_vnni",
    ),
];

/// `cargo xtask test` lists what `CURT_SKIP_LOG` holds, and holds it against /proc/cpuinfo.
#[test]
fn variants_that_run_nowhere_else_are_not_skipped_silently() {
    let run = attends();
    let missing = NATIVE_ALONE.iter().filter(|(name, _)| !run.contains(name));
    let lines: String = missing
        .map(|(name, flags)| format!("kernels, {name}\thardware: {flags}\n"))
        .collect();
    eprint!("{lines}");
    if let Some(file) = std::env::var_os("CURT_SKIP_LOG") {
        let mut log = OpenOptions::new().append(true).open(file).unwrap();
        log.write_all(lines.as_bytes()).unwrap();
    }
}
