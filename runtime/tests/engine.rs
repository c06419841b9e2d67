//! Questions through the one door: reuse of the cache, turns, cancelling, and everything that is refused.

use crate::support;

use std::sync::mpsc;
use std::time::Duration;

use curt::answer::Answer;
use curt::paths::FinishReason;
use curt::{
    AskOptions, CancelToken, Engine, Error, Event, Message, PromptFile, Question, Role,
    SamplingDefaults, VoteRule, Voting,
};
use support::{reasoner, tiny};

const QUESTION: &str = "A machine turns 6 into 81 and 5 into 72. It is fed 1, 4, 7, 12, 2, 3, 11, 8, 9. What comes out?";

fn sampling(temperature: f32, max_tokens: usize) -> SamplingDefaults {
    SamplingDefaults {
        temperature: Some(temperature),
        max_tokens: Some(max_tokens),
        ..SamplingDefaults::default()
    }
}

fn ask(engine: &mut Engine, question: &Question, options: &AskOptions) -> Answer {
    engine.ask(question, options, &mut |_| {}).unwrap()
}

fn refused(engine: &mut Engine, question: &Question, options: &AskOptions) -> Error {
    engine
        .ask(question, options, &mut |_| {})
        .unwrap_err()
        .into()
}

fn all_tokens(answer: &Answer) -> Vec<&[u32]> {
    answer.paths.iter().map(|p| p.tokens.as_slice()).collect()
}

#[test]
fn sixteen_paths_vote_and_the_same_seed_gives_the_same_paths() {
    if !support::library_or_skip("sixteen_paths_vote_and_the_same_seed_gives_the_same_paths") {
        return;
    }
    let mut engine = support::engine(reasoner());
    let options = AskOptions {
        paths: 16,
        vote: Voting::By(VoteRule::Majority),
        seed: 5,
        ..AskOptions::default()
    };
    let mut streamed = vec![String::new(); 16];
    let first = engine
        .ask(&QUESTION.into(), &options, &mut |event| {
            if let Event::Text { path, text } = event {
                streamed[path].push_str(text);
            }
        })
        .unwrap();
    for (path, text) in first.paths.iter().zip(&streamed) {
        assert_eq!(path.text, *text, "what was streamed is the path's text");
        assert_eq!(path.logprobs.len(), path.tokens.len());
        let mean =
            path.logprobs.iter().map(|&x| f64::from(x)).sum::<f64>() / path.logprobs.len() as f64;
        assert_eq!(path.mean_logprob, Some(mean));
    }
    assert_eq!(first.votes.iter().map(|v| v.paths.len()).sum::<usize>(), {
        first.paths.iter().filter(|p| p.answer.is_some()).count()
    });
    assert_eq!(
        first.answer.as_ref(),
        first.votes.first().map(|v| &v.answer)
    );
    assert_eq!(
        first.tokens.generated,
        first.paths.iter().map(|p| p.tokens.len()).sum::<usize>()
    );
    let again = ask(&mut engine, &QUESTION.into(), &options);
    assert_eq!(all_tokens(&first), all_tokens(&again));
    let other = ask(
        &mut engine,
        &QUESTION.into(),
        &AskOptions { seed: 6, ..options },
    );
    assert_ne!(all_tokens(&first), all_tokens(&other));
}

#[test]
fn a_path_is_the_same_however_many_are_beside_it() {
    if !support::library_or_skip("a_path_is_the_same_however_many_are_beside_it") {
        return;
    }
    let mut engine = support::engine(reasoner());
    if !support::invariant_or_skip(&mut engine, "a_path_is_the_same_however_many_are_beside_it") {
        return;
    }
    let with = |paths| AskOptions {
        paths,
        seed: 11,
        // Long enough that paths end, at different lengths, and rows move.
        sampling: sampling(1.0, 240),
        ..AskOptions::default()
    };
    let many = ask(&mut engine, &QUESTION.into(), &with(16));
    for few in [1, 3, 7] {
        let some = ask(&mut engine, &QUESTION.into(), &with(few));
        assert_eq!(all_tokens(&some), all_tokens(&many)[..few], "{few} paths");
    }
}

