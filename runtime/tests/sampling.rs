//! The sampler against the plainest possible one, in f64.

use curt::Error;
use curt::generate::{Before, PathRandom, Sampler, Sampling};

/// Probabilities after every filter, in the order of transformers: penalty, temperature, top-k, top-p, min-p.
fn oracle(logits: &[f32], before: &[u32], sampling: &Sampling) -> Vec<f64> {
    let penalty = f64::from(sampling.repetition_penalty);
    let mut scores: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
    for (token, score) in scores.iter_mut().enumerate() {
        if before.contains(&(token as u32)) {
            *score = if *score > 0.0 {
                *score / penalty
            } else {
                *score * penalty
            };
        }
        *score /= f64::from(sampling.temperature);
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    if sampling.top_k > 0 {
        order.truncate(sampling.top_k);
    }
    let weight = |token: usize| (scores[token] - scores[order[0]]).exp();
    let total: f64 = order.iter().map(|&t| weight(t)).sum();
    let mut sum = 0.0;
    let mut kept = Vec::new();
    for &token in &order {
        kept.push(token);
        sum += weight(token) / total;
        if sum >= f64::from(sampling.top_p) {
            break;
        }
    }
    kept.retain(|&t| weight(t) >= f64::from(sampling.min_p));
    let total: f64 = kept.iter().map(|&t| weight(t)).sum();
    let mut probabilities = vec![0.0; logits.len()];
    for token in kept {
        probabilities[token] = weight(token) / total;
    }
    probabilities
}

fn logits(vocabulary: usize, salt: u64) -> Vec<f32> {
    (0..vocabulary as u64)
        .map(|i| {
            let mixed = (i + 1 + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            (mixed as f32 / (1u64 << 24) as f32 - 0.5) * 9.0
        })
        .collect()
}

/// The id that ends a path.
const EOS: u32 = 7;

fn after(tokens: &[u32]) -> Before<'_> {
    // The first half as the prompt's: where one ends and the other begins must not matter.
    let (prompt, tokens) = tokens.split_at(tokens.len() / 2);
    Before { prompt, tokens }
}

#[test]
fn a_run_of_tokens_is_not_repeated_and_a_short_path_not_ended() {
    let mut random = PathRandom::new(0);
    let mut next = |sampling: Sampling, logits: &[f32], before: &[u32]| {
        let mut sampler = Sampler::new(sampling, logits.len(), &[EOS]).unwrap();
        let drawn = sampler.draw(logits, after(before), None, &mut random, (0, 0));
        drawn.unwrap().token
    };
    // 3 is likeliest, then 4, then the end.
    let mut logits = vec![0.0; 10];
    (logits[3], logits[4], logits[EOS as usize]) = (9.0, 8.0, 7.0);
    let ngram = |no_repeat_ngram_size| Sampling {
        no_repeat_ngram_size,
        ..Sampling::default()
    };
    for (size, before, expected) in [
        (1, &[3u32, 1][..], 4),
        (1, &[3, 4], EOS),
        (2, &[1, 3, 2, 1], 4),
        (2, &[1, 3, 1, 4, 1], EOS),
        (2, &[2, 3, 1], 3),
        (3, &[1, 2, 3, 5, 1, 2], 4),
        (3, &[1, 2, 3, 5, 2], 3),
        // Too short for any run, or just as long as one.
        (3, &[1, 2], 3),
        (3, &[1, 2, 3], 3),
        (2, &[3, 3], 4),
        (50, &[3], 3),
    ] {
        assert_eq!(
            next(ngram(size), &logits, before),
            expected,
            "{size} {before:?}"
        );
    }
    logits[EOS as usize] = 10.0;
    let short = |min_length| Sampling {
        min_length,
        ..Sampling::default()
    };
    assert_eq!(next(short(4), &logits, &[1, 2, 3]), 3);
    assert_eq!(next(short(3), &logits, &[1, 2, 3]), EOS);
    // Where all are banned, one is drawn all the same.
    let mut all = vec![0.0; 2];
    all[1] = 1.0;
    assert_eq!(next(ngram(1), &all, &[0, 1]), 0);
}

#[test]
fn a_mask_hides_tokens_and_changes_no_probability() {
    let mut sampler = Sampler::new(Sampling::default(), 100, &[EOS]).unwrap();
    let logits = logits(100, 5);
    let mut random = PathRandom::new(0);
    let free = sampler.draw(&logits, after(&[]), None, &mut random, (0, 0));
    let free = free.unwrap();
    let mut mask = |logits: &mut [f32]| logits[free.token as usize] = f32::NEG_INFINITY;
    let masked = sampler.draw(&logits, after(&[]), Some(&mut mask), &mut random, (0, 0));
    let masked = masked.unwrap();
    assert_ne!(masked.token, free.token);
    let forced = sampler.forced(&logits, masked.token, (0, 0)).unwrap();
    assert_eq!(forced, masked);
    let mut nothing = |logits: &mut [f32]| logits.fill(f32::NEG_INFINITY);
    let refused = sampler.draw(&logits, after(&[]), Some(&mut nothing), &mut random, (0, 0));
    assert!(refused.unwrap_err().to_string().starts_with("`mask`"));
}

#[test]
fn draws_follow_the_filtered_distribution() {
    const DRAWS: usize = 6_000;
    let warm = Sampling {
        temperature: 0.8,
        ..Sampling::default()
    };
    let cases = [
        warm,
        Sampling {
            temperature: 1.3,
            ..warm
        },
        Sampling { top_k: 5, ..warm },
        Sampling { top_k: 500, ..warm },
        Sampling { top_p: 0.7, ..warm },
        // A nucleus wider than the first try.
        Sampling {
            temperature: 5.0,
            top_p: 0.95,
            ..warm
        },
        Sampling { min_p: 0.1, ..warm },
        Sampling {
            repetition_penalty: 1.5,
            ..warm
        },
        Sampling {
            repetition_penalty: 1.5,
            top_k: 20,
            top_p: 0.8,
            min_p: 0.05,
            ..warm
        },
    ];
    let before = [3u32, 4, 9, 9, 200];
    for vocabulary in [300, 2000] {
        let logits = logits(vocabulary, 1);
        for sampling in cases {
            let expected = oracle(&logits, &before, &sampling);
            let mut sampler = Sampler::new(sampling, vocabulary, &[EOS]).unwrap();
            let mut random = PathRandom::new(42);
            let mut counts = vec![0usize; vocabulary];
            for step in 0..DRAWS {
                let drawn = sampler
                    .draw(&logits, after(&before), None, &mut random, (0, step))
                    .unwrap();
                counts[drawn.token as usize] += 1;
            }
            for (token, (&p, &count)) in expected.iter().zip(&counts).enumerate() {
                if p == 0.0 {
                    assert_eq!(count, 0, "token {token} was filtered out: {sampling:?}");
                }
                // Five standard deviations of a binomial count, and one draw for tokens that hardly occur.
                let deviation = (DRAWS as f64 * p * (1.0 - p)).sqrt();
                let difference = (count as f64 - DRAWS as f64 * p).abs();
                assert!(
                    difference <= 5.0 * deviation + 1.0,
                    "token {token}: {count} of {DRAWS}, expected {:.1}: {sampling:?}",
                    DRAWS as f64 * p
                );
            }
        }
    }
}

#[test]
fn greedy_takes_the_first_of_the_most_probable() {
    let mut logits = logits(1000, 7);
    logits[300] = 50.0;
    logits[700] = 50.0;
    let greedy = [
        Sampling::default(),
        Sampling {
            temperature: 1.0,
            top_k: 1,
            ..Sampling::default()
        },
    ];
    for sampling in greedy {
        let mut sampler = Sampler::new(sampling, 1000, &[EOS]).unwrap();
        let drawn = sampler
            .draw(&logits, after(&[]), None, &mut PathRandom::new(0), (0, 0))
            .unwrap();
        assert_eq!(drawn.token, 300);
        // Two equal peaks: each has half of nearly all probability.
        assert!(
            (drawn.logprob - 0.5f32.ln()).abs() < 1e-5,
            "{}",
            drawn.logprob
        );
    }
}

#[test]
fn the_penalty_counts_a_token_once_and_works_on_greedy() {
    let mut logits = vec![0.0f32; 50];
    logits[10] = 4.0;
    logits[11] = 3.0;
    logits[12] = -1.0;
    let sampling = Sampling {
        repetition_penalty: 1.5,
        ..Sampling::default()
    };
    let mut sampler = Sampler::new(sampling, 50, &[EOS]).unwrap();
    let drawn = sampler
        .draw(
            &logits,
            after(&[10, 10, 10]),
            None,
            &mut PathRandom::new(0),
            (0, 0),
        )
        .unwrap();
    assert_eq!(drawn.token, 11, "4 / 1.5 is less than 3");
    let drawn = sampler
        .draw(&logits, after(&[11]), None, &mut PathRandom::new(0), (0, 0))
        .unwrap();
    assert_eq!(drawn.token, 10);
}

#[test]
fn logits_that_are_no_numbers_are_an_error_that_names_the_path() {
    let mut random = PathRandom::new(0);
    for temperature in [0.0, 1.0] {
        let sampling = Sampling {
            temperature,
            ..Sampling::default()
        };
        let mut sampler = Sampler::new(sampling, 100, &[EOS]).unwrap();
        for (bad, count) in [(f32::NAN, 1), (f32::INFINITY, 1)] {
            let mut logits = logits(100, 3);
            logits[57] = bad;
            let error = sampler
                .draw(&logits, after(&[]), None, &mut random, (4, 9))
                .unwrap_err();
            match error {
                Error::NonFiniteLogits {
                    path: 4,
                    step: 9,
                    count: got,
                    vocabulary: 100,
                } => assert_eq!(got, count),
                other => panic!("{other}"),
            }
        }
        // Masked tokens are no fault, and are never drawn; nothing but masks is.
        let mut logits = vec![f32::NEG_INFINITY; 100];
        assert!(
            sampler
                .draw(&logits, after(&[]), None, &mut random, (0, 0))
                .is_err()
        );
        logits[99] = -3.0;
        for step in 0..20 {
            let drawn = sampler
                .draw(&logits, after(&[]), None, &mut random, (0, step))
                .unwrap();
            assert_eq!((drawn.token, drawn.logprob), (99, 0.0));
        }
    }
}

#[test]
fn parameters_outside_their_range_are_refused_by_name() {
    let warm = Sampling {
        temperature: 1.0,
        ..Sampling::default()
    };
    for (option, sampling) in [
        (
            "`temperature`",
            Sampling {
                temperature: -1.0,
                ..warm
            },
        ),
        (
            "`temperature`",
            Sampling {
                temperature: f32::INFINITY,
                ..warm
            },
        ),
        ("`top_p`", Sampling { top_p: 0.0, ..warm }),
        ("`top_p`", Sampling { top_p: 1.1, ..warm }),
        (
            "`min_p`",
            Sampling {
                min_p: -0.1,
                ..warm
            },
        ),
        (
            "`repetition_penalty`",
            Sampling {
                repetition_penalty: 0.0,
                ..warm
            },
        ),
    ] {
        let error = Sampler::new(sampling, 10, &[EOS]).unwrap_err().to_string();
        assert!(error.starts_with(option), "{error}");
    }
}
