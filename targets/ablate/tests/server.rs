//! Server arms against a small server on loopback: one that answers, and ones that hang, die, refuse or talk nonsense.

use crate::support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use curt::{CancelToken, SamplingDefaults};
use curt_ablate::Result;
use curt_ablate::arm::Arm;
use curt_ablate::record::{Measure, Run};
use curt_ablate::run::{Asked, Given, ServerRespondent, Unreachable};
use curt_workload::{Part, Workload};
use serde_json::{Value, json};

/// What the server does with a request whose body is given: status and body, or nothing at all.
type Answer = fn(&Value, usize) -> Option<(u16, String)>;

/// A server for as many requests as come while the test lasts. Returns its address and the bodies it was sent.
fn serve(answer: Answer) -> (String, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let (sent, received) = mpsc::channel();
    std::thread::spawn(move || {
        for (count, stream) in listener.incoming().enumerate().take(64) {
            let mut stream = stream.unwrap();
            let Some(body) = request(&stream) else {
                continue;
            };
            let _ = sent.send(body.clone());
            match answer(&body, count) {
                Some((status, text)) => {
                    let head = format!(
                        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        text.len()
                    );
                    let _ = stream.write_all((head + &text).as_bytes());
                }
                // Hangs for longer than the client waits.
                None => std::thread::sleep(Duration::from_secs(2)),
            }
        }
    });
    (url, received)
}

fn request(stream: &TcpStream) -> Option<Value> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn completion(texts: &[&str]) -> String {
    let choices: Vec<Value> = texts
        .iter()
        .map(|text| json!({"message": {"content": text}, "finish_reason": "stop"}))
        .collect();
    json!({"choices": choices, "usage": {"prompt_tokens": 20, "completion_tokens": 5 * texts.len()}}).to_string()
}

pub fn workload() -> (tempfile::TempDir, Workload) {
    let dir = tempfile::tempdir().unwrap();
    let manifest = "name = \"sums\"\nlicence = \"MIT\"\nscorer = \"exact\"\n[prompt]\nsystem = \"Add.\"\n\
                    answer_pattern = 'is (\\d+)'\n[prompt.sampling]\ntemperature = 0.7\nmax_tokens = 16\n";
    std::fs::write(dir.path().join("workload.toml"), manifest).unwrap();
    std::fs::write(
        dir.path().join("held_out.jsonl"),
        "{\"id\":\"a\",\"question\":\"3 + 4?\",\"answer\":\"7\"}\n",
    )
    .unwrap();
    let workload = Workload::open(dir.path(), None).unwrap();
    (dir, workload)
}

fn arm(url: &str, more: &str) -> Arm {
    let server = format!("server = {{ url = {url:?}, model = \"m\", timeout_s = 0.5 }}");
    toml::from_str(&format!("name = \"server\"\n{more}\n{server}")).unwrap()
}

/// Asks each of `arms` the same item in turn.
fn ask_arms(arms: &[Arm], sampling: SamplingDefaults, cancel: &CancelToken) -> Vec<Result<Given>> {
    let (_dir, workload) = workload();
    let run: Run = support::run_of(1, Measure::Run);
    let sampling = sampling.or(workload.prompt().sampling);
    let mut server =
        ServerRespondent::new(&run, &workload, sampling, cancel.clone(), &|_| None).unwrap();
    let item = &workload.part(Part::HeldOut)[0];
    let asked = Asked {
        index: 0,
        item,
        kind: workload.answer_kind(item),
    };
    arms.iter()
        .map(|arm| server.answer(arm, arm.server.as_ref().unwrap(), &asked, 0))
        .collect()
}

