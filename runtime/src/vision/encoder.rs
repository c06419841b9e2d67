//! The vision graph, loaded: from pixels to image features.

use std::ffi::CString;

use curt_session::{ElementType, Given, Session};
use half::f16;

use super::Pixels;
use crate::error::{Error, Result};
use crate::package::{FloatDtype, MaskDtype, Package, VisionGraph};
use crate::session::{CancelToken, SessionOptions};

/// Tiles that the graph sees at once. One by one, its memory does not grow with the picture, and no tile's quantized
/// activations depend on the others.
const TILES_AT_ONCE: usize = 1;

/// A loaded vision graph.
pub struct Encoder {
    session: Session,
    graph: VisionGraph,
    pixel_values: CString,
    mask: Option<(CString, MaskDtype)>,
    output: CString,
}

impl Encoder {
    /// Loads the vision graph of `package`.
    ///
    /// # Errors
    /// [`Error::Option`] where the package has none; [`Error::Session`] or [`Error::Package`] where library, graph or names
    /// are refused; [`Error::Cancelled`].
    pub fn open(package: &Package, options: &SessionOptions) -> Result<Self> {
        let Some(graph) = package.vision() else {
            let expected = "none: this package takes texts alone";
            return Err(Error::option("images", expected, "images"));
        };
        let name = |name: &str| {
            CString::new(name).map_err(|_| {
                let field = "a name in the graph";
                Error::package(&graph.file, field, "no NUL byte", format!("{name:?}"))
            })
        };
        let mask = match &graph.mask {
            Some((text, dtype)) => Some((name(text)?, *dtype)),
            None => None,
        };
        Ok(Self {
            session: Session::open(&graph.file, options)?,
            pixel_values: name(&graph.pixel_values)?,
            mask,
            output: name(&graph.output)?,
            graph: graph.clone(),
        })
    }

    /// Numbers of one feature.
    pub fn hidden(&self) -> usize {
        self.graph.hidden
    }

    /// Image features of `pixels`, tile after tile: `[features, hidden]`.
    ///
    /// # Errors
    /// [`Error::Package`] where the graph takes tiles of another size, or gives features of another; [`Error::Session`];
    /// [`Error::Cancelled`].
    pub fn encode(&mut self, pixels: &Pixels, cancel: &CancelToken) -> Result<Vec<f32>> {
        let size = [pixels.height, pixels.width];
        for (axis, (own, given)) in self.graph.size.iter().zip(size).enumerate() {
            if let Some(own) = own.filter(|&own| own != given) {
                let axis = ["height", "width"][axis];
                let field = format!("{axis} of {:?}", self.graph.pixel_values);
                let expected = format!("{given}, as the package's processor makes it");
                return Err(Error::package(&self.graph.file, field, expected, own));
            }
        }
        let mut features = Vec::new();
        let mut of_one = None;
        let values = 3 * pixels.height * pixels.width;
        for tiles in pixels.values.chunks(TILES_AT_ONCE * values) {
            let count = tiles.len() / values;
            let before = features.len();
            self.run(
                tiles,
                [count, pixels.height, pixels.width],
                &mut features,
                cancel,
            )?;
            let gave = (features.len() - before) / count;
            let expected = *of_one.get_or_insert(gave);
            if gave != expected || gave == 0 {
                return Err(self.refused(format!("{expected} numbers a tile, at least one"), gave));
            }
        }
        Ok(features)
    }

    fn run(
        &mut self,
        tiles: &[f32],
        [count, height, width]: [usize; 3],
        features: &mut Vec<f32>,
        cancel: &CancelToken,
    ) -> Result<()> {
        let narrow: Vec<u16>;
        let pixels: &[u8] = match self.graph.dtype {
            FloatDtype::F32 => bytes_of(tiles),
            FloatDtype::F16 => {
                narrow = tiles.iter().map(|&x| f16::from_f32(x).to_bits()).collect();
                bytes_of(&narrow)
            }
        };
        let [n, h, w] = [count, height, width].map(|n| n as i64);
        let shape = [1, n, 3, h, w];
        let mask_shape = [1, n, h, w];
        let from = usize::from(!self.graph.nested);
        let mut given = vec![Given {
            name: &self.pixel_values,
            element: self.graph.dtype.into(),
            shape: &shape[from..],
            bytes: pixels,
        }];
        let (ones, wide);
        if let Some((name, dtype)) = &self.mask {
            let all = count * height * width;
            let (element, bytes) = match dtype {
                MaskDtype::Bool => {
                    ones = vec![1u8; all];
                    (ElementType::Bool, ones.as_slice())
                }
                MaskDtype::I64 => {
                    wide = vec![1i64; all];
                    (ElementType::I64, bytes_of(&wide))
                }
            };
            given.push(Given {
                name,
                element,
                shape: &mask_shape[from..],
                bytes,
            });
        }
        let attached = self.session.cancelled_by(cancel)?;
        let output = self.session.call(&given, &self.output);
        drop(attached);
        let output = output.map_err(|error| match cancel.is_cancelled() {
            true => Error::Cancelled { tokens: 0 },
            false => error.into(),
        })?;
        let last = output.shape().last().copied();
        if last != Some(self.graph.hidden as i64) {
            let expected = format!("{} numbers on the last axis", self.graph.hidden);
            return Err(self.refused(expected, format!("{:?}", output.shape())));
        }
        match output.element() {
            ElementType::F32 => features.extend(numbers(output.bytes(), f32::from_ne_bytes)),
            ElementType::F16 => {
                let halves = numbers(output.bytes(), f16::from_ne_bytes);
                features.extend(halves.map(f16::to_f32));
            }
            other => return Err(self.refused("f32 or f16", format!("{other:?}"))),
        }
        Ok(())
    }

    fn refused(&self, expected: impl ToString, got: impl ToString) -> Error {
        let field = format!("what {:?} gives", self.graph.output);
        Error::package(&self.graph.file, field, expected, got)
    }
}

fn numbers<'a, const N: usize, T: 'a>(
    bytes: &'a [u8],
    of: fn([u8; N]) -> T,
) -> impl Iterator<Item = T> + 'a {
    bytes.as_chunks::<N>().0.iter().map(move |&b| of(b))
}

/// The bytes of numbers.
fn bytes_of<T: Number>(numbers: &[T]) -> &[u8] {
    // SAFETY: the types that implement `Number` have neither padding nor bytes without a value, and the slice is as long
    // as the numbers that it borrows.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}

/// A number whose bytes all have a value.
trait Number {}

impl Number for f32 {}
impl Number for u16 {}
impl Number for i64 {}
