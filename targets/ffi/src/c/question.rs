//! Questions, and the images that go with them.

use std::ffi::c_char;
use std::path::PathBuf;
use std::sync::Arc;

use curt::vision::{Frame, FramePlanes, Image, Plane, Rotation, YuvColour};

use crate::boundary::{Place, bytes, call, given, text};
use crate::handles::{Kind, Table};
use crate::question::Asked;
use crate::settings::messages;
use crate::status::{CurtStatus, Failure};

/// A question. 0 is none.
pub type CurtQuestion = u64;

pub(super) static QUESTIONS: Table<Asked> = Table::new(Kind::Question);

/// How the pixels of a frame lie in memory.
#[repr(u32)]
pub enum CurtLayout {
    /// One plane: red, green, blue.
    Rgb = 1,
    /// One plane: red, green, blue, and how opaque a pixel is.
    Rgba = 2,
    /// One plane: blue, green, red, and how opaque a pixel is.
    Bgra = 3,
    /// Three planes: brightness for each pixel, then blue and red chroma for each two by two pixels. NV12 and NV21 are this
    /// too, with two planes that begin one byte apart and have a pixel stride of 2.
    Yuv420 = 4,
}

/// How brightness and chroma stand for colours.
#[repr(u32)]
pub enum CurtColour {
    /// BT.601 over all 256 levels: JPEG, and Android's cameras where they say nothing else.
    Bt601Full = 0,
    /// BT.601 on the levels 16 to 235.
    Bt601Video = 1,
    /// BT.709 over all 256 levels.
    Bt709Full = 2,
    /// BT.709 on the levels 16 to 235.
    Bt709Video = 3,
}

/// Rows of pixels in memory of yours.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CurtPlane {
    /// The first byte of the first row's first pixel.
    pub data: *const u8,
    /// Bytes from there to the end of the memory.
    pub bytes: usize,
    /// Bytes from one row to the next.
    pub row_stride: usize,
    /// Bytes from one pixel, or sample, to the next.
    pub pixel_stride: usize,
}

/// A camera's frame. It is read during curt_question_add_frame and not needed afterwards.
#[repr(C)]
pub struct CurtFrame {
    /// Pixels in a row, as they lie in memory.
    pub width: usize,
    /// Rows, as they lie in memory.
    pub height: usize,
    /// One of CurtLayout.
    pub layout: u32,
    /// Degrees clockwise that the frame has to be turned to stand upright: 0, 90, 180 or 270.
    pub rotation: u32,
    /// One of CurtColour, of CURT_LAYOUT_YUV420.
    pub colour: u32,
    /// As many as the layout has; the others are not looked at.
    pub planes: [CurtPlane; 3],
}

/// A question of one text. The package's own prompt goes around it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn curt_question_new(
    words: *const c_char,
    question: *mut CurtQuestion,
) -> CurtStatus {
    // SAFETY: the header says what the pointers have to be.
    call(|| unsafe {
        let place = Place::at(question, "question")?;
        place.put(0);
        let asked = Asked::text(text(words, "words")?);
        place.put(QUESTIONS.insert(Arc::new(asked))?);
        Ok(())
    })
}

/// A whole conversation, the model to speak next: a JSON array of objects with `role` (system, user, assistant), `content`
/// and, where images stand before a message, their number `images`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn curt_question_of_messages(
    json: *const c_char,
    question: *mut CurtQuestion,
) -> CurtStatus {
    // SAFETY: the header says what the pointers have to be.
    call(|| unsafe {
        let place = Place::at(question, "question")?;
        place.put(0);
        let asked = Asked::messages(messages(text(json, "json")?)?);
        place.put(QUESTIONS.insert(Arc::new(asked))?);
        Ok(())
    })
}

/// Adds an image file: JPEG, PNG, WebP, GIF (its first frame) or BMP. It is read when the question is asked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn curt_question_add_file(
    question: CurtQuestion,
    file: *const c_char,
) -> CurtStatus {
    // SAFETY: the header says what the pointer has to be.
    call(|| unsafe {
        let file = PathBuf::from(text(file, "file")?);
        QUESTIONS.get(question)?.add(Image::File(file));
        Ok(())
    })
}

/// Adds the bytes of such a file, which are copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn curt_question_add_encoded(
    question: CurtQuestion,
    data: *const u8,
    length: usize,
) -> CurtStatus {
    // SAFETY: the header says what the pointer has to be.
    call(|| unsafe {
        let asked = QUESTIONS.get(question)?;
        asked.add(Image::Encoded {
            name: "encoded image".into(),
            bytes: bytes(data, length, "data")?.into(),
        });
        Ok(())
    })
}

/// Adds a camera's frame. Its planes are read where they lie, once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn curt_question_add_frame(
    question: CurtQuestion,
    frame: *const CurtFrame,
) -> CurtStatus {
    // SAFETY: the header says what the pointer, and those in the frame, have to be.
    call(|| unsafe {
        let asked = QUESTIONS.get(question)?;
        asked.add_frame(&of_planes(given(frame, "frame")?)?)
    })
}

/// Cancels a question wherever it is answered, and before it is asked: it stays cancelled. May be called on any thread, and
/// in a callback.
#[unsafe(no_mangle)]
pub extern "C" fn curt_question_cancel(question: CurtQuestion) -> CurtStatus {
    call(|| {
        QUESTIONS.get(question)?.cancel();
        Ok(())
    })
}

/// Closes a question. One that is being answered goes on to its end.
#[unsafe(no_mangle)]
pub extern "C" fn curt_question_close(question: CurtQuestion) -> CurtStatus {
    call(|| QUESTIONS.remove(question).map(drop))
}

/// # Safety
/// The planes that `frame` has lead to as many bytes as they say, which stay as they are for `'a`.
unsafe fn of_planes<'a>(frame: &CurtFrame) -> Result<Frame<'a>, Failure> {
    let rotation = Rotation::from_degrees(frame.rotation)
        .ok_or_else(|| Failure::argument("rotation", "0, 90, 180 or 270", frame.rotation))?;
    let plane = |number: usize| {
        let CurtPlane {
            data,
            bytes: length,
            row_stride,
            pixel_stride,
        } = frame.planes[number];
        Ok::<_, Failure>(Plane {
            // SAFETY: as the caller says.
            bytes: unsafe { bytes(data, length, "planes") }?,
            row_stride,
            pixel_stride,
        })
    };
    let planes = match frame.layout {
        l if l == CurtLayout::Rgb as u32 => FramePlanes::Rgb(plane(0)?),
        l if l == CurtLayout::Rgba as u32 => FramePlanes::Rgba(plane(0)?),
        l if l == CurtLayout::Bgra as u32 => FramePlanes::Bgra(plane(0)?),
        l if l == CurtLayout::Yuv420 as u32 => FramePlanes::Yuv420 {
            y: plane(0)?,
            u: plane(1)?,
            v: plane(2)?,
            colour: match frame.colour {
                c if c == CurtColour::Bt601Full as u32 => YuvColour::Bt601Full,
                c if c == CurtColour::Bt601Video as u32 => YuvColour::Bt601Video,
                c if c == CurtColour::Bt709Full as u32 => YuvColour::Bt709Full,
                c if c == CurtColour::Bt709Video as u32 => YuvColour::Bt709Video,
                other => return Err(Failure::argument("colour", "one of CurtColour", other)),
            },
        },
        other => return Err(Failure::argument("layout", "one of CurtLayout", other)),
    };
    Ok(Frame {
        width: frame.width,
        height: frame.height,
        planes,
        rotation,
    })
}
