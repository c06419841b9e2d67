//! Write the file of paths: an item's lines together, after taking out what a killed process left half done.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Done;
use crate::dataset::{PATHS_FILE, PathLine, each_line};
use crate::error::{Error, Result};

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
                format!("at most {paths} paths, as `paths` says"),
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
                    "{paths} of at least one of the {} items, as `paths` says: name what they were collected with, or \
                    another `out`",
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
