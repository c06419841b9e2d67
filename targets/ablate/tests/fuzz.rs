//! Everything that reads bytes of others: the seeds of `fuzz/`, and what is almost a seed, with bytes flipped, cut, doubled and
//! replaced. What comes of it is a value or an error, soon; never a panic. The same inputs every time.

#[path = "../../../fuzz/src/lib.rs"]
mod readers;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use readers::{READERS, Reader};

/// Changed inputs of each reader.
const CHANGED: usize = 150;
/// No input of a few kilobytes takes longer, on any machine that runs this.
const LONGEST: Duration = Duration::from_secs(20);
/// The seeds are small, so that a fuzzer gets through them and a clone does not notice them.
const SEED_BYTES: u64 = 300 << 10;

fn seeds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds")
}

/// What a folder holds, in order.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    entries
}

/// A stream of numbers that is the same every time (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 1).unwrap_or(0) % bound.max(1)
    }
}

/// `seed` with a few changes.
fn changed(seed: &[u8], random: &mut Random) -> Vec<u8> {
    const PIECES: [&[u8]; 16] = [
        b"-1",
        b"0",
        b"99999999999999999999",
        b"1e999",
        b"null",
        b"[[[[[[[[",
        b"{",
        b"\"",
        b"\\",
        b"\xff\xfe",
        b"\0",
        b"{{ x }}",
        b"{% for a in b %}",
        b"\xe2\x88\x92",
        b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
        b"\xff\xff\xff\xff",
    ];
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len());
        let order = random.below(9);
        let length = random.below(1 << order).min(bytes.len() - at);
        match random.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 => drop(bytes.drain(at..at + length)),
            2 => {
                let twice = bytes[at..at + length].to_vec();
                bytes.splice(at..at, twice);
            }
            3 => bytes.truncate(at),
            4 => {
                let piece = PIECES[random.below(PIECES.len())];
                bytes.splice(at..at + length.min(piece.len()), piece.iter().copied());
            }
            _ => {
                let from = random.below(bytes.len());
                let part = bytes[from..(from + length).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

/// Gives the reader `bytes`, and says whether it accepts them.
fn fed(name: &str, make: fn() -> Reader, input: &str, bytes: &[u8]) -> bool {
    let clock = Instant::now();
    let outcome = catch_unwind(|| readers::feed(make, bytes));
    let took = clock.elapsed();
    outcome.ok().filter(|_| took < LONGEST).unwrap_or_else(|| {
        let kept = std::env::temp_dir().join(format!("curt-fuzz-{name}-{}", std::process::id()));
        let _ = fs::write(&kept, bytes);
        panic!(
            "{name}: {input}, kept in {}, panicked or took {took:?}",
            kept.display()
        );
    })
}

/// Gives a reader its seeds and many changed ones.
fn replay(name: &str) {
    let (_, make) = READERS
        .into_iter()
        .find(|(known, _)| *known == name)
        .unwrap();
    let seeds: Vec<(String, Vec<u8>)> = entries(&seeds().join(name))
        .iter()
        .map(|file| (file.display().to_string(), fs::read(file).unwrap()))
        .collect();
    let mut accepted = 0;
    for (file, seed) in &seeds {
        accepted += usize::from(fed(name, make, file, seed));
    }
    assert!(
        accepted > 0,
        "{name}: none of its seeds gets past the reader"
    );
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for number in 0..CHANGED {
        let (file, seed) = &seeds[number % seeds.len()];
        let input = format!("number {number}, of {file}");
        fed(name, make, &input, &changed(seed, &mut random));
    }
}

macro_rules! replayed {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_reader_is_replayed_has_a_target_and_small_seeds() {
            let names = [$(stringify!($name)),*];
            assert_eq!(READERS.map(|(name, _)| name), names);
            let mut sorted = names.map(String::from);
            sorted.sort();
            let stems = |dir: PathBuf| -> Vec<String> {
                let stem = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_string();
                entries(&dir).iter().map(stem).collect()
            };
            assert_eq!(stems(seeds()), sorted);
            assert_eq!(stems(seeds().join("../fuzz_targets")), sorted);
            let files = names.iter().flat_map(|name| entries(&seeds().join(name)));
            let bytes: u64 = files.map(|file| file.metadata().unwrap().len()).sum();
            assert!(bytes <= SEED_BYTES, "{bytes} bytes of seeds");
        }
    };
}

replayed! {
    graph config tokenizer tokenizer_config template head prompt workload_manifest workload_line workload_table answer
    response formats calibration image record_line server_answer
}
