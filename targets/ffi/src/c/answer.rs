//! Answers.

use std::ffi::c_char;

use curt::Answer;
use serde::Serialize;

use crate::boundary::{call, copy};
use crate::handles::{Kind, Table};
use crate::status::{CurtStatus, Failure};

/// An answer. 0 is none.
pub type CurtAnswer = u64;

pub(super) static ANSWERS: Table<Answered> = Table::new(Kind::Answer);

/// An answer's texts.
pub(super) struct Answered {
    text: String,
    found: String,
    json: String,
}

/// The JSON of an answer: that of `curt ask --json`.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(flatten)]
    answer: &'a Answer,
}

impl Answered {
    pub(super) fn new(answer: &Answer, failure: Option<&Failure>) -> Result<Self, Failure> {
        let whole = Whole {
            error: failure.map(|failure| failure.message.as_str()),
            answer,
        };
        let json = serde_json::to_string(&whole)
            .map_err(|error| Failure::new(CurtStatus::Model, error.to_string()))?;
        Ok(Self {
            text: answer.text.clone(),
            found: answer.answer.clone().unwrap_or_default(),
            json,
        })
    }
}

/// The whole text of the path that speaks for the answer. Copied as curt_error_message does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn curt_answer_text(
    answer: CurtAnswer,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> CurtStatus {
    // SAFETY: the header says what the pointers have to be.
    call(|| unsafe { copy(&ANSWERS.get(answer)?.text, buffer, capacity, length) })
}

/// What the vote chose, or what the answer pattern finds in the text; empty where there is neither.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn curt_answer_found(
    answer: CurtAnswer,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> CurtStatus {
    // SAFETY: the header says what the pointers have to be.
    call(|| unsafe { copy(&ANSWERS.get(answer)?.found, buffer, capacity, length) })
}

/// All that is known of the answer, as the JSON object that `curt ask --json` prints: votes, paths, tokens and times by phase,
/// images, placement, notes; `error` where it broke off.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn curt_answer_json(
    answer: CurtAnswer,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> CurtStatus {
    // SAFETY: the header says what the pointers have to be.
    call(|| unsafe { copy(&ANSWERS.get(answer)?.json, buffer, capacity, length) })
}

/// Closes an answer.
#[unsafe(no_mangle)]
pub extern "C" fn curt_answer_close(answer: CurtAnswer) -> CurtStatus {
    call(|| ANSWERS.remove(answer).map(drop))
}
