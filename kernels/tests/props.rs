//! What holds of the operations whatever the numbers, on every instruction set that this processor has.

use crate::reference;

use curt_kernels::{Attend, Dense, Dtype, Isa, Mean};
use proptest::prelude::*;
use reference::{Buffer, Expected, Numbers, Scales, U, assert_admits};

/// A head of keys and values and a few queries.
#[derive(Debug, Clone)]
struct Case {
    dtype: Dtype,
    len: usize,
    head_dim: usize,
    keys: Vec<f32>,
    values: Vec<f32>,
    queries: Vec<f32>,
}

fn cases() -> impl Strategy<Value = Case> {
    let dtype = prop::sample::select(reference::DTYPES.to_vec());
    (dtype, 1usize..150, 1usize..100, 1usize..6, any::<u64>()).prop_map(
        |(dtype, len, head_dim, queries, seed)| {
            let mut numbers = Numbers(seed);
            Case {
                dtype,
                len,
                head_dim,
                keys: numbers.take(len * head_dim, 1.0),
                values: numbers.take(len * head_dim, 1.0),
                queries: numbers.take(queries * head_dim, 2.0),
            }
        },
    )
}

impl Case {
    fn buffer(&self, elements: &[f32]) -> Buffer {
        let scales = match self.dtype {
            Dtype::I8 => Scales::PerTensor(1.0 / 127.0),
            _ => Scales::None,
        };
        let len = elements.len() / self.head_dim;
        Buffer::new(self.dtype, [1, len, self.head_dim], 3, 1, scales, elements)
    }

    fn expected(&self) -> Vec<Expected> {
        let keys = self.buffer(&self.keys).rows(0, 0);
        let values = self.buffer(&self.values).rows(0, 0);
        let queries = self.queries.chunks(self.head_dim);
        queries
            .flat_map(|q| reference::attend(&keys, &values, q))
            .collect()
    }

