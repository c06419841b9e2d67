//! The folder of a run: locked while it is written to, appended to line by line, taken up where it was left.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::read::{RECORDS, parse_whole, records_in, whole_records};
use super::source::{LARGEST_UNPACKED, LONGEST_LINE, byte_order_mark};
use super::{Line, Records, Run, differences, not_compared};
use crate::error::{Error, Result};

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
    /// Bytes there.
    length: u64,
    synced: Instant,
}

/// Where lines go.
pub trait Sink: Write {
    /// Asks that what was written survives a power cut.
    ///
    /// # Errors
    /// The system's.
    fn sync(&mut self) -> io::Result<()>;

    /// Whether what was written can still be found as `file`.
    fn is_still(&self, file: &Path) -> bool;
}

impl Sink for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    #[cfg(unix)]
    fn is_still(&self, file: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        match (self.metadata(), std::fs::metadata(file)) {
            (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
            _ => false,
        }
    }

    #[cfg(not(unix))]
    fn is_still(&self, file: &Path) -> bool {
        file.is_file()
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
        // What is no file, a broken link among it, is refused before it is opened: a pipe would wait for a writer.
        if curt::files::is_there(&file) {
            curt::files::open(&file, "the records cannot be opened for writing")?;
        }
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
        let mut from = BufReader::new(&out);
        let begin = from
            .fill_buf()
            .map_err(Error::io(&file, "the records cannot be read"))?;
        if !begins_as_records(begin) {
            return Err(Error::Record {
                file,
                line: 1,
                reason: "expected the line of a run, got something else: this is no file of curt's and is left as it is; \
                         choose another --out"
                    .into(),
            });
        }
        let (mut earlier, whole) = parse_whole(&file, from)?;
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
        out.set_len(whole)
            .and_then(|()| out.seek(SeekFrom::End(0)))
            .map_err(Error::io(&file, "the records cannot be repaired"))?;
        let mut writer = Writer::new(file, out);
        writer.length = whole;
        if earlier.is_none() {
            writer.append(&Line::Run(Box::new(run.clone())))?;
        }
        Ok((writer, earlier))
    }

    /// The file of records that is here, if one is.
    pub fn records(&self) -> Option<PathBuf> {
        records_in(&self.dir)
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
        // A file of that name may be a link or a pipe: it is not written through.
        let _ = std::fs::remove_file(&part);
        File::create_new(&part)
            .and_then(|mut new| new.write_all(bytes))
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
        self.stays()?;
        self.out
            .rewind()
            .map_err(Error::io(&self.file, "the records cannot be read"))?;
        whole_records(&self.file, BufReader::new(&self.out))
    }
}

impl<W: Sink> Writer<W> {
    /// Writes to `out`; `file` is its name in errors.
    pub fn new(file: PathBuf, out: W) -> Self {
        Self {
            file,
            out,
            length: 0,
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
    /// [`Error::Full`], or [`Error::Io`], also for more than could be read again: what was written before stays, and a
    /// resumed run cuts off half a line. [`Error::Gone`] where the file is no longer in its folder.
    pub fn append(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_vec(line)
            .map_err(io::Error::from)
            .map_err(Error::io(&self.file, "a record cannot be written"))?;
        text.push(b'\n');
        let length = text.len() as u64;
        if length > LONGEST_LINE || self.length + length > LARGEST_UNPACKED {
            let message = format!(
                "{} bytes and a line of {length}: more than {LARGEST_UNPACKED} bytes, or {LONGEST_LINE} in a line, are \
                 not read again; ask fewer items of each run (--shard)",
                self.length
            );
            let error = io::Error::new(ErrorKind::InvalidData, message);
            return Err(Error::io(&self.file, "a record cannot be written")(error));
        }
        self.out
            .write_all(&text)
            .map_err(|error| written(&self.file, error))?;
        self.length += length;
        self.stays()?;
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
        self.out
            .sync()
            .map_err(|error| written(&self.file, error))?;
        self.stays()
    }

    /// Refuses to go on where the file was removed, moved or replaced: nobody would find what is written.
    fn stays(&self) -> Result<()> {
        if self.out.is_still(&self.file) {
            return Ok(());
        }
        Err(Error::Gone {
            file: self.file.clone(),
        })
    }
}

/// Whether `bytes` are records, or the first of them cut short.
fn begins_as_records(bytes: &[u8]) -> bool {
    let bytes = &bytes[byte_order_mark(bytes)..];
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
