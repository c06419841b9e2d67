//! Whether records are of one run.

use serde_json::Value;

use super::Run;

/// What runs have written down since 2026-11-27, all at once.
const LATER: [&str; 2] = ["onnxruntime", "max_kv_bytes"];

/// Says so where one of two runs is of a version that did not write down all that is compared.
pub(crate) fn not_compared(was: &Run, is: &Run) -> Option<String> {
    (was.onnxruntime.is_none() || is.onnxruntime.is_none()).then(|| {
        "records of an earlier version of curt do not say their ONNX Runtime and --max-kv-bytes: these were not compared"
            .into()
    })
}

/// Options that differ between two runs, one line each.
pub(crate) fn differences(was_run: &Run, is_run: &Run) -> Vec<String> {
    let as_map = |run: &Run| match serde_json::to_value(run) {
        Ok(Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    };
    let (was, is) = (as_map(was_run), as_map(is_run));
    let unknown = not_compared(was_run, is_run).is_some();
    let mut found = Vec::new();
    for name in was
        .keys()
        .chain(is.keys().filter(|name| !was.contains_key(*name)))
    {
        let before = was.get(name).unwrap_or(&Value::Null);
        let after = is.get(name).unwrap_or(&Value::Null);
        if before != after && !(unknown && LATER.contains(&name.as_str())) {
            differing(name, before, after, &mut found);
        }
    }
    found
}

fn differing(name: &str, was: &Value, is: &Value, found: &mut Vec<String>) {
    match (was, is) {
        (Value::Array(a), Value::Array(b)) if name == "arms" => {
            let names = |arms: &[Value]| -> Vec<String> {
                arms.iter()
                    .map(|arm| arm["name"].as_str().unwrap_or("?").to_string())
                    .collect()
            };
            let (before, after) = (names(a), names(b));
            if before == after {
                for ((a, b), arm) in a.iter().zip(b).zip(&before).filter(|((a, b), _)| a != b) {
                    found.push(format!("arm {arm}: was {a}, is {b}"));
                }
            } else {
                found.push(format!(
                    "arms: was {}, is {}",
                    before.join(","),
                    after.join(",")
                ));
            }
        }
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let (was, is) = (
                    a.get(key).unwrap_or(&Value::Null),
                    b.get(key).unwrap_or(&Value::Null),
                );
                if was != is {
                    found.push(format!("{name} {key}: was {was}, is {is}"));
                }
            }
        }
        _ => found.push(format!("{}: was {was}, is {is}", name.replace('_', " "))),
    }
}
