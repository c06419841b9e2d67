//! From an image's bytes to its pixels, in red, green and blue on white.

use std::io::Cursor;

use ::image::codecs::gif::GifDecoder;
use ::image::codecs::png::PngDecoder;
use ::image::codecs::webp::WebPDecoder;
use ::image::metadata::Orientation;
use ::image::{AnimationDecoder, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{Image, PixelOrder, jpeg};
use crate::error::{Error, Result};
use crate::files;
use crate::package::caught;

/// Most pixels of an image where nobody says otherwise: a camera's 64 megapixels.
pub const DEFAULT_MAX_PIXELS: usize = 64 << 20;

/// Most bytes of a pixel while it is decoded: four levels of 16 bits, and the same once more for formats that are put
/// together from parts.
const BYTES_PER_PIXEL: u64 = 16;

/// Most bytes of an image file for each pixel that is allowed, and for its head.
const FILE_BYTES_PER_PIXEL: u64 = 8;
const HEAD_BYTES: u64 = 16 << 20;

/// What an image may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageLimits {
    /// Pixels, its width times its height. Memory while it is decoded is at the most some 16 bytes for each.
    pub max_pixels: usize,
}

impl Default for ImageLimits {
    fn default() -> Self {
        Self {
            max_pixels: DEFAULT_MAX_PIXELS,
        }
    }
}

/// An image's pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `[height, width, 3]`: levels of red, green and blue.
    pub rgb: Vec<u8>,
    /// What there was and is not in them, a sentence each.
    pub notes: Vec<String>,
}

/// The pixels of `image`, upright, in colour, on white where it is transparent.
///
/// # Errors
/// [`Error::Image`] for what is no image, is cut short, has no pixels or more than `limits` allow; [`Error::Io`] and
/// [`Error::Package`] for a file that cannot be read or is none.
pub fn decode(image: &Image, limits: &ImageLimits) -> Result<Decoded> {
    match image {
        Image::File(file) => {
            let most = limits.max_pixels as u64;
            let most = most
                .saturating_mul(FILE_BYTES_PER_PIXEL)
                .saturating_add(HEAD_BYTES);
            let bytes = files::read(file, most, "the image cannot be read")?;
            Source {
                name: image.name(),
                bytes: &bytes,
                limits,
            }
            .decode()
        }
        Image::Encoded { name, bytes } => Source {
            name: name.clone(),
            bytes,
            limits,
        }
        .decode(),
        Image::Pixels {
            width,
            height,
            order,
            bytes,
        } => {
            let (width, height) = (*width, *height);
            let source = Source {
                name: image.name(),
                bytes,
                limits,
            };
            source.size(width, height)?;
            let needed = width * height * order.bytes();
            if bytes.len() != needed {
                return Err(source.refused(format!("{needed} bytes"), bytes.len()));
            }
            Ok(Decoded {
                width,
                height,
                rgb: match order {
                    PixelOrder::Rgb => bytes.to_vec(),
                    PixelOrder::Rgba => all_on_white(bytes),
                },
                notes: Vec::new(),
            })
        }
    }
}

/// Bytes of an image file.
struct Source<'a> {
    name: String,
    bytes: &'a [u8],
    limits: &'a ImageLimits,
}