#[test]
fn a_question_that_begins_alike_is_answered_from_the_cache_as_from_cold() {
    if !support::library_or_skip(
        "a_question_that_begins_alike_is_answered_from_the_cache_as_from_cold",
    ) {
        return;
    }
    for dir in [
        reasoner(),
        tiny("tiny-llama-fp32"),
        tiny("tiny-llama-growing-fp32"),
    ] {
        let mut warm = support::engine(dir.clone());
        let mut cold = support::engine(dir.clone());
        let beginning = support::tokens(warm.package(), 30, 1);
        for (salt, paths) in [(2, 1), (3, 4), (4, 1), (5, 2)] {
            let mut prompt = beginning.clone();
            prompt.extend(support::tokens(warm.package(), 5 + salt as usize, salt));
            let question = Question::Tokens(prompt);
            let options = |reuse| AskOptions {
                paths,
                reuse,
                sampling: sampling(if paths > 1 { 1.0 } else { 0.0 }, 24),
                prompt: Some(PromptFile::default()),
                ..AskOptions::default()
            };
            let from_cache = ask(&mut warm, &question, &options(true));
            let from_cold = ask(&mut cold, &question, &options(false));
            assert_eq!(from_cold.tokens.reused, 0);
            if salt > 2 {
                assert!(from_cache.tokens.reused >= 30, "{:?}", from_cache.tokens);
            }
            assert_eq!(
                from_cache.tokens.reused + from_cache.tokens.prefilled,
                from_cache.tokens.prompt
            );
            assert_eq!(
                all_tokens(&from_cache),
                all_tokens(&from_cold),
                "{}",
                dir.display()
            );
        }
    }
}

#[test]
fn a_second_turn_finds_the_first_in_the_cache() {
    if !support::library_or_skip("a_second_turn_finds_the_first_in_the_cache") {
        return;
    }
    let mut engine = support::engine(reasoner());
    let mut conversation = vec![Message::new(Role::User, QUESTION)];
    let options = AskOptions {
        sampling: sampling(0.0, 300),
        ..AskOptions::default()
    };
    let first = ask(
        &mut engine,
        &Question::Messages(conversation.clone()),
        &options,
    );
    assert_eq!(first.paths[0].finish, FinishReason::Eos);
    conversation.push(Message::new(Role::Assistant, &first.text));
    conversation.push(Message::new(Role::User, QUESTION));
    let second = ask(
        &mut engine,
        &Question::Messages(conversation.clone()),
        &options,
    );
    // All of the first prompt, and of the first answer what encodes to the tokens it was generated as.
    assert!(
        second.tokens.reused >= first.tokens.prompt,
        "{:?} after {:?}",
        second.tokens,
        first.tokens
    );
    let mut cold = support::engine(reasoner());
    let from_cold = ask(&mut cold, &Question::Messages(conversation), &options);
    assert_eq!(all_tokens(&second), all_tokens(&from_cold));
}

#[test]
fn cancelling_takes_effect_within_a_token() {
    if !support::library_or_skip("cancelling_takes_effect_within_a_token") {
        return;
    }
    let mut engine = support::engine(reasoner());
    let cancel = CancelToken::new();
    let other = cancel.clone();
    let (ask_for_it, asked) = mpsc::channel();
    let (done, wait) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        asked.recv().unwrap();
        other.cancel();
        done.send(()).unwrap();
    });
    let options = AskOptions {
        paths: 4,
        sampling: sampling(1.0, 200),
        cancel,
        ..AskOptions::default()
    };
    let mut seen = 0;
    let mut streamed = vec![String::new(); 4];
    let failed = engine
        .ask(&QUESTION.into(), &options, &mut |event| match event {
            Event::Token { .. } => {
                seen += 1;
                if seen == 41 {
                    ask_for_it.send(()).unwrap();
                    wait.recv_timeout(Duration::from_secs(60)).unwrap();
                }
            }
            Event::Text { path, text } => streamed[path].push_str(text),
            _ => {}
        })
        .unwrap_err();
    thread.join().unwrap();
    // Cancelled while the 11th token of the four paths was handed out: none of them gets a 12th.
    assert!(
        matches!(failed.error, Error::Cancelled { tokens: 44 }),
        "{failed}"
    );
    assert_eq!(seen, 44);
    // And what they had is not lost.
    let partial = failed.partial.unwrap();
    assert_eq!(partial.tokens.generated, 44);
    for (path, text) in partial.paths.iter().zip(&streamed) {
        assert_eq!(path.finish, FinishReason::Interrupted);
        assert_eq!(path.tokens.len(), 11);
        assert!(!text.is_empty());
        assert_eq!(path.text, *text);
    }
    assert!(partial.votes.is_empty());
    // The engine is asked again, with another token.
    let options = AskOptions {
        cancel: CancelToken::new(),
        ..options
    };
    assert_eq!(ask(&mut engine, &QUESTION.into(), &options).paths.len(), 4);
}

