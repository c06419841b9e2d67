//! A page that asks curt about what a camera sees, on this machine alone.
//!
//! `cargo xtask camera`, or `export "$(cargo xtask setup)" && cargo run --release -p camera-vqa`, from the top of a checkout.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod page;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use curt::EngineOptions;
use curt_command::{locate, note, signal};
use curt_serve::{Limits, ServeOptions, Server};

/// What the shipped package's workload brings for it: calibrations that give up a point or two of accuracy, a stop head.
const WORKLOAD: &str = "models/workloads/vqa";

/// Most bytes of image features that are kept.
const IMAGE_CACHE_BYTES: usize = 8 << 20;

/// Asks about what a camera sees, in a browser.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Package folder that takes images, or the name of one in curt's cache. Without it, the shipped one.
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,
    /// Where to listen. Browsers give cameras to pages of this machine, or over TLS, alone.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8642")]
    address: SocketAddr,
    /// Environment variable that holds the key which the page must be opened with. Needed to listen elsewhere.
    #[arg(long, value_name = "NAME")]
    key_env: Option<String>,
    /// Name, beside `localhost` and plain addresses, under which it may be asked; may be given several times.
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Threads inside one operator. Without it, as many as there are cores.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    curt_command::start(str::to_owned, run)
}

fn run(args: Args) -> Result<()> {
    let key = args
        .key_env
        .as_deref()
        .map(|name| std::env::var(name).with_context(|| name.to_owned()));
    let key = key.transpose()?;
    let shipped = locate::vision_package();
    let dir = match &args.package {
        Some(named) => locate::package(Some(named))?,
        None => shipped?,
    };
    let engine = locate::open_engine_with(
        &dir,
        &EngineOptions {
            threads: args.threads,
            // A camera's frame never comes again; the picture on the table does.
            image_cache_bytes: IMAGE_CACHE_BYTES,
            ..EngineOptions::default()
        },
    )?;
    let defaults = ServeOptions::loopback();
    let options = ServeOptions {
        address: args.address,
        hosts: args.host,
        assets: &page::ASSETS,
        limits: Limits {
            // A page that is asked anew gives up what it asked before: nothing lines up for long.
            queue: 16,
            ..defaults.limits
        },
        ..defaults
    };
    let options = ServeOptions {
        key: key.clone(),
        ..match args.package {
            None => of_workload(options, Path::new(WORKLOAD)),
            Some(_) => options,
        }
    };
    let server = Server::open(engine, &options)?;
    let address = server.address();
    match key {
        None => note!("camera-vqa: open http://localhost:{}/", address.port()),
        // After `#`: a browser keeps that to itself.
        Some(key) => note!("camera-vqa: open http://{address}/#key={key}"),
    }
    server.run(&signal::cancelled_by_ctrl_c())?;
    Ok(())
}

/// `options` with what the workload in `dir` brings, where it is here.
fn of_workload(options: ServeOptions, dir: &Path) -> ServeOptions {
    let there = |name: &str, file: &str| {
        let file = dir.join(file);
        file.is_file().then(|| (name.to_owned(), file))
    };
    ServeOptions {
        calibrations: [
            there("drop-1", "cascade-drop-1.json"),
            there("drop-2", "cascade-drop-2.json"),
        ]
        .into_iter()
        .flatten()
        .collect(),
        heads: there("stop", "stop-16.safetensors").into_iter().collect(),
        ..options
    }
}
