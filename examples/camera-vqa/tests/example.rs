//! The example itself, running, and the video that its recipe rendered.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

/// Longest that anything may take here, on a machine that has much else to do.
pub const PATIENCE: Duration = Duration::from_secs(180);

pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Notes that `test` did not run: on standard error, and in the list that `cargo xtask test` prints at its end.
pub fn skip(test: &str, why: &str) {
    eprintln!("skipped: {test}: {why}");
    if let Some(log) = std::env::var_os("CURT_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(log)
            .unwrap();
        writeln!(log, "{test}\t{why}").unwrap();
    }
}

/// The example, until it is dropped.
pub struct Example {
    child: Child,
    pub port: u16,
}

impl Example {
    /// Nothing, noted as skipped, where ONNX Runtime is not here.
    pub fn start(test: &str) -> Option<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_camera-vqa"))
            .args(["--address", "127.0.0.1:0", "--threads", "1"])
            .current_dir(checkout())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        while lines.read_line(&mut said).unwrap() > 0 {
            if let Some((_, port)) = said.split_once("open http://localhost:") {
                let port = port.trim_end().trim_end_matches('/').parse().unwrap();
                // What it says later must not fill the pipe.
                std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
                return Some(Self { child, port });
            }
        }
        child.wait().unwrap();
        assert!(said.contains("no usable ONNX Runtime library"), "{said}");
        skip(test, said.trim());
        None
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    pub fn get(&self, path: &str) -> String {
        let mut response = agent().get(self.url(path)).call().unwrap();
        response.body_mut().read_to_string().unwrap()
    }

    /// The sum of a metric over its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics");
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// Status and body of a question about `picture`, a JPEG file's bytes.
    pub fn ask(&self, picture: &[u8], question: &str, own: Value) -> (u16, Value) {
        let picture = base64::engine::general_purpose::STANDARD.encode(picture);
        let content = json!([
            {"type": "image_url", "image_url": {"url": format!("data:image/jpeg;base64,{picture}")}},
            {"type": "text", "text": question},
        ]);
        let body =
            json!({"messages": [{"role": "user", "content": content}], "curt": own, "seed": 0});
        self.post(&body.to_string())
    }

    pub fn post(&self, body: &str) -> (u16, Value) {
        let request = agent()
            .post(self.url("/v1/chat/completions"))
            .header("Content-Type", "application/json");
        let mut response = request.send(body).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        (response.status().as_u16(), value)
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE));
    config.build().into()
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A sheet of the video: its frames, each a JPEG file, and what is asked about it.
pub struct Filmed {
    pub frames: Vec<Vec<u8>>,
    pub asked: Vec<Asked>,
}

/// A question about a sheet.
pub struct Asked {
    pub question: String,
    pub answer: String,
    pub kind: String,
}

/// The sheets of the video, in order.
pub fn video() -> Vec<Filmed> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/video");
    let bytes = std::fs::read(dir.join("sheets.mjpeg")).unwrap();
    let table: Value =
        serde_json::from_slice(&std::fs::read(dir.join("sheets.json")).unwrap()).unwrap();
    // Within a JPEG file's data, 0xff is never followed by the mark of an end.
    let mut frames = Vec::new();
    let mut begin = 0;
    for end in 2..=bytes.len() {
        if bytes[end - 2..end] == [0xff, 0xd9] {
            frames.push(bytes[begin..end].to_vec());
            begin = end;
        }
    }
    let each = table["frames_of_a_sheet"].as_u64().unwrap() as usize;
    let sheets = table["sheets"].as_array().unwrap();
    assert_eq!(frames.len(), sheets.len() * each);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let asked = |question: &Value| Asked {
        question: text(&question["question"]),
        answer: text(&question["answer"]),
        kind: text(&question["kind"]),
    };
    sheets
        .iter()
        .zip(frames.chunks(each))
        .map(|(sheet, frames)| Filmed {
            frames: frames.to_vec(),
            asked: sheet.as_array().unwrap().iter().map(asked).collect(),
        })
        .collect()
}
