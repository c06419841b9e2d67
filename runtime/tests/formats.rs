//! Formats through the one door, on a model of random weights: it knows no format, so all that has one was steered.

use crate::support;

use std::sync::Arc;

use curt::answer::{Answer, EscalationReason};
use curt::format::{
    CalibratedPackage, Calibration, CalibrationMeasured, CalibrationWorkload, CascadeStage,
    Features, Lengths, ResponseFormat, Section, SectionEvent, SectionFinish, SectionKind,
};
use curt::paths::{FinishReason, Keep, SignalName};
use curt::{
    AskOptions, CalibrationSource, CancelToken, Engine, Error, Event, Format, PruneOptions,
    SamplingDefaults, SectionCaps, Voting,
};
use support::tiny;
use tempfile::TempDir;

const FORMATS: &str = "[perception]\nopen = '<p>'\nclose = '</p>'\n[reasoning]\nopen = '<r>'\nclose = '</r>'\n\
                       [answer]\nopen = '<a>'\nclose = '</a>'\n";

const THINKS: &str = "[reasoning]\nopen = '<r>'\nclose = '</r>'\n";

/// Keys and values of tiny f32 packages: a step of one token and one of several round otherwise.
const TOLERANCE: f64 = 1e-3;

/// A copy of a tiny package whose responses have these formats.
fn package(formats: &str) -> TempDir {
    let dir = support::copy(&tiny("tiny-llama-fp32"));
    std::fs::write(dir.path().join("formats.toml"), formats).unwrap();
    dir
}

fn options(format: Format, paths: usize) -> AskOptions {
    AskOptions {
        format,
        paths,
        section_caps: SectionCaps {
            perception: Some(9),
            reasoning: Some(12),
            answer: Some(8),
        },
        sampling: SamplingDefaults {
            temperature: Some(if paths > 1 { 1.0 } else { 0.0 }),
            max_tokens: Some(64),
            ..SamplingDefaults::default()
        },
        ..AskOptions::default()
    }
}

fn ask(engine: &mut Engine, options: &AskOptions) -> Answer {
    engine.ask(&"abc".into(), options, &mut |_| {}).unwrap()
}

fn refused(engine: &mut Engine, options: &AskOptions) -> String {
    let failed = engine.ask(&"abc".into(), options, &mut |_| {}).unwrap_err();
    Error::from(failed).to_string()
}

fn kinds(sections: &[Section]) -> Vec<SectionKind> {
    sections.iter().map(|section| section.kind).collect()
}

/// A calibration with one weight for all features, which accepts from these confidences on.
fn calibration(direct: f64, perception: f64) -> Calibration {
    let stage = |format, threshold| CascadeStage {
        format,
        weights: Features {
            margin: 0.1,
            mean_logprob: 0.1,
            min_logprob: 0.1,
        },
        offset: 0.0,
        threshold,
    };
    Calibration::new(
        CalibratedPackage {
            name: "tiny".into(),
            fingerprint: "another".into(),
        },
        CalibrationWorkload {
            name: "w".into(),
            digest: "d".into(),
            items: 1,
        },
        vec![
            stage(ResponseFormat::Direct, direct),
            stage(ResponseFormat::Perception, perception),
        ],
        Lengths {
            perception: 9,
            reasoning: 12,
            answer: 8,
        },
        CalibrationMeasured {
            target_accuracy: 0.5,
            accuracy: 0.5,
            tokens: 1.0,
            full_accuracy: 0.5,
            full_tokens: 2.0,
        },
    )
}

fn cascade(direct: f64, perception: f64, paths: usize) -> AskOptions {
    AskOptions {
        calibration: Some(CalibrationSource::Made(Arc::new(calibration(
            direct, perception,
        )))),
        ..options(Format::Cascade, paths)
    }
}

