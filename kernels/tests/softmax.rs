//! Every variant of the softmax reductions against plain f64 loops, and against each other bit by bit.

use curt_kernels::{Isa, Softmax, exp_of_non_positive};

/// Distance from the f64 result in units in the last place of f32: over every f32 from −87 to −4.7e-10 this very loop
/// with a stride of 1 found 0.992, and nearer to 0 the result is 1 to within a hundredth. Here every 997th.
const EXP_MAX_ULP: f64 = 1.0;

/// Relative error of a sum: 2⁻²³ × `EXP_MAX_ULP` of each term, and 64 additions in f32, each of at most 2⁻²⁴.
const SUM_MAX_RELATIVE: f64 = 66.0 / (1u64 << 24) as f64;

fn variants() -> Vec<Softmax> {
    Isa::available().filter_map(Softmax::new).collect()
}

/// Around the lanes (16) and the blocks (1,024).
const LENGTHS: [usize; 16] = [
    0, 1, 15, 16, 17, 31, 32, 33, 97, 1023, 1024, 1025, 1039, 1040, 2049, 5000,
];

fn logits(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| (i as f32 * 0.37).sin() * 9.0 + (i % 7) as f32)
        .collect()
}

#[test]
fn exp_is_within_its_bound() {
    let mut worst = 0.0f64;
    let mut bits = (-87.0f32).to_bits();
    while f32::from_bits(bits) < 0.0 {
        let x = f32::from_bits(bits);
        let want = f64::from(x).exp();
        let ulp = f64::from(f32::from_bits((want as f32).to_bits() + 1)) - f64::from(want as f32);
        worst = worst.max((f64::from(exp_of_non_positive(x)) - want).abs() / ulp);
        bits = bits.saturating_sub(997);
    }
    assert!(worst <= EXP_MAX_ULP, "{worst} units in the last place");
    assert_eq!(exp_of_non_positive(0.0), 1.0);
    assert_eq!(exp_of_non_positive(-0.0), 1.0);
    for x in [f32::NEG_INFINITY, -1000.0, -87.1, f32::NAN] {
        assert_eq!(exp_of_non_positive(x), 0.0, "{x}");
    }
}

#[test]
fn sums_and_maxima_agree_with_plain_loops() {
    for variant in variants() {
        for len in LENGTHS {
            for offset in [0, 1, 3] {
                let all = logits(len + offset);
                let logits = &all[offset..];
                let want = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                assert_eq!(
                    variant.max_and_faults(logits),
                    (want, 0),
                    "{variant:?}, {len}"
                );
                for scale in [0.2, 1.0, 3.0] {
                    let sum: f64 = logits
                        .iter()
                        .map(|&x| f64::from((x - want) * scale).exp())
                        .sum();
                    let got = variant.exp_sum(logits, want, scale);
                    assert!(
                        (got - sum).abs() <= SUM_MAX_RELATIVE * sum,
                        "{variant:?}, {len}: {got}, expected {sum}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_variant_gives_the_same_bits() {
    for len in LENGTHS {
        let logits = logits(len);
        let scalar = Softmax::new(Isa::Scalar).unwrap();
        let (max, _) = scalar.max_and_faults(&logits);
        for variant in variants() {
            assert_eq!(
                variant.exp_sum(&logits, max, 1.7).to_bits(),
                scalar.exp_sum(&logits, max, 1.7).to_bits(),
                "{variant:?}, {len}"
            );
        }
    }
}

#[test]
fn faults_are_counted_wherever_they_stand() {
    for variant in variants() {
        for len in [1, 15, 16, 17, 40] {
            for at in 0..len {
                let mut logits = vec![-1.0f32; len];
                logits[at] = f32::NAN;
                assert_eq!(
                    variant.max_and_faults(&logits).1,
                    1,
                    "{variant:?}: {at} of {len}"
                );
                logits[at] = f32::INFINITY;
                assert_eq!(
                    variant.max_and_faults(&logits).1,
                    1,
                    "{variant:?}: {at} of {len}"
                );
                logits[at] = f32::NEG_INFINITY;
                assert_eq!(
                    variant.max_and_faults(&logits).1,
                    0,
                    "{variant:?}: {at} of {len}"
                );
                logits[at] = 3.0;
                assert_eq!(variant.max_and_faults(&logits), (3.0, 0));
            }
        }
    }
}
