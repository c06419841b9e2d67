//! Writing whole records at once: merged, or made small enough to commit.

use std::io::{ErrorKind, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::source::LARGEST_UNPACKED;
use super::{Folder, Line, Records};
use crate::error::{Error, Result};

impl Records {
    /// The records without paths and their texts: all that the figures need, and nothing that a question said.
    pub fn without_paths(mut self) -> Self {
        self.items.clear();
        for sample in &mut self.samples {
            // What the time model needs of them.
            for path in &mut sample.paths {
                path.answer = None;
                path.text = None;
                path.scores.clear();
            }
        }
        for record in &mut self.results {
            record.answer = record.answer.take().map(|_| String::new());
            if record.paths.len() == 1 {
                record.paths[0].text = None;
                record.paths[0].answer = None;
            } else {
                record.paths.clear();
            }
        }
        self
    }

    /// Writes them to `records.jsonl` in `dir`, or, `packed`, to `records.jsonl.gz`.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Full`]; [`Error::Occupied`] where `dir` holds records.
    pub fn write(&self, dir: &Path, packed: bool) -> Result<()> {
        let folder = Folder::new(dir);
        if let Some(file) = folder.records() {
            return Err(Error::Occupied {
                dir: dir.into(),
                records: super::read_records(&file)?.results.len(),
                remedy: "choose another --out",
            });
        }
        std::fs::create_dir_all(dir).map_err(Error::io(dir, "the folder cannot be made"))?;
        let text = self
            .lines()
            .map_err(Error::io(dir, "the records cannot be written"))?;
        if text.len() as u64 > LARGEST_UNPACKED {
            let message = format!(
                "{} bytes, and more than {LARGEST_UNPACKED} are not read again; leave out the texts (--without-paths)",
                text.len()
            );
            let error = std::io::Error::new(ErrorKind::InvalidData, message);
            return Err(Error::io(dir, "the records cannot be written")(error));
        }
        if !packed {
            return folder.write(super::read::RECORDS, &text);
        }
        let mut gz = GzEncoder::new(Vec::new(), Compression::best());
        let bytes = gz.write_all(&text).and_then(|()| gz.finish());
        folder.write(
            super::read::PACKED,
            &bytes.map_err(Error::io(dir, "the records cannot be packed"))?,
        )
    }

    fn lines(&self) -> std::io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut line = |line: Line| {
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
            Ok::<(), std::io::Error>(())
        };
        line(Line::Run(Box::new(self.run.clone())))?;
        for start in &self.starts {
            line(Line::Start(Box::new(start.clone())))?;
        }
        for item in &self.items {
            line(Line::Item(Box::new(item.clone())))?;
        }
        for sample in &self.samples {
            line(Line::Sample(Box::new(sample.clone())))?;
        }
        for record in &self.results {
            line(Line::Result(Box::new(record.clone())))?;
        }
        Ok(text)
    }
}
