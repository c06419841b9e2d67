//! `curt inspect`: the load report of a package.

use std::path::PathBuf;

use anyhow::Result;
use curt::Package;
use curt::package::LoadReport;

use crate::ask::bytes;
use crate::locate;

/// What `curt inspect` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Package folder, or the name of one in curt's cache.
    #[arg(value_name = "DIR")]
    package: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs `curt inspect`. Needs no ONNX Runtime.
pub fn run(args: Args) -> Result<()> {
    let report = Package::open(&locate::package(Some(&args.package))?)?.report()?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

fn print(report: &LoadReport) {
    let line = |name: &str, value: String| println!("{name:<16}{value}");
    line("package", report.dir.clone());
    line("architecture", report.model_type.clone());
    for (file, size) in &report.files {
        line("file", format!("{file}  {}", bytes(*size)));
    }
    for weights in &report.quantisation {
        line(
            "weights",
            format!(
                "{:.2} M as {}",
                weights.weights as f64 / 1e6,
                weights.stored_as
            ),
        );
    }
    line("layers", report.layers.to_string());
    line(
        "KV",
        format!(
            "{} heads of {}, {}, {}",
            report.kv_heads, report.head_dim, report.kv_dtype, report.kv_layout
        ),
    );
    line("KV per token", bytes(report.kv_bytes_per_token));
    line("context", format!("{} tokens", report.context_tokens));
    line(
        "vocabulary",
        format!("{} tokens, logits {}", report.vocabulary, report.logits),
    );
    let eos: Vec<String> = report
        .eos
        .iter()
        .map(|(id, text)| format!("{id} {text:?}"))
        .collect();
    line("end of path", eos.join(", "));
    line(
        "chat template",
        report
            .chat_template
            .clone()
            .unwrap_or_else(|| "none".into()),
    );
    line(
        "prompt file",
        if report.prompt_file {
            "prompt.toml"
        } else {
            "none"
        }
        .into(),
    );
    line(
        "licence",
        report
            .licence
            .clone()
            .unwrap_or_else(|| "not stated".into()),
    );
    line("fingerprint", report.fingerprint.clone());
}
