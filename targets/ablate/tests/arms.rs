//! Arms are data: the built-in ones expand, a user's are held to the same rules.

use crate::support;

use std::collections::BTreeMap;

use curt::paths::Keep;
use curt_ablate::arm::{Arm, ArmFile, validate_arms};
use toml::Value;

fn read(text: &str) -> curt_ablate::Result<Vec<Arm>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let options = BTreeMap::from([("paths".to_string(), Value::Integer(8))]);
    let (arms, skipped) = ArmFile::read(file.path())?.expand(&options)?;
    assert!(skipped.is_empty());
    validate_arms(&arms).map(|()| arms)
}

#[test]
fn built_in_arms_are_left_out_with_the_option_that_brings_them() {
    let (arms, skipped) = ArmFile::built_in()
        .unwrap()
        .expand(&BTreeMap::new())
        .unwrap();
    assert_eq!(
        arms.iter().map(|arm| arm.name.as_str()).collect::<Vec<_>>(),
        ["greedy"]
    );
    assert!(
        skipped
            .iter()
            .any(|s| s.arm == "full" && s.remedy() == "--paths"),
        "{skipped:?}"
    );
    let arms = support::arms();
    validate_arms(&arms).unwrap();
    let stop = arms.iter().find(|arm| arm.name == "stop").unwrap();
    assert_eq!(
        (stop.paths, stop.checks[0].at, stop.checks[0].keep),
        (8, 6, Keep::Top(2))
    );
    let twice = arms.iter().find(|arm| arm.name == "stop-twice").unwrap();
    assert_eq!(
        twice
            .checks
            .iter()
            .map(|check| check.keep)
            .collect::<Vec<_>>(),
        [Keep::Top(4), Keep::Top(2)]
    );
}

