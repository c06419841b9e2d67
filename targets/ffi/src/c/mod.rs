//! The functions of `include/curt.h`: each converts, calls, and converts back, inside `boundary::call`.

#![allow(
    clippy::missing_safety_doc,
    reason = "the documentation is the header's, whose readers write C: it says what each pointer has to be"
)]

mod answer;
mod ask;
mod engine;
mod error;
mod event;
mod kv;
mod log;
mod question;

pub use answer::*;
pub use ask::*;
pub use engine::*;
pub use error::*;
pub use event::*;
pub use kv::*;
pub use log::*;
pub use question::*;
