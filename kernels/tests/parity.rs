//! Every operation, on every instruction set that this processor has, against the plain f64 loops of `reference`.

use crate::reference;

use curt_kernels::{Attend, Dense, Dtype, Isa, KvView, Mean};
use reference::{Buffer, DTYPES, Numbers, Scales, assert_admits, cases};

/// Positions: nothing, one, and around every number that a variant takes at once (1, 2, 4, 8, 16) and the tiles, which
/// are 16, 32, 48 and 64 by dtype and head_dim.
fn lengths() -> &'static [usize] {
    const ALL: [usize; 25] = [
        0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 127, 128, 129,
        193,
    ];
    cases(&ALL, &[0, 1, 3, 16, 17, 48, 129])
}

/// Head dimensions: around registers of 4, 8 and 16 lanes, blocks of 2 and 4 registers, and those that models have.
fn head_dims() -> &'static [usize] {
    const ALL: [usize; 23] = [
        1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 80, 96, 128, 131,
    ];
    cases(&ALL, &[1, 4, 7, 16, 31, 32, 64, 131])
}

/// Queries: around the four that share registers.
fn queries() -> &'static [usize] {
    cases(&[1, 2, 3, 4, 5, 8, 9], &[1, 3, 4, 6])
}

fn attends() -> Vec<Attend> {
    Isa::available().filter_map(Attend::new).collect()
}

fn means() -> Vec<Mean> {
    Isa::available().filter_map(Mean::new).collect()
}

/// Two heads with something between them, at an odd address.
fn buffer(dtype: Dtype, len: usize, head_dim: usize, numbers: &mut Numbers) -> Buffer {
    let scales = match (dtype, numbers.bits() % 3) {
        (Dtype::I8, 0) => Scales::PerTensor(0.011),
        (Dtype::I8, 1) => {
            let each = numbers.take(2 * head_dim, 0.02);
            Scales::PerChannel(each.iter().map(|s| s.abs() + 0.001).collect())
        }
        (Dtype::I8, _) => Scales::None,
        _ => Scales::None,
    };
    // Without scales the integers themselves are the elements.
    let size = match (&scales, dtype) {
        (Scales::None, Dtype::I8) => 5.0,
        _ => 1.0,
    };
    let elements = numbers.take(2 * len * head_dim, size);
    let (slack, offset) = ((numbers.bits() % 5) as usize, (numbers.bits() % 4) as usize);
    Buffer::new(dtype, [2, len, head_dim], slack, offset, scales, &elements)
}

fn pool(variant: Attend, keys: &Buffer, values: &Buffer, queries: &[f32]) -> Vec<f32> {
    let head_dim = keys.shape[2];
    let mut scratch = vec![f32::NAN; Attend::scratch_len(queries.len() / head_dim, head_dim)];
    let mut out = vec![f32::NAN; queries.len()];
    variant
        .pool(
            &[keys.view()],
            &[values.view()],
            1,
            queries,
            &mut scratch,
            &mut out,
        )
        .unwrap();
    out
}

#[test]
fn attend_agrees_at_every_shape_and_dtype() {
    let mut numbers = Numbers(1);
    for &head_dim in head_dims() {
        for &len in lengths() {
            for dtype in DTYPES {
                let keys = buffer(dtype, len, head_dim, &mut numbers);
                let values = buffer(dtype, len, head_dim, &mut numbers);
                let (key_rows, value_rows) = (keys.rows(1, 0), values.rows(1, 0));
                for &m in queries() {
                    let queries = numbers.take(m * head_dim, 0.7);
                    let expected: Vec<_> = queries
                        .chunks(head_dim)
                        .flat_map(|q| reference::attend(&key_rows, &value_rows, q))
                        .collect();
                    for variant in attends() {
                        let got = pool(variant, &keys, &values, &queries);
                        let case = (variant.isa(), dtype, len, head_dim, m);
                        assert_admits(&expected, &got, &case);
                    }
                }
            }
        }
    }
}

