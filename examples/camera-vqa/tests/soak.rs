//! Eight clients that ask on and on, among others that vanish, dawdle and talk nonsense.
//!
//! `CURT_SOAK_SECONDS` says for how long; at its end stands what a record has.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::json;

use crate::example::{Example, PATIENCE, video};

const CLIENTS: usize = 8;
/// Where nobody says for how long.
const SECONDS: u64 = 10;
/// Bytes by which memory may differ between the run's first quarter and its end: what an allocator keeps back.
const SLACK_BYTES: f64 = (12 << 20) as f64;

fn percentile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

#[test]
fn soak() {
    let Some(example) = Example::start("soak") else {
        return;
    };
    let seconds = std::env::var("CURT_SOAK_SECONDS").ok();
    let seconds = seconds.map_or(SECONDS, |text| text.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    let sheets = video();
    let asked: Vec<(&Vec<u8>, &str)> = sheets
        .iter()
        .flat_map(|sheet| sheet.frames.iter().zip(sheet.asked.iter().cycle()))
        .map(|(frame, asked)| (frame, asked.question.as_str()))
        .collect();
    let times = Mutex::new(Vec::new());
    let memory = Mutex::new(Vec::new());
    let disturbed = Mutex::new(0);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (example, asked, times) = (&example, &asked, &times);
            scope.spawn(move || {
                for (frame, question) in asked.iter().cycle().skip(client * 27) {
                    if Instant::now() >= end {
                        return;
                    }
                    let clock = Instant::now();
                    let (status, answer) = example.ask(frame, question, json!({}));
                    assert_eq!(status, 200, "{answer}");
                    times
                        .lock()
                        .unwrap()
                        .push(clock.elapsed().as_secs_f64() * 1e3);
                }
            });
        }
        scope.spawn(|| disturb(&example, asked[0].0, end, &disturbed));
        scope.spawn(|| {
            while Instant::now() < end {
                std::thread::sleep(Duration::from_millis(200));
                let bytes = example.metric("process_resident_memory_bytes");
                memory.lock().unwrap().push(bytes);
            }
        });
    });
    let mut times = times.into_inner().unwrap();
    times.sort_by(f64::total_cmp);
    let memory = memory.into_inner().unwrap();
    let most = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
    let (early, late) = memory.split_at(memory.len() / 4);
    let (early, late) = (most(early), late.last().copied().unwrap());
    eprintln!(
        "{seconds} s, {CLIENTS} clients, {} answers ({:.1}/s), {} disturbances: p50 {:.0} ms, p95 {:.0} ms, most {:.0} ms; \
         resident {:.1} MiB in the first quarter at most, {:.1} MiB at the end",
        times.len(),
        times.len() as f64 / seconds as f64,
        disturbed.into_inner().unwrap(),
        percentile(&times, 0.5),
        percentile(&times, 0.95),
        percentile(&times, 1.0),
        early / f64::from(1 << 20),
        late / f64::from(1 << 20),
    );
    assert!(late <= early + SLACK_BYTES, "{early} bytes grew to {late}");
    // Every question has a status, and nothing is left of those who went away.
    let clock = Instant::now();
    while example.metric("curt_connections") > 1.0 || example.metric("curt_queue_length") > 0.0 {
        assert!(clock.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(example.metric("curt_broken_streams_total"), 0.0);
}

/// Clients that one does not wish for.
fn disturb(example: &Example, frame: &[u8], end: Instant, count: &Mutex<usize>) {
    let picture = base64::engine::general_purpose::STANDARD.encode(frame);
    let content = json!([
        {"type": "image_url", "image_url": {"url": format!("data:image/jpeg;base64,{picture}")}},
        {"type": "text", "text": "What is the sum of all digits?"},
    ]);
    let own = json!({"format": "full", "paths": 8});
    let body = json!({"messages": [{"role": "user", "content": content}], "stream": true, "temperature": 0.8, "curt": own}).to_string();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let mut slow = Vec::new();
    while Instant::now() < end {
        let connect = || TcpStream::connect(("127.0.0.1", example.port)).unwrap();
        // One that vanishes while it is answered, one before it is.
        for begun in [true, false] {
            let mut stream = connect();
            let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(request.as_bytes()).unwrap();
            if begun {
                let _ = stream.read(&mut [0; 16]);
            }
        }
        // One that talks nonsense.
        let mut stream = connect();
        let _ = stream.write_all(b"\x16\x03\x01 nonsense\r\n\r\n");
        let _ = stream.read(&mut [0; 64]);
        let (status, _) = example.post("{\"messages\": 1}");
        assert_eq!(status, 400);
        // Some that send a letter now and then.
        if slow.len() < 16 {
            let mut stream = connect();
            let _ = stream.write_all(head.as_bytes());
            slow.push(stream);
        }
        slow.retain_mut(|stream| stream.write_all(b"X").is_ok());
        *count.lock().unwrap() += 4;
        std::thread::sleep(Duration::from_millis(100));
    }
}
