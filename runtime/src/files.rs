//! Reading files that nobody vouches for: regular files of bounded size, whatever stands under their name.
//!
//! A named pipe never ends, a device gives bytes for ever, and a link can lead anywhere: each is an error here before a
//! byte is read.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};

/// Most bytes of a file that a person writes: configs, prompts, templates, cards.
pub const WRITTEN_BYTES: u64 = 16 << 20;

/// What Windows editors and PowerShell put before a text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A regular file, opened to be read.
#[derive(Debug)]
pub struct RegularFile {
    /// The open file.
    pub file: File,
    /// Its size when it was opened.
    pub bytes: u64,
}

/// Opens `file` where it is a regular file, or a link to one. Does not wait for a pipe's other end.
///
/// # Errors
/// [`Error::Io`], with `action`, where it is not there or cannot be opened; [`Error::Package`] where it is something
/// else.
pub fn open(file: &Path, action: &'static str) -> Result<RegularFile> {
    let failed = |source| Error::Io {
        file: file.into(),
        action,
        source,
    };
    // Before it is opened, since opening alone moves some devices; and again after, since it may have been replaced.
    require_regular(file, &fs::metadata(file).map_err(failed)?)?;
    let opened = open_without_waiting(file).map_err(failed)?;
    let metadata = opened.metadata().map_err(failed)?;
    require_regular(file, &metadata)?;
    Ok(RegularFile {
        file: opened,
        bytes: metadata.len(),
    })
}

/// The bytes of a regular file of at most `limit_bytes`.
///
/// # Errors
/// Those of [`open`], and [`Error::Package`] where it is larger.
pub fn read(file: &Path, limit_bytes: u64, action: &'static str) -> Result<Vec<u8>> {
    let opened = open(file, action)?;
    let too_large = |bytes: u64| {
        Error::package(
            file,
            "size",
            format!("at most {limit_bytes} bytes"),
            format!("{bytes} bytes or more"),
        )
    };
    if opened.bytes > limit_bytes {
        return Err(too_large(opened.bytes));
    }
    let mut bytes = Vec::with_capacity(opened.bytes as usize);
    // Files of the kernel say that they have no bytes, and others grow: the limit holds for what comes.
    opened
        .file
        .take(limit_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| Error::Io {
            file: file.into(),
            action,
            source,
        })?;
    if bytes.len() as u64 > limit_bytes {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

/// The text of a regular file of at most `limit_bytes`, without its byte order mark.
///
/// # Errors
/// Those of [`read`], and [`Error::Package`] where it is no UTF-8.
pub fn read_text(file: &Path, limit_bytes: u64, action: &'static str) -> Result<String> {
    text(file, read(file, limit_bytes, action)?)
}

/// As [`read_text`]; `None` where nothing has that name. A link that leads nowhere is an error.
///
/// # Errors
/// Those of [`read_text`].
pub fn read_text_if_there(
    file: &Path,
    limit_bytes: u64,
    action: &'static str,
) -> Result<Option<String>> {
    if is_there(file) {
        read_text(file, limit_bytes, action).map(Some)
    } else {
        Ok(None)
    }
}

/// Whether anything has that name, a link that leads nowhere too.
pub fn is_there(file: &Path) -> bool {
    fs::symlink_metadata(file).is_ok()
}

/// `bytes`, which came from `file`, as text without its byte order mark.
///
/// # Errors
/// [`Error::Package`] where they are no UTF-8.
pub fn text(file: &Path, bytes: Vec<u8>) -> Result<String> {
    let mut text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let got = match e.as_bytes() {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16: save it as UTF-8".into(),
            _ => format!("a byte that is none, at {at}"),
        };
        Error::package(file, "encoding", "UTF-8", got)
    })?;
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len_utf8());
    }
    Ok(text)
}

/// The file that `name` names inside `dir`, whether or not it is there. `None` where it lies elsewhere: by `..`, by a root,
/// or by a folder that is a link out. The file itself may be a link, as those of hub caches are.
pub fn inside(dir: &Path, name: &Path) -> Option<PathBuf> {
    let mut file = dir.to_path_buf();
    for component in name.components() {
        match component {
            Component::Normal(part) => file.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    if file == dir {
        return None;
    }
    let parent = file.parent()?;
    if parent != dir
        && let Ok(real) = parent.canonicalize()
        && !real.starts_with(dir.canonicalize().ok()?)
    {
        return None;
    }
    Some(file)
}

fn require_regular(file: &Path, metadata: &Metadata) -> Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(Error::package(
        file,
        "kind of file",
        "a regular file",
        kind(metadata),
    ))
}

#[cfg(unix)]
fn kind(metadata: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn kind(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() {
        "a folder"
    } else {
        "something else"
    }
}

#[cfg(unix)]
fn open_without_waiting(file: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(file)
}

#[cfg(not(unix))]
fn open_without_waiting(file: &Path) -> io::Result<File> {
    File::open(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_by_their_components() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        fs::create_dir(dir.join("sub")).unwrap();
        assert_eq!(inside(dir, Path::new("./a")), Some(dir.join("a")));
        assert_eq!(inside(dir, Path::new("sub/./a")), Some(dir.join("sub/a")));
        assert_eq!(inside(dir, Path::new("a..b")), Some(dir.join("a..b")));
        for outside in ["../a", "sub/../../a", "sub/../a", "/etc/passwd", "", "."] {
            assert_eq!(inside(dir, Path::new(outside)), None, "{outside:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_is_a_link_out_is_outside_and_a_file_that_is_one_is_inside() {
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("blob"), "x").unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("sub")).unwrap();
        assert_eq!(inside(dir.path(), Path::new("sub/blob")), None);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(elsewhere.path().join("blob"), &link).unwrap();
        assert_eq!(
            inside(dir.path(), Path::new("link")).as_deref(),
            Some(&*link)
        );
        assert_eq!(read_text(&link, 1, "").unwrap(), "x");
    }

    #[test]
    fn sizes_marks_and_encodings() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        let refusal = |bytes: &[u8], limit| {
            fs::write(&file, bytes).unwrap();
            read_text(&file, limit, "").unwrap_err().to_string()
        };
        assert!(refusal(b"1234", 3).contains("at most 3 bytes, got 4"));
        assert!(refusal(b"\xff\xfe{\0}\0", 9).contains("UTF-16"));
        assert!(refusal(b"ab\xc3", 9).contains("at 2"));
        fs::write(&file, "\u{feff}\u{feff}x").unwrap();
        assert_eq!(read_text(&file, 9, "").unwrap(), "\u{feff}x");
        let gone = dir.path().join("b");
        assert_eq!(read_text_if_there(&gone, 9, "").unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let name = std::ffi::CString::new(pipe.to_str().unwrap()).unwrap();
        // SAFETY: the name is a C string that lives through the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let device = dir.path().join("device");
        std::os::unix::fs::symlink("/dev/zero", &device).unwrap();
        for (file, kind) in [
            (pipe.as_path(), "a named pipe"),
            (&device, "a device"),
            (dir.path(), "a folder"),
        ] {
            let error = read_text_if_there(file, 9, "").unwrap_err().to_string();
            assert!(error.contains(kind), "{error}");
        }
        let dangling = dir.path().join("dangling");
        std::os::unix::fs::symlink("gone", &dangling).unwrap();
        let error = read_text_if_there(&dangling, 9, "cannot be read").unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
    }
}
