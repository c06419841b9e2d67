//! The operations of the KV stop head, on every instruction set that this processor has: `cargo bench -p curt-bench --features
//! criterion`.
//!
//! Each answer is held to that of the plain variant before it is timed. For figures beside the machine's bandwidth and
//! other implementations: `curt-bench head`.
#![allow(missing_docs, reason = "criterion_group! makes a function without any")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use curt_kernels::{Attend, Dense, Dtype, Isa, KvView, Mean};
use half::{bf16, f16};

/// `[positions, head_dim]` of a check with the shipped heads, and of one that the first-level cache does not hold.
const SHAPES: [[usize; 2]; 2] = [[48, 32], [1024, 64]];

const QUERIES: usize = 4;

/// Of results of at most 1 and sums of some hundred products, one part in 1,000: here only gross errors are looked for.
const LARGEST_ERROR: f32 = 1e-3;

const DTYPES: [Dtype; 4] = [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::I8];

/// Elements from −½ to ½ (int8: −64 to 63) that differ from one to the next.
fn elements(dtype: Dtype, count: usize) -> Vec<u8> {
    let byte = |i: usize| (i.wrapping_mul(2_654_435_761) >> 9) as u8;
    let number = |i: usize| f32::from(byte(i)) / 256.0 - 0.5;
    (0..count)
        .flat_map(|i| match dtype {
            Dtype::F32 => number(i).to_le_bytes().to_vec(),
            Dtype::F16 => f16::from_f32(number(i)).to_le_bytes().to_vec(),
            Dtype::Bf16 => bf16::from_f32(number(i)).to_le_bytes().to_vec(),
            Dtype::I8 => vec![(byte(i) / 2).wrapping_sub(64)],
        })
        .collect()
}

fn assert_alike(got: &[f32], plain: &[f32]) {
    let scale = plain.iter().fold(1.0f32, |largest, x| largest.max(x.abs()));
    for (a, b) in got.iter().zip(plain) {
        assert!((a - b).abs() <= LARGEST_ERROR * scale, "{a}, expected {b}");
    }
}

fn attend(c: &mut Criterion) {
    for [len, head_dim] in SHAPES {
        let queries: Vec<f32> = (0..QUERIES * head_dim)
            .map(|i| (i % 13) as f32 / 200.0)
            .collect();
        let mut group = c.benchmark_group(format!("attend/{len}x{head_dim}"));
        for dtype in DTYPES {
            let (keys, values) = (
                elements(dtype, len * head_dim),
                elements(dtype, len * head_dim),
            );
            let shape = [1, len, head_dim];
            let keys = KvView::new(&keys, dtype, shape, 0).unwrap();
            let values = KvView::new(&values, dtype, shape, 0).unwrap();
            let mut scratch = vec![0.0; Attend::scratch_len(QUERIES, head_dim)];
            let mut pool = |variant: Attend, out: &mut [f32]| {
                variant
                    .pool(&[keys], &[values], 0, &queries, &mut scratch, out)
                    .unwrap();
            };
            let mut plain = vec![0.0; queries.len()];
            pool(Attend::new(Isa::Scalar).unwrap(), &mut plain);
            group.throughput(Throughput::Bytes(
                2 * (len * head_dim * dtype.bytes()) as u64,
            ));
            for variant in Isa::available().filter_map(Attend::new) {
                let mut out = vec![0.0; queries.len()];
                pool(variant, &mut out);
                assert_alike(&out, &plain);
                group.bench_function(BenchmarkId::new(variant.isa().name(), dtype.name()), |b| {
                    b.iter(|| pool(variant, &mut out));
                });
            }
        }
    }
}

fn mean(c: &mut Criterion) {
    for [len, head_dim] in SHAPES {
        let mut group = c.benchmark_group(format!("mean/{len}x{head_dim}"));
        for dtype in DTYPES {
            let bytes = elements(dtype, len * head_dim);
            let values = KvView::new(&bytes, dtype, [1, len, head_dim], 0).unwrap();
            let mut plain = vec![0.0; head_dim];
            let scalar = Mean::new(Isa::Scalar).unwrap();
            scalar.pool(&[values], 0, &mut plain).unwrap();
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            for variant in Isa::available().filter_map(Mean::new) {
                let mut out = vec![0.0; head_dim];
                variant.pool(&[values], 0, &mut out).unwrap();
                assert_alike(&out, &plain);
                let id = BenchmarkId::new(variant.isa().name(), dtype.name());
                group.bench_function(id, |b| {
                    b.iter(|| variant.pool(&[values], 0, &mut out).unwrap());
                });
            }
        }
    }
}

/// The hidden layer of a head for 16 paths.
fn dense(c: &mut Criterion) {
    const ROWS: usize = 16;
    const INPUTS: usize = 400;
    const OUTPUTS: usize = 64;
    let numbers =
        |count: usize| -> Vec<f32> { (0..count).map(|i| (i % 31) as f32 / 31.0 - 0.5).collect() };
    let (weights, bias) = (numbers(INPUTS * OUTPUTS), numbers(OUTPUTS));
    let input = numbers(ROWS * INPUTS);
    let apply = |variant: Dense, out: &mut [f32]| {
        variant.apply(&weights, &bias, &input, ROWS, out).unwrap();
    };
    let mut plain = vec![0.0; ROWS * OUTPUTS];
    apply(Dense::new(Isa::Scalar).unwrap(), &mut plain);
    let mut group = c.benchmark_group(format!("dense/{ROWS}x{INPUTS}x{OUTPUTS}"));
    for variant in Isa::available().filter_map(Dense::new) {
        let mut out = vec![0.0; ROWS * OUTPUTS];
        apply(variant, &mut out);
        assert_alike(&out, &plain);
        group.bench_function(variant.isa().name(), |b| {
            b.iter(|| apply(variant, &mut out));
        });
    }
}

criterion_group!(benches, attend, mean, dense);
criterion_main!(benches);
