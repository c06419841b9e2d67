//! The lines of a dataset: `paths.jsonl`, one finished path each.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use curt::paths::FinishReason;
use curt::{AnswerKind, FoundAnswer};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The file of paths, in the folder that is collected to.
pub const PATHS_FILE: &str = "paths.jsonl";

/// One finished path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathLine {
    /// The item's id.
    pub item: String,
    /// What the item shares with others that must not stand on the other side of a split; its id where it shares nothing.
    pub group: String,
    /// The path's number.
    pub path: usize,
    /// What the item's paths continue, on path 0: the prompt's tokens, as a chat template made them of the question, and of a
    /// response with formats what all paths have in common. Caches are rebuilt from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Vec<u32>>,
    /// Generated tokens, the one that ended it included.
    pub tokens: Vec<u32>,
    /// Log-probability of each under the model itself.
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub finish: FinishReason,
    /// What the answer pattern finds in its text.
    pub answer: Option<String>,
    /// The form that it shares with all answers that are the same, where it is not written so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<String>,
    /// Whether the workload's scorer takes it.
    pub correct: bool,
    /// By prefix length in tokens, the share of right continuations; lengths that the path did not pass are absent.
    pub rate: Option<BTreeMap<usize, f64>>,
}

impl PathLine {
    /// What it votes for.
    pub(crate) fn vote(&self) -> Option<FoundAnswer> {
        let form = self.same_as.as_deref().or(self.answer.as_deref());
        form.map(|form| AnswerKind::Text.found(form))
    }
}

/// Calls `visit` with each whole line of `file` and the bytes it takes.
///
/// Where the last line has no end or cannot be understood, a process was killed while it wrote it: it is passed over.
pub(crate) fn each_line(
    file: &Path,
    visit: &mut dyn FnMut(std::ops::Range<u64>, PathLine) -> Result<()>,
) -> Result<()> {
    let failed = |source| Error::io(file, "the paths cannot be read")(source);
    let mut reader = BufReader::new(File::open(file).map_err(failed)?);
    let (mut start, mut number, mut text) = (0u64, 0, Vec::new());
    loop {
        text.clear();
        let read = reader.read_until(b'\n', &mut text).map_err(failed)?;
        if text.last() != Some(&b'\n') {
            return Ok(());
        }
        number += 1;
        let end = start + read as u64;
        match serde_json::from_slice(&text) {
            Ok(line) => visit(start..end, line)?,
            Err(_) if reader.fill_buf().map_err(failed)?.is_empty() => return Ok(()),
            Err(error) => {
                return Err(Error::data(
                    file,
                    format!("line {number}"),
                    "a path as `curt collect` writes it",
                    error,
                ));
            }
        }
        start = end;
    }
}

/// Reads the paths of the folder `dir`, in the order of the file.
///
/// # Errors
/// [`Error::Io`], and [`Error::Data`] for a damaged line that is not the last, for one without a log-probability of each
/// token, and for rates that are none.
pub fn read_paths(dir: &Path) -> Result<Vec<PathLine>> {
    let file = dir.join(PATHS_FILE);
    let mut lines = Vec::new();
    each_line(&file, &mut |_, line| {
        if line.tokens.len() != line.logprobs.len() || line.tokens.is_empty() {
            return Err(Error::data(
                &file,
                format!("item {:?}, path {}", line.item, line.path),
                "tokens, and a log-probability of each",
                format!("{} and {}", line.tokens.len(), line.logprobs.len()),
            ));
        }
        let mut rates = line.rate.iter().flat_map(BTreeMap::values);
        if let Some(rate) = rates.find(|rate| !(0.0..=1.0).contains(*rate)) {
            return Err(Error::data(
                &file,
                format!("item {:?}, path {}, rate", line.item, line.path),
                "shares from 0 to 1",
                rate,
            ));
        }
        lines.push(line);
        Ok(())
    })?;
    Ok(lines)
}
