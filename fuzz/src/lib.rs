//! Every reader of bytes that are not trusted, as a function that takes bytes.
//!
//! cargo-fuzz looks for inputs that reach new code (`fuzz_targets/`); the tests of `curt-ablate` feed the same functions with
//! the seeds. What comes of an input is a value or an error, soon, and never a panic.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use curt::format::{Calibration, Fault, Grammar, Parser, Piece, ResponseFormat};
use curt::head::{HeadFile, StopHead};
use curt::package::{Filter, FormatsFile, ImageProcessor, Resize, Tiling, Wording};
use curt::vision::{Image, ImageLimits, decode, process};
use curt::{
    AnswerKind, AnswerReader, CancelToken, Message, Package, PromptFile, Role, SamplingDefaults,
};
use curt_ablate::record::{Run, read_records};
use curt_ablate::report::{Table, page};
use curt_ablate::run::{Asked, ServerRespondent};
use curt_ablate::summary::Summary;
use curt_workload::{Part, Scorer, Workload};
use tempfile::TempDir;

/// Reads bytes, in a folder of its own where the reader takes a file, and says whether they were accepted.
pub type Reader = Box<dyn FnMut(&[u8]) -> bool>;

/// Makes a reader with what it needs.
pub type MakeReader = fn() -> Reader;

/// Every reader, under the name of its fuzz target and of its folder of seeds.
pub const READERS: [(&str, MakeReader); 17] = [
    ("graph", graph),
    ("config", config),
    ("tokenizer", tokenizer),
    ("tokenizer_config", tokenizer_config),
    ("template", template),
    ("head", head),
    ("prompt", prompt),
    ("workload_manifest", workload_manifest),
    ("workload_line", workload_line),
    ("workload_table", workload_table),
    ("answer", answer),
    ("response", response),
    ("formats", formats),
    ("calibration", calibration),
    ("image", image),
    ("record_line", record_line),
    ("server_answer", server_answer),
];

/// Gives `bytes` to the reader that `make` makes, once for each thread: a thread feeds one reader.
pub fn feed(make: fn() -> Reader, bytes: &[u8]) -> bool {
    thread_local! {
        static READER: RefCell<Option<Reader>> = const { RefCell::new(None) };
    }
    READER.with_borrow_mut(|reader| reader.get_or_insert_with(make)(bytes))
}

/// The graph of a package.
pub fn graph() -> Reader {
    package("model.onnx")
}

/// The config of a package.
pub fn config() -> Reader {
    package("genai_config.json")
}

/// The tokenizer of a package.
pub fn tokenizer() -> Reader {
    package("tokenizer.json")
}

/// What a package says of its tokenizer and special tokens.
pub fn tokenizer_config() -> Reader {
    package("tokenizer_config.json")
}

/// The chat template of a package.
pub fn template() -> Reader {
    package("chat_template.jinja")
}

/// A file of a package whose others are what they are.
fn package(file: &'static str) -> Reader {
    macro_rules! shipped {
        ($($name:literal),*) => {
            [$(($name, include_bytes!(concat!(
                "../../models/recipes/reference/packages/tiny-qwen2-int4/", $name
            )).as_slice())),*]
        };
    }
    let dir = folder();
    for (name, bytes) in shipped![
        "model.onnx",
        "model.onnx.data",
        "genai_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja"
    ] {
        write(&dir, name, bytes);
    }
    Box::new(move |bytes| {
        write(&dir, file, bytes);
        let Ok(package) = Package::open(dir.path()) else {
            return false;
        };
        let _ = package.fingerprint();
        let _ = package.report();
        let messages = [
            Message::new(Role::System, "s"),
            Message::new(Role::User, "a b é"),
        ];
        for messages in [&messages[..], &messages[1..]] {
            if let Ok(text) = package.render(messages) {
                let _ = package.text().encode(&text);
            }
        }
        let _ = package.text().decode(&[1, 2, 3, 250]);
        true
    })
}

/// A stop head.
pub fn head() -> Reader {
    let dir = folder();
    let file = dir.path().join("h.safetensors");
    Box::new(move |bytes| {
        write(&dir, "h.safetensors", bytes);
        let Ok(head) = HeadFile::read(&file) else {
            return false;
        };
        let head = StopHead::new(head).expect("what a file may hold, a head in memory may");
        head.buffers(2).is_ok()
    })
}

/// A prompt file.
pub fn prompt() -> Reader {
    let dir = folder();
    let file = dir.path().join("p.toml");
    Box::new(move |bytes| {
        write(&dir, "p.toml", bytes);
        let Ok(prompt) = PromptFile::read(&file) else {
            return false;
        };
        if let Some(pattern) = prompt.answer_pattern
            && let Ok(reader) = AnswerReader::new(&pattern, prompt.answer_kind)
        {
            let _ = reader.read("Answer: 36, 63, 90");
        }
        true
    })
}