impl Source<'_> {
    fn decode(&self) -> Result<Decoded> {
        match caught(|| self.decoded()) {
            Ok(decoded) => decoded,
            Err(panicked) => Err(self.failed(panicked)),
        }
    }

    fn decoded(&self) -> Result<Decoded> {
        const KINDS: &str = "a JPEG, PNG, WebP, GIF or BMP image";
        let reader = ImageReader::new(Cursor::new(self.bytes));
        let reader = reader.with_guessed_format().map_err(|e| self.failed(e))?;
        let Some(format) = reader.format() else {
            let got = match self.bytes.len() {
                0 => "no bytes".into(),
                n => format!("{n} bytes of something else"),
            };
            return Err(self.refused(KINDS, got));
        };
        if !format.reading_enabled() {
            return Err(self.refused(KINDS, format!("{format:?}")));
        }
        let mut decoder = reader.into_decoder().map_err(|e| self.failed(e))?;
        let (width, height) = decoder.dimensions();
        self.size(width as usize, height as usize)?;
        decoder
            .set_limits(self.memory())
            .map_err(|e| self.failed(e))?;
        if format == ImageFormat::Jpeg && !jpeg::ends(self.bytes) {
            return Err(self.refused(
                "an image that is whole",
                format!("a JPEG that breaks off after {} bytes", self.bytes.len()),
            ));
        }
        let mut notes = Vec::new();
        // What cannot be read of an image's head does not keep it from being seen.
        if matches!(decoder.icc_profile(), Ok(Some(_))) {
            notes.push("it has a colour profile, which is not applied".into());
        }
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut pixels = DynamicImage::from_decoder(decoder).map_err(|e| self.failed(e))?;
        if self.is_animated(format) {
            notes.push("it moves: its first frame is taken".into());
        }
        pixels.apply_orientation(orientation);
        let (width, height) = (pixels.width() as usize, pixels.height() as usize);
        Ok(Decoded {
            width,
            height,
            rgb: in_colour(pixels),
            notes,
        })
    }

    /// # Errors
    /// [`Error::Image`] for no pixels, or too many.
    fn size(&self, width: usize, height: usize) -> Result<()> {
        let most = self.limits.max_pixels;
        let pixels = width.checked_mul(height);
        match pixels {
            Some(0) => Err(self.refused("at least one pixel", format!("{width} x {height}"))),
            Some(pixels) if pixels <= most => Ok(()),
            _ => Err(self.refused(
                format!("at most {most} pixels (`max_image_pixels`)"),
                format!("{width} x {height}"),
            )),
        }
    }

    fn memory(&self) -> Limits {
        let pixels = self.limits.max_pixels as u64;
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(
            pixels
                .saturating_mul(BYTES_PER_PIXEL)
                .saturating_add(HEAD_BYTES),
        );
        limits
    }

    /// Whether more frames follow the first.
    fn is_animated(&self, format: ImageFormat) -> bool {
        let bytes = || Cursor::new(self.bytes);
        match format {
            ImageFormat::Gif => GifDecoder::new(bytes()).is_ok_and(|mut decoder| {
                decoder.set_limits(self.memory()).is_ok()
                    && decoder.into_frames().take(2).filter(|f| f.is_ok()).count() == 2
            }),
            ImageFormat::Png => {
                PngDecoder::new(bytes()).is_ok_and(|decoder| decoder.is_apng().unwrap_or(false))
            }
            ImageFormat::WebP => {
                WebPDecoder::new(bytes()).is_ok_and(|decoder| decoder.has_animation())
            }
            _ => false,
        }
    }

    fn refused(&self, expected: impl ToString, got: impl ToString) -> Error {
        Error::Image {
            name: self.name.clone(),
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }

    fn failed(&self, error: impl std::error::Error) -> Error {
        self.refused("an image that is whole", error)
    }
}

/// Levels of 8 bits in colour.
fn in_colour(pixels: DynamicImage) -> Vec<u8> {
    match pixels {
        DynamicImage::ImageRgb8(pixels) => pixels.into_raw(),
        DynamicImage::ImageRgba8(pixels) => all_on_white(pixels.as_raw()),
        // Pillow reads the upper byte of 16 bits of colour. Of grey it makes white whatever is above 255 of 65,535, which
        // nobody who sends such an image means: here that is the upper byte too.
        DynamicImage::ImageRgb16(pixels) => {
            pixels.as_raw().iter().map(|&x| (x >> 8) as u8).collect()
        }
        DynamicImage::ImageRgba16(pixels) => {
            let upper: Vec<u8> = pixels.as_raw().iter().map(|&x| (x >> 8) as u8).collect();
            all_on_white(&upper)
        }
        DynamicImage::ImageLuma16(pixels) => {
            let upper = pixels.as_raw().iter().map(|&x| (x >> 8) as u8);
            upper.flat_map(|x| [x; 3]).collect()
        }
        DynamicImage::ImageLumaA16(pixels) => {
            let pixels = pixels.as_raw().as_chunks::<2>().0.iter();
            let upper = pixels.map(|x| x.map(|x| (x >> 8) as u8));
            let wide: Vec<u8> = upper.flat_map(|[x, a]| [x, x, x, a]).collect();
            all_on_white(&wide)
        }
        other if other.color().has_alpha() => all_on_white(other.into_rgba8().as_raw()),
        other => other.into_rgb8().into_raw(),
    }
}

/// Red, green and blue of every pixel of `rgba`, each [`on_white`].
fn all_on_white(rgba: &[u8]) -> Vec<u8> {
    let pixels = rgba.as_chunks::<4>().0.iter();
    pixels.flat_map(|&pixel| on_white(pixel)).collect()
}

/// Red, green and blue of a pixel before a white background, as `Image.alpha_composite` of Pillow rounds them: 7 bits beyond
/// the point, and a division by 255 that is a shift.
pub(super) fn on_white([r, g, b, alpha]: [u8; 4]) -> [u8; 3] {
    const BITS: u32 = 7;
    let divided = |x: u32| ((x >> 8) + x) >> 8;
    let own = u32::from(alpha) << BITS;
    let white = (255 << BITS) - own;
    [r, g, b].map(|level| {
        let sum = u32::from(level) * own + 255 * white + (0x80 << BITS);
        (divided(sum) >> BITS) as u8
    })
}
