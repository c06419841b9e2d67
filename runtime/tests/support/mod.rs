//! What every test that runs a model needs: the library, packages, and a way to say what is not here.

// Each test crate uses a part.
#![allow(dead_code)]

pub mod onnx;

use std::io::Write;
use std::path::{Path, PathBuf};

use curt::generate::Decoder;
use curt::kv::KvPlan;
use curt::session::{LibraryOptions, SessionOptions};
use curt::{Attention, CancelToken, Engine, EngineOptions, Package};

/// Tiny random-weight packages, committed with the recipe that makes them.
pub const TINY: [&str; 10] = [
    "tiny-llama-fp32",
    "tiny-llama-growing-fp32",
    "tiny-llama-int4",
    "tiny-llama-int8",
    "tiny-qwen2-fp32",
    "tiny-qwen2-int4",
    "tiny-qwen2-int8",
    "tiny-qwen3-fp32",
    "tiny-qwen3-int4",
    "tiny-qwen3-int8",
];

pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn tiny(name: &str) -> PathBuf {
    checkout()
        .join("models/recipes/reference/packages")
        .join(name)
}

pub fn reasoner() -> PathBuf {
    checkout().join("models/packages/reasoner")
}

/// A package in curt's cache, where its recipe has built it.
pub fn cached(name: &str) -> Option<PathBuf> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let cache = variable("CURT_CACHE_DIR")
        .or_else(|| variable("XDG_CACHE_HOME").map(|d| d.join("curt")))
        .or_else(|| variable("HOME").map(|d| d.join(".cache/curt")))?;
    Some(cache.join("packages").join(name)).filter(|dir| dir.join("genai_config.json").exists())
}

/// Whether ONNX Runtime is here; says so once for `test` where it is not.
pub fn library_or_skip(test: &str) -> bool {
    match curt::session::load_library(&LibraryOptions::default()) {
        Ok(()) => true,
        Err(error) => {
            skip(test, &error.to_string());
            false
        }
    }
}

/// Notes that `test` did not run: on standard error, and in the list that `cargo xtask test` prints at its end.
pub fn skip(test: &str, why: &str) {
    eprintln!("skipped: {test}: {why}");
    if let Some(log) = std::env::var_os("CURT_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(log)
            .expect("CURT_SKIP_LOG names a file that can be written");
        writeln!(log, "{test}\t{why}").expect("the skip log can be written");
    }
}

/// Whether this machine gives a path the same tokens whatever is beside it; notes that `test` did not run where not.
pub fn invariant_or_skip(engine: &mut Engine, test: &str) -> bool {
    let invariant = engine.probe_row_invariance().unwrap().invariant;
    if !invariant {
        let why = "hardware: rows depend on their batch with this processor's kernels";
        skip(test, why);
    }
    invariant
}

/// A decoder for `rows` rows of `capacity_tokens` positions, each with all of its own. One thread: tests run beside each
/// other, and ONNX Runtime's threads spin while they wait.
pub fn decoder(package: &Package, rows: usize, capacity_tokens: usize) -> Decoder {
    planned(package, plan(package, rows, capacity_tokens))
}

/// A decoder of that plan, as [`decoder`].
pub fn planned(package: &Package, plan: KvPlan) -> Decoder {
    let options = SessionOptions {
        threads: Some(1),
        ..SessionOptions::default()
    };
    Decoder::open(package, plan, &options).unwrap()
}

/// An engine of one thread that computes what ONNX Runtime's own attention does.
pub fn engine(dir: impl AsRef<Path>) -> Engine {
    let options = EngineOptions {
        threads: Some(1),
        attention: Attention::Dense,
        ..EngineOptions::default()
    };
    Engine::open(dir, &options).unwrap()
}

/// A plan for the package, in which each row has all its positions.
pub fn plan(package: &Package, rows: usize, capacity_tokens: usize) -> KvPlan {
    let graph = package.graph();
    KvPlan::new(
        graph.geometry(),
        graph.layout(),
        rows,
        capacity_tokens,
        None,
    )
    .unwrap()
}

/// A copy of a package that a test may break.
pub fn copy(from: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // The heads beside a package are no part of it.
        if entry.path().is_file() {
            std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
        }
    }
    dir
}

/// Changes a JSON file of a package.
pub fn edit(dir: &Path, file: &str, change: impl FnOnce(&mut serde_json::Value)) {
    let file = dir.join(file);
    let text = std::fs::read_to_string(&file).unwrap();
    let mut json = serde_json::from_str(&text).unwrap();
    change(&mut json);
    std::fs::write(file, json.to_string()).unwrap();
}

/// Why the package in `dir` is not opened, with all causes.
pub fn refusal(dir: &Path) -> String {
    match Package::open(dir) {
        Ok(_) => panic!("{} was opened", dir.display()),
        Err(error) => in_full(&error),
    }
}

pub fn assert_names(refusal: &str, wanted: &[&str]) {
    for part in wanted {
        assert!(refusal.contains(part), "expected {part:?} in {refusal:?}");
    }
}

/// Token ids spread over the vocabulary, by a fixed rule.
pub fn tokens(package: &Package, count: usize, salt: u64) -> Vec<u32> {
    let vocabulary = package.text().vocabulary() as u64;
    (0..count as u64)
        .map(|i| (((i + 1 + salt * 1009).wrapping_mul(2_654_435_761) >> 7) % vocabulary) as u32)
        .collect()
}

pub fn never() -> CancelToken {
    CancelToken::new()
}

pub fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|x| x.to_bits()).collect()
}

pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(x, y)| (x - y).abs())
        .fold(0.0, f32::max)
}

pub fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (i, &x) in logits.iter().enumerate() {
        if x > logits[best] {
            best = i;
        }
    }
    best as u32
}

/// Counts panics of other people's code that the library catches: each is one that validation let through. One test at a
/// time counts.
pub struct CaughtPanics {
    before: usize,
    _alone: std::sync::MutexGuard<'static, ()>,
}

static CAUGHT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

pub fn caught_panics() -> CaughtPanics {
    static HOOK: std::sync::Once = std::sync::Once::new();
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    HOOK.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if curt::package::panic_is_caught() {
                CAUGHT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                eprintln!("caught: {panic}");
            } else {
                others(panic);
            }
        }));
    });
    let alone = ALONE.lock().unwrap_or_else(|failed| failed.into_inner());
    CaughtPanics {
        before: CAUGHT.load(std::sync::atomic::Ordering::Relaxed),
        _alone: alone,
    }
}

impl CaughtPanics {
    /// Panics caught since.
    pub fn since(&self) -> usize {
        CAUGHT.load(std::sync::atomic::Ordering::Relaxed) - self.before
    }
}

/// An error and its causes, in one line.
pub fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(|error| error.to_string())
        .collect::<Vec<_>>()
        .join(": ")
}
