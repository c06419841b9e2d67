//! A camera's frame: planes as the camera left them, read once, in place.

use super::decode::{ImageLimits, on_white};
use super::{Image, PixelOrder};
use crate::error::{Error, Result};

/// Bits after the point of the factors that make colours of brightness and chroma.
const POINT: u32 = 16;

/// Bytes in memory that a camera owns, row by row from the top.
#[derive(Clone, Copy)]
pub struct Plane<'a> {
    /// The bytes; what lies after the last pixel of the last row may be missing.
    pub bytes: &'a [u8],
    /// Bytes from the beginning of one row to the beginning of the next.
    pub row_stride: usize,
    /// Bytes from the beginning of one pixel, or sample, to the beginning of the next.
    pub pixel_stride: usize,
}

/// How brightness and chroma stand for colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum YuvColour {
    /// BT.601 over all 256 levels, as JPEG has it: what Android's cameras give where they say nothing else.
    #[default]
    Bt601Full,
    /// BT.601 on the levels 16 to 235, as in video.
    Bt601Video,
    /// BT.709 over all 256 levels.
    Bt709Full,
    /// BT.709 on the levels 16 to 235, as in video.
    Bt709Video,
}

/// What a frame's pixels are made of.
#[derive(Clone, Copy)]
pub enum FramePlanes<'a> {
    /// Red, green, blue.
    Rgb(Plane<'a>),
    /// Red, green, blue, and how opaque it is.
    Rgba(Plane<'a>),
    /// Blue, green, red, and how opaque it is.
    Bgra(Plane<'a>),
    /// Brightness for each pixel, and chroma for each two by two: `ceil(width / 2)` by `ceil(height / 2)` samples. Two planes of
    /// chroma may lie in one another, each with a pixel stride of 2 (NV12, NV21).
    Yuv420 {
        /// Brightness.
        y: Plane<'a>,
        /// Blue against brightness.
        u: Plane<'a>,
        /// Red against brightness.
        v: Plane<'a>,
        /// What they stand for.
        colour: YuvColour,
    },
}

/// How far a frame has to be turned, clockwise, to stand upright.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rotation {
    /// It stands upright.
    #[default]
    None,
    /// 90 degrees.
    Quarter,
    /// 180 degrees.
    Half,
    /// 270 degrees.
    ThreeQuarters,
}

impl Rotation {
    /// The rotation by so many degrees clockwise: 0, 90, 180 or 270.
    pub fn from_degrees(degrees: u32) -> Option<Self> {
        match degrees {
            0 => Some(Rotation::None),
            90 => Some(Rotation::Quarter),
            180 => Some(Rotation::Half),
            270 => Some(Rotation::ThreeQuarters),
            _ => None,
        }
    }
}

/// A camera's frame, in memory that the camera owns.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// Pixels in a row, as they lie in memory.
    pub width: usize,
    /// Rows, as they lie in memory.
    pub height: usize,
    /// Its pixels.
    pub planes: FramePlanes<'a>,
    /// How it comes to stand upright.
    pub rotation: Rotation,
}

