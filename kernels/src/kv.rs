//! A borrowed, strided view of one layer's keys or values for one path.

use half::{bf16, f16};

use crate::scales::HeadScales;
use crate::{KvScales, ShapeError};

/// Element type of a KV buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// Signed 8-bit integer; its scales are not in the buffer but beside it ([`KvScales`]).
    I8,
}

impl Dtype {
    /// Bytes per element.
    pub const fn bytes(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::I8 => 1,
        }
    }

    /// The name used in reports: `f32`, `f16`, `bf16`, `int8`.
    pub const fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
            Dtype::I8 => "int8",
        }
    }
}

/// Keys or values of one layer and one path: `[kv_heads, len, head_dim]`, the last axis contiguous.
///
/// Positions of one head follow each other; the next head begins `head_stride` elements after the last. Both KV
/// layouts of an ONNX decoder fit: a shared buffer has `head_stride = capacity * head_dim`, a growing one
/// `head_stride = len * head_dim`.
#[derive(Debug, Clone, Copy)]
pub struct KvView<'a> {
    bytes: &'a [u8],
    dtype: Dtype,
    kv_heads: usize,
    len: usize,
    head_dim: usize,
    head_stride: usize,
    scales: KvScales<'a>,
}

impl<'a> KvView<'a> {
    /// Wraps `bytes`, which begin at head 0, position 0.
    ///
    /// # Shapes
    /// `[kv_heads, len, head_dim]` elements of `dtype`, heads `head_stride` elements apart. Any alignment.
    ///
    /// # Errors
    /// [`ShapeError`] where the heads would overlap or `bytes` ends before the last element.
    pub fn new(
        bytes: &'a [u8],
        dtype: Dtype,
        [kv_heads, len, head_dim]: [usize; 3],
        head_stride: usize,
    ) -> Result<Self, ShapeError> {
        let refuse = |what, expected, got| {
            Err(ShapeError {
                op: "KvView",
                what,
                expected,
                got,
            })
        };
        let head = len.saturating_mul(head_dim);
        if kv_heads > 1 && head_stride < head {
            return refuse("head stride in elements (at least)", head, head_stride);
        }
        let elements = match kv_heads {
            0 => 0,
            n => (n - 1).saturating_mul(head_stride).saturating_add(head),
        };
        let needed = elements.saturating_mul(dtype.bytes());
        if bytes.len() < needed {
            return refuse("buffer length in bytes (at least)", needed, bytes.len());
        }
        Ok(Self {
            bytes,
            dtype,
            kv_heads,
            len,
            head_dim,
            head_stride,
            scales: KvScales::PerTensor(1.0),
        })
    }

    /// The same view of int8 elements that stand for `integer × scale`. Without scales the factor is 1.
    ///
    /// # Errors
    /// [`ShapeError`] where the elements are not int8, or the scales are not `kv_heads * head_dim`.
    pub fn with_scales(self, scales: KvScales<'a>) -> Result<Self, ShapeError> {
        let refuse = |what, expected, got| {
            Err(ShapeError {
                op: "KvView::with_scales",
                what,
                expected,
                got,
            })
        };
        if self.dtype != Dtype::I8 {
            let what = "bytes of an element that has a scale";
            return refuse(what, Dtype::I8.bytes(), self.dtype.bytes());
        }
        if let KvScales::PerChannel(each) = scales {
            let channels = self.kv_heads.saturating_mul(self.head_dim);
            if each.len() != channels {
                return refuse("scales", channels, each.len());
            }
        }
        Ok(Self { scales, ..self })
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// `[kv_heads, len, head_dim]`; `len` in positions.
    pub fn shape(&self) -> [usize; 3] {
        [self.kv_heads, self.len, self.head_dim]
    }

    /// Elements from the beginning of one head to the beginning of the next.
    pub fn head_stride(&self) -> usize {
        self.head_stride
    }

    /// The bytes of one head: `[len, head_dim]`, contiguous. `None` past the last head.
    pub fn head(&self, head: usize) -> Option<&'a [u8]> {
        if head >= self.kv_heads {
            return None;
        }
        let size = self.dtype.bytes();
        let start = head * self.head_stride * size;
        self.bytes
            .get(start..start + self.len * self.head_dim * size)
    }

