//! Files that others may have put where they are read.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::error::{Error, Result};

/// What editors on Windows write before the first letter of a file in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Bytes of the byte order mark that `text` begins with.
pub(crate) fn byte_order_mark(text: &[u8]) -> usize {
    if text.starts_with(BYTE_ORDER_MARK) {
        BYTE_ORDER_MARK.len()
    } else {
        0
    }
}

/// Refuses what is no regular file, or no link to one: reading a pipe or a device may never end.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn regular(file: &Path, action: &'static str) -> Result<()> {
    let kind = std::fs::metadata(file).map_err(Error::io(file, action))?;
    if kind.is_file() {
        return Ok(());
    }
    let kind = if kind.is_dir() {
        "a folder"
    } else {
        "a pipe or device"
    };
    let message = format!("expected a regular file, got {kind}");
    Err(invalid(file, action, message))
}

/// The text of a regular file of at most so many bytes, without its byte order mark.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn read_text(file: &Path, most_bytes: u64, action: &'static str) -> Result<String> {
    regular(file, action)?;
    let mut text = String::new();
    File::open(file)
        .and_then(|open| open.take(most_bytes + 1).read_to_string(&mut text))
        .map_err(Error::io(file, action))?;
    if text.len() as u64 > most_bytes {
        let message = format!("expected at most {most_bytes} bytes, got more");
        return Err(invalid(file, action, message));
    }
    let mark = byte_order_mark(text.as_bytes());
    text.drain(..mark);
    Ok(text)
}

fn invalid(file: &Path, action: &'static str, message: String) -> Error {
    Error::io(file, action)(io::Error::new(ErrorKind::InvalidData, message))
}
