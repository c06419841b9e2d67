//! An engine that breaks, and what is said of options: from Rust.

use std::panic::{AssertUnwindSafe, catch_unwind};

use curt_ffi::{AskSettings, Asked, CurtStatus, EngineSettings, Level, Resident};

use crate::header::folder;
use crate::support::{checkout, library_or_skip};

#[test]
fn a_broken_engine_says_so_and_can_be_closed() {
    if !library_or_skip("a_broken_engine_says_so_and_can_be_closed") {
        return;
    }
    let dir = checkout().join("models/packages/reasoner");
    let options = EngineSettings::default().options().unwrap();
    let resident = Resident::open(dir, options).unwrap();
    let asked = Asked::text("What comes out?");
    let ask = |breaks: bool| {
        let options = AskSettings {
            max_tokens: Some(4),
            ..AskSettings::default()
        };
        resident.ask(&asked, options.options().unwrap(), &mut |_| {
            assert!(!breaks, "a fault in the middle of a question");
            true
        })
    };
    ask(false).unwrap();
    let broken = catch_unwind(AssertUnwindSafe(|| ask(true)));
    assert!(broken.is_err());
    for _ in 0..2 {
        let failure = ask(false).unwrap_err().failure;
        assert_eq!(failure.status, CurtStatus::Panic);
        assert!(failure.remedy.contains("close"), "{}", failure.remedy);
    }
    assert_eq!(
        resident.trim(Level::Rows).unwrap_err().status,
        CurtStatus::Panic
    );
    assert_eq!(resident.background().unwrap_err().status, CurtStatus::Panic);
    resident.close();
    assert_eq!(ask(false).unwrap_err().failure.status, CurtStatus::Handle);
}

/// The fields that settings have, from the words with which an unknown one is refused.
fn fields<T: for<'a> serde::Deserialize<'a> + std::fmt::Debug>() -> Vec<String> {
    let error = serde_json::from_str::<T>("{\"\": 0}")
        .unwrap_err()
        .to_string();
    let (_, known) = error.split_once("expected one of ").unwrap();
    let known = known.split("` at line").next().unwrap();
    let names = known
        .split('`')
        .filter(|name| !name.contains(',') && !name.is_empty());
    names.map(str::to_owned).collect()
}

#[test]
fn the_readme_lists_every_option() {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let ask = fields::<AskSettings>();
    let engine = fields::<EngineSettings>();
    assert!(ask.len() >= 30 && engine.len() >= 8, "{ask:?} {engine:?}");
    for field in ask.iter().chain(&engine) {
        assert!(
            readme.contains(&format!("`{field}`")),
            "README.md does not list `{field}`"
        );
    }
}
