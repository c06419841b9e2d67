//! A dataset: the folder that `curt collect` makes and training reads. Its settings, its lines, its questions.

mod deal;
mod lines;
mod read;
mod settings;

pub use deal::deal;
pub(crate) use lines::each_line;
pub use lines::{PATHS_FILE, PathLine, read_paths};
#[cfg(test)]
pub(crate) use read::tests;
pub use read::{Data, Question, label};
pub(crate) use settings::validate_check_points;
pub use settings::{HELD_OUT_PART, Places, SETTINGS_FILE, Settings, TRAIN_PART};