#[test]
fn a_forced_format_is_the_responses_whatever_the_model() {
    if !support::library_or_skip("a_forced_format_is_the_responses_whatever_the_model") {
        return;
    }
    let dir = package(FORMATS);
    let mut engine = support::engine(dir.path());
    for (format, expected) in [
        (Format::Direct, &[SectionKind::Answer][..]),
        (
            Format::Perception,
            &[SectionKind::Perception, SectionKind::Answer],
        ),
        (Format::Full, &SectionKind::ALL),
    ] {
        let mut told = String::new();
        let options = options(format, 1);
        let answer = engine
            .ask(&"abc".into(), &options, &mut |event| match event {
                Event::Section { path: 0, section } => match section {
                    SectionEvent::Began(kind) => told.push_str(&format!("[{kind}:")),
                    SectionEvent::Text(_, text) => told.push_str(text),
                    SectionEvent::Ended(_) => told.push(']'),
                },
                Event::Text { .. } => panic!("sections are told, and not the text"),
                _ => {}
            })
            .unwrap();
        let path = &answer.paths[0];
        let of_format = answer.format.as_ref().unwrap();
        assert_eq!(of_format.used, format.forced(), "{:?}", path.text);
        assert_eq!(kinds(&path.sections), expected);
        let tokens: usize = path.sections.iter().map(|section| section.tokens).sum();
        assert_eq!(tokens, path.tokens.len());
        assert_eq!(path.tokens.len(), path.logprobs.len());
        assert_eq!(answer.tokens.generated, tokens);
        let forced: usize = path.sections.iter().map(|s| s.forced_tokens).sum();
        assert!(answer.tokens.forced == forced && forced >= 3);
        let text: String = path
            .sections
            .iter()
            .map(|section| format!("[{}:{}]", section.kind, section.text))
            .collect();
        assert_eq!(told, text);
        for section in &path.sections {
            let cap = [9, 12, 8][section.kind as usize];
            // A section ends at its cap, its closing tag apart.
            assert!(section.tokens <= cap + 4, "{section:?}");
            assert!(
                matches!(section.finish, SectionFinish::Cap | SectionFinish::Closed),
                "{section:?}"
            );
        }
        let ended = [
            FinishReason::Answered,
            FinishReason::MaxTokens,
            FinishReason::Eos,
        ];
        assert!(ended.contains(&path.finish));
        let says = path.sections.last().unwrap().text.split_whitespace();
        let says = says.collect::<Vec<_>>().join(" ");
        assert_eq!(answer.answer.unwrap_or_default(), says);
    }
}

#[test]
fn the_read_out_is_what_the_logits_after_the_tags_beginning_say() {
    if !support::library_or_skip("the_read_out_is_what_the_logits_after_the_tags_beginning_say") {
        return;
    }
    let dir = package(FORMATS);
    let mut engine = support::engine(dir.path());
    let answer = ask(&mut engine, &options(Format::Auto, 1));
    let format = answer.format.clone().unwrap();
    assert!(format.used.is_some(), "{:?}", answer.text);
    let read = *format.read_out().unwrap();
    assert!(format.known && read.at_tokens == 1);
    // Token by token, by the decoder alone.
    let package = engine.package();
    let codec = package.text();
    let id = |text: &str| codec.encode(text).unwrap()[0];
    let mut decoder = support::decoder(package, 1, 64);
    let cancel = CancelToken::new();
    decoder.prefill(&answer.prompt, &cancel).unwrap();
    decoder.step(&[id("<")], &cancel).unwrap();
    let logits = decoder.logits(0);
    let margin = f64::from(logits[id("a") as usize]) - f64::from(logits[id("p") as usize]);
    assert!(
        (read.margin - margin).abs() < TOLERANCE,
        "{read:?} {margin}"
    );
    assert!((read.p_answer - 1.0 / (1.0 + (-margin).exp())).abs() < TOLERANCE);
    assert!(
        read.off_grammar > 0.5,
        "a model that knows no format: {read:?}"
    );
    let direct = format.used == Some(ResponseFormat::Direct);
    assert_eq!(direct, margin > 0.0, "greedy takes the likelier");
}

