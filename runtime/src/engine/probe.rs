//! Which execution provider runs a package fastest here: each is timed on a prefill and some steps, held to the CPU's greedy
//! ids, and the outcome is remembered on disk.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::providers;
use super::{EngineOptions, ProviderProbe};
use crate::error::{Error, Result};
use crate::files;
use crate::generate::Decoder;
use crate::kv::KvPlan;
use crate::package::Package;
use crate::session::{CancelToken, ProbeReport, Provider, Providers, Tried, library_info};

/// Version of the remembered file: another is measured anew.
const VERSION: u32 = 1;
/// Most bytes of it.
const MOST_BYTES: u64 = 64 << 10;
/// Positions of the prompt that is prefilled.
const PROMPT: usize = 32;
/// Steps at each number of rows.
const STEPS: usize = 8;
/// Rows of the second measurement.
const ROWS: usize = 8;
/// How long a provider that was told to stop is waited for, before it is left behind.
const GRACE: Duration = Duration::from_secs(2);

/// One that has not been timed.
fn untimed(provider: &Provider, reason: String) -> Tried {
    Tried {
        provider: provider.to_string(),
        reason: Some(reason),
        load_ms: None,
        prefill_ms: None,
        step_ms: None,
        rows_step_ms: None,
    }
}

/// What is compared: a prefill, and as many steps of each kind as were timed.
fn cost(tried: &Tried) -> Option<f64> {
    let steps = STEPS as f64 * (tried.step_ms? + tried.rows_step_ms?);
    tried.reason.is_none().then_some(tried.prefill_ms? + steps)
}

/// What is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remembered {
    version: u32,
    /// All that the outcome depends on.
    of: String,
    report: ProbeReport,
}

