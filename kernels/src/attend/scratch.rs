//! How the caller's scratch is divided.

use std::f32::consts::LOG2_E;

use super::rounded::{self, Rounded};
use super::{GROUP, Multiply, Queries, Round, State, TILE, Weights};
use crate::scales::HeadScales;

/// Queries and sums have their head_dim rounded up to this: the widest register, so that no variant has a tail there.
const PAD: usize = 16;

/// Elements from one query to the next, and from one query's sums to the next's.
#[inline(always)]
pub(super) fn padded(head_dim: usize) -> usize {
    head_dim.div_ceil(PAD).saturating_mul(PAD)
}

/// f32 elements skipped at most, so that registers are read from one cache line (64 bytes).
const ALIGN: usize = 16;

/// Vectors of [`GROUP`] elements in a [`State`], and one of the steps of rounded queries.
const STATE: usize = 4;

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

    /// 16-bit numbers of one group's rounded queries.
    fn rounded_len(&self) -> usize {
        self.head_dim
            .div_ceil(rounded::PAD)
            .saturating_mul(rounded::PAD * GROUP)
    }

    /// f32 elements of everything.
    pub(super) fn len(&self) -> usize {
        let group = self
            .group_len()
            .saturating_mul(2)
            .saturating_add(self.rounded_len() / 2)
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
    /// `[groups, GROUP, head_dim rounded up]`, where the variant has a use for them.
    rounded: &'a mut [i16],
    /// `[groups]`
    states: &'a mut [[[f32; GROUP]; STATE]],
}

/// What the stages of one group work on.
pub(super) struct Group<'a> {
    pub(super) queries: Queries<'a>,
    /// Of no meaning before [`Scratch::round`].
    pub(super) rounded: Rounded<'a>,
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
        let (rounded, rest) = rest.split_at_mut_checked(plan.groups * plan.rounded_len() / 2)?;
        let states = rest.get_mut(..plan.groups * STATE * GROUP)?;
        Some(Self {
            plan: *plan,
            weights: weights.as_chunks_mut().0.first_chunk_mut()?,
            queries,
            sums,
            // SAFETY: any bits are integers.
            rounded: unsafe { rounded.align_to_mut().1 },
            states: states.as_chunks_mut().0.as_chunks_mut().0,
        })
    }

    /// Starts anew: queries times the scales of the keys and log₂ e, so that weights are powers of two; nothing summed.
    ///
    /// # Safety
    /// The processor must have what `multiply` needs.
    pub(super) unsafe fn prepare(
        &mut self,
        multiply: Multiply,
        queries: &[f32],
        scales: HeadScales<'_>,
    ) {
        self.sums.fill(0.0);
        self.queries.fill(0.0);
        for (row, query) in self
            .queries
            .chunks_exact_mut(self.plan.padded)
            .zip(queries.chunks_exact(self.plan.head_dim))
        {
            // SAFETY: the caller's promise.
            unsafe { multiply(row, query, scales, HeadScales::One(LOG2_E)) };
        }
        for [max, sum, rescale, _] in self.states.iter_mut() {
            // Not −∞: e^(−∞ − −∞) would be NaN.
            *max = [f32::MIN; GROUP];
            *sum = [0.0; GROUP];
            *rescale = [1.0; GROUP];
        }
    }

    /// Rounds every group's queries.
    ///
    /// # Safety
    /// The processor must have what `round` needs.
    pub(super) unsafe fn round(&mut self, round: Round) {
        let groups = self.queries.chunks_exact(self.plan.group_len());
        let groups = groups.zip(self.rounded.chunks_exact_mut(self.plan.rounded_len()));
        for ((rows, rounded), [.., steps]) in groups.zip(self.states.iter_mut()) {
            let queries = Queries { rows, live: GROUP };
            // SAFETY: the caller's promise.
            unsafe { round(&queries, rounded, steps) };
        }
    }

    /// Group after group, each [`GROUP`] queries but for the last.
    pub(super) fn for_each_group(&mut self, mut visit: impl FnMut(Group<'_>)) {
        let len = self.plan.group_len();
        let parts = self.queries.chunks_exact(len);
        let parts = parts
            .zip(self.rounded.chunks_exact(self.plan.rounded_len()))
            .zip(self.sums.chunks_exact_mut(len))
            .zip(self.states.iter_mut());
        for (index, (((rows, rounded), sums), state)) in parts.enumerate() {
            let [max, sum, rescale, steps] = state;
            let live = GROUP.min(self.plan.queries - index * GROUP);
            visit(Group {
                queries: Queries { rows, live },
                rounded: Rounded {
                    rows: rounded,
                    steps,
                },
                state: State { max, sum, rescale },
                weights: self.weights,
                sums,
            });
        }
    }

    /// Sums to means, times the scales of the values.
    ///
    /// # Safety
    /// The processor must have what `multiply` needs.
    pub(super) unsafe fn finish(
        &self,
        multiply: Multiply,
        scales: HeadScales<'_>,
        out: &mut [f32],
    ) {
        let rows = self.sums.chunks_exact(self.plan.padded);
        let sums = self.states.iter().flat_map(|[_, sum, ..]| sum);
        for ((row, sum), out) in rows.zip(sums).zip(out.chunks_exact_mut(self.plan.head_dim)) {
            // SAFETY: the caller's promise.
            unsafe { multiply(out, row, HeadScales::One(1.0 / sum), scales) };
        }
    }
}
