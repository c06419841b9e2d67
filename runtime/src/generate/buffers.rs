//! Inputs and outputs of a step, beside keys and values.

use curt_session::{ElementType, TensorMemory};
use half::f16;

use super::Input;
use crate::error::{Error, Result};
use crate::kv::{KvPlan, Slab};
use crate::package::{DecoderGraph, FloatDtype, GraphInput};

/// Tokens that one prefill step takes. Longer prompts go in several steps: most exports compute the logits of every
/// position, 100 MB a step at a vocabulary of 49,152.
pub(super) const PREFILL_STEP_TOKENS: usize = 512;

/// What a graph's inputs and outputs need for each position.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepShape {
    /// What stands at each new position.
    pub(super) input: GraphInput,
    /// Logits of one position.
    pub(super) vocabulary: usize,
    pub(super) logits_dtype: FloatDtype,
    /// The graph gives logits of the last position alone.
    pub(super) last_logits_only: bool,
}

impl StepShape {
    pub(super) fn of(graph: &DecoderGraph) -> Self {
        Self {
            input: graph.input,
            vocabulary: graph.vocabulary,
            logits_dtype: graph.logits_dtype,
            last_logits_only: graph.last_logits_only,
        }
    }

    /// Positions of `input`, which the graph takes.
    ///
    /// # Errors
    /// [`Error::Shape`] for none; [`Error::Option`] for another kind than the graph takes, ids that it does not know, and
    /// embeddings of another size or with a number that is not finite.
    pub(super) fn positions(&self, input: Input<'_>) -> Result<usize> {
        let refused_input = |got: String| {
            let expected = match self.input {
                GraphInput::Ids => self.known_ids(),
                GraphInput::Embeddings { hidden, .. } => {
                    format!("embeddings of {hidden} numbers a position, as this graph takes them")
                }
            };
            Err(Error::option("input", expected, got))
        };
        let count = match (self.input, input) {
            (GraphInput::Ids, Input::Tokens(tokens)) => return self.ids(tokens),
            (GraphInput::Embeddings { hidden, .. }, Input::Embeddings(numbers)) => {
                if !numbers.len().is_multiple_of(hidden) {
                    return refused_input(format!("{} numbers", numbers.len()));
                }
                if let Some(odd) = numbers.iter().find(|x| !x.is_finite()) {
                    return refused_input(odd.to_string());
                }
                numbers.len() / hidden
            }
            (_, Input::Tokens(_)) => return refused_input("token ids".into()),
            (_, Input::Embeddings(_)) => return refused_input("embeddings".into()),
        };
        match count {
            0 => Err(refused("positions of an input (at least)", 1, 0)),
            n => Ok(n),
        }
    }

    /// The number of `tokens`, all of which the model knows.
    ///
    /// # Errors
    /// [`Error::Shape`] for none; [`Error::Option`] for an id that it does not know.
    pub(super) fn ids(&self, tokens: &[u32]) -> Result<usize> {
        match tokens.iter().find(|&&t| t as usize >= self.vocabulary) {
            Some(unknown) => Err(Error::option("input", self.known_ids(), unknown)),
            None if tokens.is_empty() => Err(refused("positions of an input (at least)", 1, 0)),
            None => Ok(tokens.len()),
        }
    }

    fn known_ids(&self) -> String {
        format!("token ids below {}", self.vocabulary)
    }

    /// Bytes of one position of the graph's input.
    fn input_bytes(&self) -> Option<usize> {
        match self.input {
            GraphInput::Ids => Some(size_of::<i64>()),
            GraphInput::Embeddings { hidden, dtype } => hidden.checked_mul(dtype.bytes()),
        }
    }

    /// Positions of each row that a step of `count` gives logits of.
    pub(super) fn given(&self, count: usize) -> usize {
        if self.last_logits_only { 1 } else { count }
    }

    /// Bytes of logits that the graph writes in a step of `count` positions of `rows` rows, and of the same in f32 where
    /// it writes another type.
    fn logits_bytes(&self, rows: usize, count: usize) -> Option<(usize, usize)> {
        let written = rows
            .checked_mul(self.given(count))?
            .checked_mul(self.vocabulary)?
            .checked_mul(self.logits_dtype.bytes())?;
        let widened = match self.logits_dtype {
            FloatDtype::F32 => 0,
            FloatDtype::F16 => rows.checked_mul(self.vocabulary)?.checked_mul(4)?,
        };
        Some((written, widened))
    }

    /// Bytes of logits that are in memory after a step of `count` positions of `rows` rows.
    pub(super) fn resident_logits_bytes(&self, rows: usize, count: usize) -> u64 {
        let bytes = self.logits_bytes(rows, count);
        let sum = bytes.and_then(|(written, widened)| written.checked_add(widened));
        sum.map_or(u64::MAX, |sum| sum as u64)
    }
}

