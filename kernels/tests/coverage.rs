//! Which instruction sets the other tests run on here.
//!
//! They go over those that the processor has, and would pass on a machine that has none but the plain one. A job that
//! means to test certain sets names them in `EXPECT_ISAS`, as in `EXPECT_ISAS=scalar,avx2`, and in `EXPECT_ATTEND` the
//! variants of `Attend` where a set has several, and fails here without them.

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
    let names: Vec<&str> = Isa::available()
        .filter_map(Attend::new)
        .map(|v| v.name())
        .collect();
    assert_eq!(names.join(","), claimed);
}