/// A manifest that numbers are graded by.
const MANIFEST: &str = "name = \"t\"\nscorer = { kind = \"numeric\", tolerance = 0.5 }\n[prompt]\n\
                        answer_pattern = '(?i)answer is:?|#### (\\S+)'\n";
/// A question for each kind of scorer.
const LINES: &str = r#"{"id": "a", "group": "g", "question": "1 + 1?", "answer": [2, "2.0", 2e0]}
{"id": "b", "question": "?", "choices": ["O", "A", "é"], "answer": "A", "scorer": "choice"}
{"id": "c", "question": "?", "answer": "1/2", "scorer": {"kind": "exact", "ignore_case": true}}
"#;

/// The manifest of a workload.
pub fn workload_manifest() -> Reader {
    let dir = folder();
    write(&dir, "held_out.jsonl", LINES.as_bytes());
    Box::new(move |bytes| {
        write(&dir, "workload.toml", bytes);
        grade(dir.path(), None)
    })
}

/// The questions of a workload.
pub fn workload_line() -> Reader {
    let dir = folder();
    write(&dir, "workload.toml", MANIFEST.as_bytes());
    Box::new(move |bytes| {
        write(&dir, "held_out.jsonl", bytes);
        grade(dir.path(), None)
    })
}

/// Questions as a table.
pub fn workload_table() -> Reader {
    let dir = folder();
    write(&dir, "p.toml", b"answer_pattern = '(.+)'\n");
    let (table, prompt) = (dir.path().join("w.csv"), dir.path().join("p.toml"));
    Box::new(move |bytes| {
        write(&dir, "w.csv", bytes);
        grade(&table, Some(&prompt))
    })
}

fn grade(path: &Path, prompt: Option<&Path>) -> bool {
    let Ok(workload) = Workload::open(path, prompt) else {
        return false;
    };
    // A manifest may name a program, which grading starts.
    if !matches!(workload.scorer(), Scorer::Command { .. }) {
        for item in workload.part(Part::HeldOut) {
            let _ = workload.grade(item, Some("B. two"), "#### 1/2");
        }
    }
    true
}

/// What a model says.
pub fn answer() -> Reader {
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
    let of = |pattern: &&str, kind: &AnswerKind| {
        AnswerReader::new(pattern, Some(kind.clone())).expect("a pattern")
    };
    let readers: Vec<AnswerReader> = patterns
        .iter()
        .flat_map(|pattern| kinds.iter().map(move |kind| of(pattern, kind)))
        .collect();
    Box::new(move |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let mut found_any = false;
        for reader in &readers {
            if let Some(found) = reader.read(&text) {
                assert_eq!(reader.kind().canonical(found.text()), found.canonical());
                found_any = true;
            }
        }
        found_any
    })
}

/// A response with sections, whole and in pieces.
pub fn response() -> Reader {
    let grammars = [Grammar::assumed(), Grammar::thinking()];
    Box::new(move |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let mut has_format = false;
        for grammar in &grammars {
            let whole = sections(grammar, [&*text]);
            // As many characters at once as the last said.
            let mut rest = &*text;
            let pieces = std::iter::from_fn(|| {
                let count = rest.chars().next()? as usize % 7 + 1;
                let end = rest
                    .char_indices()
                    .nth(count)
                    .map_or(rest.len(), |(at, _)| at);
                let (piece, after) = rest.split_at(end);
                rest = after;
                Some(piece)
            });
            assert_eq!(whole, sections(grammar, pieces));
            has_format |= whole.1.is_some();
        }
        has_format
    })
}

/// What is found in a text: every section, begun, said and ended; the format; the faults.
fn sections<'a>(
    grammar: &Grammar,
    pieces: impl IntoIterator<Item = &'a str>,
) -> (String, Option<ResponseFormat>, Vec<Fault>) {
    let mut told = String::new();
    let mut tell = |piece: Piece<'_>| match piece {
        Piece::Opened(kind) => told.push_str(&format!("[{kind}:")),
        Piece::Text(_, text) => told.push_str(text),
        Piece::Closed(_, by) => told.push_str(&format!("]{by:?}")),
    };
    let mut parser = Parser::new(grammar);
    for piece in pieces {
        parser.push(piece, &mut tell);
    }
    parser.finish(&mut tell);
    let (format, faults) = (parser.format(), parser.faults().to_vec());
    (told, format, faults)
}