fn ask_times(url: &str, paths: usize, times: usize) -> Vec<Given> {
    let arms = vec![arm(url, &format!("paths = {paths}")); times];
    ask_arms(&arms, SamplingDefaults::default(), &CancelToken::new())
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

fn ask(url: &str, paths: usize) -> Given {
    ask_times(url, paths, 1).remove(0)
}

#[test]
fn several_answers_in_one_request_vote() {
    let (url, sent) = serve(|_, _| Some((200, completion(&["it is 8", "it is 7", "so it is 7"]))));
    let given = ask(&url, 3);
    assert_eq!(given.record.answer.as_deref(), Some("7"));
    assert!(given.record.correct && given.unreachable.is_none());
    assert_eq!(
        (given.record.finished, given.record.finished_correct),
        (3, 2)
    );
    assert_eq!(given.record.generated(), Some(15));
    assert!(given.record.times.unwrap().total_ms > 0.0);
    let body = sent.recv().unwrap();
    assert_eq!(
        (&body["n"], &body["model"], &body["max_tokens"]),
        (&json!(3), &json!("m"), &json!(16))
    );
    assert_eq!(
        body["messages"],
        json!([{"role": "system", "content": "Add."}, {"role": "user", "content": "3 + 4?"}])
    );
}

#[test]
fn a_server_that_ignores_or_refuses_n_is_asked_n_times() {
    let ignores: Answer = |_, _| Some((200, completion(&["it is 7"])));
    let refuses: Answer = |body, _| match body.get("n") {
        Some(_) => Some((400, "n must be 1".into())),
        None => Some((200, completion(&["it is 7"]))),
    };
    // One question more than is recorded: the first finds out what the server takes.
    for (answer, requests) in [(ignores, 3), (refuses, 4)] {
        let (url, sent) = serve(answer);
        let given = ask(&url, 3);
        assert_eq!(given.record.paths.len(), 3);
        assert_eq!(given.record.generated(), Some(15));
        let bodies: Vec<Value> = sent.try_iter().collect();
        assert_eq!(bodies.len(), requests + 3);
        let bodies = &bodies[requests..];
        assert!(bodies.iter().all(|body| body.get("n").is_none()));
        let mut seeds: Vec<String> = bodies.iter().map(|body| body["seed"].to_string()).collect();
        seeds.dedup();
        assert!(seeds.len() >= 3, "each request draws for itself: {seeds:?}");
    }
}

#[test]
fn tokens_that_are_not_reported_are_not_known() {
    let (url, _sent) = serve(|_, _| {
        Some((
            200,
            json!({"choices": [{"message": {"content": "is 7"}}]}).to_string(),
        ))
    });
    let given = ask(&url, 1);
    assert!(given.record.correct);
    assert_eq!(
        (given.record.generated(), given.record.prompt_tokens),
        (None, None)
    );
}

#[test]
fn nonsense_is_a_failed_item_with_its_words() {
    let answers: [(Answer, &str); 4] = [
        (
            |_, _| Some((200, "<html>hello</html>".into())),
            "no completion: <html>hello",
        ),
        (
            |_, _| Some((200, json!({"choices": []}).to_string())),
            "no choice",
        ),
        (
            |_, _| Some((400, "context length exceeded".into())),
            "status 400: context length exceeded",
        ),
        (|_, _| Some((200, String::new())), "no completion: nothing"),
    ];
    for (answer, said) in answers {
        let (url, _sent) = serve(answer);
        let given = ask(&url, 1);
        let error = given.record.error.unwrap();
        assert!(
            error.contains(said) && given.unreachable.is_none(),
            "{error}"
        );
        assert!(!given.record.correct && given.record.times.is_none());
    }
}

#[test]
fn a_server_that_hangs_dies_or_is_not_there_is_unreachable() {
    let (hangs, _sent) = serve(|_, _| None);
    let error = ask(&hangs, 1);
    assert_eq!(error.unreachable, Some(Unreachable::NoAnswer));
    assert!(error.record.error.unwrap().contains("within 0.5 s"));
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/v1", listener.local_addr().unwrap())
    };
    let error = ask(&closed, 1);
    assert_eq!(error.unreachable, Some(Unreachable::NotAsked));
    assert!(error.record.error.unwrap().contains("cannot be reached"));
    let (busy, _sent) = serve(|_, _| Some((503, "loading".into())));
    assert_eq!(ask(&busy, 1).unreachable, Some(Unreachable::NotAsked));
    // It answers one question, before which it was warmed up, and then no more.
    let (dies, _sent) = serve(|_, count| {
        if count < 2 {
            Some((200, completion(&["is 7"])))
        } else {
            None
        }
    });
    let given = ask_times(&dies, 1, 2);
    assert!(given[0].record.error.is_none() && given[1].unreachable.is_some());
}

