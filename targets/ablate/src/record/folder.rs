//! The folder of a run: locked while it is written to, appended to line by line, taken up where it was left.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::read::{parse_whole, whole_records};
use super::{Line, Records, Run, differences, not_compared};
use crate::error::{Error, Result};

/// File of records in a run's folder.
pub(super) const RECORDS: &str = "records.jsonl";

/// The same, packed by gzip: records that are kept.
pub(super) const PACKED: &str = "records.jsonl.gz";

/// How records begin.
const FIRST: &[u8] = br#"{"kind":"run","#;

/// How long what was written may wait for the disk: all that a power cut can take. A killed process loses nothing.
const SYNC_EVERY: Duration = Duration::from_secs(5);

/// The folder of a run.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
}

/// Appends records. Holds the lock: as long as it is there, nobody else writes to the folder.
#[derive(Debug)]
pub struct Writer<W = File> {
    file: PathBuf,
    out: W,
    synced: Instant,
}

/// Where lines go.
pub trait Sink: Write {
    /// Asks that what was written survives a power cut.
    ///
    /// # Errors
    /// The system's.
    fn sync(&mut self) -> io::Result<()>;
}

impl Sink for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Folder {
    /// A folder, which need not be there yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Opens the folder to write the records of `run` and returns what is there already. A last line that was cut short is
    /// cut off; a file that is not of records is left as it is.
    ///
    /// # Errors
    /// [`Error::Locked`] while another process writes; [`Error::Occupied`] where there are records and `resume` is false;
    /// [`Error::OtherRun`] where they are of another run; [`Error::Io`], [`Error::Full`] and [`Error::Record`].
    pub fn open(&self, run: &Run, resume: bool) -> Result<(Writer, Option<Records>)> {
        self.make()?;
        let file = self.dir.join(RECORDS);
        let mut out = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&file)
            .map_err(Error::io(&file, "the records cannot be opened for writing"))?;
        match out.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Locked {
                    dir: self.dir.clone(),
                });
            }
            Err(TryLockError::Error(error)) => {
                return Err(Error::io(&file, "the records cannot be locked")(error));
            }
        }
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes)
            .map_err(Error::io(&file, "the records cannot be read"))?;
        if !begins_as_records(&bytes) {
            return Err(Error::Record {
                file,
                line: 1,
                reason: "expected the line of a run, got something else: this is no file of curt's and is left as it is; \
                         choose another --out"
                    .into(),
            });
        }
        let (mut earlier, whole) = parse_whole(&file, &bytes)?;
        if let Some(earlier) = &mut earlier {
            if !resume {
                return Err(Error::Occupied {
                    dir: self.dir.clone(),
                    records: earlier.results.len(),
                    remedy: "--resume goes on with it, another --out starts anew",
                });
            }
            let differences = differences(&earlier.run, run);
            if !differences.is_empty() {
                return Err(Error::OtherRun {
                    dir: self.dir.clone(),
                    differences,
                });
            }
            earlier.notes.extend(not_compared(&earlier.run, run));
        }
        out.set_len(whole as u64)
            .and_then(|()| out.seek(SeekFrom::End(0)))
            .map_err(Error::io(&file, "the records cannot be repaired"))?;
        let mut writer = Writer::new(file, out);
        if earlier.is_none() {
            writer.append(&Line::Run(Box::new(run.clone())))?;
        }
        Ok((writer, earlier))
    }

    /// The file of records that is here, if one is.
    pub fn records(&self) -> Option<PathBuf> {
        let files = [PACKED, RECORDS].map(|name| self.dir.join(name));
        files.into_iter().find(|file| file.exists())
    }

    /// Makes the folder where it is not there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn make(&self) -> Result<()> {
        std::fs::create_dir_all(&self.dir)
            .map_err(Error::io(&self.dir, "the folder cannot be made"))
    }

    /// Writes a file of the folder at once: it is whole or it is not there.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Full`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let file = self.dir.join(name);
        let part = self.dir.join(format!("{name}.part"));
        std::fs::write(&part, bytes)
            .and_then(|()| std::fs::rename(&part, &file))
            .map_err(|error| {
                // What could be written of it is of no use.
                let _ = std::fs::remove_file(&part);
                written(&file, error)
            })
    }
}

impl Writer {
    /// All that the file holds, read through the handle that holds the lock.
    ///
    /// # Errors
    /// Those of [`super::read_records`].
    pub fn records(&mut self) -> Result<Records> {
        let mut bytes = Vec::new();
        self.out
            .rewind()
            .and_then(|()| self.out.read_to_end(&mut bytes))
            .map_err(Error::io(&self.file, "the records cannot be read"))?;
        whole_records(&self.file, &bytes)
    }
}

impl<W: Sink> Writer<W> {
    /// Writes to `out`; `file` is its name in errors.
    pub fn new(file: PathBuf, out: W) -> Self {
        Self {
            file,
            out,
            synced: Instant::now(),
        }
    }

    /// Where the lines went.
    pub fn into_inner(self) -> W {
        self.out
    }

    /// Writes a line, in one call.
    ///
    /// # Errors
    /// [`Error::Full`] or [`Error::Io`]. What was written before stays, and a resumed run cuts off half a line.
    pub fn append(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_vec(line)
            .map_err(io::Error::from)
            .map_err(Error::io(&self.file, "a record cannot be written"))?;
        text.push(b'\n');
        self.out
            .write_all(&text)
            .map_err(|error| written(&self.file, error))?;
        if self.synced.elapsed() >= SYNC_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    /// Asks that every line survives a power cut.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn sync(&mut self) -> Result<()> {
        self.synced = Instant::now();
        self.out.sync().map_err(|error| written(&self.file, error))
    }
}

/// Whether `bytes` are records, or the first of them cut short.
fn begins_as_records(bytes: &[u8]) -> bool {
    bytes.starts_with(FIRST) || FIRST.starts_with(bytes)
}

fn written(file: &Path, error: io::Error) -> Error {
    if matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::WriteZero
    ) {
        Error::Full {
            file: file.into(),
            source: error,
        }
    } else {
        Error::io(file, "it cannot be written")(error)
    }
}
