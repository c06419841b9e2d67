//! An image as it is handed in.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What stands where the bytes of a pixel do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelOrder {
    /// Red, green, blue.
    Rgb,
    /// Red, green, blue, and how opaque it is.
    Rgba,
}

impl PixelOrder {
    /// Bytes of a pixel.
    pub fn bytes(self) -> usize {
        match self {
            PixelOrder::Rgb => 3,
            PixelOrder::Rgba => 4,
        }
    }
}

/// An image as it is handed in.
#[derive(Clone, PartialEq)]
pub enum Image {
    /// A file: JPEG, PNG, WebP, GIF (its first frame) or BMP, found from what is in it.
    File(PathBuf),
    /// The bytes of such a file.
    Encoded {
        /// What messages call it.
        name: String,
        /// The bytes.
        bytes: Arc<[u8]>,
    },
    /// Pixels row by row from the top, without gaps: `[height, width, colours]`.
    Pixels {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
        /// What a pixel is.
        order: PixelOrder,
        /// Levels from 0 to 255.
        bytes: Arc<[u8]>,
    },
}

impl Image {
    /// What messages call it.
    pub fn name(&self) -> String {
        match self {
            Image::File(file) => file.display().to_string(),
            Image::Encoded { name, .. } => name.clone(),
            Image::Pixels { width, height, .. } => format!("{width} x {height} pixels"),
        }
    }
}

impl From<&Path> for Image {
    fn from(file: &Path) -> Self {
        Image::File(file.into())
    }
}

impl From<PathBuf> for Image {
    fn from(file: PathBuf) -> Self {
        Image::File(file)
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its bytes would bury whatever else is shown.
        write!(f, "Image({})", self.name())
    }
}
