//! One question, answered.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::answer::{ANSWERS, Answered, CurtAnswer};
use super::engine::{CurtEngine, ENGINES};
use super::event::{CurtOnEvent, Listener};
use super::question::{CurtQuestion, QUESTIONS};
use crate::boundary::{Place, call, text_or_none};
use crate::resident::Refused;
use crate::settings::{AskSettings, read};
use crate::status::CurtStatus;

/// Answers `question` on this thread, and returns when the answer is there. `options` is a JSON object (README.md lists its
/// fields), or NULL for the usual ones. `on_event` may be NULL; `user` is handed to it and not looked at.
///
/// `answer` gets a handle to be closed, or 0. A question that broke off gives both a status that says why and, where paths had
/// begun, an answer as far as it came.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn curt_ask(
    engine: CurtEngine,
    question: CurtQuestion,
    options: *const c_char,
    on_event: CurtOnEvent,
    user: *mut c_void,
    answer: *mut CurtAnswer,
) -> CurtStatus {
    // SAFETY: the header says what the pointers have to be.
    call(|| unsafe {
        let place = Place::at(answer, "answer")?;
        place.put(0);
        let options: AskSettings = read(text_or_none(options, "options")?, "options")?;
        let options = options.options()?;
        let (engine, question) = (ENGINES.get(engine)?, QUESTIONS.get(question)?);
        let mut listener = Listener::new(on_event, user);
        let asked = engine.ask(&question, options, &mut |event| listener.tell(event));
        let (answer, failure) = match asked {
            Ok(answer) => (Some(answer), None),
            Err(Refused { failure, partial }) => (partial.map(|answer| *answer), Some(failure)),
        };
        if let Some(answer) = answer {
            let answered = Answered::new(&answer, failure.as_ref())?;
            place.put(ANSWERS.insert(Arc::new(answered))?);
        }
        failure.map_or(Ok(()), Err)
    })
}