/// Inputs and outputs of a step, sized for the plan.
pub(super) struct Buffers {
    /// `[rows, tokens]` of ids or `[rows, tokens, hidden]` of embeddings
    pub(super) input: Slab,
    /// `[rows, positions]`, all ones: every row is as long as the others.
    pub(super) attention_mask: Slab,
    /// `[rows, tokens]`
    pub(super) position_ids: Slab,
    /// `[1]`: whether anything is cached, for graphs that ask.
    pub(super) past: Slab,
    /// `[rows, tokens or 1, vocabulary]` as the graph writes them.
    pub(super) logits: Slab,
    /// `[rows, vocabulary]` in f32, where the graph writes another type; else one unused page.
    logits_f32: Slab,
    shape: StepShape,
    /// Where the logits of the last position of row 0 begin, and how far apart rows are, in elements.
    place: (usize, usize),
    /// Rows whose logits are there.
    rows: usize,
}

impl Buffers {
    /// Maps the memory of steps within `plan`.
    ///
    /// # Errors
    /// [`Error::Shape`] for more than an address can name, [`Error::Io`] where the system refuses.
    pub(super) fn new(shape: StepShape, plan: KvPlan) -> Result<Self> {
        let tokens = plan.rows.max(PREFILL_STEP_TOKENS.min(plan.capacity_tokens));
        let ids = |count: Option<usize>| count.and_then(|n| n.checked_mul(size_of::<i64>()));
        let input = shape.input_bytes().and_then(|n| n.checked_mul(tokens));
        let positions = ids(plan.rows.checked_mul(plan.capacity_tokens));
        // `tokens` of one row or one of each row: what they write is the same.
        let logits = shape.logits_bytes(if shape.last_logits_only { plan.rows } else { 1 }, tokens);
        let widened = shape.logits_bytes(plan.rows, 1).map(|(_, widened)| widened);
        let (Some(input), Some(tokens), Some(positions), Some((logits, _)), Some(widened)) =
            (input, ids(Some(tokens)), positions, logits, widened)
        else {
            let most = isize::MAX as usize;
            return Err(refused("bytes of a step (at most)", most, usize::MAX));
        };
        let mut attention_mask = Slab::new(positions)?;
        attention_mask.elements_mut::<i64>().fill(1);
        Ok(Self {
            input: Slab::new(input)?,
            attention_mask,
            position_ids: Slab::new(tokens)?,
            past: Slab::new(1)?,
            logits: Slab::new(logits)?,
            logits_f32: Slab::new(widened)?,
            shape,
            place: (0, 0),
            rows: 0,
        })
    }

    /// Bytes of them that lie in memory now; 0 where the system does not say.
    pub(super) fn resident_bytes(&self) -> u64 {
        [
            &self.input,
            &self.attention_mask,
            &self.position_ids,
            &self.logits,
            &self.logits_f32,
        ]
        .map(Slab::resident_bytes)
        .iter()
        .sum()
    }

    /// Puts `count` positions of `input`, from position `first` on, where the next step reads them.
    pub(super) fn place(&mut self, input: Input<'_>, first: usize, count: usize) {
        match input {
            Input::Tokens(tokens) => {
                let slots = self.input.elements_mut::<i64>().iter_mut();
                let tokens = tokens.iter().skip(first).take(count);
                for (slot, &token) in slots.zip(tokens) {
                    *slot = i64::from(token);
                }
            }
            Input::Embeddings(numbers) => {
                let GraphInput::Embeddings { hidden, dtype } = self.shape.input else {
                    return;
                };
                let numbers = numbers.iter().skip(first * hidden).take(count * hidden);
                match dtype {
                    FloatDtype::F32 => {
                        let slots = self.input.elements_mut::<f32>().iter_mut();
                        for (slot, &number) in slots.zip(numbers) {
                            *slot = number;
                        }
                    }
                    FloatDtype::F16 => {
                        let slots = self.input.elements_mut::<u16>().iter_mut();
                        for (slot, &number) in slots.zip(numbers) {
                            *slot = f16::from_f32(number).to_bits();
                        }
                    }
                }
            }
        }
    }

    /// Says whether anything is cached.
    pub(super) fn set_past(&mut self, past: bool) {
        self.past.bytes_mut()[0] = u8::from(past);
    }

    /// A step has written logits of `rows` rows with `count` new positions each.
    pub(super) fn written(&mut self, rows: usize, count: usize) {
        let vocabulary = self.shape.vocabulary;
        let given = self.shape.given(count);
        self.rows = rows;
        self.place = ((given - 1) * vocabulary, given * vocabulary);
        if self.shape.logits_dtype == FloatDtype::F16 {
            self.widen();
        }
    }

