//! Where records are read from: a regular file, line by line, within bounds.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::error::{Error, Result};
use crate::files::{byte_order_mark, regular};

/// Most bytes of a line. The longest that a run writes is a sample with the texts of all paths.
pub(super) const LONGEST_LINE: u64 = 256 << 20;

/// Most bytes of records, unpacked: a packed file of a few megabytes can hold any number.
pub(super) const LARGEST_UNPACKED: u64 = 4 << 30;

/// Opens the records in `file`, unpacked where its name ends in `.gz`.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn open(file: &Path) -> Result<Box<dyn BufRead>> {
    let action = "the records cannot be opened";
    regular(file, action)?;
    let open = File::open(file).map_err(Error::io(file, action))?;
    if file.extension().is_none_or(|extension| extension != "gz") {
        return Ok(Box::new(BufReader::new(open)));
    }
    // One byte more, so that what is too large is told from what just fits.
    let unpacked = MultiGzDecoder::new(open).take(LARGEST_UNPACKED + 1);
    Ok(Box::new(BufReader::new(unpacked)))
}

/// The lines of records, with their numbers.
pub(super) struct Lines<R> {
    from: R,
    text: Vec<u8>,
    /// Lines read.
    number: usize,
    /// Bytes of whole lines.
    whole: u64,
    /// Bytes after the last line that is whole.
    cut: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(from: R) -> Self {
        Self {
            from,
            text: Vec::new(),
            number: 0,
            whole: 0,
            cut: 0,
        }
    }

    /// Bytes of the whole lines that were read, and bytes after the last of them.
    pub(super) fn read(&self) -> (u64, u64) {
        (self.whole, self.cut)
    }

    /// The number and text of the next whole line that is not empty; `None` where there is none.
    ///
    /// # Errors
    /// The system's, and [`ErrorKind::InvalidData`] for what is too long or too large.
    pub(super) fn next(&mut self) -> io::Result<Option<(usize, &[u8])>> {
        let too_long = |message: String| Err(io::Error::new(ErrorKind::InvalidData, message));
        loop {
            self.text.clear();
            let mut within = (&mut self.from).take(LONGEST_LINE + 1);
            let length = within.read_until(b'\n', &mut self.text)? as u64;
            if length == 0 {
                return Ok(None);
            }
            self.number += 1;
            if length > LONGEST_LINE {
                let number = self.number;
                return too_long(format!(
                    "line {number} has more than {LONGEST_LINE} bytes: curt writes none as long"
                ));
            }
            if self.text.last() != Some(&b'\n') {
                self.cut = length;
                return Ok(None);
            }
            self.whole += length;
            if self.whole > LARGEST_UNPACKED {
                return too_long(format!("more than {LARGEST_UNPACKED} bytes"));
            }
            let skipped = if self.number == 1 {
                byte_order_mark(&self.text)
            } else {
                0
            };
            if self.text[skipped..]
                .iter()
                .any(|byte| !byte.is_ascii_whitespace())
            {
                return Ok(Some((self.number, &self.text[skipped..])));
            }
        }
    }
}
