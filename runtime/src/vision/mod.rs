//! From an image to image features: decode, bring to size, cut into tiles, normalise, run the vision graph.
//!
//! Pixels are those of Hugging Face's processors on Pillow, level for level: [`resample`] does in whole numbers what
//! Pillow does. What is decoded differs for formats that lose something, where each library rounds in its own way.

mod cache;
mod decode;
mod encoder;
mod frame;
mod image;
mod jpeg;
mod process;
pub mod resample;

pub use cache::{Digest, EncoderCache, Features};
pub use decode::{DEFAULT_MAX_PIXELS, Decoded, ImageLimits, decode};
pub use encoder::Encoder;
pub use frame::{Frame, FramePlanes, Plane, Rotation, YuvColour};
pub use image::{Image, PixelOrder};
pub use process::{Pixels, process};