/// The providers to load `package` with, of those that `options` name, and how they were found.
///
/// # Errors
/// [`Error::Cancelled`], and those of the CPU, without which nothing can be compared.
pub(super) fn choose(
    package: &Package,
    options: &EngineOptions,
    probe: &ProviderProbe,
) -> Result<(Providers, ProbeReport)> {
    let candidates: Vec<Provider> = options.providers.list().to_vec();
    let of = meaning(package, options, &candidates)?;
    let file = probe.remember.as_ref().map(|dir| {
        let digest = Sha256::digest(of.as_bytes());
        let name: String = digest[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        dir.join(format!("providers-{VERSION}-{name}.json"))
    });
    let known = file.as_deref().and_then(|file| read(file, &of));
    let mut report = match known {
        Some(report) => report,
        None => measure(options, package, &candidates, probe.limit)?,
    };
    if let (false, Some(file)) = (report.remembered, &file) {
        report.not_remembered = write(file, &of, &report)
            .err()
            .map(|e| format!("{}: {e}", file.display()));
    }
    let chosen = candidates
        .into_iter()
        .find(|provider| provider.to_string() == report.chosen);
    let chosen = chosen.unwrap_or(Provider::Cpu);
    Ok((Providers::Prefer(vec![chosen]), report))
}

/// All that the outcome depends on, in words.
fn meaning(package: &Package, options: &EngineOptions, candidates: &[Provider]) -> Result<String> {
    let library = library_info()?;
    let bytes = std::fs::metadata(&library.file).map_or(0, |meta| meta.len());
    let words: Vec<String> = candidates.iter().map(Provider::to_string).collect();
    let processor = files::read_text_if_there(
        Path::new("/proc/cpuinfo"),
        1 << 20,
        "reading the processor's name",
    );
    let processor = processor.ok().flatten().unwrap_or_default();
    let named = |line: &&str| line.starts_with("model name") || line.starts_with("Model");
    Ok(format!(
        "package {} library {} of {bytes} bytes, providers {}, threads {:?} of {:?}, attention {:?}, on {} {} {}",
        package.fingerprint()?,
        library.version,
        words.join(","),
        options.threads,
        std::thread::available_parallelism().ok(),
        options.attention,
        std::env::consts::OS,
        std::env::consts::ARCH,
        processor.lines().find(named).unwrap_or_default(),
    ))
}

/// What is remembered in `file`, if it is of the same. What cannot be read is measured anew.
fn read(file: &Path, of: &str) -> Option<ProbeReport> {
    let text = files::read_text(file, MOST_BYTES, "reading a remembered probe").ok()?;
    let known: Remembered = serde_json::from_str(&text).ok()?;
    (known.version == VERSION && known.of == of).then_some(ProbeReport {
        remembered: true,
        ..known.report
    })
}

/// Whole or not at all: written beside its place and moved there.
fn write(file: &Path, of: &str, report: &ProbeReport) -> std::io::Result<()> {
    let text = serde_json::to_string_pretty(&Remembered {
        version: VERSION,
        of: of.into(),
        report: report.clone(),
    })?;
    let dir = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let staged = file.with_extension(format!("{}.new", std::process::id()));
    let moved = std::fs::write(&staged, text).and_then(|()| std::fs::rename(&staged, file));
    if moved.is_err() {
        // Half of it is no use to anybody; where it cannot be removed either, its name is none that is read.
        let _ = std::fs::remove_file(&staged);
    }
    moved
}

fn measure(
    options: &EngineOptions,
    package: &Package,
    candidates: &[Provider],
    limit: Duration,
) -> Result<ProbeReport> {
    let (cpu, expected) = timed(package.dir(), options, &Provider::Cpu)?;
    let mut tried = vec![cpu];
    for provider in candidates.iter().filter(|p| **p != Provider::Cpu) {
        if options.cancel.is_cancelled() {
            return Err(Error::Cancelled { tokens: 0 });
        }
        tried.push(
            match timed_within(package.dir(), options, provider, limit) {
                Ok((mut tried, ids)) => {
                    let same = ids
                        .iter()
                        .zip(&expected)
                        .take_while(|(a, b)| a == b)
                        .count();
                    // One that runs nothing has drawn none, and has said why.
                    if tried.reason.is_none() && same < expected.len() {
                        tried.reason = Some(format!(
                            "its greedy ids are not the CPU's: {same} of {} are the same",
                            expected.len()
                        ));
                    }
                    tried
                }
                Err(reason) => untimed(provider, reason),
            },
        );
    }
    let costs = tried.iter().filter_map(|t| Some((cost(t)?, t)));
    let fastest = costs.min_by(|a, b| a.0.total_cmp(&b.0));
    Ok(ProbeReport {
        chosen: fastest.map_or("cpu".into(), |(_, tried)| tried.provider.clone()),
        remembered: false,
        not_remembered: None,
        tried,
    })
}

/// [`timed`] on a thread of its own, which is told to stop at `limit`, and left behind where it does not.
fn timed_within(
    dir: &Path,
    options: &EngineOptions,
    provider: &Provider,
    limit: Duration,
) -> std::result::Result<(Tried, Vec<u32>), String> {
    let cancel = CancelToken::new();
    let options = EngineOptions {
        cancel: cancel.clone(),
        ..options.clone()
    };
    let (dir, provider) = (dir.to_path_buf(), provider.clone());
    let (send, receive) = mpsc::channel();
    let spawned = std::thread::Builder::new().spawn(move || {
        let outcome = timed(&dir, &options, &provider);
        // Nobody waits any more where the limit has passed.
        let _ = send.send(outcome.map_err(|error| in_words(&error)));
    });
    spawned.map_err(|error| format!("no thread to measure it on: {error}"))?;
    if let Ok(outcome) = receive.recv_timeout(limit) {
        return outcome;
    }
    cancel.cancel();
    let late = format!("it was not done after {:.1} s", limit.as_secs_f64());
    match receive.recv_timeout(GRACE) {
        Ok(_) => Err(late),
        Err(_) => Err(format!("{late}, and does not stop: it is left behind")),
    }
}

/// An error's own words and those of its causes.
fn in_words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Loads the package in `dir` with `provider` alone beside the CPU, and times it. With it, the greedy ids of all steps.
fn timed(dir: &Path, options: &EngineOptions, provider: &Provider) -> Result<(Tried, Vec<u32>)> {
    let milliseconds = |clock: Instant| clock.elapsed().as_secs_f64() * 1e3;
    let package = Package::open_as(dir, options.dtype.as_deref())?;
    let options = EngineOptions {
        providers: Providers::Prefer(vec![provider.clone()]),
        ..options.clone()
    };
    let clock = Instant::now();
    let mut opened = providers::open(&package, &options)?;
    let mut tried = untimed(provider, String::new());
    tried.load_ms = Some(milliseconds(clock));
    // The row that was asked for, not the CPU's.
    let placed = opened.placement.providers.iter().find(|row| row.requested);
    tried.reason = placed.and_then(|row| row.reason.clone());
    if tried.reason.is_some() {
        return Ok((tried, Vec::new()));
    }
    let plan = KvPlan::new(
        package.graph().geometry(),
        opened.layout,
        ROWS,
        PROMPT + STEPS,
        None,
    )?;
    let decoder = &mut opened.decoder;
    let cancel = &options.cancel;
    let vocabulary = decoder.vocabulary() as u32;
    let prompt: Vec<u32> = (0..PROMPT as u32)
        .map(|i| (i * 37 + 11) % vocabulary)
        .collect();
    // The first time compiles, on providers that do.
    for _ in 0..2 {
        decoder.restart(plan, 0, None)?;
        let clock = Instant::now();
        decoder.prefill(&prompt, cancel)?;
        tried.prefill_ms = Some(milliseconds(clock));
    }
    let mut ids = vec![most_probable(decoder.logits(0))];
    let first = ids[0];
    tried.step_ms = Some(steps(decoder, 1, first, &mut ids, cancel)?);
    decoder.rewind(PROMPT)?;
    decoder.fork(ROWS, cancel)?;
    tried.rows_step_ms = Some(steps(decoder, ROWS, first, &mut ids, cancel)?);
    Ok((tried, ids))
}

/// The median of [`STEPS`] steps of `rows` rows, which all go on greedily from `first`; ids of the last row are added.
fn steps(
    decoder: &mut Decoder,
    rows: usize,
    first: u32,
    ids: &mut Vec<u32>,
    cancel: &CancelToken,
) -> Result<f64> {
    let mut took = Vec::with_capacity(STEPS);
    let mut next = vec![first; rows];
    for _ in 0..STEPS {
        let clock = Instant::now();
        decoder.step(&next, cancel)?;
        took.push(clock.elapsed().as_secs_f64() * 1e3);
        for (row, id) in next.iter_mut().enumerate() {
            *id = most_probable(decoder.logits(row));
        }
        ids.push(next[rows - 1]);
    }
    took.sort_by(f64::total_cmp);
    Ok(took[STEPS / 2])
}

/// The most probable id; of equals, the first.
fn most_probable(logits: &[f32]) -> u32 {
    let best = (0..logits.len()).reduce(|best, id| match logits[id] > logits[best] {
        true => id,
        false => best,
    });
    best.unwrap_or(0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> ProbeReport {
        ProbeReport {
            chosen: "cpu".into(),
            remembered: false,
            not_remembered: None,
            tried: vec![untimed(&Provider::Cpu, "x".into())],
        }
    }

    #[test]
    fn what_is_remembered_is_read_back_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new/probe.json");
        assert_eq!(read(&file, "this"), None);
        write(&file, "this", &report()).unwrap();
        assert!(read(&file, "this").unwrap().remembered);
        assert_eq!(read(&file, "that"), None);
        let whole = std::fs::read_to_string(&file).unwrap();
        for broken in [
            whole.replace("\"version\": 1", "\"version\": 2"),
            whole[..whole.len() / 2].to_owned(),
            String::new(),
            "x".repeat(MOST_BYTES as usize + 1),
        ] {
            std::fs::write(&file, broken).unwrap();
            assert_eq!(read(&file, "this"), None);
        }
        // Nothing half is left beside it.
        let left = std::fs::read_dir(file.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        // A file in the folder's place refuses whoever runs the tests; permissions do not stop root.
        let place = dir.path().join("file");
        std::fs::write(&place, "").unwrap();
        assert!(write(&place.join("probe.json"), "this", &report()).is_err());
        // As does a folder in the file's place, after the staged file was written.
        let taken = dir.path().join("probe.json");
        std::fs::create_dir_all(taken.join("inside")).unwrap();
        assert!(write(&taken, "this", &report()).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn the_slower_and_the_wrong_are_not_chosen() {
        let mut tried = untimed(&Provider::Cpu, String::new());
        assert_eq!(cost(&tried), None);
        tried.reason = None;
        tried.prefill_ms = Some(4.0);
        tried.step_ms = Some(1.0);
        assert_eq!(cost(&tried), None);
        tried.rows_step_ms = Some(2.0);
        assert_eq!(cost(&tried), Some(4.0 + 8.0 * 3.0));
    }
}