#[test]
fn a_window_in_the_middle_is_read_where_it_lies() {
    let mut numbers = Numbers(13);
    for head_dim in [5, 64] {
        for dtype in DTYPES {
            let keys = buffer(dtype, 150, head_dim, &mut numbers);
            let values = buffer(dtype, 150, head_dim, &mut numbers);
            let query = numbers.take(head_dim, 0.7);
            for (start, len) in [(1, 3), (1, 149), (63, 64), (64, 65), (149, 1)] {
                let rows = |buffer: &Buffer| buffer.rows(1, start)[..len].to_vec();
                let (key_rows, value_rows) = (rows(&keys), rows(&values));
                let expected = reference::attend(&key_rows, &value_rows, &query);
                let key_window = keys.view().window(start, len).unwrap();
                let value_window = values.view().window(start, len).unwrap();
                for variant in attends() {
                    let mut scratch = vec![f32::NAN; Attend::scratch_len(1, head_dim)];
                    let mut out = vec![f32::NAN; head_dim];
                    variant
                        .pool(
                            &[key_window],
                            &[value_window],
                            1,
                            &query,
                            &mut scratch,
                            &mut out,
                        )
                        .unwrap();
                    assert_admits(&expected, &out, &(variant.isa(), dtype, head_dim, start));
                }
                let expected = reference::mean(&value_rows, head_dim);
                for variant in means() {
                    let mut out = vec![f32::NAN; head_dim];
                    variant.pool(&[value_window], 1, &mut out).unwrap();
                    assert_admits(&expected, &out, &(variant.isa(), dtype, head_dim, start));
                }
            }
        }
    }
}

#[test]
fn mean_agrees_at_every_shape_and_dtype() {
    let mut numbers = Numbers(2);
    for &head_dim in head_dims() {
        for &len in lengths() {
            for dtype in DTYPES {
                let values = buffer(dtype, len, head_dim, &mut numbers);
                let expected = reference::mean(&values.rows(1, 0), head_dim);
                for variant in means() {
                    let mut out = vec![f32::NAN; head_dim];
                    variant.pool(&[values.view()], 1, &mut out).unwrap();
                    assert_admits(&expected, &out, &(variant.isa(), dtype, len, head_dim));
                }
            }
        }
    }
}

/// A row cut into two segments, one in each of two buffers that hold the same numbers.
fn segments<'a>(first: &'a Buffer, second: &'a Buffer, cut: usize) -> [KvView<'a>; 2] {
    let len = second.shape[1];
    [
        first.view().window(0, cut).unwrap(),
        second.view().window(cut, len - cut).unwrap(),
    ]
}

/// The mean adds positions one after the other, so that a cut changes no bit. Attention is held to the bound of the whole.
#[test]
fn a_row_in_two_segments_is_the_row_in_one() {
    let mut numbers = Numbers(15);
    for &head_dim in head_dims() {
        for dtype in DTYPES {
            let len = 67;
            let keys = buffer(dtype, len, head_dim, &mut numbers);
            let values = buffer(dtype, len, head_dim, &mut numbers);
            // The same numbers elsewhere in memory.
            let (other_keys, other_values) = (keys.clone(), values.clone());
            let queries = numbers.take(5 * head_dim, 0.7);
            let (key_rows, value_rows) = (keys.rows(1, 0), values.rows(1, 0));
            let expected: Vec<_> = queries
                .chunks(head_dim)
                .flat_map(|q| reference::attend(&key_rows, &value_rows, q))
                .collect();
            for &cut in cases(&[0, 1, 15, 16, 40, 66, 67], &[0, 40]) {
                let keys = segments(&keys, &other_keys, cut);
                let cut_values = segments(&values, &other_values, cut);
                for variant in attends() {
                    let mut scratch = vec![f32::NAN; Attend::scratch_len(5, head_dim)];
                    let mut out = vec![f32::NAN; queries.len()];
                    variant
                        .pool(&keys, &cut_values, 1, &queries, &mut scratch, &mut out)
                        .unwrap();
                    assert_admits(&expected, &out, &(variant.isa(), dtype, head_dim, cut));
                }
                for variant in means() {
                    let mut whole = vec![f32::NAN; head_dim];
                    variant.pool(&[values.view()], 1, &mut whole).unwrap();
                    let mut out = vec![f32::NAN; head_dim];
                    variant.pool(&cut_values, 1, &mut out).unwrap();
                    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&out), bits(&whole), "{variant:?} {dtype:?} {cut}");
                }
            }
        }
    }
}

#[test]
fn dense_agrees_at_every_shape() {
    let mut numbers = Numbers(4);
    for &inputs in [0].iter().chain(head_dims()) {
        for outputs in [0, 1, 2, 3, 4, 5, 7, 8, 9, 33] {
            for rows in [0, 1, 2, 3, 4, 5, 8, 9] {
                let weights = numbers.take(outputs * inputs, 1.0);
                let bias = numbers.take(outputs, 1.0);
                let input = numbers.take(rows * inputs, 2.0);
                let expected = reference::dense(&weights, &bias, &input, rows);
                for variant in Isa::available().filter_map(Dense::new) {
                    let mut out = vec![f32::NAN; rows * outputs];
                    variant
                        .apply(&weights, &bias, &input, rows, &mut out)
                        .unwrap();
                    let case = (variant.isa(), inputs, outputs, rows);
                    assert_admits(&expected, &out, &case);
                }
            }
        }
    }
}