    fn pool(&self, variant: Attend, keys: &[f32], values: &[f32], queries: &[f32]) -> Vec<f32> {
        let (keys, values) = (self.buffer(keys), self.buffer(values));
        let count = queries.len() / self.head_dim;
        let mut scratch = vec![f32::NAN; Attend::scratch_len(count, self.head_dim)];
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
}

fn attends() -> impl Iterator<Item = Attend> {
    Isa::available().filter_map(Attend::new)
}

/// Rows in another order, drawn by `seed`.
fn shuffled(elements: &[f32], row: usize, seed: u64) -> Vec<f32> {
    let mut rows: Vec<&[f32]> = elements.chunks(row).collect();
    let mut numbers = Numbers(seed);
    for i in (1..rows.len()).rev() {
        rows.swap(i, (numbers.bits() % (i as u64 + 1)) as usize);
    }
    rows.concat()
}

/// Cases of each property.
fn count() -> u32 {
    if reference::few_cases() { 8 } else { 64 }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(count()) })]

    /// Each element lies between the least and the largest value of its dimension, up to the error of f32.
    #[test]
    fn attention_is_a_weighted_mean(case in cases()) {
        let rows = case.buffer(&case.values).rows(0, 0);
        let expected = case.expected();
        for variant in attends() {
            let out = case.pool(variant, &case.keys, &case.values, &case.queries);
            for (at, &got) in out.iter().enumerate() {
                let column = rows.iter().map(|row| row[at % case.head_dim]);
                let least = column.clone().fold(f64::INFINITY, f64::min);
                let most = column.fold(f64::NEG_INFINITY, f64::max);
                let slack = expected[at].bound;
                prop_assert!(f64::from(got) >= least - slack, "{variant:?}: {got} < {least}");
                prop_assert!(f64::from(got) <= most + slack, "{variant:?}: {got} > {most}");
            }
        }
    }

    /// The order of the positions does not matter, up to the error of f32.
    #[test]
    fn positions_have_no_order(case in cases(), seed in any::<u64>()) {
        let expected = case.expected();
        let keys = shuffled(&case.keys, case.head_dim, seed);
        let values = shuffled(&case.values, case.head_dim, seed);
        for variant in attends() {
            let out = case.pool(variant, &keys, &values, &case.queries);
            assert_admits(&expected, &out, &(variant.isa(), case.len));
        }
    }

    /// The mean of two parts of the positions, weighted by their sums of exponentials, is the whole.
    #[test]
    fn parts_merge(case in cases(), cut in 0.0f64..1.0) {
        let cut = (cut * (case.len as f64 + 1.0)) as usize * case.head_dim;
        let expected = case.expected();
        let exponentials = |keys: &[f32], query: &[f32]| -> f64 {
            let rows = case.buffer(keys).rows(0, 0);
            let logit = |row: &Vec<f64>| row.iter().zip(query).map(|(k, &q)| k * f64::from(q)).sum::<f64>();
            rows.iter().map(|row| logit(row).exp()).sum()
        };
        for variant in attends() {
            let first = case.pool(variant, &case.keys[..cut], &case.values[..cut], &case.queries);
            let second = case.pool(variant, &case.keys[cut..], &case.values[cut..], &case.queries);
            for (m, query) in case.queries.chunks(case.head_dim).enumerate() {
                let a = exponentials(&case.keys[..cut], query);
                let b = exponentials(&case.keys[cut..], query);
                for d in 0..case.head_dim {
                    let at = m * case.head_dim + d;
                    let merged = (a * f64::from(first[at]) + b * f64::from(second[at])) / (a + b);
                    // The weighted mean of the parts' own bounds is no larger than twice the whole's.
                    let want = Expected { bound: expected[at].bound * 2.0 + U, ..expected[at] };
                    prop_assert!(want.admits(merged as f32), "{variant:?}: {merged}, expected {want:?}");
                }
            }
        }
    }

    /// A query's answer is the same to the bit whatever other queries share the pass.
    #[test]
    fn queries_do_not_see_each_other(case in cases()) {
        for variant in attends() {
            let together = case.pool(variant, &case.keys, &case.values, &case.queries);
            let queries = case.queries.chunks(case.head_dim);
            for (query, together) in queries.zip(together.chunks(case.head_dim)) {
                let alone = case.pool(variant, &case.keys, &case.values, query);
                prop_assert_eq!(&alone, together, "{:?}", variant);
            }
        }
    }

    /// What lies around the window does not matter: a window of a longer cache is the shorter cache.
    #[test]
    fn a_window_is_all_there_is(case in cases(), before in 0usize..70, more in 1usize..9) {
        let longer = |elements: &[f32]| {
            let mut all = vec![0.99; before * case.head_dim];
            all.extend(elements);
            all.extend(vec![0.99; more * case.head_dim]);
            case.buffer(&all)
        };
        let (keys, values) = (longer(&case.keys), longer(&case.values));
        for variant in attends() {
            let count = case.queries.len() / case.head_dim;
            let mut scratch = vec![0.0; Attend::scratch_len(count, case.head_dim)];
            let mut out = vec![0.0; case.queries.len()];
            let keys = keys.view().window(before, case.len).unwrap();
            let values = values.view().window(before, case.len).unwrap();
            variant.pool(&[keys], &[values], 0, &case.queries, &mut scratch, &mut out).unwrap();
            prop_assert_eq!(out, case.pool(variant, &case.keys, &case.values, &case.queries));
        }
    }

    /// Queries of zero attend to all positions alike: the mean.
    #[test]
    fn zero_queries_give_the_mean(case in cases()) {
        let values = case.buffer(&case.values);
        let expected = reference::mean(&values.rows(0, 0), case.head_dim);
        for variant in Isa::available().filter_map(Mean::new) {
            let mut mean = vec![f32::NAN; case.head_dim];
            variant.pool(&[values.view()], 0, &mut mean).unwrap();
            assert_admits(&expected, &mean, &variant.isa());
        }
        let zeros = vec![0.0; case.head_dim];
        let keys = case.buffer(&case.keys).rows(0, 0);
        let expected = reference::attend(&keys, &values.rows(0, 0), &zeros);
        for variant in attends() {
            let out = case.pool(variant, &case.keys, &case.values, &zeros);
            assert_admits(&expected, &out, &variant.isa());
        }
    }

    /// Equal values pool to themselves.
    #[test]
    fn constants_stay(case in cases(), constant in -100i8..100) {
        let value = match case.dtype {
            Dtype::I8 => f32::from(constant) / 127.0,
            _ => f32::from(constant),
        };
        let values = vec![value; case.values.len()];
        let stored = case.buffer(&values).rows(0, 0)[0][0];
        let same = Case { values, ..case };
        let expected = same.expected();
        for variant in attends() {
            let out = same.pool(variant, &same.keys, &same.values, &same.queries);
            for (want, got) in expected.iter().zip(out) {
                prop_assert!((f64::from(got) - stored).abs() <= want.bound, "{variant:?}: {got}, expected {stored}");
            }
        }
    }

    /// A row of a layer is the same to the bit whatever other rows share the pass.
    #[test]
    fn rows_do_not_see_each_other(inputs in 1usize..70, outputs in 1usize..20, rows in 1usize..10, seed in any::<u64>()) {
        let mut numbers = Numbers(seed);
        let weights = numbers.take(inputs * outputs, 1.0);
        let bias = numbers.take(outputs, 1.0);
        let input = numbers.take(rows * inputs, 1.0);
        for variant in Isa::available().filter_map(Dense::new) {
            let mut together = vec![f32::NAN; rows * outputs];
            variant.apply(&weights, &bias, &input, rows, &mut together).unwrap();
            for (row, together) in input.chunks(inputs).zip(together.chunks(outputs)) {
                let mut alone = vec![f32::NAN; outputs];
                variant.apply(&weights, &bias, row, 1, &mut alone).unwrap();
                prop_assert_eq!(&alone, together, "{:?}", variant.isa());
            }
        }
    }
}
