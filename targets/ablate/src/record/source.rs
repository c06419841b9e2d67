//! Where records are read from: a regular file, line by line, within bounds.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::error::Result;

/// Most bytes of a line. The longest that a run writes is a sample with the texts of all paths.
pub(super) const LONGEST_LINE: u64 = 256 << 20;

/// Most bytes of records, unpacked: a packed file of a few megabytes can hold any number.
pub(super) const LARGEST_UNPACKED: u64 = 4 << 30;

/// What editors on Windows write before the first letter of a file in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Opens the records in `file`, unpacked where its name ends in `.gz`.
///
/// # Errors
/// [`curt::Error`] for what is no regular file, or cannot be opened.
pub(super) fn open(file: &Path) -> Result<Box<dyn BufRead>> {
    let open = curt::files::open(file, "the records cannot be opened")?.file;
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

/// Bytes of the byte order mark that `text` begins with.
pub(super) fn byte_order_mark(text: &[u8]) -> usize {
    if text.starts_with(BYTE_ORDER_MARK) {
        BYTE_ORDER_MARK.len()
    } else {
        0
    }
}
