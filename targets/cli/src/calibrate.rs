//! `curt calibrate`: when the cascade may accept a cheap answer, found on the training part of a workload.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use curt::AskOptions;
use curt::format::{CALIBRATION_FILE, CalibratedPackage, CalibrationWorkload};
use curt_ablate::calibrate::{
    Calibrated, Choice, Observation, Target, calibrate, observe, trying_all,
};
use curt_workload::{Part, Workload};

use curt_command::attention::AttentionName;
use curt_command::{locate, note, out, signal};

/// What `curt calibrate` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Package folder, or the name of one in curt's cache. Without it, the shipped package.
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,
    /// Workload folder; its training part is asked.
    #[arg(long, value_name = "DIR")]
    workload: PathBuf,
    /// Accuracy that the cascade should have, in percent.
    #[arg(long, value_name = "PERCENT", group = "target")]
    target_accuracy: Option<f64>,
    /// Accuracy that it may lose against answering everything in full, in points. Without either, 0.
    #[arg(long, value_name = "POINTS", group = "target")]
    target_drop: Option<f64>,
    /// File to write. Without it, `cascade.json` in the package's folder.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Ask the first M items only.
    #[arg(long, value_name = "M")]
    limit: Option<usize>,
    /// Threads inside one operator. Without it, as many as there are cores.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Whether paths share one copy of their prompt's keys and values.
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    attention: AttentionName,
}

/// How often a log gets a line.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// Lines of the table of what may be chosen.
const SHOWN: usize = 12;

/// Runs `curt calibrate`.
pub fn run(args: Args) -> Result<()> {
    let target = match (args.target_accuracy, args.target_drop) {
        (Some(percent), _) if (0.0..=100.0).contains(&percent) => Target::Accuracy(percent / 100.0),
        (None, Some(points)) if (0.0..=100.0).contains(&points) => Target::Drop(points / 100.0),
        (None, None) => Target::Drop(0.0),
        _ => bail!("--target-accuracy, --target-drop: expected a number from 0 to 100"),
    };
    let workload = Workload::open(&args.workload, None)?;
    let mut engine = locate::open_engine(args.package.as_deref(), args.threads, args.attention)?;
    let package = engine.package();
    let file = args
        .out
        .unwrap_or_else(|| package.dir().join(CALIBRATION_FILE));
    let folder = package
        .dir()
        .canonicalize()
        .unwrap_or_else(|_| package.dir().into());
    let calibrated_package = CalibratedPackage {
        name: folder.file_name().map_or_else(
            || "package".into(),
            |name| name.to_string_lossy().into_owned(),
        ),
        fingerprint: package.fingerprint()?,
    };
    let base = AskOptions {
        cancel: signal::cancelled_by_ctrl_c(),
        ..AskOptions::default()
    };
    let items = workload.part(Part::Train);
    let items = &items[..args
        .limit
        .map_or(items.len(), |limit| limit.min(items.len()))];
    let all = trying_all(&calibrated_package);
    let (mut observed, mut failed) = (Vec::new(), Vec::new());
    let clock = Instant::now();
    let mut said = Instant::now();
    for (done, item) in items.iter().enumerate() {
        match observe(&mut engine, &workload, item, &base, &all).map_err(runtimes_own)? {
            Observation::Answered(item) => observed.push(*item),
            Observation::Failed(why) => failed.push(format!("{}: {why}", item.id)),
        }
        if said.elapsed() >= LOG_EVERY {
            said = Instant::now();
            let left =
                clock.elapsed().as_secs_f64() / (done + 1) as f64 * (items.len() - done - 1) as f64;
            note!(
                "{} of {} items, {:.1} min left",
                done + 1,
                items.len(),
                left / 60.0
            );
        }
    }
    if let Some(first) = failed.first() {
        note!(
            "{} of {} items were not answered; {first}",
            failed.len(),
            items.len()
        );
    }
    let of_workload = CalibrationWorkload {
        name: workload.name().into(),
        digest: workload.digest().into(),
        items: observed.len(),
    };
    let calibrated = calibrate(&observed, target, calibrated_package, of_workload)?;
    let text = serde_json::to_string_pretty(&calibrated.calibration)?;
    std::fs::write(&file, text + "\n").with_context(|| format!("writing {}", file.display()))?;
    print(&calibrated)?;
    out!("{}", file.display())
}

/// The runtime's error as itself, so that the end of the process tells ctrl-C from a failure.
fn runtimes_own(error: curt_ablate::Error) -> anyhow::Error {
    match error {
        curt_ablate::Error::Runtime(error) => error.into(),
        other => other.into(),
    }
}

fn print(calibrated: &Calibrated) -> Result<()> {
    let names = ["direct", "perception", "full"];
    for (name, (accuracy, tokens)) in names
        .into_iter()
        .zip(calibrated.accuracy.iter().zip(calibrated.tokens))
    {
        out!(
            "always {name:<11} {:5.1} %  {tokens:6.1} tokens",
            100.0 * accuracy
        )?;
    }
    out!("cascades, of the training part, each item judged by a fit without its group:")?;
    let frontier = &calibrated.frontier;
    let last = frontier.len().saturating_sub(1);
    let mut shown: Vec<usize> = (0..SHOWN.min(frontier.len()))
        .map(|i| last * i / (SHOWN - 1).max(1))
        .collect();
    shown.push(last);
    shown.dedup();
    for place in shown {
        out!("{}", line(&frontier[place]))?;
    }
    let target = calibrated.calibration.measured.target_accuracy;
    let chosen = line(&calibrated.chosen);
    if calibrated.reached {
        out!("chosen for {:.1} %:\n{chosen}", 100.0 * target)
    } else {
        out!(
            "no cascade reaches {:.1} %; the most accurate was chosen:\n{chosen}",
            100.0 * target
        )
    }
}

fn line(choice: &Choice) -> String {
    let [direct, perception, full] = choice.shares.map(|share| 100.0 * share);
    format!(
        "  {:5.1} %  {:6.1} tokens  direct {direct:.0} %, perception {perception:.0} %, full {full:.0} %",
        100.0 * choice.accuracy,
        choice.tokens
    )
}
