//! `curt serve`: answers over HTTP, as OpenAI's clients ask.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use curt::EngineOptions;
use curt_command::attention::AttentionName;
use curt_command::{locate, note, signal};
use curt_serve::{Limits, ServeOptions, Server, name_and_file};

/// What `curt serve` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Package folder, or the name of one in curt's cache. Without it, the shipped package.
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,
    /// Where to listen; port 0 is one that is free. Others than this machine can reach it only with a key.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    address: SocketAddr,
    /// Environment variable that holds the key which requests must bring.
    #[arg(long, value_name = "NAME")]
    key_env: Option<String>,
    /// Name, beside `localhost` and plain addresses, under which it may be asked; may be given several times.
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// What the model is called. Without it, as its folder.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Calibration of the cascade that a request may name; may be given several times.
    #[arg(long, value_name = "NAME=FILE")]
    calibration: Vec<String>,
    /// Stop head that a request may name, beside the package's own; may be given several times.
    #[arg(long, value_name = "NAME=FILE")]
    head: Vec<String>,
    /// Requests that wait for the engine; more are refused with status 429.
    #[arg(long, value_name = "N", default_value_t = Limits::default().queue)]
    queue: usize,
    /// Seconds in which a request must be answered, waiting included.
    #[arg(long, value_name = "S", default_value_t = Limits::default().answer_time.as_secs())]
    timeout: u64,
    /// Most pixels of an image.
    #[arg(long, value_name = "N", default_value_t = Limits::default().image_pixels)]
    max_image_pixels: usize,
    /// Files of a transformers.js folder that has several of one graph, as `curt ask` has it.
    #[arg(long, value_name = "TYPE")]
    dtype: Option<String>,
    /// Threads inside one operator. Without it, as many as there are cores.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Whether paths share one copy of their prompt's keys and values.
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    attention: AttentionName,
}

/// Runs `curt serve`.
pub fn run(args: Args) -> Result<()> {
    let key = args.key_env.as_deref().map(key).transpose()?;
    let named = |field: &'static str, all: &[String]| {
        all.iter()
            .map(|text| name_and_file(field, text))
            .collect::<curt_serve::Result<Vec<_>>>()
    };
    let defaults = ServeOptions::loopback();
    let options = ServeOptions {
        address: args.address,
        key,
        calibrations: named("calibration", &args.calibration)?,
        heads: named("head", &args.head)?,
        hosts: args.host,
        model: args.model,
        limits: Limits {
            queue: args.queue,
            queue_of_one: args.queue.min(defaults.limits.queue_of_one),
            answer_time: std::time::Duration::from_secs(args.timeout),
            image_pixels: args.max_image_pixels,
            ..defaults.limits
        },
        ..defaults
    };
    let engine = locate::open_engine_with(
        &locate::package(args.package.as_deref())?,
        &EngineOptions {
            threads: args.threads,
            attention: args.attention.into(),
            dtype: args.dtype,
            ..EngineOptions::default()
        },
    )?;
    let server = Server::open(engine, &options)?;
    note!("curt: answers at http://{}/v1", server.address());
    server.run(&signal::cancelled_by_ctrl_c())?;
    Ok(())
}

/// The key in the environment variable `name`.
fn key(name: &str) -> Result<String> {
    let key = std::env::var(name).with_context(|| format!("--key-env {name}"))?;
    if key.is_empty() {
        bail!("--key-env {name}: expected a key, got nothing");
    }
    Ok(key)
}
