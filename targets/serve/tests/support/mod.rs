//! A server under test, and clients of it over real connections.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use curt::session::LibraryOptions;
use curt::{CancelToken, Engine, EngineOptions};
use curt_serve::{ServeOptions, Server};
use serde_json::{Value, json};

/// Longest that anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub fn package(name: &str) -> PathBuf {
    checkout().join("models/packages").join(name)
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

/// An engine on the shipped package `name`; nothing, noted as skipped, where ONNX Runtime is not here. One thread: tests
/// run beside each other.
pub fn engine(name: &str, test: &str) -> Option<Engine> {
    if let Err(error) = curt::session::load_library(&LibraryOptions::default()) {
        skip(test, &error.to_string());
        return None;
    }
    let options = EngineOptions {
        threads: Some(1),
        ..EngineOptions::default()
    };
    Some(Engine::open(package(name), &options).unwrap())
}

/// Options of a server on a free port.
pub fn options() -> ServeOptions {
    ServeOptions {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..ServeOptions::loopback()
    }
}

/// A server that answers until it is dropped.
pub struct Running {
    pub address: SocketAddr,
    end: CancelToken,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub fn new(engine: Engine, options: &ServeOptions) -> Self {
        let server = Server::open(engine, options).unwrap();
        let address = server.address();
        let end = CancelToken::new();
        let token = end.clone();
        let thread = std::thread::spawn(move || server.run(&token).unwrap());
        Self {
            address,
            end,
            thread: Some(thread),
        }
    }

    /// A server on the shipped package `name`.
    pub fn of(name: &str, test: &str) -> Option<Self> {
        Some(Self::new(engine(name, test)?, &options()))
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn get(&self, path: &str) -> Reply {
        exchange(
            self.address,
            &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n"),
            b"",
        )
    }

    /// Asks for an answer.
    pub fn ask(&self, body: &Value) -> Reply {
        self.post(&body.to_string(), "")
    }

    /// Posts `body` for an answer, with more header lines.
    pub fn post(&self, body: &str, headers: &str) -> Reply {
        exchange(self.address, &head(headers), body.as_bytes())
    }

    /// The answer to `body`, which there has to be.
    pub fn answer(&self, body: &Value) -> Value {
        let reply = self.ask(body);
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()
    }

    /// One of the server's metrics.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").body;
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Waits until `metric` is `wanted`.
    pub fn wait_for(&self, metric: &str, wanted: f64) {
        let clock = std::time::Instant::now();
        while self.metric(metric) != wanted {
            assert!(
                clock.elapsed() < PATIENCE,
                "{metric} is {}",
                self.metric(metric)
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok());
        }
    }
}

/// What a server sent back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (this, value) = line.split_once(':')?;
            this.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The events of a stream.
    pub fn events(&self) -> Vec<Value> {
        let lines = self
            .body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        let mut lines: Vec<&str> = lines.collect();
        assert_eq!(lines.pop(), Some("[DONE]"), "{}", self.body);
        lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// The head of a question's request, without its length.
pub fn head(headers: &str) -> String {
    let host = if headers.contains("Host:") {
        ""
    } else {
        "Host: localhost\r\n"
    };
    let kind = if headers.contains("Content-Type:") {
        ""
    } else {
        "Content-Type: application/json\r\n"
    };
    format!("POST /v1/chat/completions HTTP/1.1\r\n{host}{kind}{headers}")
}

/// Sends a request and reads until the server closes.
pub fn exchange(address: SocketAddr, head: &str, body: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses a body need not read it.
    let _ = stream.write_all(body);
    read(stream)
}

/// What comes on `stream` until it is closed.
pub fn read(mut stream: TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    // A refused body that was not read resets the connection after the response.
    while let Ok(n @ 1..) = stream.read(&mut piece) {
        bytes.extend_from_slice(&piece[..n]);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    Reply {
        status: status.unwrap_or(0),
        head: head.into(),
        body: if chunked {
            unchunked(body)
        } else {
            body.into()
        },
    }
}

fn unchunked(mut rest: &str) -> String {
    let mut text = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        if size == 0 || size > after.len() {
            break;
        }
        text.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    text
}

/// The picture of the vision package as a `data:` URI.
pub fn picture(file: &Path) -> String {
    let bytes = std::fs::read(file).unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("data:image/jpeg;base64,{text}")
}

pub fn sample() -> String {
    picture(&package("vqa").join("sample.jpg"))
}

/// A message about a picture.
pub fn about(url: &str, question: &str) -> Value {
    json!([{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": question},
    ]}])
}

/// `value` with the fields of `more`.
pub fn with(mut value: Value, more: Value) -> Value {
    for (field, more) in more.as_object().unwrap() {
        value[field] = more.clone();
    }
    value
}

/// The reasoner's own question.
pub const MACHINE: &str = "A machine turns 6 into 81 and 5 into 72. It is fed 1, 4, 7, 12, 2, 3, 11, 8, 9. What comes out?";

/// It, as a request.
pub fn machine(more: Value) -> Value {
    with(
        json!({"messages": [{"role": "user", "content": MACHINE}], "seed": 0}),
        more,
    )
}
