//! Finding and loading the ONNX Runtime library: once in a process.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::error::{Error, Result};

/// Variable that names the library.
const VARIABLE: &str = "ORT_DYLIB_PATH";

/// Variable that keeps the library's own telemetry from starting; the flag of the environment alone does not.
const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

static LOADED: OnceLock<std::result::Result<Loaded, String>> = OnceLock::new();

struct Loaded {
    environment: Environment,
    file: PathBuf,
    version: String,
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

/// Loads ONNX Runtime from `file`, or where that is `None` from `ORT_DYLIB_PATH`, or from beside the executable.
///
/// The first call in a process decides; a later one with another file changes nothing. Opening an engine calls it with
/// `None`. Where `ORT_DISABLE_TELEMETRY` is not set, the first call sets it: a program with threads of its own that read
/// the environment through C sets it before it starts them.
///
/// # Errors
/// [`Error::Library`] where there is no library or it is too old.
pub fn load_library(file: Option<&Path>) -> Result<()> {
    LOADED
        .get_or_init(|| load(file))
        .as_ref()
        .map(|_| ())
        .map_err(|reason| Error::Library {
            reason: reason.clone(),
        })
}

/// The library in use, loaded if it was not.
///
/// # Errors
/// [`Error::Library`] as [`load_library`].
pub fn library_info() -> Result<LibraryInfo> {
    let loaded = loaded()?;
    Ok(LibraryInfo {
        file: loaded.file.clone(),
        version: loaded.version.clone(),
        providers: providers(),
    })
}

pub(super) fn environment() -> Result<&'static Environment> {
    Ok(&loaded()?.environment)
}

fn loaded() -> Result<&'static Loaded> {
    LOADED
        .get_or_init(|| load(None))
        .as_ref()
        .map_err(|reason| Error::Library {
            reason: reason.clone(),
        })
}

fn load(file: Option<&Path>) -> std::result::Result<Loaded, String> {
    let file = match file {
        Some(file) => file.to_path_buf(),
        None => find()?,
    };
    if std::env::var_os(NO_TELEMETRY).is_none() {
        // SAFETY: runs once, before the library is loaded and starts its threads. Rust's own readers are locked against
        // it; of C's, the documentation of `load_library` says what a program with such threads does instead.
        unsafe { std::env::set_var(NO_TELEMETRY, "1") };
    }
    let environment = ort::init_from(&file)
        .map_err(|e| format!("{}: {e}", file.display()))?
        .with_name("curt")
        .with_telemetry(false)
        .build()
        .map_err(|e| format!("{}: {e}", file.display()))?;
    // Its warnings speak to those who build graphs; errors come back as values.
    environment.set_log_level(LogLevel::Error);
    let version = version_of(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    log::debug!("ONNX Runtime {version} from {}", file.display());
    Ok(Loaded {
        environment,
        file,
        version,
    })
}

fn find() -> std::result::Result<PathBuf, String> {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|v| !v.is_empty()) {
        let named = PathBuf::from(named);
        if named.exists() {
            return Ok(named);
        }
        return Err(format!(
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
        Some(file) => Err(format!(
            "{VARIABLE} is not set and {} does not exist",
            file.display()
        )),
        None => Err(format!("{VARIABLE} is not set")),
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
        if super::status::check(status, "listing execution providers").is_err() {
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
        let _ = super::status::check(status, "freeing the list of execution providers");
        list
    }
}
