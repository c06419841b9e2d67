//! The statistics, held to SciPy, statsmodels and NumPy on the cases that `tests/cases/make.py` stored.

use curt_ablate::stats::{
    Design, PairedCounts, Resampling, UnitTotal, holm, mcnemar_exact, quantile, score_interval,
    smallest_drop, units_needed, wilson,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Closed forms that both sides evaluate in doubles: a few roundings apart.
const CLOSED_FORM: f64 = 1e-9;
/// statrs 0.19 and SciPy invert the normal distribution to about 1e-11; the reference's own optimiser stops at 1e-7.
const NUMERIC_OPTIMUM: f64 = 1e-6;

fn cases<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let all: serde_json::Value =
        serde_json::from_str(include_str!("cases/statistics.json")).unwrap();
    let cases: Vec<T> = serde_json::from_value(all[name].clone()).unwrap();
    assert!(!cases.is_empty(), "{name}");
    cases
}

#[track_caller]
fn assert_close(got: f64, expected: f64, tolerance: f64, case: &impl std::fmt::Debug) {
    assert!(
        (got - expected).abs() <= tolerance * expected.abs().max(1.0),
        "{got} for {expected}: {case:?}"
    );
}

fn units(differences: &[f64]) -> Vec<UnitTotal> {
    differences
        .iter()
        .map(|&sum| UnitTotal { sum, count: 1.0 })
        .collect()
}

#[derive(Debug, Deserialize)]
struct Wilson {
    successes: u64,
    trials: u64,
    level: f64,
    low: f64,
    high: f64,
}

#[test]
fn wilson_is_statsmodels() {
    for case in cases::<Wilson>("wilson") {
        let got = wilson(case.successes, case.trials, case.level).unwrap();
        assert_close(got.low, case.low, CLOSED_FORM, &case);
        assert_close(got.high, case.high, CLOSED_FORM, &case);
    }
    assert_eq!(wilson(0, 0, 0.95), None);
}

#[derive(Debug, Deserialize)]
struct McNemar {
    gained: u64,
    lost: u64,
    p: f64,
}

#[test]
fn mcnemar_is_statsmodels() {
    for case in cases::<McNemar>("exact_mcnemar") {
        assert_close(
            mcnemar_exact(case.gained, case.lost),
            case.p,
            CLOSED_FORM,
            &case,
        );
    }
}

#[derive(Debug, Deserialize)]
struct Holm {
    p: Vec<f64>,
    adjusted: Vec<f64>,
}

#[test]
fn holm_is_statsmodels() {
    for case in cases::<Holm>("holm") {
        for (got, expected) in holm(&case.p).into_iter().zip(&case.adjusted) {
            assert_close(got, *expected, CLOSED_FORM, &case);
        }
    }
    assert!(holm(&[]).is_empty());
}

#[derive(Debug, Deserialize)]
struct Quantile {
    values: Vec<f64>,
    q: f64,
    value: f64,
}

#[test]
fn quantiles_are_numpys() {
    for mut case in cases::<Quantile>("quantile") {
        let got = quantile(&mut case.values, case.q).unwrap();
        assert_close(got, case.value, CLOSED_FORM, &case.q);
    }
    assert_eq!(quantile(&mut [], 0.5), None);
}

#[derive(Debug, Deserialize)]
struct Paired {
    gained: u64,
    lost: u64,
    pairs: u64,
    tail: f64,
    low: f64,
    high: f64,
}

#[test]
fn the_paired_score_interval_is_that_of_the_numeric_likelihood() {
    for case in cases::<Paired>("paired_score_interval") {
        let counts = PairedCounts {
            gained: case.gained,
            lost: case.lost,
            pairs: case.pairs,
        };
        let got = score_interval(counts, case.tail).unwrap();
        assert_close(got.low, case.low, NUMERIC_OPTIMUM, &case);
        assert_close(got.high, case.high, NUMERIC_OPTIMUM, &case);
    }
    assert_eq!(score_interval(PairedCounts::default(), 0.05), None);
}

#[test]
fn without_a_differing_pair_the_score_interval_is_the_closed_form() {
    let counts = PairedCounts {
        pairs: 100,
        ..PairedCounts::default()
    };
    let got = score_interval(counts, 0.05).unwrap();
    let z: f64 = 1.644_853_626_951_472_7;
    assert_close(got.high, z * z / (100.0 + z * z), CLOSED_FORM, &counts);
    assert_close(got.low, -got.high, CLOSED_FORM, &counts);
}

#[derive(Debug, Deserialize)]
struct Needed {
    differences: Vec<f64>,
    largest_drop: f64,
    units_needed: f64,
    smallest_drop: f64,
}

#[test]
fn the_design_is_statsmodels() {
    for case in cases::<Needed>("design") {
        let units = units(&case.differences);
        let design = Design::default();
        let needed = units_needed(&units, case.largest_drop, design).unwrap();
        assert_close(
            needed,
            case.units_needed.ceil(),
            CLOSED_FORM,
            &case.units_needed,
        );
        let drop = smallest_drop(&units, design).unwrap();
        assert_close(drop, case.smallest_drop, CLOSED_FORM, &case.smallest_drop);
    }
}