#[test]
fn a_cascade_accepts_or_goes_on_from_what_it_has() {
    if !support::library_or_skip("a_cascade_accepts_or_goes_on_from_what_it_has") {
        return;
    }
    let dir = package(FORMATS);
    let mut engine = support::engine(dir.path());
    let mut forced = |format| ask(&mut engine, &options(format, 1));
    let [direct, perception, full] =
        [Format::Direct, Format::Perception, Format::Full].map(&mut forced);
    let mut seen = Vec::new();
    let mut run = |options: &AskOptions| {
        seen.clear();
        let answer = engine.ask(&"abc".into(), options, &mut |event| {
            if let Event::Escalated(escalation) = event {
                seen.push(escalation.clone());
            }
        });
        let answer = answer.unwrap();
        assert_eq!(seen, answer.format.as_ref().unwrap().escalations);
        answer
    };

    let accepted = run(&cascade(0.0, 0.0, 1));
    let format = accepted.format.clone().unwrap();
    assert_eq!(format.used, Some(ResponseFormat::Direct));
    assert!(format.confidence.is_some() && format.escalations.is_empty());
    assert_eq!(accepted.paths[0].tokens, direct.paths[0].tokens);

    let second = run(&cascade(2.0, 0.0, 1));
    let format = second.format.clone().unwrap();
    assert_eq!(format.used, Some(ResponseFormat::Perception));
    assert_eq!(second.paths[0].tokens, perception.paths[0].tokens);
    let [escalation] = &format.escalations[..] else {
        panic!("{:?}", format.escalations);
    };
    assert_eq!(escalation.reason, EscalationReason::BelowThreshold);
    assert_eq!(escalation.tokens, direct.paths[0].tokens.len());
    assert_eq!(escalation.answer, direct.answer);
    assert_eq!(second.tokens.discarded, escalation.tokens);
    assert_eq!(
        second.tokens.generated,
        escalation.tokens + second.paths[0].tokens.len()
    );

    let last = run(&cascade(2.0, 2.0, 1));
    let format = last.format.clone().unwrap();
    assert_eq!(format.used, Some(ResponseFormat::Full));
    assert_eq!(format.confidence, None);
    assert_eq!(
        last.paths[0].tokens, full.paths[0].tokens,
        "from the same perception"
    );
    let seen_once = &last.paths[0].sections[0];
    assert_eq!(
        format.escalations[1].kept_tokens,
        last.tokens.generated
            - format.escalations[0].tokens
            - format.escalations[1].tokens
            - (last.paths[0].tokens.len() - format.escalations[1].kept_tokens)
    );
    assert!(format.escalations[1].kept_tokens >= seen_once.tokens);
    assert!(
        seen_once.ms > 0.0,
        "its time is that of the stage that drew it"
    );
    assert_eq!(last.format.unwrap().read_outs.len(), 2);
}

#[test]
fn several_paths_part_where_the_reasoning_begins_and_are_checked_from_there() {
    let test = "several_paths_part_where_the_reasoning_begins_and_are_checked_from_there";
    if !support::library_or_skip(test) {
        return;
    }
    let dir = package(FORMATS);
    let mut engine = support::engine(dir.path());
    let greedy = ask(&mut engine, &options(Format::Full, 1));
    for base in [options(Format::Full, 6), cascade(2.0, 2.0, 6)] {
        let pruned = AskOptions {
            prune: PruneOptions {
                keep: vec![Keep::Top(2)],
                check_at: vec![5],
                signals: vec![SignalName::Random],
            },
            vote: Voting::Auto,
            ..base
        };
        let answer = ask(&mut engine, &pruned);
        let format = answer.format.as_ref().unwrap();
        assert_eq!(kinds(&format.shared), [SectionKind::Perception]);
        assert_eq!(format.shared[0].text, greedy.paths[0].sections[0].text);
        assert!(format.shared[0].ms > 0.0);
        assert_eq!(format.used, Some(ResponseFormat::Full));
        assert_eq!(format.shared_tokens.len(), answer.tokens.shared);
        assert_eq!(answer.paths.len(), 6);
        let dropped = answer
            .paths
            .iter()
            .filter(|p| p.finish == FinishReason::Dropped);
        assert!(dropped.clone().all(|path| path.tokens.len() == 5));
        assert!(dropped.count() >= 3);
        for path in &answer.paths {
            let expected = [SectionKind::Reasoning, SectionKind::Answer];
            assert_eq!(kinds(&path.sections), expected[..path.sections.len()]);
            let tokens: usize = path.sections.iter().map(|section| section.tokens).sum();
            assert_eq!(tokens, path.tokens.len(), "{path:?}");
        }
        let own: usize = answer.paths.iter().map(|path| path.tokens.len()).sum();
        assert_eq!(
            answer.tokens.generated,
            own + answer.tokens.shared + answer.tokens.discarded
        );
        // The next question begins with what this one left, or with nothing that is not so.
        let again = ask(&mut engine, &options(Format::Full, 1));
        assert!(again.tokens.reused > 0);
        assert_eq!(again.paths[0].tokens, greedy.paths[0].tokens);
    }
    // A model that answers at once has nothing to reason about.
    let direct = ask(&mut engine, &options(Format::Direct, 6));
    assert!(direct.format.unwrap().shared.is_empty());
}