#[test]
fn arms_of_formats_run_and_are_left_out_without_what_they_stand_on() {
    let expand = |options: &BTreeMap<String, Value>| {
        let (arms, skipped) = ArmFile::of_formats().unwrap().expand(options).unwrap();
        validate_arms(&arms).unwrap();
        let names: Vec<String> = arms.iter().map(|arm| arm.name.clone()).collect();
        (arms, names, skipped)
    };
    let (_, names, skipped) = expand(&BTreeMap::new());
    let always = [
        "direct",
        "perception",
        "full",
        "adaptive",
        "blank-image",
        "question-only",
    ];
    assert_eq!(names, always);
    let cascade = skipped
        .iter()
        .find(|skipped| skipped.arm == "cascade")
        .unwrap();
    assert!(
        cascade.remedy().contains("curt calibrate"),
        "{}",
        cascade.remedy()
    );
    let mut options = BTreeMap::new();
    for (name, value) in [("paths", 8), ("keep", 2), ("check-at.1", 6)] {
        options.insert(name.to_string(), Value::Integer(value));
    }
    for (name, value) in [("head.stop", "head:stop"), ("calibration", "c.json")] {
        options.insert(name.to_string(), Value::String(value.into()));
    }
    let (arms, _, skipped) = expand(&options);
    assert!(skipped.is_empty() && arms.len() == 11);
    // A sample of paths says nothing of another format.
    assert!(arms.iter().all(|arm| !arm.is_sampled()));
    for (text, said) in [
        (
            "name = 'a'\nformat = 'direct'\ncalibration = 'c'",
            "format cascade",
        ),
        ("name = 'a'\nformat = 'shout'", "fields of an arm"),
        ("name = 'a'\nimage = 'upside-down'", "fields of an arm"),
        (
            "name = 'a'\nformat = 'full'\nserver = { url = 'http://h' }",
            "format",
        ),
    ] {
        let error = read(&format!("[[arm]]\n{text}\n")).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_sample_is_scored_by_every_signal_once_at_each_point_and_never_by_the_oracle() {
    let run = support::run_of(1, curt_ablate::record::Measure::Replay);
    let points = run.check_points();
    let expected = [
        (6, "confidence"),
        (6, "head:stop"),
        (6, "random"),
        (9, "head:stop"),
    ];
    assert_eq!(
        points,
        expected.map(|(at, name)| (at, name.parse().unwrap()))
    );
}

#[test]
fn a_user_writes_arms_of_his_own() {
    let arms = read(
        "[[arm]]\nname = \"mine\"\npaths = \"$paths\"\nvote = \"score_weighted\"\n\
         checks = [{ at = 4, keep = \"50%\", signal = \"confidence:3\" }, { at = 9, keep = \">=0.7\", signal = \"random\" }]\n",
    )
    .unwrap();
    assert_eq!(arms[0].paths, 8);
    assert_eq!(arms[0].checks[0].keep, Keep::Ratio(0.5));
    assert_eq!(arms[0].checks[1].keep, Keep::AtLeast(0.7));
    let again: Arm = serde_json::from_str(&serde_json::to_string(&arms[0]).unwrap()).unwrap();
    assert_eq!(again, arms[0]);
}

#[test]
fn a_greedy_arm_may_be_a_servers() {
    let arms = read(
        "[[arm]]\nname = \"theirs\"\ngreedy = true\nserver = { url = \"http://127.0.0.1:1/v1\" }\n",
    );
    let arm = &arms.unwrap()[0];
    assert!(arm.greedy && !arm.is_sampled() && arm.server.as_ref().unwrap().timeout_s > 0.0);
}

#[test]
fn what_no_arm_can_be_is_refused_by_name() {
    let arm = |rest: &str| format!("[[arm]]\nname = \"mine\"\n{rest}\n");
    let check = |rest: &str| arm(&format!("paths = 4\nchecks = [{{ {rest} }}]"));
    let server = |rest: &str, more: &str| {
        arm(&format!(
            "{rest}\nserver = {{ url = \"http://127.0.0.1:1/v1\"{more} }}"
        ))
    };
    for (text, said) in [
        (arm("pahts = 3"), "unknown field `pahts`"),
        (arm("paths = 0"), "1 to 4096, got 0"),
        (arm("paths = \"$keep\""), "--keep for its `$keep`"),
        (
            arm("greedy = true\npaths = 2"),
            "greedy paths are all the same",
        ),
        (arm("first_finished = 2"), "1 to 1"),
        (
            check("at = 3, keep = 5, signal = \"random\""),
            "1 to 4, the paths of the arm, got 5",
        ),
        (
            check("at = 3, keep = \"0%\", signal = \"random\""),
            "\"25%\"",
        ),
        (
            check("at = 0, keep = 1, signal = \"random\""),
            "at least 1 token",
        ),
        (
            check("at = 3, keep = 1, signal = \"magic\""),
            "got \"magic\"",
        ),
        (
            check(
                "at = 9, keep = 1, signal = \"random\" }, { at = 3, keep = 1, signal = \"random\"",
            ),
            "ascending order",
        ),
        (
            arm("fewer = \"of:stop\""),
            "an arm \"stop\" and one of all paths",
        ),
        (
            server("", ", timeout_s = -1.0"),
            "above 0, at most 86400, got -1",
        ),
        (
            server("", ", timeout_s = nan"),
            "above 0, at most 86400, got NaN",
        ),
        (server("", ", timeout_s = 1e300"), "above 0, at most 86400"),
        (
            server("early_vote = true", ""),
            "early_vote: expected none in a server arm",
        ),
        (
            server("paths = 2\nfirst_finished = 1", ""),
            "first_finished: expected none in",
        ),
        (
            server("fewer = \"of:full\"", ""),
            "fewer: expected none in a server arm",
        ),
        (
            server("vote = \"score_weighted\"", ""),
            "vote: expected none in a server arm",
        ),
        (
            server("checks = [{ at = 3, keep = 1, signal = \"random\" }]", ""),
            "checks: expected none in a server arm",
        ),
        (
            arm("server = { url = \"https://127.0.0.1/v1\" }"),
            "begins with http://",
        ),
        (arm("") + &arm(""), "each arm once"),
        (String::new(), "at least one arm"),
        ("arm = 3".into(), "TOML of [[arm]] tables"),
    ] {
        let error = read(&text).unwrap_err().to_string();
        assert!(error.contains(said), "expected {said:?} in {error:?}");
    }
}
