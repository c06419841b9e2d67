//! Finding and loading the ONNX Runtime library: once in a process.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::error::done;
use crate::{Error, Result};

/// Variable that names the library.
const VARIABLE: &str = "ORT_DYLIB_PATH";

/// Variable that keeps the library's own telemetry from starting; nothing in its API does.
const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

/// Values of [`NO_TELEMETRY`] that the library takes for a yes, in any case, white space around them dropped. Found by
/// experiment with 1.31.1: with any other value (empty, `0`, `2`, `no`) it starts a thread and writes a device id and a
/// database below the home folder.
const YES: [&str; 5] = ["1", "true", "yes", "y", "on"];

static LOADED: OnceLock<Loaded> = OnceLock::new();

/// Held while the library is looked for: of two threads, one loads it. A failure is not kept, so that a later call with a
/// better path can succeed.
static LOADING: Mutex<()> = Mutex::new(());

struct Loaded {
    environment: Environment,
    file: PathBuf,
    version: String,
    telemetry: Telemetry,
}

/// Which library is loaded, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LibraryOptions {
    /// The library's file. `None`: what `ORT_DYLIB_PATH` names, else the one beside the executable.
    pub file: Option<PathBuf>,
    /// Whether the library's own telemetry may start.
    pub telemetry: Telemetry,
}

/// The library's own telemetry: official builds carry an uploader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Telemetry {
    /// It must not start. Only the environment keeps it from that (`ORT_DISABLE_TELEMETRY=1`), and only the program may
    /// change its environment, before it starts threads: where the variable does not say so, nothing is loaded.
    #[default]
    Off,
    /// The environment and the build decide.
    Allowed,
}

/// The library that this process uses.
#[derive(Debug, Clone)]
pub struct LibraryInfo {
    /// Its file.
    pub file: PathBuf,
    /// Its version.
    pub version: String,
    /// Execution providers compiled into it. Compiled in does not mean usable.
    pub providers: Vec<String>,
}

/// Loads ONNX Runtime. A process has one: later calls find it loaded, and are refused where they ask for another.
///
/// Opening a session calls it with its options.
///
/// # Errors
/// [`Error::Library`] where there is no library or it is too old; [`Error::Telemetry`]; [`Error::Loaded`]. A later call
/// can succeed.
pub fn load_library(options: &LibraryOptions) -> Result<()> {
    loaded(options).map(|_| ())
}

/// The library in use, loaded by default options if none was.
///
/// # Errors
/// As [`load_library`].
pub fn library_info() -> Result<LibraryInfo> {
    let loaded = match LOADED.get() {
        Some(loaded) => loaded,
        None => loaded(&LibraryOptions::default())?,
    };
    Ok(LibraryInfo {
        file: loaded.file.clone(),
        version: loaded.version.clone(),
        providers: providers(),
    })
}

pub(crate) fn environment(options: &LibraryOptions) -> Result<&'static Environment> {
    Ok(&loaded(options)?.environment)
}

fn loaded(options: &LibraryOptions) -> Result<&'static Loaded> {
    let _alone = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(loaded) = LOADED.get() {
        return loaded.serves(options).map(|()| loaded);
    }
    let new = load(options)?;
    Ok(LOADED.get_or_init(|| new))
}

impl Loaded {
    /// Whether it is what `options` ask for.
    fn serves(&self, options: &LibraryOptions) -> Result<()> {
        let other = |loaded: String, asked: String| Err(Error::Loaded { loaded, asked });
        if let Some(file) = &options.file {
            let same = std::fs::canonicalize(file).ok() == std::fs::canonicalize(&self.file).ok();
            if !same {
                return other(self.file.display().to_string(), file.display().to_string());
            }
        }
        if options.telemetry == Telemetry::Off && self.telemetry == Telemetry::Allowed {
            return other(
                format!("{} with its telemetry allowed", self.file.display()),
                "one without".into(),
            );
        }
        Ok(())
    }
}