    /// The scales of one head below `kv_heads`.
    pub(crate) fn head_scales(&self, head: usize) -> HeadScales<'a> {
        match self.scales {
            KvScales::PerTensor(scale) => HeadScales::One(scale),
            KvScales::PerChannel(each) => {
                let start = head * self.head_dim;
                HeadScales::Each(each.get(start..start + self.head_dim).unwrap_or(&[]))
            }
        }
    }

    /// One element as f32, int8 times its scale. For tests and reports: a kernel reads whole heads.
    pub fn get(&self, head: usize, position: usize, dim: usize) -> Option<f32> {
        if position >= self.len || dim >= self.head_dim {
            return None;
        }
        let size = self.dtype.bytes();
        let at = (position * self.head_dim + dim) * size;
        let bytes = self.head(head)?.get(at..at + size)?;
        Some(match (self.dtype, bytes) {
            (Dtype::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            (Dtype::F16, &[a, b]) => f16::from_le_bytes([a, b]).to_f32(),
            (Dtype::Bf16, &[a, b]) => bf16::from_le_bytes([a, b]).to_f32(),
            (Dtype::I8, &[a]) => f32::from(a as i8) * self.head_scales(head).at(dim),
            _ => return None,
        })
    }

    /// The same heads from position `start` on, `len` positions.
    ///
    /// # Errors
    /// [`ShapeError`] where `start + len` passes the end of the view.
    pub fn window(&self, start: usize, len: usize) -> Result<Self, ShapeError> {
        if start.saturating_add(len) > self.len {
            return Err(ShapeError {
                op: "KvView::window",
                what: "end of the window in positions (at most)",
                expected: self.len,
                got: start.saturating_add(len),
            });
        }
        let skip = start * self.head_dim * self.dtype.bytes();
        Ok(Self {
            bytes: self.bytes.get(skip..).unwrap_or(&[]),
            len,
            ..*self
        })
    }
}

