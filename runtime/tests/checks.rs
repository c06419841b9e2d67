//! Check and resume: what a check may change (who goes on) and what it may not (anything else).

use crate::support;

use std::num::NonZeroUsize;
use std::sync::Arc;

use curt::answer::Answer;
use curt::generate::Sampling;
use curt::head::{
    Calibration, HeadFile, HeadHeader, KvInputs, LogprobInputs, LogprobStatistic, Measured,
    PackageRef, PathPrefix, Pooling, Span, StopHead, TextInputs, UNIGRAM, VERSION, WorkloadRef,
};
use curt::package::Rotary;
use curt::paths::{Check, Ending, FinishReason, Keep, Policy, Signal, Trace, replay};
use curt::{
    AnswerKind, AskOptions, Engine, Error, Package, Question, SamplingDefaults, VoteRule, Voting,
};
use support::{engine, reasoner, tiny};

const QUESTION: &str = "A machine turns 6 into 81 and 5 into 72. It is fed 1, 4, 7, 12, 2, 3, 11, 8, 9. What comes out?";

/// Numbers spread over [−1, 1), by a fixed rule.
fn spread(count: usize, salt: u32) -> Vec<f32> {
    (0..count as u32)
        .map(|i| {
            let mixed = (i + 1 + salt * 7919).wrapping_mul(2_654_435_761) >> 8;
            mixed as f32 / (1u32 << 23) as f32 - 1.0
        })
        .collect()
}

/// A head of arbitrary weights: what it scores means nothing, but it reads everything that a head can read.
pub fn arbitrary_head(package: &Package, pooling: Pooling, hidden: usize) -> HeadFile {
    let geometry = package.graph().geometry();
    let kv = KvInputs {
        layers: vec![0, geometry.layers - 1],
        kv_heads: geometry.kv_heads,
        head_dim: geometry.head_dim,
        pooling,
    };
    let queries = match kv.pooling {
        Pooling::Attend { queries, .. } => {
            spread(2 * geometry.kv_heads * queries * geometry.head_dim, 1)
        }
        Pooling::Mean { .. } => Vec::new(),
    };
    let prefix_ngrams = vec![[3, 4], [7, UNIGRAM], [40, UNIGRAM]];
    let header = HeadHeader {
        version: VERSION,
        name: "arbitrary".into(),
        package: PackageRef {
            name: "here".into(),
            fingerprint: package.fingerprint().unwrap(),
        },
        check_at_tokens: vec![12],
        kv: Some(kv),
        logprob: Some(LogprobInputs {
            statistics: LogprobStatistic::ALL.to_vec(),
        }),
        text: Some(TextInputs {
            prefix_ngrams: prefix_ngrams.len(),
            prompt_ngrams: 1,
        }),
        hidden,
        sampling: Sampling {
            temperature: 1.0,
            ..Sampling::default()
        },
        workload: WorkloadRef {
            name: "none".into(),
            digest: "00".into(),
        },
        calibration: Some(Calibration {
            slope: 0.5,
            offset: 0.1,
        }),
        measured: Measured {
            auroc_within_question: 0.5,
            auroc: 0.5,
            brier: None,
            ece: None,
            questions: 0,
            part: "none".into(),
        },
    };
    let inputs = header.inputs().iter().sum::<usize>();
    let last = if hidden == 0 { inputs } else { hidden };
    HeadFile {
        header,
        queries,
        prefix_ngrams,
        prompt_ngrams: vec![[5, UNIGRAM]],
        shift: spread(inputs, 2),
        scale: spread(inputs, 3),
        hidden: (spread(hidden * inputs, 4), spread(hidden, 5)),
        output: (spread(last, 6), vec![0.25]),
    }
}

pub fn mean() -> Pooling {
    Pooling::Mean {
        spans: vec![Span::Prefix, Span::Last(8)],
    }
}

/// Attention whose queries are rotated in all of their elements, as the packages here rotate their keys.
pub fn attend(package: &Package) -> Pooling {
    Pooling::Attend {
        queries: 3,
        window: 24,
        rotary: Some(Rotary {
            theta: 1e4,
            dims: package.graph().geometry().head_dim,
            interleaved: false,
        }),
    }
}

fn signal(package: &Package, pooling: Pooling, hidden: usize) -> Signal {
    let head = arbitrary_head(package, pooling, hidden);
    Signal::Head(Arc::new(StopHead::new(head).unwrap()))
}

pub fn options(checks: Vec<Check>) -> AskOptions {
    AskOptions {
        paths: 16,
        vote: Voting::By(VoteRule::Majority),
        seed: 11,
        checks,
        reuse: false,
        ..AskOptions::default()
    }
}