    /// Gives the memory of all logits but the last position's of row 0, the only row, back to the system.
    pub(super) fn release_prefill(&mut self) {
        let vocabulary = self.shape.vocabulary;
        // In f16 they have been widened, and lie apart.
        if self.shape.logits_dtype == FloatDtype::F32 {
            let (first, _) = self.place;
            let logits = self.logits.elements_mut::<f32>();
            logits.copy_within(first..first + vocabulary, 0);
        }
        self.place = (0, vocabulary);
        let kept = vocabulary * self.shape.logits_dtype.bytes();
        self.logits.release(kept..usize::MAX);
    }

    /// Logits after the last position of `row`: `[vocabulary]`. Empty for a row that the last step did not have.
    pub(super) fn logits(&self, row: usize) -> &[f32] {
        if row >= self.rows {
            return &[];
        }
        let (first, stride) = self.place;
        let (slab, start) = match self.shape.logits_dtype {
            FloatDtype::F32 => (&self.logits, first + row * stride),
            FloatDtype::F16 => (&self.logits_f32, row * self.shape.vocabulary),
        };
        slab.elements::<f32>()
            .get(start..start + self.shape.vocabulary)
            .unwrap_or(&[])
    }

    fn widen(&mut self) {
        let (first, stride) = self.place;
        let vocabulary = self.shape.vocabulary;
        let narrow = self.logits.elements::<u16>();
        let wide = self.logits_f32.elements_mut::<f32>();
        for row in 0..self.rows {
            let from = &narrow[first + row * stride..][..vocabulary];
            let to = &mut wide[row * vocabulary..][..vocabulary];
            for (to, &from) in to.iter_mut().zip(from) {
                *to = f16::from_bits(from).to_f32();
            }
        }
    }
}

/// A buffer as a tensor of `shape`.
pub(super) fn memory<'a>(
    slab: &Slab,
    element: ElementType,
    shape: &'a [i64],
) -> Result<TensorMemory<'a>> {
    let bytes = slab.bytes().len();
    let start = slab
        .at(0)
        .ok_or_else(|| refused("bytes of a buffer (at least)", 1, 0))?;
    Ok(TensorMemory {
        memory: slab.memory(),
        start,
        bytes,
        element,
        shape,
    })
}

pub(super) fn refused(what: &'static str, expected: usize, got: usize) -> Error {
    curt_kernels::ShapeError {
        op: "Decoder",
        what,
        expected,
        got,
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::{KvGeometry, KvLayout};

    /// A vocabulary of today's size, of which a graph gives the logits of every position.
    const VOCABULARY: usize = 50_000;

    fn buffers(logits_dtype: FloatDtype) -> Buffers {
        let geometry = KvGeometry {
            layers: 1,
            kv_heads: 1,
            head_dim: 1,
            dtype: curt_kernels::Dtype::F32,
        };
        let plan = KvPlan::new(geometry, KvLayout::Shared, 2, 600, None).unwrap();
        let shape = StepShape {
            input: GraphInput::Ids,
            vocabulary: VOCABULARY,
            logits_dtype,
            last_logits_only: false,
        };
        Buffers::new(shape, plan).unwrap()
    }

    #[test]
    fn logits_of_a_prompt_are_given_back_but_for_the_last() {
        for dtype in [FloatDtype::F32, FloatDtype::F16] {
            let mut buffers = buffers(dtype);
            let expected = |i: usize| (i % 1000) as f32;
            let last = PREFILL_STEP_TOKENS - 1;
            match dtype {
                FloatDtype::F32 => {
                    let logits = buffers.logits.elements_mut::<f32>();
                    for (i, x) in logits[last * VOCABULARY..].iter_mut().enumerate() {
                        *x = expected(i);
                    }
                    logits[..last * VOCABULARY].fill(-1.0);
                }
                FloatDtype::F16 => {
                    let logits = buffers.logits.elements_mut::<u16>();
                    for (i, x) in logits[last * VOCABULARY..].iter_mut().enumerate() {
                        *x = f16::from_f32(expected(i)).to_bits();
                    }
                    logits[..last * VOCABULARY].fill(1);
                }
            }
            buffers.written(1, PREFILL_STEP_TOKENS);
            let held = buffers.resident_bytes();
            buffers.release_prefill();
            let logits = buffers.logits(0);
            assert_eq!(logits.len(), VOCABULARY);
            assert!(logits.iter().enumerate().all(|(i, &x)| x == expected(i)));
            assert!(buffers.logits(1).is_empty());
            if cfg!(any(target_os = "linux", target_os = "android")) {
                let step = PREFILL_STEP_TOKENS * VOCABULARY * dtype.bytes();
                assert!(held >= step as u64, "{held}");
                // What is left: the row, ids and mask, in huge pages at most.
                let left = buffers.resident_bytes();
                assert!(left < step as u64 / 4, "{left} of {held}");
            }
        }
    }
}