#[test]
fn a_long_prefill_is_stopped_inside_onnx_runtime() {
    if !support::library_or_skip("a_long_prefill_is_stopped_inside_onnx_runtime") {
        return;
    }
    let mut engine = support::engine(reasoner());
    let room = engine.package().context_tokens() - 1;
    let prompt = Question::Tokens(support::tokens(engine.package(), room, 1));
    let cancel = CancelToken::new();
    let options = AskOptions {
        sampling: sampling(0.0, 1),
        cancel: cancel.clone(),
        ..AskOptions::default()
    };
    // Cancelled between plan and prefill: the run is entered with its terminate flag set, or not at all.
    let error = engine
        .ask(&prompt, &options, &mut |event| {
            if let Event::Planned(_) = event {
                cancel.cancel();
            }
        })
        .unwrap_err();
    assert!(
        matches!(error.error, Error::Cancelled { tokens: 0 }),
        "{error}"
    );
    // Cancelled from another thread at many moments of a prefill: an answer or a cancellation, and the engine lives.
    for microseconds in (0..4000).step_by(400) {
        let cancel = CancelToken::new();
        let other = cancel.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(microseconds));
            other.cancel();
        });
        let options = AskOptions {
            cancel,
            reuse: false,
            ..options.clone()
        };
        match engine.ask(&prompt, &options, &mut |_| {}) {
            Ok(_) => {}
            Err(failed) => assert!(matches!(failed.error, Error::Cancelled { .. }), "{failed}"),
        }
        thread.join().unwrap();
    }
    let options = AskOptions {
        cancel: CancelToken::new(),
        ..options
    };
    ask(&mut engine, &prompt, &options);
}

#[test]
fn a_stop_text_ends_a_path_and_is_not_part_of_it() {
    if !support::library_or_skip("a_stop_text_ends_a_path_and_is_not_part_of_it") {
        return;
    }
    let mut engine = support::engine(reasoner());
    let options = AskOptions {
        sampling: sampling(0.0, 200),
        ..AskOptions::default()
    };
    let whole = ask(&mut engine, &QUESTION.into(), &options);
    let stop = " =";
    let mut streamed = String::new();
    let stopped = engine
        .ask(
            &QUESTION.into(),
            &AskOptions {
                stop: vec![stop.into(), "never".into()],
                ..options
            },
            &mut |event| {
                if let Event::Text { text, .. } = event {
                    streamed.push_str(text);
                }
            },
        )
        .unwrap();
    assert_eq!(stopped.paths[0].finish, FinishReason::Stop);
    assert_eq!(stopped.text, whole.text.split(stop).next().unwrap());
    assert_eq!(streamed, stopped.text);
}