pub fn ask(engine: &mut Engine, options: &AskOptions) -> Answer {
    engine.ask(&QUESTION.into(), options, &mut |_| {}).unwrap()
}

fn check(at_tokens: usize, signal: &Signal, keep: Keep) -> Check {
    Check {
        at_tokens,
        signal: signal.clone(),
        keep,
    }
}

#[test]
fn a_check_leaves_the_next_logits_as_they_are() {
    if !support::library_or_skip("a_check_leaves_the_next_logits_as_they_are") {
        return;
    }
    let mut engine = engine(reasoner());
    let plain = ask(&mut engine, &options(Vec::new()));
    for pooling in [mean(), attend(engine.package())] {
        let signal = signal(engine.package(), pooling, 8);
        let checks = [1, 12, 29].map(|at| check(at, &signal, Keep::All)).to_vec();
        let checked = ask(&mut engine, &options(checks));
        for (a, b) in plain.paths.iter().zip(&checked.paths) {
            assert_eq!(a.tokens, b.tokens);
            // A log-probability is a function of all the logits of its step.
            assert_eq!(support::bits(&a.logprobs), support::bits(&b.logprobs));
        }
        assert_eq!(plain.votes[0].paths, checked.votes[0].paths);
        assert_eq!(checked.checks.len(), 3);
        assert!(checked.checks.iter().all(|c| c.kept == c.scored));
    }
}

#[test]
fn kept_paths_are_those_of_the_unpruned_run_and_the_replay_knew_it() {
    if !support::library_or_skip("kept_paths_are_those_of_the_unpruned_run_and_the_replay_knew_it")
    {
        return;
    }
    let mut engine = engine(reasoner());
    if !support::invariant_or_skip(
        &mut engine,
        "kept_paths_are_those_of_the_unpruned_run_and_the_replay_knew_it",
    ) {
        return;
    }
    let signal = signal(engine.package(), mean(), 0);
    for keeps in [
        [Keep::Top(4), Keep::Top(2)],
        [Keep::Ratio(0.5), Keep::Ratio(0.2)],
        [Keep::AtLeast(0.4), Keep::Top(1)],
    ] {
        for early_vote in [false, true] {
            let checks = [12, 40];
            let all = checks.map(|at| check(at, &signal, Keep::All)).to_vec();
            let full = ask(&mut engine, &options(all));
            let some = [0, 1].map(|i| check(checks[i], &signal, keeps[i])).to_vec();
            let pruned = AskOptions {
                early_vote,
                ..options(some)
            };
            let pruned = ask(&mut engine, &pruned);
            let traces: Vec<Trace> = full
                .paths
                .iter()
                .map(|p| Trace {
                    tokens: p.tokens.len(),
                    answer: p.answer.as_deref().map(|a| AnswerKind::Text.found(a)),
                    scores: (0..2)
                        .map(|c| p.scores.iter().find(|s| s.check == c).map(|s| s.score))
                        .collect(),
                })
                .collect();
            let policy = Policy {
                checks: vec![(checks[0], keeps[0]), (checks[1], keeps[1])],
                ending: Ending {
                    early_vote,
                    ..Ending::default()
                },
            };
            let replayed = replay(&policy, &traces).unwrap();
            for (path, (a, b)) in full.paths.iter().zip(&pruned.paths).enumerate() {
                assert_eq!(replayed.tokens[path], b.tokens.len(), "{keeps:?} {path}");
                assert_eq!(a.tokens[..b.tokens.len()], b.tokens);
                if b.finish.votes() {
                    assert_eq!((&a.text, &a.answer), (&b.text, &b.answer));
                }
                let dropped = b.scores.iter().find(|s| !s.kept).map(|s| s.at_tokens);
                assert_eq!(b.dropped_at_tokens, dropped);
                assert_eq!(b.finish == FinishReason::Dropped, dropped.is_some());
            }
            assert_eq!(replayed.votes, pruned.votes);
            assert!(pruned.tokens.generated < full.tokens.generated);
            let voting: usize = pruned
                .paths
                .iter()
                .filter(|p| p.finish.votes())
                .map(|p| p.tokens.len())
                .sum();
            assert_eq!(pruned.tokens.generated - pruned.tokens.unused, voting);
        }
    }
}

#[test]
fn an_early_vote_has_the_winner_of_the_whole_one() {
    if !support::library_or_skip("an_early_vote_has_the_winner_of_the_whole_one") {
        return;
    }
    let mut engine = engine(reasoner());
    if !support::invariant_or_skip(&mut engine, "an_early_vote_has_the_winner_of_the_whole_one") {
        return;
    }
    let mut saved = 0;
    for seed in 0..6 {
        let whole = AskOptions {
            seed,
            ..options(Vec::new())
        };
        let early = AskOptions {
            early_vote: true,
            ..whole.clone()
        };
        let (whole, early) = (ask(&mut engine, &whole), ask(&mut engine, &early));
        assert_eq!(whole.answer, early.answer, "seed {seed}");
        saved += whole.tokens.generated - early.tokens.generated;
    }
    assert!(saved > 0);
}

