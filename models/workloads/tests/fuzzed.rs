//! Everything that reads bytes of others, given what is almost right: the shipped files with bytes flipped, cut, doubled and
//! replaced. What comes of it is a value or an error, soon; never a panic.
//!
//! The same inputs every time. `CURT_FUZZ_SECONDS` goes on with others for so long, for each reader.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use curt::head::HeadFile;
use curt::{AnswerKind, AnswerReader, Message, Package, PromptFile, Role};
use curt_workload::{Part, Workload};

/// Inputs of each reader, where nothing else is asked for.
const INPUTS: usize = 150;
/// No input of a few kilobytes takes longer, on any machine that runs this.
const LONGEST: Duration = Duration::from_secs(20);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
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

/// Gives `read` the seed itself and many changed ones.
fn fuzz(reader: &str, seed: &[u8], mut read: impl FnMut(&[u8])) {
    let seconds = std::env::var("CURT_FUZZ_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok());
    let more = seconds.map(Duration::from_secs);
    let begun = Instant::now();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut input = seed.to_vec();
    for number in 0.. {
        if number >= INPUTS && more.is_none_or(|more| begun.elapsed() > more) {
            break;
        }
        let clock = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| read(&input)));
        if outcome.is_err() || clock.elapsed() > LONGEST {
            let kept = std::env::temp_dir().join(format!("curt-fuzz-{reader}-{number}"));
            let _ = fs::write(&kept, &input);
            panic!(
                "{reader}: input {number}, kept in {}: panicked {}, took {:?}",
                kept.display(),
                outcome.is_err(),
                clock.elapsed()
            );
        }
        input = changed(seed, &mut random);
    }
}

/// Fuzzes one file of a package, the others being what they are.
fn fuzz_package(file: &str) {
    let from = repository().join("models/recipes/reference/packages/tiny-llama-fp32");
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    let seed = fs::read(from.join(file)).unwrap();
    fuzz(file, &seed, |bytes| {
        fs::write(dir.path().join(file), bytes).unwrap();
        let Ok(package) = Package::open(dir.path()) else {
            return;
        };
        let _ = package.fingerprint();
        let _ = package.report();
        if let Ok(text) = package.render(&[Message::new(Role::User, "a b é")]) {
            let _ = package.text().encode(&text);
        }
        let _ = package.text().decode(&[1, 2, 3, 250]);
    });
}

#[test]
fn graphs() {
    fuzz_package("model.onnx");
}

#[test]
fn configs() {
    fuzz_package("genai_config.json");
}

#[test]
fn tokenizers() {
    fuzz_package("tokenizer.json");
}

#[test]
fn templates() {
    fuzz_package("tokenizer_config.json");
}

#[test]
fn heads() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("h.safetensors");
    let seed =
        fs::read(repository().join("models/packages/reasoner/heads/kv.safetensors")).unwrap();
    fuzz("head", &seed, |bytes| {
        fs::write(&file, bytes).unwrap();
        let _ = HeadFile::read(&file);
    });
}

#[test]
fn prompts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.toml");
    let seed = fs::read(repository().join("models/packages/reasoner/prompt.toml")).unwrap();
    fuzz("prompt", &seed, |bytes| {
        fs::write(&file, bytes).unwrap();
        let Ok(prompt) = PromptFile::read(&file) else {
            return;
        };
        if let Some(pattern) = prompt.answer_pattern
            && let Ok(reader) = AnswerReader::new(&pattern, prompt.answer_kind)
        {
            let _ = reader.read("Answer: 36, 63, 90");
        }
    });
}

#[test]
fn workloads() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = "name = \"t\"\nscorer = { kind = \"numeric\", tolerance = 0.5 }\n[prompt]\nanswer_pattern = '(?i)answer is:?|#### (\\S+)'\n";
    let lines = concat!(
        r#"{"id": "a", "group": "g", "question": "1 + 1?", "answer": [2, "2.0", 2e0]}"#,
        "\n",
        r#"{"id": "b", "question": "?", "choices": ["O", "A", "é"], "answer": "A", "scorer": "choice"}"#,
        "\n",
        r#"{"id": "c", "question": "?", "answer": "1/2", "scorer": {"kind": "exact", "ignore_case": true}}"#,
        "\n"
    );
    let table = "id,question,answer,choices\na,\"1, 2?\",2,1 | 2\nb,?,é,\n";
    fs::write(dir.path().join("p.toml"), "answer_pattern = '(.+)'\n").unwrap();
    let open = |path: &Path, prompt: Option<&Path>| {
        if let Ok(workload) = Workload::open(path, prompt) {
            for item in workload.part(Part::HeldOut) {
                let _ = workload.grade(item, Some("B. two"), "#### 1/2");
            }
        }
    };
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    write("workload.toml", manifest.as_bytes());
    fuzz("lines", lines.as_bytes(), |bytes| {
        write("held_out.jsonl", bytes);
        open(dir.path(), None);
    });
    write("held_out.jsonl", lines.as_bytes());
    fuzz("manifest", manifest.as_bytes(), |bytes| {
        write("workload.toml", bytes);
        open(dir.path(), None);
    });
    fuzz("table", table.as_bytes(), |bytes| {
        write("w.csv", bytes);
        open(&dir.path().join("w.csv"), Some(&dir.path().join("p.toml")));
    });
}

#[test]
fn answers() {
    let choices = ["O", "A", "two", "1,000", "é"].map(String::from).to_vec();
    let kinds = [
        AnswerKind::Text,
        AnswerKind::IgnoreCase,
        AnswerKind::Number,
        AnswerKind::Letter,
        AnswerKind::Choice(choices),
    ];
    let patterns = [
        r"(?i)answer(?: is|:)+|####",
        r"is:?\s*(-?\$?[\d,]*\.?\d+)",
        r"(\d+)",
        r"\boxed{}",
        r"is (.*)",
    ];
    let readers: Vec<AnswerReader> = patterns
        .iter()
        .flat_map(|pattern| {
            kinds
                .iter()
                .map(|kind| AnswerReader::new(pattern, Some(kind.clone())).unwrap())
        })
        .collect();
    let seed = r"So 3 + 15 = 18. The answer is **$-1,234.50**, or \(\frac{1}{2}\), 1 234 × 10^{-3}, ½ é B. two #### \boxed{1{,}000}.";
    fuzz("answer", seed.as_bytes(), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        for reader in &readers {
            if let Some(found) = reader.read(&text) {
                assert_eq!(reader.kind().canonical(found.text()), found.canonical());
            }
        }
    });
}
