//! Attention pooling as it is trained, against plain loops and against the runtime's kernel.

use curt::package::Rotary;
use curt_kernels::{Attend, Dtype, KvView};
use curt_train::features::{Group, Store, Table, Windows};
use curt_train::fit::{
    AttendShape, AttendSource, Examples, FitOptions, Fitted, Shape, fit, score, within,
};

const QUESTIONS: usize = 24;
/// Those fitted to; the others stop.
const FITTED: usize = 18;
const PATHS: usize = 6;
const LAYERS: usize = 2;
const KV_HEADS: usize = 2;
const QUERIES: usize = 3;
const HEAD_DIM: usize = 4;
const WINDOW: usize = 5;
/// Inputs that come ready.
const DENSE: usize = 2;
const AT_TOKENS: usize = 7;
/// Numbers of one path in the store.
const WIDTH: usize = LAYERS * KV_HEADS * 2 * WINDOW * HEAD_DIM;

const SHAPE: Shape = Shape {
    attend: Some(AttendShape {
        layers: LAYERS,
        kv_heads: KV_HEADS,
        queries: QUERIES,
        head_dim: HEAD_DIM,
    }),
    dense: DENSE,
    hidden: 8,
};

/// Windows on which a path is right where the value beside its most striking key is positive: attention can tell, a
/// mean over the window hardly.
struct MadeUp {
    _dir: tempfile::TempDir,
    table: Table,
    /// By question: `[PATHS, LAYERS, KV_HEADS, keys and values, WINDOW, HEAD_DIM]`.
    stored: Vec<Vec<f32>>,
    prompts: Vec<Vec<u32>>,
    source: Windows,
}

impl MadeUp {
    fn new() -> Self {
        let mut state = 1u32;
        // Multiples of 1/16 below 2: half precision holds them exactly.
        let mut number = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from((state >> 24) as u8 & 63) / 16.0 - 2.0
        };
        let dir = tempfile::tempdir().unwrap();
        let digests = [[7; 32]; QUESTIONS];
        let file = dir.path().join("windows.f16");
        let mut store = Store::open(&file, "made up", [PATHS, WIDTH], &digests).unwrap();
        let mut table = Table {
            width: DENSE,
            values: Vec::new(),
            labels: Vec::new(),
            right: Vec::new(),
            paths: Vec::new(),
            groups: Vec::new(),
        };
        let mut stored = Vec::new();
        for (question, digest) in digests.iter().enumerate() {
            let mut values: Vec<f32> = (0..PATHS * WIDTH).map(|_| number()).collect();
            let first = table.labels.len();
            for path in 0..PATHS {
                let right = path % 2 == 0;
                let mine = &mut values[path * WIDTH..(path + 1) * WIDTH];
                let position = (question + path) % WINDOW;
                // In the first layer's first head, the keys and then the values.
                mine[position * HEAD_DIM + 1] = 6.0;
                mine[(WINDOW + position) * HEAD_DIM] = if right { 3.0 } else { -3.0 };
                table.values.extend([number(), number()]);
                table.labels.push(f32::from(u8::from(right)));
                table.right.push(right);
                table.paths.push(path);
            }
            table.groups.push(Group {
                question,
                at_tokens: AT_TOKENS,
                rows: first..table.labels.len(),
            });
            store.append(digest, &values).unwrap();
            stored.push(values);
        }
        Self {
            _dir: dir,
            table,
            stored,
            prompts: (0..QUESTIONS).map(|q| vec![0; 3 + q]).collect(),
            source: Windows {
                stores: vec![store],
                layers: (0..LAYERS).collect(),
                kv_heads: KV_HEADS,
                head_dim: HEAD_DIM,
                window: WINDOW,
            },
        }
    }

    /// Fits a network, and scores every question with it.
    fn fitted(self, rotary: Option<Rotary>) -> (Fitted, Vec<f64>, Table, Vec<Vec<f32>>) {
        let mut source = AttendSource {
            windows: self.source,
            at_tokens: vec![AT_TOKENS],
            rotary,
            prompts: &self.prompts,
        };
        let mut examples = Examples {
            table: &self.table,
            attend: Some(&mut source),
        };
        let options = FitOptions {
            steps: 200,
            learning_rate: 1e-2,
            ..FitOptions::default()
        };
        let (train, validation): (Vec<usize>, Vec<usize>) =
            (0..QUESTIONS).partition(|q| *q < FITTED);
        let fitted = fit(&mut examples, &train, &validation, SHAPE, &options).unwrap();
        let all: Vec<usize> = (0..QUESTIONS).collect();
        let scores = score(&fitted.network, &mut examples, &all).unwrap();
        (fitted, scores, self.table, self.stored)
    }
}

