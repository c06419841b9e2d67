//! The heads that a package brings.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Name of the head that is used where none is named.
pub const DEFAULT_HEAD: &str = "kv";

/// Folder of a package that holds its heads.
const HEADS: &str = "heads";

/// Extension of a head file.
const HEAD_EXTENSION: &str = "safetensors";

/// The head files of the package in `dir`, by name.
pub fn head_files(dir: &Path) -> Vec<PathBuf> {
    let mut heads: Vec<PathBuf> = std::fs::read_dir(dir.join(HEADS))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|file| file.extension().is_some_and(|e| e == HEAD_EXTENSION))
        .collect();
    heads.sort();
    heads
}

/// A head's file: a path, or the name of one of the heads of the package in `dir`.
///
/// # Errors
/// [`Error::Option`] where there is neither.
pub fn find_head(name: &str, dir: &Path) -> Result<PathBuf> {
    let direct = PathBuf::from(name);
    if direct.is_file() {
        return Ok(direct);
    }
    let heads = head_files(dir);
    let stem = |file: &PathBuf| Some(file.file_stem()?.to_string_lossy().into_owned());
    if let Some(file) = heads
        .iter()
        .find(|file| stem(file).as_deref() == Some(name))
    {
        return Ok(file.clone());
    }
    let known: Vec<String> = heads.iter().filter_map(stem).collect();
    let known = if known.is_empty() {
        format!("none in {}", dir.join(HEADS).display())
    } else {
        known.join(", ")
    };
    Err(Error::option(
        "signal",
        format!("a head file, or a head of the package ({known}; `curt train-head` makes one)"),
        format!("{name:?}"),
    ))
}