#[test]
fn the_first_to_finish_decide() {
    if !support::library_or_skip("the_first_to_finish_decide") {
        return;
    }
    let mut engine = engine(reasoner());
    if !support::invariant_or_skip(&mut engine, "the_first_to_finish_decide") {
        return;
    }
    let whole = ask(&mut engine, &options(Vec::new()));
    let mut lengths: Vec<usize> = whole.paths.iter().map(|p| p.tokens.len()).collect();
    lengths.sort_unstable();
    let first = AskOptions {
        first_finished: Some(3),
        ..options(Vec::new())
    };
    let first = ask(&mut engine, &first);
    for (a, b) in whole.paths.iter().zip(&first.paths) {
        assert_eq!(b.tokens.len(), a.tokens.len().min(lengths[2]));
        assert_eq!(b.finish.votes(), a.tokens.len() <= lengths[2]);
    }
}

/// Largest difference of a score between a live and a rebuilt cache. The cache is the same bit for bit where rows do not
/// depend on their batch, and the score is then computed from the same numbers in the same order.
const REBUILT_SCORE_TOLERANCE: f64 = 0.0;

#[test]
fn a_score_from_a_rebuilt_cache_is_the_live_one() {
    if !support::library_or_skip("a_score_from_a_rebuilt_cache_is_the_live_one") {
        return;
    }
    for dir in [
        reasoner(),
        tiny("tiny-llama-int4"),
        tiny("tiny-llama-growing-fp32"),
        tiny("tiny-qwen3-int8"),
    ] {
        let mut engine = engine(&dir);
        if !support::invariant_or_skip(&mut engine, "a_score_from_a_rebuilt_cache_is_the_live_one")
        {
            return;
        }
        for (pooling, hidden) in [(mean(), 8), (attend(engine.package()), 0)] {
            let file = arbitrary_head(engine.package(), pooling, hidden);
            let head = StopHead::new(file).unwrap();
            let at = [5, 12];
            let signal = Signal::Head(Arc::new(head.clone()));
            let options = AskOptions {
                paths: 6,
                vote: Voting::Off,
                sampling: SamplingDefaults {
                    temperature: Some(1.0),
                    max_tokens: Some(20),
                    ..SamplingDefaults::default()
                },
                ..options(at.map(|at| check(at, &signal, Keep::All)).to_vec())
            };
            let live = ask(&mut engine, &options);
            let prompt = engine.tokens(&QUESTION.into(), &options).unwrap();
            let paths: Vec<&[u32]> = live.paths.iter().map(|p| p.tokens.as_slice()).collect();
            let mut compared = 0;
            engine
                .rebuild(&QUESTION.into(), &options, &paths, &at, &mut |rebuilt| {
                    let prefixes: Vec<PathPrefix<'_>> = rebuilt
                        .rows
                        .iter()
                        .enumerate()
                        .map(|(row, &path)| PathPrefix {
                            row,
                            tokens: &live.paths[path].tokens[..rebuilt.at_tokens],
                            logprobs: &live.paths[path].logprobs[..rebuilt.at_tokens],
                        })
                        .collect();
                    let mut scores = Vec::new();
                    let mut buffers = head.buffers(paths.len()).unwrap();
                    head.score(rebuilt.kv, &prompt, &prefixes, &mut buffers, &mut scores)?;
                    for (&path, score) in rebuilt.rows.iter().zip(scores) {
                        let of_live = live.paths[path]
                            .scores
                            .iter()
                            .find(|s| s.at_tokens == rebuilt.at_tokens)
                            .unwrap();
                        let difference = (of_live.score - score).abs();
                        assert!(
                            difference <= REBUILT_SCORE_TOLERANCE,
                            "{}: path {path}: {} live, {score} rebuilt",
                            dir.display(),
                            of_live.score
                        );
                        compared += 1;
                    }
                    Ok(())
                })
                .unwrap();
            let scored: usize = live.checks.iter().map(|c| c.scored).sum();
            assert_eq!(compared, scored);
            assert!(scored > 6);
        }
    }
}