#[test]
fn what_cannot_be_answered_is_refused_with_its_remedy() {
    if !support::library_or_skip("what_cannot_be_answered_is_refused_with_its_remedy") {
        return;
    }
    let mut engine = support::engine(reasoner());
    let fine = AskOptions::default;
    let cases: Vec<(&str, Question, AskOptions)> = vec![
        ("an empty question", " \n".into(), fine()),
        (
            "`paths`: expected at least 1",
            QUESTION.into(),
            AskOptions { paths: 0, ..fine() },
        ),
        (
            "greedy paths are all the same",
            QUESTION.into(),
            AskOptions {
                paths: 2,
                sampling: sampling(0.0, 8),
                ..fine()
            },
        ),
        (
            "`answer_pattern`",
            QUESTION.into(),
            AskOptions {
                vote: Voting::By(VoteRule::Majority),
                prompt: Some(PromptFile::default()),
                ..fine()
            },
        ),
        (
            "`answer_pattern`: expected a regular expression",
            QUESTION.into(),
            AskOptions {
                answer_pattern: Some("(".into()),
                ..fine()
            },
        ),
        (
            "token ids below",
            Question::Tokens(vec![1, u32::MAX]),
            fine(),
        ),
        ("at least one token", Question::Tokens(vec![]), fine()),
        (
            "no room to answer",
            Question::Tokens(vec![1; 1_000_000]),
            fine(),
        ),
        (
            "`max_kv_bytes`",
            QUESTION.into(),
            AskOptions {
                max_kv_bytes: Some(1000),
                ..fine()
            },
        ),
        (
            "ask for fewer `paths`",
            QUESTION.into(),
            AskOptions {
                paths: 1 << 40,
                sampling: sampling(1.0, 8),
                ..fine()
            },
        ),
        (
            "`temperature`",
            QUESTION.into(),
            AskOptions {
                sampling: sampling(f32::NAN, 8),
                ..fine()
            },
        ),
        (
            "`max_tokens`",
            QUESTION.into(),
            AskOptions {
                sampling: sampling(1.0, 0),
                ..fine()
            },
        ),
        (
            "`stop`",
            QUESTION.into(),
            AskOptions {
                stop: vec![String::new()],
                ..fine()
            },
        ),
    ];
    for (remedy, question, options) in cases {
        let error = refused(&mut engine, &question, &options).to_string();
        assert!(error.contains(remedy), "expected {remedy:?} in {error:?}");
        assert!(error.len() < 400, "{error}");
    }
    // And after all that it answers.
    ask(&mut engine, &QUESTION.into(), &fine());
}

#[test]
fn the_context_ends_a_path_that_would_go_on() {
    if !support::library_or_skip("the_context_ends_a_path_that_would_go_on") {
        return;
    }
    let mut engine = support::engine(tiny("tiny-llama-fp32"));
    let context = engine.package().context_tokens();
    let prompt = support::tokens(engine.package(), context - 3, 1);
    let options = AskOptions {
        sampling: sampling(0.0, 50),
        ..AskOptions::default()
    };
    let answer = ask(&mut engine, &Question::Tokens(prompt), &options);
    assert_eq!(answer.tokens.generated, 3);
    assert_eq!(answer.paths[0].finish, FinishReason::Context);
}

#[test]
fn an_error_in_mid_answer_keeps_what_there_was() {
    if !support::library_or_skip("an_error_in_mid_answer_keeps_what_there_was") {
        return;
    }
    let mut engine = support::engine(reasoner());
    let options = |cancel| AskOptions {
        paths: 16,
        seed: 5,
        vote: Voting::By(VoteRule::Majority),
        cancel,
        ..AskOptions::default()
    };
    let whole = ask(&mut engine, &QUESTION.into(), &options(CancelToken::new()));
    // Cancelled once a path has come to its end, while others go on.
    let ends = |paths: &[curt::answer::PathAnswer]| paths.iter().map(|p| p.tokens.len()).min();
    let first_end = ends(&whole.paths).unwrap();
    let cancel = CancelToken::new();
    let stop = cancel.clone();
    let mut taken = [0; 16];
    let failed = engine
        .ask(&QUESTION.into(), &options(cancel), &mut |event| {
            if let Event::Token { path } = event {
                taken[path] += 1;
                if taken[path] > first_end {
                    stop.cancel();
                }
            }
        })
        .unwrap_err();
    assert!(matches!(failed.error, Error::Cancelled { .. }), "{failed}");
    let partial = failed.partial.unwrap();
    let mut ended = 0;
    for (part, all) in partial.paths.iter().zip(&whole.paths) {
        assert!(all.tokens.starts_with(&part.tokens));
        if part.finish == FinishReason::Interrupted {
            assert!(all.text.starts_with(&part.text));
            assert_eq!(part.answer, None);
        } else {
            ended += 1;
            assert_eq!((part.finish, &part.answer), (all.finish, &all.answer));
        }
    }
    assert!((1..16).contains(&ended), "{ended}");
    let voted: usize = partial.votes.iter().map(|v| v.paths.len()).sum();
    let answered = partial.paths.iter().filter(|p| p.answer.is_some()).count();
    assert_eq!(voted, answered);
}

