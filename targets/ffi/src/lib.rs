//! curt behind a C ABI, for programs that are not in Rust.
//!
//! Nothing here decides anything: a function of [`c`] turns what it is given into what [`curt::Engine`] takes, calls, and turns
//! back what it gets. What a caller can do wrong is an error here: `handles` knows which handles live, `resident` lets one
//! caller at a time to an engine, and `boundary` lets no panic out. The header is `include/curt.h`.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod boundary;
pub mod c;
mod handles;
mod question;
mod resident;
mod settings;
mod status;

pub use question::Asked;
pub use resident::{Level, Refused, Resident};
pub use settings::{AskSettings, EngineSettings};
pub use status::{CurtStatus, Failure};
