//! Engines: open, close, and what a phone asks of them in between.

use std::ffi::c_char;
use std::path::PathBuf;
use std::sync::Arc;

use crate::boundary::{Place, call, copy, text, text_or_none};
use crate::handles::{Kind, Table};
use crate::resident::{Level, Resident};
use crate::settings::{EngineSettings, read};
use crate::status::{CurtStatus, Failure};

/// A loaded package that answers questions, one at a time. 0 is none.
pub type CurtEngine = u64;

pub(super) static ENGINES: Table<Resident> = Table::new(Kind::Engine);

/// What an engine gives back; each level is more than the one before it.
#[repr(u32)]
pub enum CurtTrim {
    /// The vision graph and what it made of images: an image that comes again is seen again.
    Images = 1,
    /// Keys and values too: the next prompt is run from its beginning.
    Rows = 2,
    /// The weights too: they are loaded again with the next question.
    Weights = 3,
}

/// Opens the package in the folder `dir`. `options` is a JSON object (README.md lists its fields), or NULL for the usual ones.
/// Takes as long as reading the weights.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn curt_engine_open(
    dir: *const c_char,
    options: *const c_char,
    engine: *mut CurtEngine,
) -> CurtStatus {
    // SAFETY: the header says what the pointers have to be.
    call(|| unsafe {
        let place = Place::at(engine, "engine")?;
        place.put(0);
        let dir = PathBuf::from(text(dir, "dir")?);
        let options: EngineSettings = read(text_or_none(options, "options")?, "options")?;
        let resident = Resident::open(dir, options.options()?)?;
        place.put(ENGINES.insert(Arc::new(resident))?);
        Ok(())
    })
}

/// Closes an engine. The handle is good no longer. A question under way is cancelled, on whatever thread; its memory is
/// given back when that has ended and no view of keys and values is borrowed. May be called anywhere.
#[unsafe(no_mangle)]
pub extern "C" fn curt_engine_close(engine: CurtEngine) -> CurtStatus {
    call(|| {
        ENGINES.remove(engine)?.close();
        Ok(())
    })
}

/// What was opened, as a JSON object: `context_tokens`, `takes_images`, `kv` (`layers`, `kv_heads`, `head_dim`, `dtype`),
/// `attention`, `onnxruntime`. Copied as curt_error_message does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn curt_engine_facts(
    engine: CurtEngine,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> CurtStatus {
    // SAFETY: the header says what the pointers have to be.
    call(|| unsafe { copy(ENGINES.get(engine)?.facts(), buffer, capacity, length) })
}

/// To be called when the program goes to the background. Cancels the question under way, waits until it has ended, and takes
/// no other until curt_engine_foreground. Gives back keys, values and the vision graph; where a provider runs on a device,
/// the weights too. In a callback of this engine it does not wait.
#[unsafe(no_mangle)]
pub extern "C" fn curt_engine_background(engine: CurtEngine) -> CurtStatus {
    call(|| ENGINES.get(engine)?.background())
}

/// To be called when the program is in front again. What was given back is made again with the next question.
#[unsafe(no_mangle)]
pub extern "C" fn curt_engine_foreground(engine: CurtEngine) -> CurtStatus {
    call(|| ENGINES.get(engine)?.foreground())
}

/// Gives back memory: at once, or, while a question is answered or a view is borrowed, as soon as that has ended. `level` is
/// one of CurtTrim.
#[unsafe(no_mangle)]
pub extern "C" fn curt_engine_trim(engine: CurtEngine, level: u32) -> CurtStatus {
    call(|| {
        let level = match level {
            l if l == CurtTrim::Images as u32 => Level::Images,
            l if l == CurtTrim::Rows as u32 => Level::Rows,
            l if l == CurtTrim::Weights as u32 => Level::Weights,
            other => return Err(Failure::argument("level", "one of CurtTrim", other)),
        };
        ENGINES.get(engine)?.trim(level)
    })
}