/// Rotates `query` to `position`, pairs apart by half (arXiv 2104.09864, §3.2.2).
fn rotated(query: &[f64], rotary: Rotary, position: usize) -> Vec<f64> {
    let mut out = query.to_vec();
    let half = rotary.dims / 2;
    for i in 0..half {
        let angle = position as f64 * rotary.theta.powf(-2.0 * i as f64 / rotary.dims as f64);
        out[i] = query[i] * angle.cos() - query[i + half] * angle.sin();
        out[i + half] = query[i] * angle.sin() + query[i + half] * angle.cos();
    }
    out
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

/// What the queries pool of one path: `[LAYERS, KV_HEADS, QUERIES, HEAD_DIM]`.
fn pooled(queries: &[f64], rotary: Option<Rotary>, stored: &[f32], position: usize) -> Vec<f64> {
    let mut out = Vec::new();
    for block in 0..LAYERS * KV_HEADS {
        let at = 2 * block * WINDOW * HEAD_DIM;
        let element = |of: usize, s: usize, d: usize| {
            f64::from(stored[at + (of * WINDOW + s) * HEAD_DIM + d])
        };
        for m in 0..QUERIES {
            let start = (block * QUERIES + m) * HEAD_DIM;
            let query = &queries[start..start + HEAD_DIM];
            let query = rotary.map_or(query.to_vec(), |r| rotated(query, r, position));
            let mut weights = [0.0; WINDOW];
            for (s, weight) in weights.iter_mut().enumerate() {
                let product: f64 = (0..HEAD_DIM).map(|d| query[d] * element(0, s, d)).sum();
                *weight = (product / (HEAD_DIM as f64).sqrt()).exp();
            }
            let sum: f64 = weights.iter().sum();
            for d in 0..HEAD_DIM {
                let value: f64 = (0..WINDOW).map(|s| weights[s] * element(1, s, d)).sum();
                out.push(value / sum);
            }
        }
    }
    out
}

/// The same by the kernel that the runtime pools with.
fn pooled_by_kernel(
    queries: &[f32],
    rotary: Option<Rotary>,
    stored: &[f32],
    position: usize,
) -> Vec<f32> {
    let attend = Attend::best();
    let mut scratch = vec![0.0; Attend::scratch_len(QUERIES, HEAD_DIM)];
    let mut out = vec![0.0; LAYERS * KV_HEADS * QUERIES * HEAD_DIM];
    let window = WINDOW * HEAD_DIM;
    let blocks = out.chunks_exact_mut(QUERIES * HEAD_DIM);
    for ((pair, asked), out) in stored
        .chunks_exact(2 * window)
        .zip(queries.chunks_exact(QUERIES * HEAD_DIM))
        .zip(blocks)
    {
        let mut asked = asked.to_vec();
        for query in asked.chunks_exact_mut(HEAD_DIM) {
            if let Some(rotary) = rotary {
                curt::head::rotate(query, rotary, position).unwrap();
            }
            query
                .iter_mut()
                .for_each(|x| *x /= (HEAD_DIM as f32).sqrt());
        }
        let bytes: Vec<u8> = pair.iter().flat_map(|x| x.to_ne_bytes()).collect();
        let (keys, values) = bytes.split_at(4 * window);
        let view = |bytes| KvView::new(bytes, Dtype::F32, [1, WINDOW, HEAD_DIM], window).unwrap();
        attend
            .pool(&[view(keys)], &[view(values)], 0, &asked, &mut scratch, out)
            .unwrap();
    }
    out
}

#[test]
fn a_fitted_network_pools_as_plain_loops_and_as_the_runtime_do() {
    let rotary = Rotary {
        theta: 100.0,
        dims: HEAD_DIM,
        interleaved: false,
    };
    for rotary in [None, Some(rotary)] {
        let made_up = MadeUp::new();
        let prompts: Vec<usize> = made_up.prompts.iter().map(Vec::len).collect();
        let (fitted, scores, table, stored) = made_up.fitted(rotary);
        let weights = fitted.network.weights().unwrap().0;
        let [queries, hidden, hidden_bias, output, bias] = weights.as_slice() else {
            panic!("five tensors, got {}", weights.len());
        };
        let (shift, scale) = fitted.network.pooled_scaling().unwrap();
        let of_queries = wide(queries);
        for (row, &got) in scores.iter().enumerate() {
            let (question, path) = (row / PATHS, row % PATHS);
            let mine = &stored[question][path * WIDTH..(path + 1) * WIDTH];
            let position = prompts[question] + AT_TOKENS;
            let pooled = pooled(&of_queries, rotary, mine, position);
            let by_kernel = pooled_by_kernel(queries, rotary, mine, position);
            for (kernel, plain) in by_kernel.iter().zip(&pooled) {
                // Sums of five values below 3, each a few roundings; the weights' exponents are below 16.
                let tolerance = 256.0 * f64::from(f32::EPSILON);
                assert!((f64::from(*kernel) - plain).abs() < tolerance);
            }
            let scaled = pooled
                .iter()
                .zip(shift.iter().zip(&scale))
                .map(|(x, (&shift, &scale))| (x - f64::from(shift)) * f64::from(scale));
            let inputs: Vec<f64> = scaled.chain(wide(table.row(row))).collect();
            let mut wanted = f64::from(bias[0]);
            for unit in 0..SHAPE.hidden {
                let weights = &hidden[unit * inputs.len()..(unit + 1) * inputs.len()];
                let products = inputs.iter().zip(weights).map(|(x, w)| x * f64::from(*w));
                let x = f64::from(hidden_bias[unit]) + products.sum::<f64>();
                wanted += f64::from(output[unit]) * x / (1.0 + (-x).exp());
            }
            // Some hundred roundings of numbers below 10.
            let tolerance = 4096.0 * f64::from(f32::EPSILON);
            assert!((got - wanted).abs() < tolerance, "{row}: {got}, {wanted}");
        }
        let unseen: Vec<usize> = (FITTED..QUESTIONS).collect();
        let ranked = within(&table, &unseen, &scores[FITTED * PATHS..]);
        let mean = ranked.iter().flatten().sum::<f64>() / ranked.len() as f64;
        assert!(mean > 0.99, "what attention can tell is learned: {mean}");
    }
}
