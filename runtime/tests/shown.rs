//! What is shown of the KV cache while paths are drawn.

use crate::support;

use curt::answer::Answer;
use curt::kv::KvKind;
use curt::paths::{Check, Keep, Signal};
use curt::{AskOptions, Event};
use support::{engine, reasoner};

const QUESTION: &str = "A machine turns 6 into 81 and 5 into 72. It is fed 1, 4, 7, 12, 2, 3, 11, 8, 9. What comes out?";

#[test]
fn the_cache_is_shown_before_a_check_and_later_without_what_it_dropped() {
    if !support::library_or_skip(
        "the_cache_is_shown_before_a_check_and_later_without_what_it_dropped",
    ) {
        return;
    }
    let mut engine = engine(reasoner());
    if !support::invariant_or_skip(
        &mut engine,
        "the_cache_is_shown_before_a_check_and_later_without_what_it_dropped",
    ) {
        return;
    }
    let blind = AskOptions {
        paths: 16,
        seed: 11,
        checks: vec![Check {
            at_tokens: 12,
            signal: Signal::Random,
            keep: Keep::Top(3),
        }],
        reuse: false,
        ..AskOptions::default()
    };
    let plain = engine.ask(&QUESTION.into(), &blind, &mut |_| {}).unwrap();
    let options = AskOptions {
        show_kv_at: vec![12, 20],
        ..blind
    };
    let mut shown = Vec::new();
    let answer = engine
        .ask(&QUESTION.into(), &options, &mut |event| {
            if let Event::Cached(cached) = event {
                let last = cached.prompt_tokens + cached.at_tokens - 1;
                let value = |row| {
                    let kv = cached.kv.host_view(&[0]).unwrap();
                    let values = kv.row(0, KvKind::Value, row).unwrap();
                    values.get(0, last, 0).unwrap()
                };
                let newest: Vec<f32> = (0..cached.rows.len()).map(value).collect();
                let len = cached.kv.len();
                shown.push((cached.at_tokens, cached.rows.to_vec(), len, newest));
            }
        })
        .unwrap();
    let tokens = |answer: &Answer| -> Vec<Vec<u32>> {
        answer.paths.iter().map(|p| p.tokens.clone()).collect()
    };
    assert_eq!(tokens(&answer), tokens(&plain), "looking changes nothing");
    let kept: Vec<usize> = (0..16)
        .filter(|&path| answer.paths[path].dropped_at_tokens.is_none())
        .collect();
    assert_eq!(shown.len(), 2);
    for ((at, mut rows, len, newest), expected) in shown.into_iter().zip([(0..16).collect(), kept])
    {
        // In the first layer a value follows from its token and nothing before it.
        for (one, row) in newest.iter().zip(&rows) {
            for (other, other_row) in newest.iter().zip(&rows) {
                let same =
                    answer.paths[*row].tokens[at - 1] == answer.paths[*other_row].tokens[at - 1];
                assert_eq!(one == other, same, "paths {row} and {other_row} at {at}");
            }
        }
        rows.sort_unstable();
        assert_eq!((rows, len), (expected, answer.tokens.prompt + at));
    }
}