#[test]
fn a_check_that_fails_is_an_error_and_the_engine_goes_on() {
    if !support::library_or_skip("a_check_that_fails_is_an_error_and_the_engine_goes_on") {
        return;
    }
    let mut engine = engine(reasoner());
    let mut file = arbitrary_head(engine.package(), mean(), 0);
    file.output.0.fill(f32::MAX);
    file.scale.fill(f32::MAX);
    let signal = Signal::Head(Arc::new(StopHead::new(file).unwrap()));
    let asked = options(vec![check(12, &signal, Keep::Top(4))]);
    let error = engine
        .ask(&QUESTION.into(), &asked, &mut |_| {})
        .unwrap_err();
    assert!(
        matches!(error.error, Error::Check { tokens: 12, .. }),
        "{error}"
    );
    let partial = error.partial.unwrap();
    let plain = ask(&mut engine, &options(Vec::new()));
    for (part, whole) in partial.paths.iter().zip(&plain.paths) {
        assert_eq!(part.finish, FinishReason::Interrupted);
        assert_eq!(part.tokens, whole.tokens[..12]);
        assert!(whole.text.starts_with(&part.text) && !part.text.is_empty());
    }
    assert_eq!(plain.paths.len(), 16);
}

#[test]
fn controls_score_what_they_say() {
    if !support::library_or_skip("controls_score_what_they_say") {
        return;
    }
    let mut engine = engine(reasoner());
    let confidence = Signal::Confidence {
        window_tokens: NonZeroUsize::new(8),
    };
    let checks = vec![
        check(20, &confidence, Keep::All),
        check(20, &Signal::Random, Keep::All),
        check(20, &confidence, Keep::Top(4)),
    ];
    let answer = ask(&mut engine, &options(checks));
    let kept: Vec<f64> = answer
        .paths
        .iter()
        .filter(|p| p.finish != FinishReason::Dropped)
        .map(|p| p.scores[2].score)
        .collect();
    assert_eq!(kept.len(), 4);
    for path in &answer.paths {
        let recent = &path.logprobs[12..20];
        let mean = recent.iter().map(|&x| f64::from(x)).sum::<f64>() / 8.0;
        assert_eq!(path.scores[0].score, mean.exp());
        assert_ne!(path.scores[1].score, path.scores[0].score);
        let went_on = path.finish != FinishReason::Dropped;
        assert!(went_on || kept.iter().all(|&k| k >= path.scores[2].score));
    }
    let mut random: Vec<f64> = answer.paths.iter().map(|p| p.scores[1].score).collect();
    random.sort_by(f64::total_cmp);
    random.dedup();
    assert_eq!(random.len(), 16);
}

#[test]
fn what_a_check_could_not_honour_is_said() {
    if !support::library_or_skip("what_a_check_could_not_honour_is_said") {
        return;
    }
    let mut engine = engine(tiny("tiny-llama-fp32"));
    let signal = signal(engine.package(), mean(), 0);
    let context = engine.package().context_tokens();
    let notes = |engine: &mut Engine, at, temperature, room| {
        let tokens = support::tokens(engine.package(), context - room, 1);
        let options = AskOptions {
            vote: Voting::Off,
            sampling: SamplingDefaults {
                temperature: Some(temperature),
                max_tokens: Some(20),
                ..SamplingDefaults::default()
            },
            ..options(vec![check(at, &signal, Keep::All)])
        };
        let question = Question::Tokens(tokens);
        engine.ask(&question, &options, &mut |_| {}).unwrap().notes
    };
    assert!(notes(&mut engine, 12, 1.0, 20).is_empty());
    for ((at, temperature, room), said) in [
        ((13, 1.0, 20), "trained at [12] tokens and scores at 13"),
        ((12, 0.5, 20), "drawn otherwise: temperature 1,"),
        ((12, 1.0, 12), "room for 12 tokens"),
    ] {
        let notes = notes(&mut engine, at, temperature, room);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains(said), "{notes:?}");
    }
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    if !support::library_or_skip("what_cannot_be_honoured_is_refused") {
        return;
    }
    let mut engine = engine(reasoner());
    let random = Signal::Random;
    for (checks, option) in [
        (vec![check(0, &random, Keep::All)], "`check_at`"),
        (vec![check(9000, &random, Keep::All)], "`check_at`"),
        (
            vec![check(9, &random, Keep::All), check(8, &random, Keep::All)],
            "`check_at`",
        ),
        (vec![check(9, &random, Keep::Top(0))], "`keep`"),
        (vec![check(9, &random, Keep::Top(17))], "`keep`"),
        (vec![check(9, &random, Keep::Ratio(f64::NAN))], "`keep`"),
        (vec![check(9, &random, Keep::AtLeast(1.5))], "`keep`"),
    ] {
        let error = engine
            .ask(&QUESTION.into(), &options(checks), &mut |_| {})
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(option), "{error}");
    }
    let unvoted = AskOptions {
        vote: Voting::Off,
        early_vote: true,
        ..options(Vec::new())
    };
    let error = engine.ask(&QUESTION.into(), &unvoted, &mut |_| {});
    assert!(error.unwrap_err().to_string().starts_with("`vote`"));
}
