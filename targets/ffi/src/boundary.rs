//! Where another language meets this one: no panic passes, and what a pointer leads to is looked at before it is used.

use std::any::Any;
use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::status::{CurtStatus, Failure};

/// Runs `body`; what it fails with, and a panic in it, becomes this thread's last failure.
pub(crate) fn call(body: impl FnOnce() -> Result<(), Failure>) -> CurtStatus {
    // What a panic may leave half done lies behind a `Resident`, which notices.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => CurtStatus::Ok,
        Ok(Err(failure)) => failure.record(),
        Err(panic) => panicked(panic).record(),
    }
}

/// The failure that a panic is.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Failure {
    let words = panic.downcast_ref::<&str>().map(ToString::to_string);
    let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
    // Its own drop could panic again.
    std::mem::forget(panic);
    let words = words.unwrap_or_else(|| "of no known words".into());
    Failure::new(CurtStatus::Panic, format!("a fault in curt: {words}"))
}

/// The text at `pointer`.
///
/// # Safety
/// `pointer` is null, or leads to bytes that end with a NUL and stay as they are for `'a`.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str, Failure> {
    // SAFETY: as the caller says.
    unsafe { text_or_none(pointer, name) }?
        .ok_or_else(|| Failure::argument(name, "a text", "a null pointer"))
}

/// The text at `pointer`, or none where it is null.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn text_or_none<'a>(
    pointer: *const c_char,
    name: &str,
) -> Result<Option<&'a str>, Failure> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: it is not null, and the caller says the rest.
    let text = unsafe { CStr::from_ptr(pointer) };
    match text.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(error) => Err(Failure::argument(name, "UTF-8", error)),
    }
}

/// `len` bytes at `pointer`.
///
/// # Safety
/// `pointer` is null, or leads to `len` bytes that stay as they are for `'a`.
pub(crate) unsafe fn bytes<'a>(
    pointer: *const u8,
    len: usize,
    name: &str,
) -> Result<&'a [u8], Failure> {
    if pointer.is_null() {
        return match len {
            0 => Ok(&[]),
            _ => Err(Failure::argument(name, "bytes", "a null pointer")),
        };
    }
    if isize::try_from(len).is_err() {
        return Err(Failure::argument(name, "a length that memory has", len));
    }
    // SAFETY: it is not null, the length is one that a slice may have, and the caller says the rest.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// What `pointer` leads to.
///
/// # Safety
/// `pointer` is null, misaligned, or leads to a `T` that stays as it is for `'a`.
pub(crate) unsafe fn given<'a, T>(pointer: *const T, name: &str) -> Result<&'a T, Failure> {
    if !pointer.is_null() && !pointer.is_aligned() {
        return Err(Failure::argument(name, "an aligned pointer", "another"));
    }
    // SAFETY: it is null or aligned, and the caller says the rest.
    unsafe { pointer.as_ref() }.ok_or_else(|| Failure::argument(name, "a value", "a null pointer"))
}

/// A place for what a call gives.
pub(crate) struct Place<T>(*mut T);

impl<T> Place<T> {
    /// Looks at `pointer` before anything is done for it.
    ///
    /// # Safety
    /// `pointer` is null, misaligned, or may be written to until the call returns.
    pub(crate) unsafe fn at(pointer: *mut T, name: &str) -> Result<Self, Failure> {
        if pointer.is_null() || !pointer.is_aligned() {
            let got = if pointer.is_null() {
                "a null pointer"
            } else {
                "a misaligned one"
            };
            return Err(Failure::argument(name, "a place for what it gives", got));
        }
        Ok(Self(pointer))
    }

    pub(crate) fn put(&self, value: T) {
        // SAFETY: `at` found it aligned and not null, and its caller says that it may be written to.
        unsafe { self.0.write(value) }
    }
}

/// Copies `text` and a NUL into `buffer` of `capacity` bytes, as much as fits of whole characters, and puts its length without
/// the NUL in `length`, where that is not null. A capacity of 0 asks for the length alone.
///
/// # Safety
/// `buffer` may be written to for `capacity` bytes and `length` for one number, unless they are null.
pub(crate) unsafe fn copy(
    text: &str,
    buffer: *mut c_char,
    capacity: usize,
    length: *mut usize,
) -> Result<(), Failure> {
    if !length.is_null() {
        // SAFETY: it is not null, and the caller says the rest.
        unsafe { Place::at(length, "length") }?.put(text.len());
    }
    if capacity == 0 {
        return match length.is_null() {
            true => Err(Failure::argument(
                "length",
                "a place where no buffer is given",
                "a null pointer",
            )),
            false => Ok(()),
        };
    }
    // SAFETY: the caller says so.
    let buffer = unsafe { Place::at(buffer, "buffer") }?.0.cast::<u8>();
    let fits = text.floor_char_boundary(capacity - 1);
    // SAFETY: the buffer has `capacity` bytes as the caller says, `fits` is less than that and at most the text's length, and
    // nobody writes to a borrowed text, so that the two lie apart.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), buffer, fits);
        buffer.add(fits).write(0);
    }
    match fits == text.len() {
        true => Ok(()),
        false => Err(Failure::new(
            CurtStatus::TooSmall,
            format!(
                "`capacity`: expected at least {} bytes, got {capacity}",
                text.len() + 1
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_status_with_its_words() {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let number = 7;
        assert_eq!(call(|| panic!("the number {number}")), CurtStatus::Panic);
        assert!(Failure::last().message.contains("the number 7"));
        assert_eq!(call(|| std::panic::panic_any(number)), CurtStatus::Panic);
        std::panic::set_hook(hook);
        assert_eq!(call(|| Ok(())), CurtStatus::Ok);
    }

    #[test]
    fn a_text_is_cut_between_characters_and_its_length_is_told() {
        let mut length = 0;
        let mut buffer = [1u8; 8];
        let mut copied = |text: &str, capacity| {
            buffer.fill(1);
            let pointer = buffer.as_mut_ptr().cast();
            // SAFETY: the buffer has eight bytes, and no capacity here is more.
            let copied = unsafe { copy(text, pointer, capacity, &raw mut length) };
            (copied.err().map(|e| e.status), length, buffer)
        };
        assert_eq!(copied("abc", 4), (None, 3, *b"abc\0\x01\x01\x01\x01"));
        let (status, length, buffer) = copied("aä", 3);
        assert_eq!((status, length), (Some(CurtStatus::TooSmall), 3));
        assert_eq!(buffer[..3], *b"a\0\x01");
        assert_eq!(copied("abc", 0), (None, 3, [1; 8]));
        assert_eq!(copied("abc", 1).2[..2], *b"\0\x01");
    }
}
