//! Numbers that are not ordinary, against the plain f64 loops, and operands that do not fit.

use crate::reference;

use curt_kernels::{Attend, Dense, Dtype, Isa, Mean};
use reference::{Buffer, DTYPES, Numbers, Scales, assert_admits, cases};

/// NaN, the infinities and both zeros.
const SPECIAL: [f32; 5] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.0];

/// Positions: one tile with a tail of every kind of step, and two tiles.
const LENGTHS: [usize; 3] = [1, 7, 67];

/// Whole registers, and a tail in each.
const HEAD_DIMS: [usize; 3] = [5, 32, 67];

/// Dtypes that hold such numbers.
const FLOATS: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

fn attends() -> impl Iterator<Item = Attend> {
    Isa::available().filter_map(Attend::new)
}

fn pool(variant: Attend, keys: &Buffer, values: &Buffer, queries: &[f32]) -> Vec<f32> {
    let head_dim = keys.shape[2];
    let mut scratch = vec![f32::NAN; Attend::scratch_len(queries.len() / head_dim, head_dim)];
    let mut out = vec![f32::NAN; queries.len()];
    variant
        .pool(
            &[keys.view()],
            &[values.view()],
            0,
            queries,
            &mut scratch,
            &mut out,
        )
        .unwrap();
    out
}

fn plain(dtype: Dtype, len: usize, head_dim: usize, elements: &[f32]) -> Buffer {
    Buffer::new(dtype, [1, len, head_dim], 0, 0, Scales::None, elements)
}

fn assert_as_reference(keys: &Buffer, values: &Buffer, queries: &[f32], case: &str) {
    let [_, _, head_dim] = keys.shape;
    let (key_rows, value_rows) = (keys.rows(0, 0), values.rows(0, 0));
    let expected: Vec<_> = queries
        .chunks(head_dim)
        .flat_map(|q| reference::attend(&key_rows, &value_rows, q))
        .collect();
    for variant in attends() {
        let got = pool(variant, keys, values, queries);
        let case = (variant.isa(), keys.dtype, keys.shape, case);
        assert_admits(&expected, &got, &case);
    }
}

/// Calls `test` with elements in which one is special, at the ends and in the middle.
fn with_one_special(count: usize, numbers: &mut Numbers, mut test: impl FnMut(&[f32], &str)) {
    for special in SPECIAL {
        for at in [0, count / 2, count - 1] {
            let mut elements = numbers.take(count, 1.0);
            elements[at] = special;
            test(&elements, &format!("{special} at {at}"));
        }
    }
}

#[test]
fn special_numbers_in_keys_values_and_queries() {
    let mut numbers = Numbers(5);
    for dtype in FLOATS {
        for len in LENGTHS {
            for head_dim in HEAD_DIMS {
                let n = len * head_dim;
                let keys = plain(dtype, len, head_dim, &numbers.take(n, 0.5));
                let values = plain(dtype, len, head_dim, &numbers.take(n, 1.0));
                let queries = numbers.take(5 * head_dim, 0.5);
                let mut more = Numbers(numbers.bits());
                with_one_special(n, &mut numbers, |elements, case| {
                    let keys = plain(dtype, len, head_dim, elements);
                    assert_as_reference(&keys, &values, &queries, &format!("key {case}"));
                });
                with_one_special(n, &mut more, |elements, case| {
                    let values = plain(dtype, len, head_dim, elements);
                    assert_as_reference(&keys, &values, &queries, &format!("value {case}"));
                });
                with_one_special(5 * head_dim, &mut more, |queries, case| {
                    assert_as_reference(&keys, &values, queries, &format!("query {case}"));
                });
            }
        }
    }
}

#[test]
fn special_queries_and_scales_of_int8() {
    let mut numbers = Numbers(6);
    let (len, head_dim) = (67, 67);
    let n = len * head_dim;
    for special in SPECIAL {
        for at in [0, 33, 66] {
            let mut scales = vec![0.02; head_dim];
            let keys = |scales: &[f32], numbers: &mut Numbers| {
                let scales = Scales::PerChannel(scales.to_vec());
                let integers = numbers.take(n, 1.0);
                Buffer::new(Dtype::I8, [1, len, head_dim], 0, 0, scales, &integers)
            };
            let values = keys(&scales, &mut numbers);
            let mut queries = numbers.take(5 * head_dim, 0.5);
            let case = format!("{special} at {at}");
            let whole = keys(&scales, &mut numbers);
            scales[at] = special;
            let broken = keys(&scales, &mut numbers);
            assert_as_reference(&broken, &values, &queries, &format!("key scale {case}"));
            if special != 0.0 {
                // A zero scale gives zeros, of the sign that the integers' mean has.
                assert_as_reference(&whole, &broken, &queries, &format!("value scale {case}"));
            }
            queries[head_dim + at] = special;
            assert_as_reference(&whole, &values, &queries, &format!("query {case}"));
        }
    }
}

