//! OpenAI's own client, unchanged.

use std::process::Command;

use crate::support::{Running, package, skip};

/// The Python that has it; `cargo xtask test` sets it.
const PYTHON: &str = "CURT_OPENAI_PYTHON";

#[test]
fn openais_own_client_is_at_home() {
    let test = "openais_own_client_is_at_home";
    let Some(python) = std::env::var_os(PYTHON) else {
        skip(
            test,
            "needs OpenAI's Python client: CURT_REQUIRE=all installs it",
        );
        return;
    };
    let Some(text) = Running::of("reasoner", test) else {
        return;
    };
    let Some(vision) = Running::of("vqa", test) else {
        return;
    };
    let output = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client/ask.py"))
        .args([text.url("/v1"), vision.url("/v1")])
        .arg(package("vqa").join("sample.jpg"))
        .env_remove("OPENAI_BASE_URL")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
