//! `curt-bench head`: the KV stop head's pooling, beside the machine's own speed and beside other ways to compute it.

pub mod machine;
mod measure;
mod onnx;
pub mod peers;
mod problem;
mod record;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use curt_kernels::{Dtype, Isa};

use curt_command::{locate, out};
use problem::{Pooling, Shape};

/// What `curt-bench head` takes. One thread; keys and values lie as the runtime keeps them.
#[derive(clap::Args)]
pub struct Args {
    /// Instruction set: scalar, neon, avx2 or avx512. Without it, the widest that this processor has.
    #[arg(long, value_name = "NAME", value_parser = isa)]
    isa: Option<Isa>,
    /// Element types of keys and values.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = dtype, default_value = "f32,f16,bf16,int8")]
    dtype: Vec<Dtype>,
    /// How positions are pooled.
    #[arg(long, value_enum, default_value = "attend")]
    pooling: Pooling,
    /// Layers that the head reads.
    #[arg(long, value_name = "N", default_value_t = 4)]
    layers: usize,
    /// Positions of each path that it reads.
    #[arg(long, value_name = "N", default_value_t = 48)]
    window: usize,
    /// Paths that are checked.
    #[arg(long, value_name = "N", default_value_t = 16)]
    paths: usize,
    /// Queries of each layer and KV head.
    #[arg(long, value_name = "N", default_value_t = 4)]
    queries: usize,
    /// Elements of a key and of a value.
    #[arg(long, value_name = "N", default_value_t = 64)]
    head_dim: usize,
    /// KV heads of a layer.
    #[arg(long, value_name = "N", default_value_t = 3)]
    kv_heads: usize,
    /// Measurements of each, in turn; what is printed is their median.
    #[arg(long, value_name = "N", default_value_t = 15)]
    rounds: usize,
    /// Also write every measurement to a file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure the sizes of the record instead, and write `targets/records/DEVICE/DATE-head.{json,md}`.
    #[arg(long, value_name = "DEVICE", conflicts_with = "json")]
    record: Option<String>,
}

/// Runs `curt-bench head`.
pub fn run(args: Args) -> Result<()> {
    locate::load_library()?;
    let isa = args.isa.unwrap_or_else(Isa::best);
    if !isa.is_available() {
        bail!("--isa {}: this processor does not have it", isa.name());
    }
    let shape = Shape {
        layers: args.layers,
        paths: args.paths,
        kv_heads: args.kv_heads,
        window: args.window,
        head_dim: args.head_dim,
        queries: args.queries,
    };
    let sizes = [
        shape.layers,
        shape.paths,
        shape.kv_heads,
        shape.window,
        shape.head_dim,
        shape.queries,
        args.rounds,
    ];
    if sizes.contains(&0) {
        bail!("every size and --rounds take 1 or more");
    }
    let cases: Vec<_> = match &args.record {
        None => vec![(shape, args.pooling)],
        Some(_) => record::cases(),
    };
    let mut measurements = Vec::new();
    for (shape, pooling) in cases {
        out!("{}", record::title(&shape, pooling))?;
        out!("{}", record::HEADER)?;
        for &dtype in &args.dtype {
            let measurement = measure::measure(shape, dtype, pooling, isa, args.rounds)?;
            out!("{}", record::row(&measurement))?;
            measurements.push(measurement);
        }
    }
    if let Some(device) = &args.record {
        return record::write(device, &measurements);
    }
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&measurements)?;
        std::fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

fn isa(name: &str) -> Result<Isa, String> {
    let found = Isa::ALL.into_iter().find(|isa| isa.name() == name);
    found.ok_or_else(|| format!("expected {}", Isa::ALL.map(Isa::name).join(", ")))
}

fn dtype(name: &str) -> Result<Dtype, String> {
    let all = [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::I8];
    let found = all.into_iter().find(|dtype| dtype.name() == name);
    found.ok_or_else(|| format!("expected {}", all.map(Dtype::name).join(", ")))
}