#[test]
fn what_is_known_is_rebuilt_only_in_order() {
    if !support::library_or_skip("what_is_known_is_rebuilt_only_in_order") {
        return;
    }
    let mut engine = support::engine(reasoner());
    let prompt = support::tokens(engine.package(), 12, 1);
    let long = support::tokens(engine.package(), 9, 2);
    let paths: [&[u32]; 3] = [&long, &[], &long[..4]];
    let unknown: [&[u32]; 1] = [&[5, u32::MAX, 5]];
    let options = AskOptions::default();
    let mut rebuild = |prompt: &[u32], paths: &[&[u32]], at: &[usize]| {
        let mut seen = Vec::new();
        let question = Question::Tokens(prompt.to_vec());
        let done = engine.rebuild(&question, &options, paths, at, &mut |cached| {
            let mut rows = cached.rows.to_vec();
            rows.sort_unstable();
            seen.push((cached.at_tokens, rows, cached.kv.len()));
            Ok(())
        });
        done.map(|()| seen).map_err(|e| e.to_string())
    };
    assert_eq!(
        rebuild(&prompt, &paths, &[2, 5, 100]).unwrap(),
        [(2, vec![0, 2], 14), (5, vec![0], 17)]
    );
    for at in [&[20, 10][..], &[5, 5], &[0], &[0, 3]] {
        let refused = rebuild(&prompt, &paths, at).unwrap_err();
        assert!(refused.starts_with("`at_tokens`"), "{refused}");
    }
    let refused = [
        (rebuild(&[], &paths, &[3]), "`question`"),
        (
            rebuild(&[u32::MAX], &paths, &[3]),
            "`question`: expected token ids",
        ),
        (rebuild(&prompt, &[], &[3]), "`paths`"),
        (
            rebuild(&prompt, &unknown, &[2]),
            "`paths`: expected token ids",
        ),
    ];
    for (refused, said) in refused {
        let refused = refused.unwrap_err();
        assert!(refused.starts_with(said), "{refused}");
    }
    let mut visits = 0;
    let question = Question::Tokens(prompt);
    let failed = engine.rebuild(&question, &options, &paths, &[2, 3], &mut |_| {
        visits += 1;
        Err(Error::Cancelled { tokens: 7 })
    });
    assert!(matches!(failed, Err(Error::Cancelled { tokens: 7 })));
    assert_eq!(visits, 1);
    // And after all that it answers.
    let options = AskOptions {
        sampling: sampling(0.0, 8),
        ..AskOptions::default()
    };
    ask(&mut engine, &QUESTION.into(), &options);
}

#[test]
fn a_length_that_is_never_reached_is_refused() {
    if !support::library_or_skip("a_length_that_is_never_reached_is_refused") {
        return;
    }
    let mut engine = support::engine(reasoner());
    for shown in [
        vec![0],
        vec![1, 1],
        vec![10, 5],
        vec![5, usize::MAX],
        vec![40],
    ] {
        let options = AskOptions {
            show_kv_at: shown.clone(),
            sampling: sampling(0.0, 40),
            ..AskOptions::default()
        };
        let error = refused(&mut engine, &QUESTION.into(), &options).to_string();
        assert!(error.starts_with("`show_kv_at`"), "{shown:?}: {error}");
    }
}