fn load(options: &LibraryOptions) -> Result<Loaded> {
    if options.telemetry == Telemetry::Off {
        telemetry_is_off(std::env::var_os(NO_TELEMETRY).as_deref())?;
    }
    let file = match &options.file {
        Some(file) => file.clone(),
        None => find()?,
    };
    // `ort` would look for a relative path beside the executable first.
    let file = std::path::absolute(&file).unwrap_or(file);
    if !file.is_file() {
        // A pipe would never end to load.
        return Err(Error::Library {
            reason: format!("{} is not a file", file.display()),
            source: None,
        });
    }
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Library {
        reason: format!("{} cannot be loaded", file.display()),
        source: Some(source),
    };
    let environment = ort::init_from(&file)
        .map_err(|e| failed(e.into()))?
        .with_name("curt")
        .with_telemetry(false)
        .build()
        .map_err(|e| failed(e.into()))?;
    // Its warnings speak to those who build graphs; errors come back as values.
    environment.set_log_level(LogLevel::Error);
    let version = version_of(&file).map_err(|e| failed(e.into()))?;
    log::debug!("ONNX Runtime {version} from {}", file.display());
    Ok(Loaded {
        environment,
        file,
        version,
        telemetry: options.telemetry,
    })
}

/// # Errors
/// [`Error::Telemetry`] unless the library takes `value` of [`NO_TELEMETRY`] for a yes.
fn telemetry_is_off(value: Option<&std::ffi::OsStr>) -> Result<()> {
    let said = value.map(|value| value.to_string_lossy());
    let yes = said.as_deref().is_some_and(|said| {
        let said = said.trim_ascii();
        YES.iter().any(|yes| said.eq_ignore_ascii_case(yes))
    });
    if yes {
        return Ok(());
    }
    Err(Error::Telemetry {
        got: said.map_or("not set".into(), |said| format!("{said:?}")),
    })
}

fn find() -> Result<PathBuf> {
    let none = |reason| {
        Err(Error::Library {
            reason,
            source: None,
        })
    };
    if let Some(named) = std::env::var_os(VARIABLE).filter(|v| !v.is_empty()) {
        let named = PathBuf::from(named);
        if named.exists() {
            return Ok(named);
        }
        return none(format!(
            "{VARIABLE} names {}, which does not exist",
            named.display()
        ));
    }
    let name = format!(
        "{}onnxruntime{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.join(&name)));
    match beside {
        Some(file) if file.exists() => Ok(file),
        Some(file) => none(format!(
            "{VARIABLE} is not set and {} does not exist",
            file.display()
        )),
        None => none(format!("{VARIABLE} is not set")),
    }
}

/// The version that the library in `file` says it is. `ort` keeps it to itself, so the loaded library is asked again.
fn version_of(file: &Path) -> std::result::Result<String, libloading::Error> {
    // SAFETY: the file has been loaded just now, so this only counts another reference and runs no initialiser; the
    // symbol has had this signature since ONNX Runtime 1.0, and the string it leads to is static.
    unsafe {
        let library = libloading::Library::new(file)?;
        let base: libloading::Symbol<
            '_,
            unsafe extern "system" fn() -> *const ort::sys::OrtApiBase,
        > = library.get(b"OrtGetApiBase\0")?;
        let text = ((*base()).GetVersionString)();
        Ok(std::ffi::CStr::from_ptr(text)
            .to_string_lossy()
            .into_owned())
    }
}

fn providers() -> Vec<String> {
    let mut names = std::ptr::null_mut();
    let mut count = 0;
    // SAFETY: both out-pointers are valid; on success they describe `count` C strings, which are copied and then given
    // back to the function that frees them.
    unsafe {
        let status = (ort::api().GetAvailableProviders)(&mut names, &mut count);
        if done(status, "listing execution providers").is_err() {
            return Vec::new();
        }
        let list = (0..usize::try_from(count).unwrap_or(0))
            .map(|i| {
                std::ffi::CStr::from_ptr(*names.add(i))
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        let status = (ort::api().ReleaseAvailableProviders)(names, count);
        let _ = done(status, "freeing the list of execution providers");
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telemetry_is_off_for_the_values_that_the_library_honours_alone() {
        for yes in ["1", "true", "TRUE", "Yes", "on", " 1", "1 "] {
            assert!(telemetry_is_off(Some(yes.as_ref())).is_ok(), "{yes:?}");
        }
        for no in ["", "0", "2", "no", "off", "false", "11"] {
            let error = telemetry_is_off(Some(no.as_ref())).unwrap_err();
            assert!(error.to_string().contains(&format!("{no:?}")), "{error}");
        }
        assert!(
            telemetry_is_off(None)
                .unwrap_err()
                .to_string()
                .contains("not set")
        );
    }
}
