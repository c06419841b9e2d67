//! What is printed, and the record that is committed.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use time::macros::format_description;

use super::machine::{self, Machine};
use super::measure::{Measurement, Round};
use super::problem::{Pooling, Shape};
use curt_command::out;

/// Folder of the records, from the checkout's root.
const RECORDS: &str = "targets/records";

pub const HEADER: &str = "| dtype | µs | MB | GB/s | read GB/s | of read bandwidth | of roofline | × ndarray | × ONNX Runtime |\n\
     |---|---|---|---|---|---|---|---|---|";

/// The sizes of a record: the checks of the shipped heads, which lie in the second-level cache or the third, and windows
/// that no cache holds.
pub fn cases() -> Vec<(Shape, Pooling)> {
    let shape = |layers, kv_heads, window, head_dim| Shape {
        layers,
        paths: 16,
        kv_heads,
        window,
        head_dim,
        queries: 4,
    };
    let small = [shape(3, 2, 48, 32), shape(4, 3, 48, 64)];
    let large = [shape(4, 3, 4096, 64)];
    [Pooling::Attend, Pooling::Mean]
        .into_iter()
        .flat_map(|pooling| small.into_iter().chain(large).map(move |s| (s, pooling)))
        .collect()
}

pub fn title(shape: &Shape, pooling: Pooling) -> String {
    let Shape {
        layers,
        paths,
        kv_heads,
        window,
        head_dim,
        queries,
    } = shape;
    let pooling = match pooling {
        Pooling::Attend => format!("attend, {queries} queries"),
        Pooling::Mean => "mean".to_owned(),
    };
    format!(
        "{pooling}: {layers} layers, {paths} paths, {kv_heads} KV heads, {window} positions, head_dim {head_dim}"
    )
}

/// Medians, and in brackets the lowest and the highest; ratios are taken within a round.
pub fn row(m: &Measurement) -> String {
    let figure = |digits: usize, of: &dyn Fn(&Round) -> f64| {
        let [low, middle, high] = m.spread(of);
        format!("{middle:.digits$} ({low:.digits$}–{high:.digits$})")
    };
    let bytes = m.bytes as f64;
    format!(
        "| {} | {} | {:.2} | {} | {} | {} | {} | {} | {} |",
        m.dtype,
        figure(1, &|r| r.curt * 1e6),
        bytes / 1e6,
        figure(1, &|r| bytes / r.curt / 1e9),
        figure(1, &|r| bytes / r.read / 1e9),
        figure(2, &|r| r.read / r.curt),
        figure(2, &|r| m.roofline(r) / r.curt),
        figure(1, &|r| r.ndarray / r.curt),
        figure(1, &|r| r.onnxruntime / r.curt),
    )
}

#[derive(Serialize)]
struct Record<'a> {
    made_by: String,
    date: &'a str,
    device: &'a str,
    machine: &'a Machine,
    commit: &'a str,
    onnxruntime: &'a str,
    measurements: &'a [Measurement],
}

/// Writes both files, from the top of a checkout.
pub fn write(device: &str, measurements: &[Measurement]) -> Result<()> {
    let date = time::OffsetDateTime::now_utc()
        .format(format_description!("[year]-[month]-[day]"))
        .context("today's date")?;
    let (machine, commit) = (Machine::here(), machine::commit());
    let record = Record {
        made_by: format!("curt-bench head --record {device}"),
        date: &date,
        device,
        machine: &machine,
        commit: &commit,
        onnxruntime: &curt::session::library_info()?.version,
        measurements,
    };
    let folder = Path::new(RECORDS).join(device);
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let save = |suffix: &str, text: String| {
        let file = folder.join(format!("{date}-head.{suffix}"));
        std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))
    };
    save("json", serde_json::to_string_pretty(&record)? + "\n")?;
    save("md", render(&record)?)?;
    out!("wrote {}/{date}-head.{{json,md}}", folder.display())?;
    Ok(())
}

fn render(record: &Record<'_>) -> Result<String> {
    let mut text = String::new();
    let kernels: BTreeSet<&str> = record.measurements.iter().map(|m| m.kernel).collect();
    let kernels = kernels.into_iter().collect::<Vec<_>>().join(", ");
    let rounds = record.measurements.first().map_or(0, |m| m.rounds.len());
    let loads = record.measurements.iter().flat_map(|m| &m.rounds);
    let loads = loads.filter_map(|r| r.load);
    let (least, most) = loads.fold((f64::INFINITY, 0.0f64), |(a, b), x| (a.min(x), b.max(x)));
    write!(
        text,
        "# The KV stop head's pooling, {device}, {date}\n\n`{made_by}` at {commit}.\n\n\
         * {machine}. Load before a round: {least:.1} to {most:.1}.\n\
         * One thread, {kernels}; {rounds} rounds in which every column is measured in turn. Median, lowest and highest in \
         brackets; ratios are taken within a round. A pass shorter than 4 ms is repeated on the same memory.\n\
         * *read*: a sum of the same bytes, huge pages advised. *roofline*: the slower of reading and of the \
         f32 multiply-and-adds at the speed of multipliers alone. *× ndarray*, *× ONNX Runtime*: their time over ours; \
         ndarray 0.17 with `general_mat_mul`, everything preallocated, other dtypes converted to f32 head by head; \
         ONNX Runtime {onnxruntime} with MatMul, Softmax, MatMul (ReduceMean) over all heads, other dtypes cast.\n",
        device = record.device,
        date = record.date,
        made_by = record.made_by,
        commit = record.commit.get(..12).unwrap_or(record.commit),
        machine = record.machine.describe(),
        onnxruntime = record.onnxruntime,
    )?;
    for case in record
        .measurements
        .chunk_by(|a, b| title(&a.shape, a.pooling) == title(&b.shape, b.pooling))
    {
        write!(
            text,
            "\n## {}\n\n{HEADER}\n",
            title(&case[0].shape, case[0].pooling)
        )?;
        for measurement in case {
            writeln!(text, "{}", row(measurement))?;
        }
    }
    Ok(text)
}