/// The first of `segments`, the parts of one row, and the shape of them all together: `[kv_heads, len, head_dim]`, `len`
/// summed up. `head` must be one of theirs.
pub(crate) fn common_shape<'v, 'a>(
    op: &'static str,
    segments: &'v [KvView<'a>],
    head: usize,
) -> Result<(&'v KvView<'a>, [usize; 3]), ShapeError> {
    let refuse = |what, expected, got| {
        Err(ShapeError {
            op,
            what,
            expected,
            got,
        })
    };
    let Some((first, others)) = segments.split_first() else {
        return refuse("segments (at least)", 1, 0);
    };
    let [kv_heads, mut len, head_dim] = first.shape();
    for other in others {
        let [heads, positions, dim] = other.shape();
        for (what, expected, got) in [
            ("KV heads of a segment", kv_heads, heads),
            ("head_dim of a segment", head_dim, dim),
        ] {
            if expected != got {
                return refuse(what, expected, got);
            }
        }
        if other.dtype != first.dtype || other.scales != first.scales {
            return refuse(
                "segments of one dtype and the same scales",
                segments.len(),
                1,
            );
        }
        len = len.saturating_add(positions);
    }
    if head >= kv_heads {
        return refuse("head (below)", kv_heads, head);
    }
    Ok((first, [kv_heads, len, head_dim]))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    /// Two heads of three positions of two elements, with one position of slack after each head.
    fn strided() -> Vec<u8> {
        let slack = f32::NAN;
        let elements = [
            [0., 1., 2., 3., 4., 5., slack, slack],
            [10., 11., 12., 13., 14., 15., slack, slack],
        ];
        elements
            .iter()
            .flatten()
            .flat_map(|x: &f32| x.to_le_bytes())
            .collect()
    }

    #[test]
    fn a_head_ends_where_its_positions_end_not_where_the_next_begins() {
        let bytes = strided();
        let view = KvView::new(&bytes, Dtype::F32, [2, 3, 2], 8).unwrap();
        assert_eq!(view.head(1).unwrap().len(), 3 * 2 * 4);
        assert_eq!(view.get(1, 2, 1), Some(15.));
        assert_eq!(view.get(1, 3, 0), None);
        assert_eq!(view.head(2), None);
    }

    #[test]
    fn a_window_moves_every_head() {
        let bytes = strided();
        let view = KvView::new(&bytes, Dtype::F32, [2, 3, 2], 8).unwrap();
        let window = view.window(1, 2).unwrap();
        assert_eq!(window.shape(), [2, 2, 2]);
        assert_eq!(
            (window.get(0, 0, 0), window.get(1, 1, 1)),
            (Some(2.), Some(15.))
        );
        assert_eq!(view.window(2, 2).unwrap_err().got, 4);
    }

    #[test]
    fn a_buffer_that_is_too_short_or_overlaps_is_refused() {
        let bytes = strided();
        let short = KvView::new(&bytes, Dtype::F32, [3, 3, 2], 8).unwrap_err();
        assert_eq!((short.expected, short.got), ((2 * 8 + 6) * 4, 64));
        let overlap = KvView::new(&bytes, Dtype::F32, [2, 3, 2], 5).unwrap_err();
        assert_eq!((overlap.expected, overlap.got), (6, 5));
        assert!(KvView::new(&[], Dtype::F16, [4, 0, 64], 0).is_ok());
        assert!(
            KvView::new(
                &[],
                Dtype::I8,
                [usize::MAX, usize::MAX, usize::MAX],
                usize::MAX
            )
            .is_err()
        );
    }

    #[test]
    fn segments_that_are_not_of_one_row_are_refused() {
        let bytes = [0; 64];
        let view = |dtype, shape| KvView::new(&bytes, dtype, shape, 8).unwrap();
        let two = view(Dtype::I8, [2, 3, 2]);
        let scaled = two.with_scales(KvScales::PerTensor(0.5)).unwrap();
        let refused = |segments: &[KvView<'_>], head| {
            let error = common_shape("x", segments, head).unwrap_err();
            (error.what, error.expected, error.got)
        };
        assert_eq!(refused(&[], 0), ("segments (at least)", 1, 0));
        assert_eq!(refused(&[two], 2), ("head (below)", 2, 2));
        for (other, what) in [
            (view(Dtype::I8, [1, 3, 2]), "KV heads of a segment"),
            (view(Dtype::I8, [2, 2, 3]), "head_dim of a segment"),
            (
                view(Dtype::F16, [2, 3, 2]),
                "segments of one dtype and the same scales",
            ),
            (scaled, "segments of one dtype and the same scales"),
        ] {
            assert_eq!(refused(&[two, other], 0).0, what);
        }
        let (_, shape) = common_shape("x", &[two, two.window(1, 1).unwrap()], 1).unwrap();
        assert_eq!(shape, [2, 4, 2]);
    }

    #[test]
    fn every_dtype_reads_back() {
        let f16s: Vec<u8> = [1.5f32, -2.0]
            .iter()
            .flat_map(|&x| f16::from_f32(x).to_le_bytes())
            .collect();
        let view = KvView::new(&f16s, Dtype::F16, [1, 1, 2], 2).unwrap();
        assert_eq!(view.get(0, 0, 1), Some(-2.0));
        let bf16s: Vec<u8> = [1.5f32, -2.0]
            .iter()
            .flat_map(|&x| bf16::from_f32(x).to_le_bytes())
            .collect();
        let view = KvView::new(&bf16s, Dtype::Bf16, [1, 1, 2], 2).unwrap();
        assert_eq!(view.get(0, 0, 0), Some(1.5));
        let view = KvView::new(&[3, 0xff], Dtype::I8, [1, 1, 2], 2).unwrap();
        assert_eq!(view.get(0, 0, 1), Some(-1.0));
    }

    #[test]
    fn int8_elements_stand_for_themselves_times_their_scale() {
        let view = KvView::new(&[3, 0xff, 2, 4], Dtype::I8, [2, 1, 2], 2).unwrap();
        let scaled = view.with_scales(KvScales::PerTensor(0.5)).unwrap();
        assert_eq!(scaled.get(0, 0, 0), Some(1.5));
        let each = [1.0, 2.0, 3.0, 0.25];
        let scaled = view.with_scales(KvScales::PerChannel(&each)).unwrap();
        assert_eq!(scaled.get(0, 0, 1), Some(-2.0));
        assert_eq!(scaled.get(1, 0, 1), Some(1.0));
        assert_eq!(scaled.window(0, 1).unwrap().get(1, 0, 0), Some(6.0));
    }

    #[test]
    fn scales_that_do_not_fit_are_refused() {
        let view = KvView::new(&[3, 0xff], Dtype::I8, [1, 1, 2], 2).unwrap();
        let short = view.with_scales(KvScales::PerChannel(&[1.0])).unwrap_err();
        assert_eq!((short.expected, short.got), (2, 1));
        let halves = KvView::new(&[0; 4], Dtype::F16, [1, 1, 2], 2).unwrap();
        let refused = halves.with_scales(KvScales::PerTensor(1.0)).unwrap_err();
        assert_eq!((refused.expected, refused.got), (1, 2));
    }
}