/// A masked position does not widen what the oracle lets pass of the others.
#[test]
fn a_logit_of_minus_infinity_leaves_the_oracle_its_bound() {
    let keys = [vec![0.5], vec![f64::NEG_INFINITY], vec![0.25]];
    let values = [vec![1.0], vec![7.0], vec![-1.0]];
    let expected = reference::attend(&keys, &values, &[1.0])[0];
    assert!(expected.bound < 1e-4, "{expected:?}");
    assert!(expected.admits(expected.value as f32));
    assert!(!expected.admits(expected.value as f32 + 1e-3));
}

/// A query of NaN or infinity is no concern of those that share its registers.
#[test]
fn broken_queries_leave_their_neighbours_as_they_are() {
    let mut numbers = Numbers(11);
    for dtype in DTYPES {
        for &head_dim in cases(&HEAD_DIMS, &[5]) {
            let n = 67 * head_dim;
            let scales = match dtype {
                Dtype::I8 => Scales::PerTensor(0.01),
                _ => Scales::None,
            };
            let elements = numbers.take(n, 1.0);
            let keys = Buffer::new(dtype, [1, 67, head_dim], 0, 0, scales, &elements);
            let values = plain(Dtype::F32, 67, head_dim, &numbers.take(n, 1.0));
            let queries = numbers.take(4 * head_dim, 0.5);
            for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for &m in cases(&[0, 1, 2, 3], &[1]) {
                    let mut with = queries.clone();
                    with[m * head_dim] = broken;
                    for variant in attends() {
                        let want = pool(variant, &keys, &values, &queries);
                        let got = pool(variant, &keys, &values, &with);
                        for (other, want) in want.chunks(head_dim).enumerate() {
                            let got = &got[other * head_dim..][..head_dim];
                            let case = (variant, dtype, head_dim, broken, m, other);
                            if other == m {
                                assert!(got.iter().all(|x| x.is_nan()), "{case:?}: {got:?}");
                            } else {
                                assert_eq!(got, want, "{case:?}");
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn every_logit_minus_infinity_is_nan() {
    for variant in attends() {
        let keys = plain(Dtype::F32, 9, 16, &[f32::NEG_INFINITY; 9 * 16]);
        let values = plain(Dtype::F32, 9, 16, &[1.0; 9 * 16]);
        let got = pool(variant, &keys, &values, &[1.0; 16]);
        assert!(got.iter().all(|x| x.is_nan()), "{variant:?}: {got:?}");
    }
}

/// A weight that is 0 makes NaN of an infinite value, in every variant from the same logit on: e⁻⁸⁷.
#[test]
fn weights_are_zero_from_the_same_logit_on() {
    for &head_dim in cases(&HEAD_DIMS, &[32]) {
        for below in [80.0f32, 86.0, 88.0, 90.0, 100.0, 103.0, 200.0] {
            for at in [0, 1, 5] {
                let mut keys = vec![0.0; 6 * head_dim];
                keys[at * head_dim] = -below;
                let mut values = vec![1.0; 6 * head_dim];
                values[at * head_dim + head_dim / 2] = f32::INFINITY;
                let mut queries = vec![0.0; 4 * head_dim];
                queries[..head_dim].fill(1.0);
                queries[3 * head_dim] = 1.0;
                let keys = plain(Dtype::F32, 6, head_dim, &keys);
                let values = plain(Dtype::F32, 6, head_dim, &values);
                assert_as_reference(&keys, &values, &queries, &format!("{below} below"));
            }
        }
    }
}

/// An infinite value whose weight two larger logits take to 0, one after the other: infinite, or NaN.
#[test]
fn an_infinite_value_is_never_forgotten() {
    let (len, head_dim) = (200, 16);
    let (mut keys, mut values) = (vec![0.0; len * head_dim], vec![1.0; len * head_dim]);
    (keys[100 * head_dim], keys[199 * head_dim]) = (70.0, 140.0);
    values[0] = f32::INFINITY;
    let keys = plain(Dtype::F32, len, head_dim, &keys);
    let values = plain(Dtype::F32, len, head_dim, &values);
    for variant in attends() {
        let got = pool(variant, &keys, &values, &[1.0; 16]);
        assert!(
            !got[0].is_finite() && got[0] != f32::NEG_INFINITY,
            "{variant:?}: {got:?}"
        );
        assert!(got[1..].iter().all(|x| *x == 1.0), "{variant:?}: {got:?}");
    }
}

/// The largest logit grows, falls or stands in the middle, over tiles, by more than f32's exponent could take.
#[test]
fn sums_are_rescaled_when_a_larger_logit_comes() {
    let mut numbers = Numbers(7);
    let (len, head_dim) = (200, 32);
    let ramps: [fn(usize) -> f32; 4] = [
        |s| s as f32 - 100.0,
        |s| 100.0 - s as f32,
        |s| -(s as f32 - 100.0).abs() * 3.0,
        |s| {
            if s == 150 {
                80.0
            } else {
                79.0 - (s % 3) as f32
            }
        },
    ];
    for ramp in ramps {
        let mut keys = vec![0.0; len * head_dim];
        for s in 0..len {
            keys[s * head_dim] = ramp(s);
        }
        let values = numbers.take(len * head_dim, 1.0);
        let mut queries = vec![0.0; 5 * head_dim];
        for (m, scale) in [1.0, 0.1, -1.0, 3.0, 0.01].into_iter().enumerate() {
            queries[m * head_dim] = scale;
        }
        for dtype in FLOATS {
            let keys = plain(dtype, len, head_dim, &keys);
            let values = plain(dtype, len, head_dim, &values);
            assert_as_reference(&keys, &values, &queries, "ramp");
        }
    }
}

#[test]
fn every_f16_is_read_as_it_is() {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let bytes: Vec<u8> = all.iter().flat_map(|b| b.to_le_bytes()).collect();
        let view = curt_kernels::KvView::new(&bytes, dtype, [1, 1, all.len()], 0).unwrap();
        for variant in Isa::available().filter_map(Mean::new) {
            let mut out = vec![0.0; all.len()];
            variant.pool(&[view], 0, &mut out).unwrap();
            for (dim, (&bits, &got)) in all.iter().zip(&out).enumerate() {
                let want = match dtype {
                    Dtype::F16 => half::f16::from_bits(bits).to_f32(),
                    _ => half::bf16::from_bits(bits).to_f32(),
                };
                // The sum starts at +0.
                let want = want + 0.0;
                let same = want.to_bits() == got.to_bits() || (want.is_nan() && got.is_nan());
                assert!(
                    same,
                    "{:?}, {dtype:?} {dim:#x}: {got}, expected {want}",
                    variant.isa()
                );
            }
        }
    }
}

#[test]
fn special_numbers_in_means_and_layers() {
    let mut numbers = Numbers(8);
    for len in LENGTHS {
        for head_dim in HEAD_DIMS {
            for dtype in FLOATS {
                with_one_special(len * head_dim, &mut numbers, |elements, case| {
                    let values = plain(dtype, len, head_dim, elements);
                    let expected = reference::mean(&values.rows(0, 0), head_dim);
                    for variant in Isa::available().filter_map(Mean::new) {
                        let mut out = vec![f32::NAN; head_dim];
                        variant.pool(&[values.view()], 0, &mut out).unwrap();
                        assert_admits(&expected, &out, &(variant.isa(), dtype, len, case));
                    }
                });
            }
            let bias = vec![-0.0; len];
            let input = numbers.take(3 * head_dim, 1.0);
            with_one_special(len * head_dim, &mut numbers, |weights, case| {
                let expected = reference::dense(weights, &bias, &input, 3);
                for variant in Isa::available().filter_map(Dense::new) {
                    let mut out = vec![f32::NAN; 3 * len];
                    variant.apply(weights, &bias, &input, 3, &mut out).unwrap();
                    assert_admits(&expected, &out, &(variant.isa(), len, head_dim, case));
                }
            });
        }
    }
}

#[test]
fn negative_zeros_pool_to_zero() {
    for dtype in FLOATS {
        let zeros = plain(dtype, 5, 20, &[-0.0; 100]);
        let keys = plain(dtype, 5, 20, &[0.5; 100]);
        for variant in attends() {
            let got = pool(variant, &keys, &zeros, &[1.0; 20]);
            assert!(got.iter().all(|x| x.to_bits() == 0), "{variant:?}: {got:?}");
        }
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let attend = Attend::best();
    let keys = plain(Dtype::F32, 3, 4, &[0.0; 12]);
    let shorter = plain(Dtype::F32, 2, 4, &[0.0; 8]);
    let wider = plain(Dtype::F32, 3, 5, &[0.0; 15]);
    let needed = Attend::scratch_len(2, 4);
    let mut scratch = vec![0.0; needed];
    let mut run = |values: &Buffer, head, queries: usize, scratch_len: usize, out: usize| {
        let error = attend
            .pool(
                &[keys.view()],
                &[values.view()],
                head,
                &vec![0.0; queries],
                &mut scratch[..scratch_len],
                &mut vec![0.0; out],
            )
            .unwrap_err();
        (error.what, error.expected, error.got)
    };
    assert_eq!(run(&shorter, 0, 8, needed, 8), ("positions", 3, 2));
    assert_eq!(run(&wider, 0, 8, needed, 8), ("head_dim", 4, 5));
    assert_eq!(run(&keys, 1, 8, needed, 8), ("head (below)", 1, 1));
    assert_eq!(
        run(&keys, 0, 7, needed, 7),
        ("elements of the queries (multiple of)", 4, 7)
    );
    assert_eq!(
        run(&keys, 0, 8, needed, 4),
        ("elements of the result", 8, 4)
    );
    assert_eq!(
        run(&keys, 0, 8, needed / 2, 8),
        ("elements of scratch (at least)", needed, needed / 2)
    );

    let mean = Mean::best();
    let error = mean.pool(&[keys.view()], 0, &mut [0.0; 3]).unwrap_err();
    assert_eq!((error.expected, error.got), (4, 3));
    let error = mean.pool(&[keys.view()], 2, &mut [0.0; 4]).unwrap_err();
    assert_eq!((error.what, error.got), ("head (below)", 2));
    let error = mean.pool(&[], 0, &mut [0.0; 4]).unwrap_err();
    assert_eq!((error.what, error.got), ("segments (at least)", 0));
    let two = [keys.view(), keys.view()];
    let (mut scratch, mut out) = (vec![0.0; needed], [0.0; 8]);
    let error = attend
        .pool(&two, &two[..1], 0, &[0.0; 8], &mut scratch, &mut out)
        .unwrap_err();
    assert_eq!((error.what, error.got), ("segments of the values", 1));

    let dense = |weights: usize, input: usize, out: usize| {
        let error = Dense::best()
            .apply(
                &vec![0.0; weights],
                &[0.0; 3],
                &vec![0.0; input],
                2,
                &mut vec![0.0; out],
            )
            .unwrap_err();
        (error.what, error.expected, error.got)
    };
    assert_eq!(dense(12, 8, 5), ("elements of the result", 6, 5));
    assert_eq!(dense(12, 9, 6), ("elements of the input", 8, 9));
    assert_eq!(dense(11, 8, 6), ("weights", 12, 11));
}

#[test]
fn scratch_needs_no_alignment_and_is_not_read() {
    let mut numbers = Numbers(9);
    let keys = plain(Dtype::F32, 70, 48, &numbers.take(70 * 48, 1.0));
    let queries = numbers.take(6 * 48, 0.5);
    let needed = Attend::scratch_len(6, 48);
    for variant in attends() {
        let mut results = Vec::new();
        for offset in [0, 1, 7, 15] {
            let mut scratch = vec![f32::NAN; needed + offset];
            let mut out = vec![0.0; 6 * 48];
            let (view, scratch) = (keys.view(), &mut scratch[offset..]);
            variant
                .pool(&[view], &[view], 0, &queries, scratch, &mut out)
                .unwrap();
            results.push(out);
        }
        assert!(results.iter().all(|out| *out == results[0]), "{variant:?}");
    }
}

#[test]
fn dtypes_of_keys_and_values_may_differ() {
    let mut numbers = Numbers(10);
    for key_dtype in DTYPES {
        for value_dtype in DTYPES {
            let buffer = |dtype, numbers: &mut Numbers| {
                let scales = match dtype {
                    Dtype::I8 => Scales::PerTensor(0.01),
                    _ => Scales::None,
                };
                let elements = numbers.take(70 * 64, 1.0);
                Buffer::new(dtype, [1, 70, 64], 0, 0, scales, &elements)
            };
            let keys = buffer(key_dtype, &mut numbers);
            let values = buffer(value_dtype, &mut numbers);
            let queries = numbers.take(4 * 64, 0.3);
            assert_as_reference(&keys, &values, &queries, &format!("{value_dtype:?} values"));
        }
    }
}
