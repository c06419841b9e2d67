//! Calibrations of made-up answers, of which it is known when they are right.

use curt::format::{CalibratedPackage, CalibrationWorkload, Features, ResponseFormat};
use curt_ablate::calibrate::{Observed, Target, Tried, calibrate};

/// Items whose direct answer is right where its margin is above 0 (one in `noise` the other way), whose perception is right
/// two times of three and knows nothing of it, and which are right in full, but for one in ten.
fn observed(count: usize, noise: usize) -> Vec<Observed> {
    (0..count)
        .map(|i| {
            let margin = ((i * 37) % 101) as f64 / 10.0 - 5.0;
            let features = |margin| Features {
                margin,
                mean_logprob: -0.1,
                min_logprob: -0.2,
            };
            let tried = |correct, tokens, margin: f64| Tried {
                correct,
                tokens,
                features: Some(features(margin)),
            };
            Observed {
                unit: format!("group-{}", i / 2),
                direct: tried((margin > 0.0) != (i % noise == 0), 6, margin),
                perception: tried(i % 3 > 0, 25, ((i * 17) % 11) as f64),
                perception_discarded: 4,
                full: tried(i % 10 > 0, 80, 0.0),
                lengths: [20, 55, 5 + i % 100 / 96],
            }
        })
        .collect()
}

fn of(
    observed: &[Observed],
    target: Target,
) -> curt_ablate::Result<curt_ablate::calibrate::Calibrated> {
    let package = CalibratedPackage {
        name: "p".into(),
        fingerprint: "f".into(),
    };
    let workload = CalibrationWorkload {
        name: "w".into(),
        digest: "d".into(),
        items: observed.len(),
    };
    calibrate(observed, target, package, workload)
}

#[test]
fn what_can_be_told_is_answered_directly_and_the_rest_in_full() {
    let made_up = observed(1000, 50);
    let calibrated = of(&made_up, Target::Drop(0.0)).unwrap();
    assert!(calibrated.reached);
    assert!((calibrated.accuracy[2] - 0.9).abs() < 1e-9);
    let measured = calibrated.calibration.measured;
    assert!(measured.accuracy >= 0.9);
    // Half are right directly, and known to be: 6 tokens for these, 6 + 80 for the others.
    assert!(measured.tokens < 0.65 * 80.0, "{measured:?}");
    // What direct gains over full may be spent on a perception that is right less often.
    let stage = &calibrated.calibration.stages[0];
    assert_eq!(stage.format, ResponseFormat::Direct);
    assert!(stage.weights.margin > 0.0);
    let confidence = |margin| {
        stage.confidence(Features {
            margin,
            mean_logprob: -0.1,
            min_logprob: -0.2,
        })
    };
    assert!(confidence(4.0) > stage.threshold && confidence(-4.0) < stage.threshold);
    assert_eq!(calibrated.calibration.lengths.answer, 5);
    // The fewest tokens at any accuracy: always direct.
    let cheap = of(&made_up, Target::Accuracy(0.0)).unwrap();
    assert_eq!(cheap.calibration.measured.tokens, 6.0);
    // More than there is.
    let most = of(&made_up, Target::Accuracy(1.0)).unwrap();
    assert!(!most.reached && most.chosen.accuracy >= 0.9);
}

#[test]
fn a_read_out_that_knows_nothing_saves_nothing_for_free() {
    let mut blind = observed(1000, 50);
    for (i, item) in blind.iter_mut().enumerate() {
        let known = ((i * 53) % 97) as f64 / 10.0;
        item.direct.features = item
            .direct
            .features
            .map(|f| Features { margin: known, ..f });
    }
    let calibrated = of(&blind, Target::Drop(0.0)).unwrap();
    assert!(
        calibrated.calibration.measured.tokens > 0.9 * 80.0,
        "{:?}",
        calibrated.calibration
    );
    assert!(
        of(&blind[..20], Target::Drop(0.0))
            .unwrap_err()
            .to_string()
            .contains("at least 50")
    );
}