#[test]
fn n_is_given_up_only_where_the_same_question_is_answered_without_it() {
    // The first question fails whichever way it is asked; every later one is answered at once.
    let (url, sent) = serve(|body, count| match (count, body.get("n")) {
        (0 | 1, _) => Some((500, "out of memory".into())),
        (_, Some(n)) => {
            let texts = vec!["it is 7"; n.as_u64().unwrap() as usize];
            Some((200, completion(&texts)))
        }
        _ => Some((200, completion(&["it is 7"]))),
    });
    let given = ask_times(&url, 3, 2);
    assert!(given.iter().all(|given| given.record.paths.len() == 3));
    let asked: Vec<Value> = sent.try_iter().map(|body| body["n"].clone()).collect();
    assert_eq!(asked, [json!(3), Value::Null, json!(3), json!(3)]);
}

#[test]
fn arms_on_one_server_keep_their_model_and_their_patience() {
    let (url, sent) = serve(|body, _| {
        if body["model"] == "slow" {
            std::thread::sleep(Duration::from_millis(700));
        }
        Some((200, completion(&["it is 7"])))
    });
    let mut slow = arm(&url, "");
    slow.name = "slow".into();
    let server = slow.server.as_mut().unwrap();
    (server.model, server.timeout_s) = (Some("slow".into()), 5.0);
    let none = SamplingDefaults::default();
    let given = ask_arms(&[arm(&url, ""), slow], none, &CancelToken::new());
    for given in given {
        let record = given.unwrap().record;
        assert!(record.correct, "{:?}", record.error);
    }
    let models: Vec<Value> = sent.try_iter().map(|body| body["model"].clone()).collect();
    assert_eq!(models, ["m", "m", "slow", "slow"]);
}

#[test]
fn what_an_arm_is_sampled_with_is_what_the_server_is_asked_for() {
    let (url, sent) = serve(|_, _| Some((200, completion(&["it is 7"]))));
    let said = SamplingDefaults {
        top_k: Some(0),
        min_p: Some(0.0),
        repetition_penalty: Some(1.0),
        ..SamplingDefaults::default()
    };
    let penalised = SamplingDefaults {
        repetition_penalty: Some(1.5),
        ..SamplingDefaults::default()
    };
    let cancel = CancelToken::new();
    for (more, sampling) in [("", said), ("greedy = true", penalised)] {
        ask_arms(&[arm(&url, more)], sampling, &cancel)
            .remove(0)
            .unwrap();
    }
    let bodies: Vec<Value> = sent.try_iter().collect();
    let (drawn, greedy) = (&bodies[1], &bodies[3]);
    assert!((drawn["temperature"].as_f64().unwrap() - 0.7).abs() < 1e-6);
    // llama-cpp-python's own are 40 and 0.05.
    assert_eq!(
        (&drawn["top_k"], drawn["min_p"].as_f64()),
        (&json!(0), Some(0.0))
    );
    assert!(drawn.get("repeat_penalty").is_none() && drawn.get("repetition_penalty").is_none());
    assert_eq!(greedy["temperature"].as_f64(), Some(0.0));
    assert_eq!(
        (&greedy["repeat_penalty"], &greedy["repetition_penalty"]),
        (&json!(1.5), &json!(1.5))
    );
    assert!(greedy.get("top_k").is_none());
}

#[test]
fn the_first_question_is_not_charged_for_what_the_server_loads() {
    let (url, _sent) = serve(|_, count| {
        if count == 0 {
            std::thread::sleep(Duration::from_millis(300));
        }
        Some((200, completion(&["it is 7"])))
    });
    let total_ms = ask(&url, 1).record.times.unwrap().total_ms;
    assert!(total_ms < 250.0, "{total_ms} ms");
}

#[test]
fn who_cancels_is_not_made_to_wait_for_the_rest() {
    let (url, sent) = serve(|_, _| Some((200, completion(&["it is 7"]))));
    let cancel = CancelToken::new();
    cancel.cancel();
    let arms = vec![arm(&url, "paths = 4"); 3];
    let given = ask_arms(&arms, SamplingDefaults::default(), &cancel);
    for given in given {
        let error = given.unwrap_err();
        assert!(error.to_string().contains("cancelled"), "{error}");
    }
    assert_eq!(sent.try_iter().count(), 0);
}
