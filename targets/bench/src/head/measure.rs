//! One size and dtype: checked, then timed in turn with what it is compared with.

use std::ffi::CStr;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use curt::session::{BoundGraph, SessionOptions, TensorSpec};
use curt_kernels::{Dtype, Isa};
use serde::Serialize;

use super::machine;
use super::onnx;
use super::peers::{self, Ndarray};
use super::problem::{Pooling, Problem, Shape};

/// Largest distance from the f64 result in f32, the values being at most 1. A logit is a sum of head_dim products, 32 at
/// most with these numbers, of which f32 may be off by 64 × 2⁻²⁴ parts: 1.2e-4 of each weight.
const LARGEST_ERROR: f64 = 2.5e-4;

/// Heads that are computed in f64.
const CHECKED: usize = 8;

/// A pass that takes less is repeated, on the same memory, until it takes this long.
const LEAST: Duration = Duration::from_millis(4);

/// Seconds of one pass in one round, taken one after another.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Round {
    /// Runnable processes on the machine, mean of a minute.
    pub load: Option<f64>,
    /// Reading the same bytes.
    pub read: f64,
    pub curt: f64,
    pub ndarray: f64,
    pub onnxruntime: f64,
    /// One f32 multiply-and-add, with all multipliers of the instruction set busy.
    pub multiplication: f64,
}

#[derive(Debug, Serialize)]
pub struct Measurement {
    #[serde(flatten)]
    pub shape: Shape,
    pub pooling: Pooling,
    pub dtype: &'static str,
    /// The kernel that ran.
    pub kernel: &'static str,
    /// Bytes of keys and values that one pass reads.
    pub bytes: usize,
    /// Multiply-and-adds of one pass.
    pub multiplications: usize,
    pub rounds: Vec<Round>,
}

impl Measurement {
    /// Lowest, median and highest over the rounds.
    pub fn spread(&self, of: impl Fn(&Round) -> f64) -> [f64; 3] {
        let mut values: Vec<f64> = self.rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let last = values.len() - 1;
        let middle = (values[last / 2] + values[last.div_ceil(2)]) / 2.0;
        [values[0], middle, values[last]]
    }

    /// Seconds that the slower of reading and multiplying takes.
    pub fn roofline(&self, round: &Round) -> f64 {
        round
            .read
            .max(self.multiplications as f64 * round.multiplication)
    }
}

/// Checks every contender, then times them.
pub fn measure(
    shape: Shape,
    dtype: Dtype,
    pooling: Pooling,
    isa: Isa,
    rounds: usize,
) -> Result<Measurement> {
    let problem = Problem::new(shape, dtype, pooling)?;
    let mut scratch = Vec::new();
    let mut out = vec![f32::NAN; problem.results()];
    problem.pool(isa, &mut scratch, &mut out)?;
    check(&problem, &out, "curt")?;

    let mut ndarray = Ndarray::new(&problem);
    out.fill(f32::NAN);
    ndarray.pool(&problem, &mut out);
    check(&problem, &out, "ndarray")?;

    let mut graph_out = vec![0u8; problem.results() * size_of::<f32>()];
    bound(&problem, &mut graph_out)?.run()?;
    let floats = graph_out.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
    let floats: Vec<f32> = floats.map(f32::from_le_bytes).collect();
    check(&problem, &floats, "onnxruntime")?;
    let mut graph = bound(&problem, &mut graph_out)?;

    let mut results = Vec::new();
    for _ in 0..rounds {
        results.push(Round {
            load: machine::load(),
            read: seconds(|| {
                black_box(peers::read(problem.keys()) ^ peers::read(problem.values()));
                Ok(())
            })?,
            curt: seconds(|| problem.pool(isa, &mut scratch, &mut out))?,
            ndarray: seconds(|| {
                ndarray.pool(&problem, &mut out);
                Ok(())
            })?,
            onnxruntime: seconds(|| Ok(graph.run()?))?,
            multiplication: seconds(|| {
                black_box(peers::multiply(isa, black_box(0.5)));
                Ok(())
            })? / peers::MULTIPLICATIONS as f64,
        });
    }
    Ok(Measurement {
        shape,
        pooling,
        dtype: dtype.name(),
        kernel: isa.name(),
        bytes: problem.bytes(),
        multiplications: problem.multiplications(),
        rounds: results,
    })
}

/// Seconds of one pass: once to warm up, then as often as [`LEAST`] takes.
fn seconds(mut pass: impl FnMut() -> Result<()>) -> Result<f64> {
    pass()?;
    let clock = Instant::now();
    let mut passes = 0;
    while passes == 0 || clock.elapsed() < LEAST {
        pass()?;
        passes += 1;
    }
    Ok(clock.elapsed().as_secs_f64() / f64::from(passes))
}

/// The ONNX graph of the problem on its memory, with one thread.
fn bound<'a>(problem: &'a Problem, out: &'a mut [u8]) -> Result<BoundGraph<'a>> {
    let file = tempfile::NamedTempFile::new().context("a file for the graph")?;
    std::fs::write(file.path(), onnx::model(problem)).context("writing the graph")?;
    let options = SessionOptions {
        threads: Some(1),
        ..SessionOptions::default()
    };
    let (kv, q, result) = (
        onnx::kv_shape(problem),
        onnx::query_shape(problem),
        onnx::result_shape(problem),
    );
    let spec = |name: &'static CStr, dtype, shape| TensorSpec { name, dtype, shape };
    let mut inputs = vec![(spec(c"v", problem.dtype, &kv), problem.values())];
    if problem.pooling == Pooling::Attend {
        // SAFETY: floats are bytes.
        let queries = unsafe { problem.queries.align_to().1 };
        inputs.push((spec(c"k", problem.dtype, &kv), problem.keys()));
        inputs.push((spec(c"q", Dtype::F32, &q), queries));
    }
    let output = (spec(c"out", Dtype::F32, &result), out);
    Ok(BoundGraph::open(file.path(), &options, &inputs, output)?)
}

fn check(problem: &Problem, out: &[f32], name: &str) -> Result<()> {
    let heads = problem.shape.heads();
    let len = out.len() / heads;
    for head in (0..heads).step_by(heads.div_ceil(CHECKED)) {
        let expected = problem.reference(head)?;
        for (at, (&got, want)) in out[head * len..].iter().zip(expected).enumerate() {
            let error = (f64::from(got) - want).abs();
            if error.is_nan() || error > LARGEST_ERROR {
                bail!(
                    "nothing is timed: {name} gives {got} for element {at} of head {head} in {}, expected {want}",
                    problem.dtype.name()
                );
            }
        }
    }
    Ok(())
}
