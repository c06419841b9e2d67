//! `paths.jsonl`: one line a path. An item's lines are written together; what a killed process left half done is undone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use curt::paths::FinishReason;
use curt::{AnswerKind, FoundAnswer};
use serde::{Deserialize, Serialize};

use super::Done;
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

/// The file as one process writes it.
pub(super) struct PathsFile {
    file: PathBuf,
    handle: File,
}

impl PathsFile {
    /// Opens the file of `dir`, repairs its end, and says which items are there with all of their `paths` lines.
    ///
    /// A half-written last line, and the lines of an item that has fewer than `paths`, are taken out.
    ///
    /// # Errors
    /// [`Error::Locked`] while another process writes; [`Error::Data`] for a damaged line that is not the last, a path
    /// that is there twice, or several items of which none is whole.
    pub(super) fn open(dir: &Path, paths: usize) -> Result<(Self, Done)> {
        let file = dir.join(PATHS_FILE);
        let failed = |source| Error::io(&file, "the paths cannot be read or written")(source);
        let handle = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&file)
            .map_err(failed)?;
        match handle.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { file }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut opened = Self { file, handle };
        let done = opened.repair(paths)?;
        Ok((opened, done))
    }

    /// Writes the lines of one item, in one go, to the disk.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn append(&mut self, lines: &[PathLine]) -> Result<()> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)
                .map_err(|e| Error::data(&self.file, "a path", "numbers that JSON can hold", e))?;
            text.push(b'\n');
        }
        let written = self.handle.write_all(&text);
        written
            .and_then(|()| self.handle.sync_data())
            .map_err(Error::io(&self.file, "the paths cannot be written"))
    }

    fn repair(&mut self, paths: usize) -> Result<Done> {
        let mut lines_of: BTreeMap<String, Vec<(u64, usize)>> = BTreeMap::new();
        let mut end = 0;
        each_line(&self.file, &mut |at, line| {
            let before = lines_of.entry(line.item.clone()).or_default();
            if before.iter().any(|&(_, path)| path == line.path) {
                return Err(Error::data(
                    &self.file,
                    format!("item {:?}", line.item),
                    "each path once",
                    format!("path {} twice", line.path),
                ));
            }
            before.push((at.start, line.path));
            end = at.end;
            Ok(())
        })?;
        let (whole, part): (BTreeMap<_, _>, BTreeMap<_, _>) = lines_of
            .into_iter()
            .partition(|(_, lines)| lines.len() == paths && lines.iter().all(|l| l.1 < paths));
        if let Some((item, lines)) = part.iter().find(|(_, l)| l.len() > paths) {
            return Err(Error::data(
                &self.file,
                format!("item {item:?}"),
                format!("at most {paths} paths, as --paths says"),
                lines.len(),
            ));
        }
        // A kill leaves one item unfinished. Where none is whole they are of other settings, and nothing is thrown away.
        if whole.is_empty() && part.len() > 1 {
            let counts: BTreeSet<usize> = part.values().map(Vec::len).collect();
            return Err(Error::data(
                &self.file,
                "paths of an item",
                format!(
                    "{paths} of at least one of the {} items, as --paths says: name what they were collected with, or \
                    another --out",
                    part.len()
                ),
                format!("{counts:?}"),
            ));
        }
        let first_gone = part.values().flatten().map(|l| l.0).min();
        let last_kept = whole.values().flatten().map(|l| l.0).max();
        let failed = |source| Error::io(&self.file, "the paths cannot be repaired")(source);
        match (first_gone, last_kept) {
            // Only an editor leaves an incomplete item before a complete one.
            (Some(gone), Some(kept)) if gone < kept => {
                self.keep_lines(whole.into_values().flatten().map(|l| l.0).collect())?;
                return self.repair(paths);
            }
            (Some(gone), _) => end = gone,
            (None, _) => {}
        }
        self.handle.set_len(end).map_err(failed)?;
        self.handle.seek(SeekFrom::Start(end)).map_err(failed)?;
        Ok(whole.into_keys().collect())
    }

    /// Replaces the file by one of the lines that begin at `starts` alone, in their order.
    fn keep_lines(&mut self, mut starts: Vec<u64>) -> Result<()> {
        let failed = |source| Error::io(&self.file, "the paths cannot be repaired")(source);
        let old = std::fs::read(&self.file).map_err(failed)?;
        starts.sort_unstable();
        let mut kept = Vec::with_capacity(old.len());
        for start in starts {
            let rest = &old[start as usize..];
            let end = rest.iter().position(|&b| b == b'\n');
            kept.extend_from_slice(&rest[..end.map_or(rest.len(), |n| n + 1)]);
        }
        let new = self.file.with_extension("jsonl.new");
        let mut handle = File::create(&new).map_err(failed)?;
        handle.lock().map_err(failed)?;
        handle.write_all(&kept).map_err(failed)?;
        handle.sync_all().map_err(failed)?;
        std::fs::rename(&new, &self.file).map_err(failed)?;
        self.handle = handle;
        Ok(())
    }
}

/// Calls `visit` with each whole line of `file` and the bytes it takes.
///
/// A last line without its end, or one that cannot be understood, is what a killed process left: it is passed over.
fn each_line(
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
/// [`Error::Io`], and [`Error::Data`] for a damaged line that is not the last, or one whose tokens and log-probabilities
/// do not pair.
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
        lines.push(line);
        Ok(())
    })?;
    Ok(lines)
}
