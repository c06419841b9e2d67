//! Attention in parts against the plain f64 loops, on every instruction set that this processor has.

use std::f32::consts::LOG2_E;

use crate::reference;

use curt_kernels::{Cached, Causal, Dtype, Isa, SplitAttention};
use half::{bf16, f16};
use reference::{DTYPES, Expected, Numbers, assert_admits, cases};

/// Around blocks of 4, 8 and 16 dimensions and of 2 and 4 registers, and those that models have.
fn head_dims() -> &'static [usize] {
    cases(
        &[16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 256],
        &[16, 48, 64, 128],
    )
}

/// Around registers, blocks of them, and the chunk.
fn lengths() -> &'static [usize] {
    cases(
        &[
            1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65, 96, 127, 128,
        ],
        &[1, 5, 16, 33, 64],
    )
}

/// Around the tile of six and its halves, and the block of 48.
const QUERIES: [usize; 13] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 48, 49, 61];

fn variants() -> impl Iterator<Item = SplitAttention> {
    Isa::available().filter_map(SplitAttention::new)
}

/// The bytes of elements as a cache of `dtype` keeps them.
fn encode(dtype: Dtype, elements: &[f32]) -> Vec<u8> {
    let each = |x: f32| -> Vec<u8> {
        match dtype {
            Dtype::F32 => x.to_le_bytes().to_vec(),
            Dtype::F16 => f16::from_f32(x).to_le_bytes().to_vec(),
            Dtype::Bf16 => bf16::from_f32(x).to_le_bytes().to_vec(),
            Dtype::I8 => vec![x.round() as i8 as u8],
        }
    };
    elements.iter().flat_map(|&x| each(x)).collect()
}

/// What the kernels read of an element of `dtype`.
fn rounded(dtype: Dtype, x: f32) -> f32 {
    match dtype {
        Dtype::F32 => x,
        Dtype::F16 => f16::from_f32(x).to_f32(),
        Dtype::Bf16 => bf16::from_f32(x).to_f32(),
        Dtype::I8 => x.round(),
    }
}

