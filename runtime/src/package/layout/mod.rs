//! How a folder names and splits its graphs. Read once, into one description that nothing above can tell a layout from.

mod genai;

use std::path::Path;

use super::description::Description;
use crate::error::{Error, Result};
use crate::files;

/// Reads what the folder `dir` says of its package, in the layout that it has.
///
/// # Errors
/// [`Error::Package`] where it has no layout that is known, or describes a model that this runtime does not run;
/// [`Error::Io`] where a file of it cannot be read.
pub(super) fn read(dir: &Path) -> Result<Description> {
    if files::is_there(&dir.join(genai::FILE)) {
        return genai::read(dir);
    }
    let transformers_js = dir.join("config.json").exists() && dir.join("onnx").is_dir();
    Err(Error::package(
        dir,
        "layout",
        format!("an onnxruntime-genai folder, with {}", genai::FILE),
        if transformers_js {
            "one of transformers.js, with config.json and onnx/"
        } else {
            "no such file"
        },
    ))
}