#[test]
fn a_deadline_that_is_over_leaves_the_answer_alone() {
    if !support::library_or_skip("a_deadline_that_is_over_leaves_the_answer_alone") {
        return;
    }
    let dir = package(FORMATS);
    let mut engine = support::engine(dir.path());
    let late = |format| AskOptions {
        deadline_ms: Some(0),
        ..options(format, 1)
    };
    let answer = ask(&mut engine, &late(Format::Auto));
    assert_eq!(answer.format.unwrap().used, Some(ResponseFormat::Direct));
    assert!(
        answer
            .notes
            .iter()
            .any(|note| note.contains("`deadline_ms`")),
        "{:?}",
        answer.notes
    );
    // What is forced is begun, and closed at once.
    let answer = ask(&mut engine, &late(Format::Full));
    let perception = &answer.paths[0].sections[0];
    assert_eq!(perception.finish, SectionFinish::Deadline);
    assert_eq!(
        kinds(&answer.paths[0].sections),
        [SectionKind::Perception, SectionKind::Answer]
    );
    let far = AskOptions {
        deadline_ms: Some(3_600_000),
        ..options(Format::Full, 1)
    };
    let answer = ask(&mut engine, &far);
    assert_eq!(kinds(&answer.paths[0].sections), SectionKind::ALL);
}

#[test]
fn what_thinks_before_an_answer_without_tags_can_be_bounded_or_kept_from_it() {
    let test = "what_thinks_before_an_answer_without_tags_can_be_bounded_or_kept_from_it";
    if !support::library_or_skip(test) {
        return;
    }
    let dir = package(THINKS);
    let mut engine = support::engine(dir.path());
    let full = ask(&mut engine, &options(Format::Full, 1));
    let sections = &full.paths[0].sections;
    assert_eq!(
        kinds(sections),
        [SectionKind::Reasoning, SectionKind::Answer],
        "{:?}",
        full.text
    );
    assert_eq!(sections[0].finish, SectionFinish::Cap);
    let direct = ask(&mut engine, &options(Format::Direct, 1));
    assert!(
        direct.paths[0].text.starts_with("<r>\n\n</r>"),
        "{:?}",
        direct.paths[0].text
    );
    assert!(refused(&mut engine, &options(Format::Perception, 1)).contains("perception"));
}

#[test]
fn a_package_without_formats_is_forced_and_says_so_and_auto_is_as_ever() {
    let test = "a_package_without_formats_is_forced_and_says_so_and_auto_is_as_ever";
    if !support::library_or_skip(test) {
        return;
    }
    let mut engine = support::engine(tiny("tiny-llama-fp32"));
    let answer = ask(&mut engine, &options(Format::Direct, 1));
    let format = answer.format.unwrap();
    assert!(!format.known);
    assert!(
        answer
            .notes
            .iter()
            .any(|note| note.contains("formats.toml"))
    );
    let plain = AskOptions {
        section_caps: SectionCaps::default(),
        ..options(Format::Auto, 1)
    };
    assert_eq!(ask(&mut engine, &plain).format, None);
    let late = AskOptions {
        deadline_ms: Some(1),
        ..plain.clone()
    };
    let error = refused(&mut engine, &late);
    assert!(
        error.starts_with("`deadline_ms`") && error.contains("`format`"),
        "{error}"
    );
    let capped = options(Format::Auto, 1);
    assert!(refused(&mut engine, &capped).starts_with("`perception_tokens`"));
}

#[test]
fn a_calibration_of_another_package_is_refused_and_none_is_asked_for() {
    let test = "a_calibration_of_another_package_is_refused_and_none_is_asked_for";
    if !support::library_or_skip(test) {
        return;
    }
    let dir = package(FORMATS);
    let mut engine = support::engine(dir.path());
    let error = refused(&mut engine, &options(Format::Cascade, 1));
    assert!(
        error.contains("cascade.json") && error.contains("curt calibrate"),
        "{error}"
    );
    let file = dir.path().join("cascade.json");
    let mut made = calibration(0.5, 0.5);
    std::fs::write(&file, serde_json::to_string(&made).unwrap()).unwrap();
    let error = refused(&mut engine, &options(Format::Cascade, 1));
    assert!(
        error.contains("fingerprint") && error.contains("another"),
        "{error}"
    );
    made.package.fingerprint = engine.package().fingerprint().unwrap();
    std::fs::write(&file, serde_json::to_string(&made).unwrap()).unwrap();
    assert!(
        ask(&mut engine, &options(Format::Cascade, 1))
            .format
            .is_some()
    );
}