/// Queries, keys and values of one head.
struct Head {
    dtype: Dtype,
    head_dim: usize,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Head {
    fn new(head_dim: usize, queries: usize, positions: usize, numbers: &mut Numbers) -> Self {
        Self {
            dtype: Dtype::F32,
            head_dim,
            queries: numbers.take(queries * head_dim, 0.7),
            keys: numbers.take(positions * head_dim, 1.0),
            values: numbers.take(positions * head_dim, 1.0),
        }
    }

    /// The same, its keys and values rounded to `dtype`; those of int8 are whole numbers, and larger.
    fn to(mut self, dtype: Dtype) -> Self {
        let scale = if dtype == Dtype::I8 { 20.0 } else { 1.0 };
        for x in self.keys.iter_mut().chain(&mut self.values) {
            *x = rounded(dtype, *x * scale);
        }
        for x in &mut self.queries {
            *x /= scale;
        }
        self.dtype = dtype;
        self
    }

    fn positions(&self) -> usize {
        self.keys.len() / self.head_dim
    }

    /// Of each query, the result over the first `seen(query)` positions.
    fn expected(&self, seen: impl Fn(usize) -> usize) -> Vec<Expected> {
        let rows = |of: &[f32]| -> Vec<Vec<f64>> {
            let row = |row: &[f32]| row.iter().map(|&x| f64::from(x)).collect();
            of.chunks(self.head_dim).map(row).collect()
        };
        let (keys, values) = (rows(&self.keys), rows(&self.values));
        let queries = self.queries.chunks(self.head_dim).enumerate();
        queries
            .flat_map(|(i, query)| reference::attend(&keys[..seen(i)], &values[..seen(i)], query))
            .collect()
    }

    /// The states over the positions from `start` on, of one chunk at most.
    fn states(
        &self,
        variant: SplitAttention,
        queries: &[f32],
        (start, positions): (usize, usize),
        causal: Option<Causal>,
    ) -> Vec<f32> {
        let head_dim = self.head_dim;
        let scaled: Vec<f32> = queries.iter().map(|q| q * LOG2_E).collect();
        let count = queries.len() / head_dim;
        let mut states = vec![f32::NAN; count * SplitAttention::state_len(head_dim)];
        let mut scratch = vec![f32::NAN; SplitAttention::scratch_len(head_dim)];
        let [keys, values] = [&self.keys, &self.values]
            .map(|elements| encode(self.dtype, &elements[start * head_dim..]));
        let cache = Cached {
            keys: &keys,
            values: &values,
            dtype: self.dtype,
        };
        variant
            .attend(
                &scaled,
                cache,
                positions,
                head_dim,
                causal,
                &mut scratch,
                &mut states,
            )
            .unwrap();
        states
    }

    /// All positions, in chunks of `chunk`, merged in their order.
    fn run(
        &self,
        variant: SplitAttention,
        queries: &[f32],
        chunk: usize,
        causal: Option<(usize, usize)>,
    ) -> Vec<f32> {
        let mut merged: Option<Vec<f32>> = None;
        for start in (0..self.positions()).step_by(chunk) {
            let causal = causal.map(|(position, group)| Causal {
                position,
                group,
                start,
            });
            let positions = chunk.min(self.positions() - start);
            let states = self.states(variant, queries, (start, positions), causal);
            match &mut merged {
                None => merged = Some(states),
                Some(merged) => variant.merge(merged, &states, self.head_dim).unwrap(),
            }
        }
        let mut out = vec![f32::NAN; queries.len()];
        let states = merged.unwrap();
        variant.finish(&states, self.head_dim, &mut out).unwrap();
        out
    }
}

#[test]
fn split_attention_agrees_at_every_shape() {
    let mut numbers = Numbers(31);
    for &head_dim in head_dims() {
        let chunk = SplitAttention::chunk(head_dim);
        for &positions in lengths() {
            for &queries in cases(&QUERIES, &[1, 4, 8, 13, 49]) {
                let head = Head::new(head_dim, queries, positions, &mut numbers);
                let expected = head.expected(|_| positions);
                for variant in variants() {
                    let got = head.run(variant, &head.queries, chunk, None);
                    let case = (variant.isa(), head_dim, positions, queries);
                    assert_admits(&expected, &got, &case);
                }
            }
        }
    }
}

#[test]
fn split_attention_reads_every_dtype() {
    let mut numbers = Numbers(37);
    for &head_dim in head_dims() {
        for &positions in cases(&[1, 9, 16, 31, 32], &[9, 32]) {
            for dtype in DTYPES {
                let head = Head::new(head_dim, 7, positions, &mut numbers).to(dtype);
                let expected = head.expected(|_| positions);
                for variant in variants() {
                    let got = head.run(variant, &head.queries, 32, None);
                    let case = (variant.isa(), dtype, head_dim, positions);
                    assert_admits(&expected, &got, &case);
                }
            }
        }
    }
}

/// Chunks of any size, merged, are the whole: here a chunk's keys go on where it ends.
#[test]
fn chunks_merge_to_the_whole() {
    let mut numbers = Numbers(32);
    for &head_dim in head_dims() {
        let head = Head::new(head_dim, 7, 150, &mut numbers);
        let expected = head.expected(|_| 150);
        for chunk in [1, 5, 16, 31, 32] {
            for variant in variants() {
                let got = head.run(variant, &head.queries, chunk, None);
                assert_admits(&expected, &got, &(variant.isa(), head_dim, chunk));
            }
        }
    }
}

/// Queries in groups, each group one position further: the first sees `position` + 1 keys.
#[test]
fn a_query_sees_the_keys_up_to_its_own_position() {
    let mut numbers = Numbers(33);
    for head_dim in [16, 64] {
        for group in [1, 3, 4] {
            for position in [0, 1, 14, 40] {
                let tokens = 9;
                let queries = tokens * group;
                let mut head = Head::new(head_dim, queries, position + tokens, &mut numbers);
                let seen = |query: usize| position + query / group + 1;
                let expected = head.expected(seen);
                for variant in variants() {
                    let got = head.run(variant, &head.queries, 16, Some((position, group)));
                    let case = (variant.isa(), head_dim, group, position);
                    assert_admits(&expected, &got, &case);
                }
                // What stands behind counts for nothing, even where it is no number.
                let last = (position + tokens - 1) * head_dim;
                head.keys[last..].fill(f32::NAN);
                head.values[last..].fill(f32::INFINITY);
                for variant in variants() {
                    let got = head.run(variant, &head.queries, 16, Some((position, group)));
                    let whole = (queries - group) * head_dim;
                    let case = (variant.isa(), head_dim, group, position);
                    assert_admits(&expected[..whole], &got[..whole], &case);
                    assert!(got[whole..].iter().all(|x| x.is_nan()), "{case:?}");
                }
            }
        }
    }
}

/// To the last bit, whatever other queries share the call, and whether the keys go on behind the last.
#[test]
fn queries_do_not_see_each_other() {
    let mut numbers = Numbers(34);
    for head_dim in [16, 48, 64, 128] {
        for positions in [1, 17, 61] {
            let longer = Head::new(head_dim, 13, positions + 16, &mut numbers);
            let head = Head {
                dtype: Dtype::F32,
                head_dim,
                queries: longer.queries.clone(),
                keys: longer.keys[..positions * head_dim].to_vec(),
                values: longer.values[..positions * head_dim].to_vec(),
            };
            for variant in variants() {
                let bits = |states: &[f32]| states.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                let chunk = (0, positions);
                let together = longer.states(variant, &longer.queries, chunk, None);
                let of_one = SplitAttention::state_len(head_dim);
                for first in 0..13 {
                    for count in 1..=13 - first {
                        let queries = &head.queries[first * head_dim..][..count * head_dim];
                        let alone = head.states(variant, queries, chunk, None);
                        let same = &together[first * of_one..][..count * of_one];
                        assert_eq!(bits(&alone), bits(same), "{variant:?} {first} {count}");
                    }
                }
            }
        }
    }
}

#[test]
fn special_numbers_are_those_of_the_reference() {
    let mut numbers = Numbers(35);
    let (head_dim, positions) = (32, 67);
    for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0] {
        for position in [0, 15, 16, 40, 66] {
            for part in 0..3 {
                let mut head = Head::new(head_dim, 5, positions, &mut numbers);
                match part {
                    0 => head.keys[position * head_dim + 3] = special,
                    1 => head.values[position * head_dim + 3] = special,
                    _ => head.queries[2 * head_dim + 3] = special,
                }
                let expected = head.expected(|_| positions);
                for variant in variants() {
                    let got = head.run(variant, &head.queries, 16, None);
                    let case = (variant.isa(), special, position, part);
                    assert_admits(&expected, &got, &case);
                }
            }
        }
    }
}

