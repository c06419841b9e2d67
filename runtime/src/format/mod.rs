//! Direct, perception, full: which sections a response has, found in its text as it comes, and forced where it should have
//! others.

mod cascade;
mod grammar;
mod loops;
mod pace;
mod parser;
mod readout;
mod section;
mod spelling;
mod steering;
mod track;

pub use cascade::{
    CALIBRATION_FILE, CalibratedPackage, Calibration, CalibrationMeasured, CascadeStage, Features,
    Lengths, Workload as CalibrationWorkload,
};
pub use grammar::{Grammar, Origin};
pub use pace::Pace;
pub use parser::{Closing, Fault, Parser, Piece, Place};
pub use readout::ReadOut;
pub use section::{Format, ResponseFormat, Section, SectionFinish, SectionKind};
pub use spelling::Spelling;
pub use steering::{ANSWER_TOKENS, Rules, SectionEvent, Steering, Wanted};
