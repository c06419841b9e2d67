//! From a picture to the tensor that a vision graph takes, as the package's processor says.

use super::Decoded;
use super::resample::resize;
use crate::error::{Error, Result};
use crate::package::{ImageProcessor, Resize, Tiling};

/// Idefics3 makes no picture's edge longer than this, whatever its files say (transformers, `MAX_IMAGE_SIZE`).
const IDEFICS3_LONGEST: usize = 4096;

/// Most pixels of a picture on its way, and of all tiles: 400 MB as numbers.
const MOST_PIXELS: usize = 32 << 20;

/// A picture as a vision graph takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    /// `[tiles, 3, height, width]`
    pub values: Vec<f32>,
    /// Tiles, the whole picture last.
    pub tiles: usize,
    /// Pixels of a tile's column.
    pub height: usize,
    /// Pixels of a tile's row.
    pub width: usize,
    /// Rows and columns of tiles beside the whole; 0 where it was not cut.
    pub rows: usize,
    /// As `rows`.
    pub columns: usize,
}

/// A picture of 8 bits a colour: `[height, width, 3]`.
struct Picture {
    size: [usize; 2],
    rgb: Vec<u8>,
}

impl Picture {
    fn resized(&self, size: [usize; 2], processor: &ImageProcessor) -> Result<Self> {
        let pixels = size[0].checked_mul(size[1]);
        // Rows come first, and stand in memory in their full number.
        let between = self.size[0].checked_mul(size[1]);
        let too_many = |pixels: Option<usize>| pixels.is_none_or(|n| n > MOST_PIXELS);
        if too_many(pixels) || too_many(between) {
            let [height, width] = self.size;
            return Err(Error::Image {
                name: format!("{width} x {height} pixels"),
                expected: format!(
                    "a shape that the package's processor brings to at most {MOST_PIXELS} pixels"
                ),
                got: format!("{} x {}", size[1], size[0]),
            });
        }
        Ok(Self {
            size,
            rgb: match size == self.size {
                true => self.rgb.clone(),
                false => resize(&self.rgb, self.size, size, processor.filter),
            },
        })
    }
}

/// `decoded` as `processor` has it.
///
/// # Errors
/// [`Error::Image`] for a shape so long that it would become too large.
pub fn process(decoded: Decoded, processor: &ImageProcessor) -> Result<Pixels> {
    let mut picture = Picture {
        size: [decoded.height, decoded.width],
        rgb: decoded.rgb,
    };
    if let Some(to) = processor.resize {
        picture = picture.resized(first_size(to, picture.size), processor)?;
    }
    let levels = Levels::of(processor);
    match processor.tiling {
        Tiling::One { crop: None } => Ok(one(&picture, picture.size, [0, 0], &levels)),
        Tiling::One { crop: Some(crop) } => {
            // Where the picture is smaller, what is beyond it is black.
            let corner = [0, 1].map(|axis| {
                let (own, wanted) = (picture.size[axis] as isize, crop[axis] as isize);
                (own - wanted).div_euclid(2)
            });
            Ok(one(&picture, crop, corner, &levels))
        }
        Tiling::Square(edge) => {
            let picture = picture.resized([edge; 2], processor)?;
            Ok(one(&picture, picture.size, [0, 0], &levels))
        }
        Tiling::Split(edge) => split(&picture, edge, processor, &levels),
    }
}

/// One tile of `size` whose corner lies at `corner` of the picture.
fn one(picture: &Picture, size: [usize; 2], corner: [isize; 2], levels: &Levels) -> Pixels {
    let [height, width] = size;
    let mut values = vec![0.0; 3 * height * width];
    levels.cut(picture, size, corner, &mut values);
    Pixels {
        values,
        tiles: 1,
        height,
        width,
        rows: 0,
        columns: 0,
    }
}

/// Squares of `edge` pixels row by row, and the whole in one.
fn split(
    picture: &Picture,
    edge: usize,
    processor: &ImageProcessor,
    levels: &Levels,
) -> Result<Pixels> {
    let picture = picture.resized(multiples(picture.size, edge), processor)?;
    let [rows, columns] = picture.size.map(|pixels| pixels / edge);
    if rows * columns == 1 {
        return Ok(one(&picture, picture.size, [0, 0], levels));
    }
    let tiles = rows * columns + 1;
    let mut values = vec![0.0; tiles * 3 * edge * edge];
    let whole = picture.resized([edge; 2], processor)?;
    for (i, tile) in values.chunks_exact_mut(3 * edge * edge).enumerate() {
        if i + 1 == tiles {
            levels.cut(&whole, [edge; 2], [0, 0], tile);
        } else {
            let corner = [i / columns, i % columns].map(|n| (n * edge) as isize);
            levels.cut(&picture, [edge; 2], corner, tile);
        }
    }
    Ok(Pixels {
        values,
        tiles,
        height: edge,
        width: edge,
        rows,
        columns,
    })
}

