//! The user's cache folder, and one writer at a time in a part of it.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The cache folder of this user, absolute: `$CURT_CACHE_DIR`, else `$XDG_CACHE_HOME/curt`, else `~/.cache/curt`.
/// It need not exist yet.
pub(crate) fn dir() -> Result<PathBuf> {
    resolve(|name| std::env::var_os(name))
}

fn resolve(var: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let var = |name| {
        var(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(dir) = var("CURT_CACHE_DIR") {
        return std::path::absolute(&dir)
            .with_context(|| format!("CURT_CACHE_DIR={}", dir.display()));
    }
    // The XDG specification has a relative value ignored.
    if let Some(dir) = var("XDG_CACHE_HOME").filter(|dir| dir.is_absolute()) {
        return Ok(dir.join("curt"));
    }
    if let Some(home) = var("HOME").or_else(|| var("USERPROFILE")) {
        return Ok(home.join(".cache").join("curt"));
    }
    bail!(
        "no cache folder: none of CURT_CACHE_DIR, XDG_CACHE_HOME and HOME is set; set CURT_CACHE_DIR to a folder"
    )
}

/// Makes `dir` and holds it for this process alone until the value is dropped. The system lets go of it when the
/// process dies, however it dies, so whatever half-made thing lies in `dir` once the lock is held is nobody's.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn acquire(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| {
            format!(
                "cannot make the folder {}; set CURT_CACHE_DIR to one you can write to",
                dir.display()
            )
        })?;
        let path = dir.join(".lock");
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| {
                format!(
                    "cannot write {}; set CURT_CACHE_DIR to a folder you can write to",
                    path.display()
                )
            })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!(
                    "waiting for another process that is filling {}",
                    dir.display()
                );
                file.lock()
                    .with_context(|| format!("cannot lock {}", path.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| {
                    format!(
                        "cannot lock {}; set CURT_CACHE_DIR to a folder on a local disk",
                        path.display()
                    )
                });
            }
        }
        Ok(Self { _file: file })
    }
}

/// Removes the folder or file at `path`, if there is one.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let outcome = match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match outcome {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(vars: &[(&str, &str)]) -> Result<PathBuf> {
        resolve(|name| {
            vars.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_nearest_variable_wins() {
        let all = [
            ("CURT_CACHE_DIR", "/a"),
            ("XDG_CACHE_HOME", "/b"),
            ("HOME", "/c"),
        ];
        assert_eq!(from(&all).unwrap(), Path::new("/a"));
        assert_eq!(from(&all[1..]).unwrap(), Path::new("/b/curt"));
        assert_eq!(from(&all[2..]).unwrap(), Path::new("/c/.cache/curt"));
    }

    #[test]
    fn empty_and_relative_values() {
        let home = ("HOME", "/c");
        assert_eq!(
            from(&[("CURT_CACHE_DIR", ""), home]).unwrap(),
            Path::new("/c/.cache/curt")
        );
        assert_eq!(
            from(&[("XDG_CACHE_HOME", "b"), home]).unwrap(),
            Path::new("/c/.cache/curt")
        );
        let relative = from(&[("CURT_CACHE_DIR", "a"), home]).unwrap();
        assert!(
            relative.is_absolute() && relative.ends_with("a"),
            "{}",
            relative.display()
        );
    }

    #[test]
    fn nothing_set_names_the_remedy() {
        assert!(
            from(&[])
                .unwrap_err()
                .to_string()
                .contains("set CURT_CACHE_DIR")
        );
    }

    #[test]
    fn a_lock_keeps_others_out_until_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::acquire(dir.path()).unwrap();
        let other = File::options()
            .append(true)
            .open(dir.path().join(".lock"))
            .unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(lock);
        assert!(other.try_lock().is_ok());
    }

    #[test]
    fn remove_takes_files_folders_and_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("folder");
        std::fs::create_dir_all(folder.join("inner")).unwrap();
        std::fs::write(dir.path().join("file"), "x").unwrap();
        for name in ["folder", "file", "nothing"] {
            remove(&dir.path().join(name)).unwrap();
            assert!(!dir.path().join(name).exists());
        }
    }
}
