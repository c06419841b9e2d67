//! `curt inspect`: the load report of a package.

use std::path::{Path, PathBuf};

use anyhow::Result;
use curt::Package;
use curt::head::{HeadHeader, StopHead, head_files};
use curt::package::LoadReport;
use serde::Serialize;

use crate::ask::bytes;
use crate::fields::as_flags;
use curt_command::output::{self, one_line};
use curt_command::{locate, out};

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
    let package = Package::open(&locate::package(Some(&args.package))?)?;
    let inspected = Inspected {
        report: package.report()?,
        heads: head_files(package.dir())
            .iter()
            .map(|file| Head::read(file, &package))
            .collect(),
    };
    if args.json {
        output::json(&inspected)?;
    } else {
        print(&inspected.report)?;
        for head in &inspected.heads {
            out!("{:<16}{}", "head", one_line(&head.line()))?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Inspected {
    #[serde(flatten)]
    report: LoadReport,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    heads: Vec<Head>,
}

/// A head file beside the package: what it says, or why it is refused.
#[derive(Serialize)]
struct Head {
    file: String,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<HeadHeader>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

impl Head {
    fn read(file: &Path, package: &Package) -> Self {
        let (header, refused) = match StopHead::open(file, package) {
            Ok(head) => (Some(head.header().clone()), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self {
            file: file
                .file_name()
                .map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
            bytes: std::fs::metadata(file).map_or(0, |m| m.len()),
            header,
            refused,
        }
    }

    fn line(&self) -> String {
        let file = format!("{}  {}", self.file, bytes(self.bytes));
        let Some(header) = &self.header else {
            let why = self.refused.as_deref().unwrap_or_default();
            return format!("{file}  refused: {why}");
        };
        let at: Vec<String> = header
            .check_at_tokens
            .iter()
            .map(usize::to_string)
            .collect();
        let [kv, logprob, text] = header.inputs();
        let kv = match &header.kv {
            Some(inputs) => format!("{kv} of KV (layers {:?})", inputs.layers),
            None => format!("{kv} of KV"),
        };
        format!(
            "{file}  check at {} tokens; inputs: {kv}, {logprob} of log-probabilities, {text} of text; AUROC within a \
             question {:.3} ({} of {})",
            at.join(", "),
            header.measured.auroc_within_question,
            header.measured.questions,
            header.measured.part,
        )
    }
}

fn print(report: &LoadReport) -> Result<()> {
    let line = |name: &str, value: String| out!("{name:<16}{}", one_line(&value));
    line("package", report.dir.clone())?;
    line("architecture", report.model_type.clone())?;
    for (file, size) in &report.files {
        line("file", format!("{file}  {}", bytes(*size)))?;
    }
    for weights in &report.quantized {
        line(
            "weights",
            format!(
                "{:.2} M as {}",
                weights.weights as f64 / 1e6,
                weights.stored_as
            ),
        )?;
    }
    line("layers", report.layers.to_string())?;
    line(
        "KV",
        format!(
            "{} heads of {}, {}, {}",
            report.kv_heads, report.head_dim, report.kv_dtype, report.kv_layout
        ),
    )?;
    line("attention", report.attention.in_words())?;
    line("KV per token", bytes(report.kv_bytes_per_token))?;
    line("context", format!("{} tokens", report.context_tokens))?;
    line(
        "vocabulary",
        format!("{} tokens, logits {}", report.vocabulary, report.logits),
    )?;
    let eos: Vec<String> = report
        .eos
        .iter()
        .map(|(id, text)| format!("{id} {text:?}"))
        .collect();
    line("end of path", eos.join(", "))?;
    line(
        "chat template",
        report.chat_template.clone().unwrap_or_else(|| {
            "none: texts stand one a line, and the tokenizer adds its own tokens".into()
        }),
    )?;
    if let Some(images) = &report.images {
        line("images", images.clone())?;
    }
    line(
        "prompt file",
        if report.prompt_file {
            "prompt.toml"
        } else {
            "none"
        }
        .into(),
    )?;
    line(
        "licence",
        report
            .licence
            .clone()
            .unwrap_or_else(|| "not stated".into()),
    )?;
    for note in &report.notes {
        line("note", as_flags(note))?;
    }
    line("fingerprint", report.fingerprint.clone())
}