impl Frame<'_> {
    /// The frame upright, in red, green and blue, on white where it is transparent: the one copy that is made of it. Chroma is
    /// taken from the sample that covers a pixel, without smoothing.
    ///
    /// # Errors
    /// [`Error::Image`] for no pixels or more than `limits` allow, and planes whose rows or pixels lie in each other or end
    /// before the last pixel.
    pub fn upright(&self, limits: &ImageLimits) -> Result<Image> {
        self.validate(limits)?;
        let (width, height) = (self.width, self.height);
        let mut rgb = vec![0u8; 3 * width * height];
        match self.planes {
            FramePlanes::Rgb(plane) => self.fill(&mut rgb, |x, y| plane.at::<3>(x, y)),
            FramePlanes::Rgba(plane) => {
                self.fill(&mut rgb, |x, y| on_white(plane.at::<4>(x, y)));
            }
            FramePlanes::Bgra(plane) => self.fill(&mut rgb, |x, y| {
                let [b, g, r, a] = plane.at::<4>(x, y);
                on_white([r, g, b, a])
            }),
            FramePlanes::Yuv420 { y, u, v, colour } => {
                let factors = Factors::of(colour);
                self.fill(&mut rgb, |column, row| {
                    let [y] = y.at::<1>(column, row);
                    let [u] = u.at::<1>(column / 2, row / 2);
                    let [v] = v.at::<1>(column / 2, row / 2);
                    factors.rgb(y, u, v)
                });
            }
        }
        let (width, height) = match self.rotation {
            Rotation::None | Rotation::Half => (width, height),
            Rotation::Quarter | Rotation::ThreeQuarters => (height, width),
        };
        Ok(Image::Pixels {
            width,
            height,
            order: PixelOrder::Rgb,
            bytes: rgb.into(),
        })
    }

    /// Writes each pixel to its place in the upright picture.
    fn fill(&self, rgb: &mut [u8], pixel: impl Fn(usize, usize) -> [u8; 3]) {
        let (width, height) = (self.width, self.height);
        let (pixels, _) = rgb.as_chunks_mut::<3>();
        for y in 0..height {
            // Where the row's first pixel comes to lie, and each one after it.
            let (first, step) = match self.rotation {
                Rotation::None => (y * width, 1),
                Rotation::Quarter => (height - 1 - y, height as isize),
                Rotation::Half => ((height - y) * width - 1, -1),
                Rotation::ThreeQuarters => ((width - 1) * height + y, -(height as isize)),
            };
            let mut at = first;
            for x in 0..width {
                pixels[at] = pixel(x, y);
                at = at.wrapping_add_signed(step);
            }
        }
    }

    fn validate(&self, limits: &ImageLimits) -> Result<()> {
        let (width, height) = (self.width, self.height);
        let pixels = width.checked_mul(height);
        if pixels.is_none_or(|n| n == 0 || n > limits.max_pixels) {
            let expected = format!(
                "at least one pixel and at most {} (`max_image_pixels`)",
                limits.max_pixels
            );
            return Err(self.refused(expected, format!("{width} x {height}")));
        }
        match self.planes {
            FramePlanes::Rgb(plane) => self.covers("rgb", plane, [width, height], 3),
            FramePlanes::Rgba(plane) => self.covers("rgba", plane, [width, height], 4),
            FramePlanes::Bgra(plane) => self.covers("bgra", plane, [width, height], 4),
            FramePlanes::Yuv420 { y, u, v, .. } => {
                let half = [width.div_ceil(2), height.div_ceil(2)];
                self.covers("y", y, [width, height], 1)?;
                self.covers("u", u, half, 1)?;
                self.covers("v", v, half, 1)
            }
        }
    }

    /// # Errors
    /// [`Error::Image`] where `plane` has no `size` pixels of so many bytes each.
    fn covers(&self, name: &str, plane: Plane<'_>, size: [usize; 2], bytes: usize) -> Result<()> {
        let [width, height] = size;
        if plane.pixel_stride < bytes {
            let expected = format!("a pixel stride of at least {bytes} in plane {name}");
            return Err(self.refused(expected, plane.pixel_stride));
        }
        let row = (width - 1)
            .saturating_mul(plane.pixel_stride)
            .saturating_add(bytes);
        if plane.row_stride < row && height > 1 {
            let expected = format!("a row stride of at least {row} in plane {name}");
            return Err(self.refused(expected, plane.row_stride));
        }
        let needed = (height - 1)
            .saturating_mul(plane.row_stride)
            .saturating_add(row);
        if plane.bytes.len() < needed {
            let expected = format!("at least {needed} bytes in plane {name}");
            return Err(self.refused(expected, plane.bytes.len()));
        }
        Ok(())
    }

    fn refused(&self, expected: impl ToString, got: impl ToString) -> Error {
        Error::Image {
            name: format!("frame of {} x {} pixels", self.width, self.height),
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }
}

impl Plane<'_> {
    /// The first `N` bytes of a pixel that the plane covers.
    fn at<const N: usize>(&self, x: usize, y: usize) -> [u8; N] {
        let start = y * self.row_stride + x * self.pixel_stride;
        let mut pixel = [0; N];
        pixel.copy_from_slice(&self.bytes[start..start + N]);
        pixel
    }
}

/// What brightness and chroma are multiplied by, with [`POINT`] bits after the point.
struct Factors {
    black: i32,
    y: i32,
    red_of_v: i32,
    green_of_u: i32,
    green_of_v: i32,
    blue_of_u: i32,
}

impl Factors {
    fn of(colour: YuvColour) -> Self {
        // Shares of red and blue in brightness (ITU-R BT.601, BT.709).
        let (red, blue) = match colour {
            YuvColour::Bt601Full | YuvColour::Bt601Video => (0.299, 0.114),
            YuvColour::Bt709Full | YuvColour::Bt709Video => (0.2126, 0.0722),
        };
        // First level, and the levels that brightness and chroma spread over.
        let (black, y, chroma) = match colour {
            YuvColour::Bt601Full | YuvColour::Bt709Full => (0, 1.0, 1.0),
            YuvColour::Bt601Video | YuvColour::Bt709Video => (16, 255.0 / 219.0, 255.0 / 224.0),
        };
        let green = 1.0 - red - blue;
        let fixed = |factor: f64| (factor * f64::from(1 << POINT)).round() as i32;
        Self {
            black,
            y: fixed(y),
            red_of_v: fixed(2.0 * (1.0 - red) * chroma),
            green_of_u: fixed(2.0 * (1.0 - blue) * blue / green * chroma),
            green_of_v: fixed(2.0 * (1.0 - red) * red / green * chroma),
            blue_of_u: fixed(2.0 * (1.0 - blue) * chroma),
        }
    }

    fn rgb(&self, y: u8, u: u8, v: u8) -> [u8; 3] {
        let y = (i32::from(y) - self.black) * self.y + (1 << (POINT - 1));
        let [u, v] = [u, v].map(|x| i32::from(x) - 128);
        let level = |sum: i32| (sum >> POINT).clamp(0, 255) as u8;
        [
            level(y + self.red_of_v * v),
            level(y - self.green_of_u * u - self.green_of_v * v),
            level(y + self.blue_of_u * u),
        ]
    }
}
