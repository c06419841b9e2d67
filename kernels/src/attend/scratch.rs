//! How the caller's scratch is divided.

use core::f32::consts::LOG2_E;

use super::{GROUP, Queries, State, TILE, Weights};
use crate::lanes::MAX_LANES;
use crate::scales::HeadScales;

/// head_dim rounded up to the widest register, so that rows of queries and of sums are whole registers in every variant:
/// elements from one row to the next.
#[inline(always)]
pub(super) fn padded(head_dim: usize) -> usize {
    head_dim.div_ceil(MAX_LANES).saturating_mul(MAX_LANES)
}

/// f32 elements skipped at most, so that the parts begin at a cache line (64 bytes).
const ALIGN: usize = 16;

/// Vectors of [`GROUP`] elements in a [`State`].
const STATE: usize = 3;

/// Sizes of the parts.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    queries: usize,
    head_dim: usize,
    padded: usize,
    groups: usize,
}

impl Plan {
    pub(super) fn new(queries: usize, head_dim: usize) -> Self {
        Self {
            queries,
            head_dim,
            padded: padded(head_dim),
            groups: queries.div_ceil(GROUP),
        }
    }

    /// Elements of one group's queries, and of its sums.
    fn group_len(&self) -> usize {
        self.padded.saturating_mul(GROUP)
    }

    /// f32 elements of everything.
    pub(super) fn len(&self) -> usize {
        let group = self
            .group_len()
            .saturating_mul(2)
            .saturating_add(STATE * GROUP);
        self.groups
            .saturating_mul(group)
            .saturating_add(TILE * GROUP + ALIGN)
    }
}

/// The parts of one call's scratch.
pub(super) struct Scratch<'a> {
    plan: Plan,
    weights: &'a mut Weights,
    /// `[groups, GROUP, padded]`
    queries: &'a mut [f32],
    /// `[groups, GROUP, padded]`
    sums: &'a mut [f32],
    /// `[groups]`
    states: &'a mut [[[f32; GROUP]; STATE]],
}

/// What the stages of one group work on.
pub(super) struct Group<'a> {
    pub(super) queries: Queries<'a>,
    pub(super) state: State<'a>,
    pub(super) weights: &'a mut Weights,
    /// `[GROUP, padded]`
    pub(super) sums: &'a mut [f32],
}

impl<'a> Scratch<'a> {
    /// Divides `scratch`, which holds [`Plan::len`] elements or more (otherwise `None`).
    pub(super) fn new(scratch: &'a mut [f32], plan: &Plan) -> Option<Self> {
        let skip = scratch.as_ptr().align_offset(ALIGN * size_of::<f32>());
        let rest = scratch.get_mut(skip.min(ALIGN)..)?;
        let (weights, rest) = rest.split_at_mut_checked(TILE * GROUP)?;
        let (queries, rest) = rest.split_at_mut_checked(plan.groups * plan.group_len())?;
        let (sums, rest) = rest.split_at_mut_checked(plan.groups * plan.group_len())?;
        let states = rest.get_mut(..plan.groups * STATE * GROUP)?;
        Some(Self {
            plan: *plan,
            weights: weights.as_chunks_mut().0.first_chunk_mut()?,
            queries,
            sums,
            states: states.as_chunks_mut().0.as_chunks_mut().0,
        })
    }

    /// Starts anew, with nothing summed. The queries are multiplied by the scales of the keys and by log₂ e, so that
    /// weights are powers of two of the logits.
    pub(super) fn start(&mut self, queries: &[f32], scales: HeadScales<'_>) {
        self.sums.fill(0.0);
        self.queries.fill(0.0);
        let rows = self.queries.chunks_exact_mut(self.plan.padded);
        for (row, query) in rows.zip(queries.chunks_exact(self.plan.head_dim)) {
            for (dim, (to, x)) in row.iter_mut().zip(query).enumerate() {
                *to = x * scales.at(dim) * LOG2_E;
            }
        }
        for [max, sum, rescale] in self.states.iter_mut() {
            // Not −∞: e^(−∞ − −∞) would be NaN.
            *max = [f32::MIN; GROUP];
            *sum = [0.0; GROUP];
            *rescale = [1.0; GROUP];
        }
    }

    /// Group after group, each [`GROUP`] queries but for the last.
    pub(super) fn for_each_group(&mut self, mut visit: impl FnMut(Group<'_>)) {
        let len = self.plan.group_len();
        let parts = self.queries.chunks_exact(len);
        let parts = parts
            .zip(self.sums.chunks_exact_mut(len))
            .zip(self.states.iter_mut());
        for (index, ((rows, sums), state)) in parts.enumerate() {
            let [max, sum, rescale] = state;
            let live = GROUP.min(self.plan.queries - index * GROUP);
            visit(Group {
                queries: Queries { rows, live },
                state: State { max, sum, rescale },
                weights: self.weights,
                sums,
            });
        }
    }

    /// Divides the sums of values by those of weights, and multiplies by the scales of the values.
    pub(super) fn finish(&self, scales: HeadScales<'_>, out: &mut [f32]) {
        let rows = self.sums.chunks_exact(self.plan.padded);
        let totals = self.states.iter().flat_map(|[_, sum, _]| sum);
        for ((row, total), out) in rows
            .zip(totals)
            .zip(out.chunks_exact_mut(self.plan.head_dim))
        {
            let inverse = 1.0 / total;
            for (dim, (to, x)) in out.iter_mut().zip(row).enumerate() {
                *to = x * inverse * scales.at(dim);
            }
        }
    }
}
