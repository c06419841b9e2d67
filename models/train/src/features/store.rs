//! Numbers of each question in a file: appended question by question, gone on with after a kill, read back by place.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use half::f16;
use half::slice::HalfFloatSliceExt;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Bytes of the digest at the beginning of the file and of each question.
const DIGEST: usize = 32;

/// A file of `[paths, width]` half-precision numbers a question.
///
/// Half precision: storing a number changes it by at most 2^-11 of itself. Beside a feature's spread the change is larger
/// where its mean is.
pub struct Store {
    file: PathBuf,
    handle: File,
    paths: usize,
    width: usize,
    questions: usize,
}

impl Store {
    /// Opens or begins `file` for questions of `paths` paths with `width` numbers each. `meaning` says what the numbers
    /// are: a file of other ones is begun anew. `digests`: what each question's paths are ([`crate::dataset::Question::digest`]);
    /// from the first question on that is not the same, the file is cut.
    ///
    /// # Errors
    /// [`Error::Locked`] while another process has it open, [`Error::Io`].
    pub fn open(
        file: &Path,
        meaning: &str,
        [paths, width]: [usize; 2],
        digests: &[[u8; DIGEST]],
    ) -> Result<Self> {
        let failed = |source| Error::io(file, "the features cannot be read or written")(source);
        let handle = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(file)
            .map_err(failed)?;
        match handle.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { file: file.into() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut store = Self {
            file: file.into(),
            handle,
            paths,
            width,
            questions: 0,
        };
        let meaning: [u8; DIGEST] =
            Sha256::digest(format!("1 {meaning} {paths} {width}").as_bytes()).into();
        let bytes = store.handle.metadata().map_err(failed)?.len();
        let mut first = [0; DIGEST];
        let known = bytes >= DIGEST as u64 && store.handle.read_exact(&mut first).is_ok();
        if !known || first != meaning {
            store.handle.set_len(0).map_err(failed)?;
            store.handle.seek(SeekFrom::Start(0)).map_err(failed)?;
            store.handle.write_all(&meaning).map_err(failed)?;
            return Ok(store);
        }
        let whole = ((bytes - DIGEST as u64) / store.record()) as usize;
        for digest in digests.iter().take(whole) {
            let mut there = [0; DIGEST];
            let at = store.place(store.questions);
            store.handle.seek(SeekFrom::Start(at)).map_err(failed)?;
            store.handle.read_exact(&mut there).map_err(failed)?;
            if there != *digest {
                break;
            }
            store.questions += 1;
        }
        let end = store.place(store.questions);
        store.handle.set_len(end).map_err(failed)?;
        Ok(store)
    }

    /// Questions in the file.
    pub fn questions(&self) -> usize {
        self.questions
    }

    /// Numbers of one path.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Appends the next question's numbers: `[paths, width]`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append(&mut self, digest: &[u8; DIGEST], values: &[f32]) -> Result<()> {
        let mut halves = vec![f16::ZERO; self.paths * self.width];
        halves.convert_from_f32_slice(values);
        let mut bytes = Vec::with_capacity(DIGEST + 2 * halves.len());
        bytes.extend_from_slice(digest);
        bytes.extend(halves.iter().flat_map(|x| x.to_le_bytes()));
        let at = self.place(self.questions);
        let written = self
            .handle
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.handle.write_all(&bytes));
        written.map_err(Error::io(&self.file, "the features cannot be written"))?;
        self.questions += 1;
        Ok(())
    }

    /// The numbers of `question`: `[paths, width]`.
    ///
    /// # Errors
    /// [`Error::Io`], also past the last question.
    pub fn read(&mut self, question: usize) -> Result<Vec<f32>> {
        let mut bytes = vec![0; 2 * self.paths * self.width];
        let at = self.place(question) + DIGEST as u64;
        let read = self
            .handle
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.handle.read_exact(&mut bytes));
        read.map_err(Error::io(&self.file, "the features cannot be read"))?;
        let (pairs, _) = bytes.as_chunks::<2>();
        let halves: Vec<f16> = pairs.iter().map(|&b| f16::from_le_bytes(b)).collect();
        Ok(halves.to_f32_vec())
    }

    fn record(&self) -> u64 {
        (DIGEST + 2 * self.paths * self.width) as u64
    }

    fn place(&self, question: usize) -> u64 {
        DIGEST as u64 + question as u64 * self.record()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_goes_on_and_forgets_what_is_not_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        let digests = [[1; 32], [2; 32], [3; 32]];
        let open = |meaning: &str, digests: &[[u8; 32]]| {
            Store::open(&file, meaning, [2, 3], digests).unwrap()
        };
        let values = [1.0, -2.5, 0.0, 4.0, 5.0, 6.0];
        let mut store = open("a", &digests);
        for digest in &digests[..2] {
            store.append(digest, &values).unwrap();
        }
        drop(store);
        // Half a question more, as a kill leaves it.
        let mut bytes = std::fs::read(&file).unwrap();
        bytes.extend([9; 20]);
        std::fs::write(&file, bytes).unwrap();
        let mut store = open("a", &digests);
        assert_eq!(store.questions(), 2);
        assert_eq!(store.read(1).unwrap(), values);
        assert!(store.read(2).is_err());
        store.append(&digests[2], &[7.0; 6]).unwrap();
        let second = Store::open(&file, "a", [2, 3], &digests).err().unwrap();
        assert!(matches!(second, Error::Locked { .. }), "{second}");
        drop(store);
        assert_eq!(open("a", &digests).read(2).unwrap(), [7.0; 6]);
        assert_eq!(open("a", &[[1; 32], [8; 32], [3; 32]]).questions(), 1);
        assert_eq!(open("b", &digests).questions(), 0);
    }
}
