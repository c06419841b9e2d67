//! Frames of a camera, one after the other, through the server.

use serde_json::{Value, json};

use crate::example::{Example, checkout, video};

/// Standard errors of a share that an accuracy may lie below the card's: one run in 44 would by chance.
const STANDARD_ERRORS: f64 = 2.0;

/// Accuracy of the card's arm.
fn claimed(arm: &str) -> f64 {
    let file = checkout().join("models/packages/vqa/eval.json");
    let figures: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    figures["arms"][arm]["accuracy"]["mean"].as_f64().unwrap()
}

#[test]
fn sheets_that_move_under_a_camera_are_answered_as_the_card_claims() {
    let test = "sheets_that_move_under_a_camera_are_answered_as_the_card_claims";
    let Some(example) = Example::start(test) else {
        return;
    };
    for (format, arm) in [("auto", "adaptive"), ("full", "full")] {
        let (mut right, mut asked, mut tokens) = (0, 0, 0);
        for sheet in video() {
            for (place, frame) in sheet.frames.iter().enumerate() {
                let it = &sheet.asked[place % sheet.asked.len()];
                let (status, answer) = example.ask(frame, &it.question, json!({"format": format}));
                assert_eq!(status, 200, "{answer}");
                asked += 1;
                right +=
                    usize::from(answer["choices"][0]["message"]["content"] == it.answer.as_str());
                tokens += answer["usage"]["completion_tokens"].as_u64().unwrap();
            }
        }
        assert!(asked >= 200, "{asked} frames");
        let (share, claimed) = (
            f64::from(right as u32) / f64::from(asked as u32),
            claimed(arm),
        );
        let error = (claimed * (1.0 - claimed) / f64::from(asked as u32)).sqrt();
        eprintln!(
            "{format}: {right} of {asked} right, {:.1} tokens each",
            tokens as f64 / f64::from(asked as u32)
        );
        assert!(
            share >= claimed - STANDARD_ERRORS * error,
            "{format}: {right} of {asked} right, the card claims {claimed}"
        );
    }
}
