//! What one row has cached of one layer, lent in one or two pieces.

use curt_kernels::{KvView, ShapeError};

/// Keys or values of one layer and one row: one segment, or two that follow each other.
///
/// Two where rows share one copy of their prompt: the prompt, then the row's own positions. A reader takes
/// [`Self::segments`] in order and needs not know which cache it reads.
#[derive(Debug, Clone, Copy)]
pub struct KvRow<'a> {
    pieces: [KvView<'a>; 2],
    count: usize,
}

impl<'a> KvRow<'a> {
    /// A prompt that rows share, and what `row` has of its own after it.
    ///
    /// # Errors
    /// [`ShapeError`] where the two have different heads or elements.
    pub fn shared(prompt: KvView<'a>, row: KvView<'a>) -> Result<Self, ShapeError> {
        let [[heads, _, dim], [row_heads, _, row_dim]] = [prompt.shape(), row.shape()];
        for (what, expected, got) in [
            ("heads of the second segment", heads, row_heads),
            ("elements of a head in the second segment", dim, row_dim),
            (
                "bytes of an element in the second segment",
                prompt.dtype().bytes(),
                row.dtype().bytes(),
            ),
        ] {
            if expected != got {
                return Err(ShapeError {
                    op: "KvRow",
                    what,
                    expected,
                    got,
                });
            }
        }
        Ok(Self {
            pieces: [prompt, row],
            count: 2,
        })
    }

    /// The segments, in the order of their positions: one or two, each `[kv_heads, its positions, head_dim]`.
    pub fn segments(&self) -> &[KvView<'a>] {
        &self.pieces[..self.count]
    }

    /// `[kv_heads, positions of all segments, head_dim]`.
    pub fn shape(&self) -> [usize; 3] {
        let [heads, _, dim] = self.pieces[0].shape();
        let positions = self.segments().iter().map(|s| s.shape()[1]).sum();
        [heads, positions, dim]
    }

    /// `len` positions from position `start` on. A segment with none of them is left out, unless all are.
    ///
    /// # Errors
    /// [`ShapeError`] past the last position.
    pub fn window(&self, start: usize, len: usize) -> Result<Self, ShapeError> {
        let end = start.saturating_add(len);
        let [_, positions, _] = self.shape();
        if end > positions {
            return Err(ShapeError {
                op: "KvRow::window",
                what: "end of the window in positions (at most)",
                expected: positions,
                got: end,
            });
        }
        let mut window = Self {
            pieces: self.pieces,
            count: 0,
        };
        let mut before = 0;
        for segment in self.segments() {
            let [_, here, _] = segment.shape();
            let from = start.clamp(before, before + here) - before;
            let to = end.clamp(before, before + here) - before;
            if from < to {
                window.pieces[window.count] = segment.window(from, to - from)?;
                window.count += 1;
            }
            before += here;
        }
        if window.count == 0 {
            return Ok(self.pieces[0].window(0, 0)?.into());
        }
        Ok(window)
    }

    /// One element as f32. For tests and reports: a kernel reads whole heads.
    pub fn get(&self, head: usize, position: usize, dim: usize) -> Option<f32> {
        let mut before = 0;
        for segment in self.segments() {
            let [_, here, _] = segment.shape();
            if position < before + here {
                return segment.get(head, position - before, dim);
            }
            before += here;
        }
        None
    }
}

impl<'a> From<KvView<'a>> for KvRow<'a> {
    fn from(all: KvView<'a>) -> Self {
        Self {
            pieces: [all, all],
            count: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use curt_kernels::Dtype;

    /// Two heads of two elements: element `dim` of position `p` in head `h` is `100 h + 10 p + dim`, positions from
    /// `first` on.
    fn bytes(first: usize, positions: usize) -> Vec<u8> {
        let element = |h: usize, p: usize, d: usize| (100 * h + 10 * (first + p) + d) as f32;
        (0..2)
            .flat_map(|h| (0..positions).map(move |p| (h, p)))
            .flat_map(|(h, p)| [element(h, p, 0), element(h, p, 1)])
            .flat_map(f32::to_le_bytes)
            .collect()
    }

    fn view(bytes: &[u8], positions: usize) -> KvView<'_> {
        KvView::new(bytes, Dtype::F32, [2, positions, 2], positions * 2).unwrap()
    }

    #[test]
    fn every_window_over_two_segments_shows_what_one_segment_shows() {
        let (whole, prompt, own) = (bytes(0, 7), bytes(0, 4), bytes(4, 3));
        let one = KvRow::from(view(&whole, 7));
        let two = KvRow::shared(view(&prompt, 4), view(&own, 3)).unwrap();
        assert_eq!((one.segments().len(), two.segments().len()), (1, 2));
        for start in 0..=7 {
            for len in 0..=7 - start {
                let [one, two] = [one, two].map(|row| row.window(start, len).unwrap());
                assert_eq!(one.shape(), [2, len, 2]);
                assert_eq!(two.shape(), [2, len, 2]);
                let crosses = start < 4 && start + len > 4;
                assert_eq!(two.segments().len(), if crosses { 2 } else { 1 });
                for head in 0..2 {
                    for position in 0..len {
                        let expected = (100 * head + 10 * (start + position) + 1) as f32;
                        assert_eq!(one.get(head, position, 1), Some(expected));
                        assert_eq!(two.get(head, position, 1), Some(expected));
                    }
                    assert_eq!(two.get(head, len, 0), None);
                }
            }
        }
        assert!(two.window(3, 5).is_err());
        assert!(two.window(usize::MAX, 2).is_err());
    }

    #[test]
    fn segments_of_other_heads_or_elements_are_refused() {
        let bytes = [0; 64];
        let view = |dtype, shape: [usize; 3]| KvView::new(&bytes, dtype, shape, 8).unwrap();
        let prompt = view(Dtype::F32, [2, 2, 2]);
        for (dtype, shape) in [
            (Dtype::F32, [1, 2, 2]),
            (Dtype::F32, [2, 2, 1]),
            (Dtype::F16, [2, 2, 2]),
        ] {
            assert!(KvRow::shared(prompt, view(dtype, shape)).is_err());
        }
        assert!(KvRow::shared(prompt, view(Dtype::F32, [2, 1, 2])).is_ok());
    }
}