#[test]
fn no_discordance_at_all_still_needs_items() {
    let design = Design::default();
    let same = units(&[0.0; 50]);
    // z² · 0.99 / 0.01 with z = 1.6449.
    assert_eq!(units_needed(&same, 0.01, design), Some(268.0));
    assert_close(
        smallest_drop(&same, design).unwrap(),
        2.705_543 / 52.705_543,
        1e-6,
        &"fifty even pairs",
    );
    assert_eq!(units_needed(&same[..1], 0.01, design), None);
    let at_the_margin = units(&[-1.0, 0.0]);
    assert_eq!(units_needed(&at_the_margin, 0.5, design), None);
}

#[derive(Debug, Deserialize)]
struct Bootstrap {
    differences: Vec<f64>,
    tail: f64,
    low: f64,
    high: f64,
}

const REPLICATES: u64 = 20_000;

/// Three standard errors of a tail quantile of 20,000 replicates, √(t(1−t)/r) / density = 0.0015 / 0.103 = 0.015
/// standard deviations of the mean, and the lattice that means of whole numbers lie on.
fn bootstrap_tolerance(differences: &[UnitTotal]) -> f64 {
    let n = differences.len() as f64;
    let mean = differences.iter().map(|u| u.sum).sum::<f64>() / n;
    let deviation = (differences
        .iter()
        .map(|u| (u.sum - mean).powi(2))
        .sum::<f64>()
        / n)
        .sqrt();
    3.0 * 0.015 * deviation / n.sqrt() + 1.0 / n
}

#[test]
fn the_bootstrap_is_scipys() {
    for case in cases::<Bootstrap>("bootstrap") {
        let units = units(&case.differences);
        let tolerance = bootstrap_tolerance(&units);
        let got = Resampling::of_columns(&[units], REPLICATES, 1)[0].take_interval(case.tail);
        assert!(
            (got.low - case.low).abs() <= tolerance,
            "{got:?} for {case:?}"
        );
        assert!(
            (got.high - case.high).abs() <= tolerance,
            "{got:?} for {case:?}"
        );
    }
}

trait TakeInterval {
    fn take_interval(&self, tail: f64) -> curt_ablate::stats::Interval;
}

impl TakeInterval for Option<Resampling> {
    fn take_interval(&self, tail: f64) -> curt_ablate::stats::Interval {
        self.as_ref().unwrap().interval(tail).unwrap()
    }
}

#[derive(Debug, Deserialize)]
struct GroupedBootstrap {
    sums: Vec<f64>,
    sizes: Vec<f64>,
    tail: f64,
    low: f64,
    high: f64,
}

#[test]
fn the_bootstrap_over_groups_is_scipys() {
    for case in cases::<GroupedBootstrap>("grouped_bootstrap") {
        let units: Vec<UnitTotal> = case
            .sums
            .iter()
            .zip(&case.sizes)
            .map(|(&sum, &count)| UnitTotal { sum, count })
            .collect();
        let items: f64 = case.sizes.iter().sum();
        let grouped = Resampling::of_columns(std::slice::from_ref(&units), REPLICATES, 1)[0]
            .take_interval(case.tail);
        // As in `bootstrap_tolerance`, with half the width of the interval for 1.645 standard deviations.
        let tolerance = 3.0 * 0.015 * (case.high - case.low) / 2.0 / 1.645 + 1.0 / items;
        assert!(
            (grouped.low - case.low).abs() <= tolerance,
            "{grouped:?} for {case:?}"
        );
        assert!(
            (grouped.high - case.high).abs() <= tolerance,
            "{grouped:?} for {case:?}"
        );
        // Items drawn one by one would seem to know more: the groups matter in this case.
        let alone: Vec<UnitTotal> = units
            .iter()
            .flat_map(|u| {
                let ones = u.sum as usize;
                (0..u.count as usize).map(move |i| UnitTotal {
                    sum: f64::from(u8::from(i < ones)),
                    count: 1.0,
                })
            })
            .collect();
        let single = Resampling::of_columns(&[alone], REPLICATES, 1)[0].take_interval(case.tail);
        assert!(grouped.high - grouped.low > 1.1 * (single.high - single.low));
    }
}

#[test]
fn resamples_depend_on_seed_and_replicate_alone() {
    let column = units(&[1.0, 0.0, 0.0, 1.0, 1.0]);
    let negated: Vec<UnitTotal> = column
        .iter()
        .map(|u| UnitTotal { sum: -u.sum, ..*u })
        .collect();
    let alone = Resampling::of_columns(std::slice::from_ref(&column), 200, 3);
    let beside = Resampling::of_columns(&[negated, column.clone()], 200, 3);
    assert_eq!(alone[0], beside[1]);
    let (a, b) = (beside[0].take_interval(0.05), beside[1].take_interval(0.05));
    assert!(
        (a.low + b.high).abs() < 1e-12,
        "the same draws: {a:?} {b:?}"
    );
    assert_ne!(Resampling::of_columns(&[column], 200, 4), alone);
}

#[test]
fn one_unit_has_no_interval_and_nothing_no_mean() {
    let one = Resampling::of_columns(&[units(&[1.0])], 100, 0);
    assert_eq!(one[0].as_ref().unwrap().interval(0.05), None);
    assert_eq!(
        Resampling::of_columns(&[vec![UnitTotal::default(); 3]], 100, 0),
        [None]
    );
    assert_eq!(Resampling::of_columns(&[Vec::new()], 100, 0), [None]);
}
