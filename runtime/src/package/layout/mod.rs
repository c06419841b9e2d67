//! How a folder names and splits its graphs. Read once, into one description that nothing above can tell a layout from.

mod genai;
mod transformers_js;

use std::path::Path;

use super::description::Description;
use crate::error::{Error, Result};
use crate::files;

/// Reads what the folder `dir` says of its package, in the layout that it has. `dtype` says which files are taken where a
/// folder has several of one graph.
///
/// # Errors
/// [`Error::Package`] where it has no layout that is known, or describes a model that this runtime does not run;
/// [`Error::Io`] where a file of it cannot be read.
pub(super) fn read(dir: &Path, dtype: Option<&str>) -> Result<Description> {
    if files::is_there(&dir.join(genai::FILE)) {
        return match dtype {
            None => genai::read(dir),
            Some(dtype) => Err(Error::option(
                "dtype",
                "none: an onnxruntime-genai folder has one file of each graph",
                dtype,
            )),
        };
    }
    if dir.join(transformers_js::GRAPHS).is_dir() {
        return transformers_js::read(dir, dtype);
    }
    Err(Error::package(
        dir,
        "layout",
        format!(
            "a folder of onnxruntime-genai, with {}, or of transformers.js, with {}/",
            genai::FILE,
            transformers_js::GRAPHS
        ),
        "neither",
    ))
}