/// Height and width that a picture of `size` is brought to first.
fn first_size(to: Resize, [height, width]: [usize; 2]) -> [usize; 2] {
    match to {
        Resize::To { height, width } => [height, width],
        // `get_resize_output_image_size` of transformers, not to a square.
        Resize::Shortest(edge) => {
            let (short, long) = (width.min(height), width.max(height));
            let other = (edge as f64 * long as f64 / short as f64) as usize;
            if width <= height {
                [other, edge]
            } else {
                [edge, other]
            }
        }
        Resize::Longest(edge) => idefics3_size([height, width], edge),
    }
}

/// The longer edge becomes `longest`, the other one even and at least 1 (`get_resize_output_image_size` of transformers'
/// Idefics3 processor, in its order of rounding).
fn idefics3_size([height, width]: [usize; 2], longest: usize) -> [usize; 2] {
    let even = |n: usize| n + n % 2;
    let aspect = width as f64 / height as f64;
    let [height, width] = if width >= height {
        [even((longest as f64 / aspect) as usize).max(1), longest]
    } else {
        [longest, even((longest as f64 * aspect) as usize).max(1)]
    };
    let aspect = width as f64 / height as f64;
    let [height, width] = if width >= height && width > IDEFICS3_LONGEST {
        [
            (IDEFICS3_LONGEST as f64 / aspect) as usize,
            IDEFICS3_LONGEST,
        ]
    } else if height > width && height > IDEFICS3_LONGEST {
        [
            IDEFICS3_LONGEST,
            (IDEFICS3_LONGEST as f64 * aspect) as usize,
        ]
    } else {
        [height, width]
    };
    [height.max(1), width.max(1)]
}

/// Both edges as multiples of `edge`, the longer one first (`resize_for_vision_encoder`).
fn multiples([height, width]: [usize; 2], edge: usize) -> [usize; 2] {
    let up = |n: usize| n.max(1).div_ceil(edge) * edge;
    let aspect = width as f64 / height as f64;
    if width >= height {
        let width = up(width);
        [up((width as f64 / aspect) as usize), width]
    } else {
        let height = up(height);
        [height, up((height as f64 * aspect) as usize)]
    }
}

/// What each level of each colour becomes.
struct Levels([[f32; 256]; 3]);

impl Levels {
    /// In the types that transformers computes them in: the product in f64, the rest in f32.
    fn of(processor: &ImageProcessor) -> Self {
        let of = |colour: usize, level: usize| {
            let rescaled = match processor.rescale {
                Some(factor) => (level as f64 * factor) as f32,
                None => level as f32,
            };
            match processor.normalize {
                Some([mean, std]) => (rescaled - mean[colour] as f32) / std[colour] as f32,
                None => rescaled,
            }
        };
        Self([0, 1, 2].map(|colour| std::array::from_fn(|level| of(colour, level))))
    }

    /// Writes the part of `picture` from `corner` on, of `size`, to `tile`: `[3, height, width]`. Beyond the picture lies
    /// black.
    fn cut(&self, picture: &Picture, size: [usize; 2], corner: [isize; 2], tile: &mut [f32]) {
        let [height, width] = size;
        let [own_height, own_width] = picture.size;
        for (colour, plane) in tile.chunks_exact_mut(height * width).enumerate() {
            let levels = &self.0[colour];
            for (row, line) in plane.chunks_exact_mut(width).enumerate() {
                let from = usize::try_from(corner[0] + row as isize).ok();
                let from = from.filter(|&row| row < own_height);
                let pixels = from.map(|row| &picture.rgb[row * own_width * 3..][..own_width * 3]);
                for (column, value) in line.iter_mut().enumerate() {
                    let at = usize::try_from(corner[1] + column as isize).ok();
                    let at = at.filter(|&column| column < own_width);
                    let level = match (pixels, at) {
                        (Some(pixels), Some(column)) => pixels[column * 3 + colour],
                        _ => 0,
                    };
                    *value = levels[usize::from(level)];
                }
            }
        }
    }
}
