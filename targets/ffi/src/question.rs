//! A question that is put together piece by piece, and can be cancelled from any thread.

use std::sync::{Mutex, MutexGuard, PoisonError};

use curt::vision::{Frame, Image, ImageLimits};
use curt::{CancelToken, Message, Question};

use crate::status::{CurtStatus, Failure};

/// A question. It can be asked several times, of several engines, until it is cancelled.
pub struct Asked {
    question: Question,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    images: Vec<Image>,
    cancelled: bool,
    /// Of the engines that answer it now, by number.
    running: Vec<(u64, CancelToken)>,
    next: u64,
}

impl Asked {
    /// A question of one text; the package's prompt goes around it.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Question::Text(text.into()))
    }

    /// A whole conversation, the model to speak next.
    pub fn messages(messages: Vec<Message>) -> Self {
        Self::new(Question::Messages(messages))
    }

    fn new(question: Question) -> Self {
        Self {
            question,
            state: Mutex::default(),
        }
    }

    /// Puts `image` after those that are there.
    pub fn add(&self, image: Image) {
        self.state().images.push(image);
    }

    /// Puts a camera's frame after the images that are there. Its planes are read now, and not needed afterwards.
    ///
    /// # Errors
    /// [`CurtStatus::Image`] for planes that do not hold their pixels.
    pub fn add_frame(&self, frame: &Frame<'_>) -> Result<(), Failure> {
        let image = frame.upright(&ImageLimits::default())?;
        self.add(image);
        Ok(())
    }

    /// Cancels it wherever it is answered, and before it is asked.
    pub fn cancel(&self) {
        let mut state = self.state();
        state.cancelled = true;
        for (_, token) in &state.running {
            token.cancel();
        }
    }

    /// The question as an engine takes it. `token` is cancelled with it until the guard is dropped.
    ///
    /// # Errors
    /// [`CurtStatus::Cancelled`].
    pub(crate) fn begin(&self, token: &CancelToken) -> Result<(Question, Running<'_>), Failure> {
        let mut state = self.state();
        if state.cancelled {
            return Err(Failure::new(
                CurtStatus::Cancelled,
                "the question was cancelled before it was asked",
            ));
        }
        let number = state.next;
        state.next += 1;
        state.running.push((number, token.clone()));
        let question = self.question.clone();
        let question = match state.images.is_empty() {
            true => question,
            false => question.about(state.images.iter().cloned()),
        };
        let running = Running {
            asked: self,
            number,
        };
        Ok((question, running))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it lives, an engine answers the question.
pub(crate) struct Running<'a> {
    asked: &'a Asked,
    number: u64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.asked.state();
        state.running.retain(|(number, _)| *number != self.number);
    }
}