/// A chunk of which a query sees nothing changes nothing; one that sees nothing at all has no result.
#[test]
fn a_state_of_nothing_changes_nothing() {
    let mut numbers = Numbers(36);
    let head = Head::new(16, 3, 8, &mut numbers);
    let unseen = Some(Causal {
        position: 4,
        group: 3,
        start: 100,
    });
    for variant in variants() {
        let finished = |states: &[f32]| {
            let mut out = vec![0.0; 48];
            variant.finish(states, 16, &mut out).unwrap();
            out
        };
        let some = head.states(variant, &head.queries, (0, 8), None);
        let none = head.states(variant, &head.queries, (0, 8), unseen);
        for (first, second) in [(&some, &none), (&none, &some)] {
            let mut merged = first.clone();
            variant.merge(&mut merged, second, 16).unwrap();
            assert_eq!(finished(&merged), finished(&some), "{variant:?}");
        }
        assert!(finished(&none).iter().all(|x| x.is_nan()), "{variant:?}");
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let len = SplitAttention::state_len(16);
    let refused = |queries: usize, keys: usize, values: usize, positions, scratch, states| {
        let queries = vec![0.0; queries];
        let [keys, values] = [keys, values].map(|n| vec![0; n * 2]);
        let (mut scratch, mut states) = (vec![0.0; scratch], vec![0.0; states]);
        let cache = Cached {
            keys: &keys,
            values: &values,
            dtype: Dtype::F16,
        };
        let call = SplitAttention::best().attend(
            &queries,
            cache,
            positions,
            16,
            None,
            &mut scratch,
            &mut states,
        );
        call.unwrap_err().what
    };
    let room = SplitAttention::scratch_len(16);
    assert!(refused(15, 16, 16, 1, room, len).contains("queries"));
    assert!(refused(16, 15, 16, 1, room, len).contains("keys"));
    assert!(refused(16, 16, 15, 1, room, len).contains("values"));
    assert!(refused(16, 16, 16, 0, room, len).contains("positions"));
    assert!(refused(16, 16 * 129, 16 * 129, 129, room, len).contains("positions"));
    assert!(refused(16, 16, 16, 1, room - 1, len).contains("scratch"));
    assert!(refused(16, 16, 16, 1, room, len - 1).contains("states"));
    for head_dim in [0, 8, 24, 272] {
        assert!(!SplitAttention::takes(head_dim));
        let best = SplitAttention::best();
        assert!(best.merge(&mut [], &[], head_dim).is_err());
        assert!(best.finish(&[], head_dim, &mut []).is_err());
    }
    let best = SplitAttention::best();
    assert!(best.merge(&mut vec![0.0; len], &[], 16).is_err());
    assert!(best.finish(&vec![0.0; len], 16, &mut [0.0; 15]).is_err());
}