/// The sections that a package says its model writes.
pub fn formats() -> Reader {
    Box::new(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Ok(file) = FormatsFile::parse(Path::new("formats.toml"), &text) else {
            return false;
        };
        let grammar = Grammar::of_file(&file);
        let tags = [&file.perception, &file.reasoning, &file.answer];
        let written: String = tags
            .into_iter()
            .flatten()
            .map(|tags| format!("{}x{}{}", tags.open, tags.close, file.between))
            .collect();
        let _ = sections(&grammar, [&*written, "y"]);
        true
    })
}

/// When the cascade accepts an answer.
pub fn calibration() -> Reader {
    Box::new(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Ok(calibration) = Calibration::parse(Path::new("cascade.json"), &text) else {
            return false;
        };
        for stage in &calibration.stages {
            let p = stage.confidence(stage.weights);
            assert!((0.0..=1.0).contains(&p), "{p}");
        }
        true
    })
}

/// An image, and the tensor that it becomes.
pub fn image() -> Reader {
    let processor = ImageProcessor {
        resize: Some(Resize::Longest(64)),
        filter: Filter::Lanczos,
        tiling: Tiling::Split(32),
        rescale: Some(1.0 / 255.0),
        normalize: Some([[0.5; 3]; 2]),
        wording: Wording::Tiles { tokens: 4 },
    };
    Box::new(move |bytes| {
        let image = Image::Encoded {
            name: "seed".into(),
            bytes: bytes.into(),
        };
        let limits = ImageLimits {
            max_pixels: 1 << 16,
        };
        let Ok(decoded) = decode(&image, &limits) else {
            return false;
        };
        assert_eq!(decoded.rgb.len(), decoded.width * decoded.height * 3);
        if let Ok(pixels) = process(decoded, &processor) {
            assert_eq!(pixels.values.len(), pixels.tiles * 3 * 32 * 32);
            assert!(pixels.values.iter().all(|x| (-1.0..=1.0).contains(x)));
        }
        true
    })
}

/// The records of a run, and all that is made of them.
pub fn record_line() -> Reader {
    let dir = folder();
    let file = dir.path().join("records.jsonl");
    Box::new(move |bytes| {
        write(&dir, "records.jsonl", bytes);
        let Ok(records) = read_records(&file) else {
            return false;
        };
        let summary = Summary::of(&records);
        let _ = Table::of(&summary).text();
        let _ = page(&summary, &records);
        true
    })
}

/// What a server answers, from its first line on: both to what models it has and to a question.
pub fn server_answer() -> Reader {
    let dir = folder();
    write(&dir, "workload.toml", MANIFEST.as_bytes());
    write(&dir, "held_out.jsonl", LINES.as_bytes());
    let workload = Workload::open(dir.path(), None).expect("a workload");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let run: Run = serde_json::from_value(serde_json::json!({
        "kind": "run", "version": 1, "curt": "0", "package": "p", "package_fingerprint": "f", "workload": "t",
        "workload_digest": "d", "part": "held_out", "items": 3, "repeats": 1, "seed": 0, "measure": "run",
        "heads": {}, "sampling": {}, "arms": [{"name": "server", "paths": 2, "server": {"url": format!("http://{address}/v1"), "timeout_s": 1.0}}],
        "baseline": "server", "candidate": "server", "max_accuracy_drop": 1.0, "replicates": 1,
    }))
    .expect("a run");
    let answer = Arc::new(Mutex::new(Vec::new()));
    let said = Arc::clone(&answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let said = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // A client that has seen enough hangs up.
            let _ = respond(stream, &said);
        }
    });
    Box::new(move |bytes| {
        *answer.lock().unwrap_or_else(PoisonError::into_inner) = bytes.to_vec();
        let (sampling, cancel) = (SamplingDefaults::default(), CancelToken::new());
        let mut server = ServerRespondent::new(&run, &workload, sampling, cancel, &|_| None)
            .expect("a run without keys");
        let item = &workload.part(Part::HeldOut)[0];
        let asked = Asked {
            index: 0,
            item,
            kind: workload.answer_kind(item),
        };
        let arm = &run.arms[0];
        let address = arm.server.as_ref().expect("a server");
        let given = server.answer(arm, address, &asked, 0);
        given.is_ok_and(|given| given.record.error.is_none())
    })
}

/// Reads a request whole, so that the connection is closed and not broken, and answers it.
fn respond(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    let mut request = BufReader::new(&stream);
    let (mut line, mut length) = (String::new(), 0);
    while request.read_line(&mut line)? > 2 {
        if let Some(said) = line.to_lowercase().strip_prefix("content-length:") {
            length = said.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    request.read_exact(&mut vec![0; length])?;
    stream.write_all(answer)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for files")
}

fn write(dir: &TempDir, name: &str, bytes: &[u8]) {
    fs::write(dir.path().join(name), bytes).expect("space for a file");
}
