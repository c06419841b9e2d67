//! Prefill and decode: a session, its KV cache, and the buffers between them.

use std::ffi::CString;
use std::path::Path;

use curt_session::{Binding, ElementType, Session, TensorMemory};

use super::Input;
use super::buffers::{Buffers, PREFILL_STEP_TOKENS, StepShape, memory, refused};
use super::embed::{Embedder, stopped};
use crate::error::{Error, Result};
use crate::kv::{KvCache, KvKind, KvLayout, KvPlan, KvTensor};
use crate::package::{DecoderGraph, GraphInput, Package, SharedGraph};
use crate::session::{CancelToken, Placement, SessionOptions};

/// A loaded model and what it has cached.
///
/// Rows advance in lockstep: every row has the same number of positions, each step appends one token to each.
pub struct Decoder {
    // Dropped in this order: a binding before its session, and both before the memory they point to.
    binding: Binding,
    session: Session,
    /// Of decoders that take embeddings, where the package has a graph for those of tokens.
    embedder: Option<Embedder>,
    kv: KvCache,
    names: Names,
    buffers: Buffers,
    /// Rows whose buffers and cache are bound; 0 after anything moved.
    bound_rows: usize,
    /// Inputs are copied to a device when they are bound: what has changed since then is not seen.
    bound_by_copy: bool,
    shape: StepShape,
}

/// Input and output names as the C API takes them.
struct Names {
    input: CString,
    attention_mask: Option<CString>,
    position_ids: Option<CString>,
    use_cache_branch: Option<CString>,
    logits: CString,
    /// Of each layer: past key, past value, present key, present value.
    kv: Vec<[CString; 4]>,
}

impl Decoder {
    /// Loads `package` with a cache of `plan`, whose layout says which attention runs ([`DecoderGraph::attention`]).
    ///
    /// # Errors
    /// [`Error::Option`], [`Error::Session`] or [`Error::Io`] where options, library, graph or memory are refused;
    /// [`Error::Cancelled`].
    pub fn open(package: &Package, plan: KvPlan, options: &SessionOptions) -> Result<Self> {
        let graph = package.graph();
        let mut names = Names::of(graph)?;
        let folder = graph.file.parent().unwrap_or(Path::new(""));
        let session = if matches!(plan.layout, KvLayout::SharedPrompt(_)) {
            let shared = graph.shared()?;
            names.keep(&shared);
            Session::open_in_memory(&shared.model, folder, options)?
        } else if let Some(cut) = graph.with_last_logits()? {
            Session::open_in_memory(&cut, folder, options)?
        } else {
            Session::open(&graph.file, options)?
        };
        let binding = session.binding()?;
        Ok(Self {
            binding,
            embedder: package
                .embedding()
                .map(|graph| Embedder::open(graph, options))
                .transpose()?,
            kv: KvCache::new(graph.geometry, plan)?,
            names,
            buffers: Buffers::new(StepShape::of(graph), plan)?,
            bound_rows: 0,
            bound_by_copy: session.placement().beside_cpu(),
            session,
            shape: StepShape::of(graph),
        })
    }

    /// What is cached.
    pub fn kv(&self) -> &KvCache {
        &self.kv
    }

    /// Token ids the model knows.
    pub fn vocabulary(&self) -> usize {
        self.shape.vocabulary
    }

    /// Where the graph's nodes run.
    pub fn placement(&self) -> &Placement {
        self.session.placement()
    }

    /// Bytes of keys, values, inputs and outputs that lie in memory now; 0 where the system does not say.
    pub fn resident_bytes(&self) -> u64 {
        self.kv.resident_bytes() + self.buffers.resident_bytes()
    }

    /// Keeps the first `keep` positions of row 0 alone, and makes room for `plan`. A cache that has the room is kept,
    /// unless it is larger than `limit_bytes`.
    ///
    /// # Errors
    /// [`Error::Io`] where the memory is refused; [`Error::Shape`] where fewer positions are cached, or the plan is of
    /// nothing. Row 0 is left as it was, with the room it had.
    pub fn restart(&mut self, plan: KvPlan, keep: usize, limit_bytes: Option<u64>) -> Result<()> {
        self.keep_first_row();
        let held = self.kv.plan();
        if held.covers(&plan) && limit_bytes.is_none_or(|limit| held.bytes <= limit) {
            return self.kv.restart(keep);
        }
        // Both, or neither: a cache with room beside buffers without would be taken for one that serves.
        let kv = self.kv.regrown(plan, keep)?;
        let buffers = Buffers::new(self.shape, plan)?;
        self.binding.clear();
        self.kv = kv;
        self.buffers = buffers;
        Ok(())
    }

    /// Appends `input` to row 0, the only row, and computes the logits that follow the last of it.
    ///
    /// # Errors
    /// [`Error::Shape`] for no positions, several rows or too little room; [`Error::Option`] for an input that the graph
    /// does not take; [`Error::Cancelled`]; [`Error::Session`].
    pub fn prefill<'a>(&mut self, input: impl Into<Input<'a>>, cancel: &CancelToken) -> Result<()> {
        let input = input.into();
        if self.kv.rows() != 1 {
            return Err(refused("rows", 1, self.kv.rows()));
        }
        let count = self.positions(input)?;
        for first in (0..count).step_by(PREFILL_STEP_TOKENS) {
            let step = PREFILL_STEP_TOKENS.min(count - first);
            self.place(input, first, step, cancel)?;
            self.run(step, cancel)?;
        }
        self.buffers.release_prefill();
        Ok(())
    }

    /// Appends one position to each row, in the order of rows, and computes the logits that follow.
    ///
    /// # Errors
    /// [`Error::Shape`] where there is not one position a row, or the cache is full; [`Error::Option`] for an input that
    /// the graph does not take; [`Error::Cancelled`]; [`Error::Session`].
    pub fn step<'a>(&mut self, input: impl Into<Input<'a>>, cancel: &CancelToken) -> Result<()> {
        let input = input.into();
        let (rows, given) = (self.kv.rows(), self.positions(input)?);
        if given != rows {
            return Err(refused("positions, one a row", rows, given));
        }
        self.place(input, 0, rows, cancel)?;
        self.run(1, cancel)
    }

    /// What the decoder takes for `tokens`, with `features`, `[places, hidden]`, in place of the tokens `placeholder`, in
    /// their order: `[tokens, hidden]`.
    ///
    /// # Errors
    /// [`Error::Option`] for a package without a graph for it, an id that the model does not know, or more or fewer features
    /// than places; [`Error::Cancelled`]; [`Error::Session`].
    pub fn embed(
        &mut self,
        tokens: &[u32],
        placeholder: u32,
        features: &[f32],
        cancel: &CancelToken,
    ) -> Result<Vec<f32>> {
        self.positions(Input::Tokens(tokens))?;
        let Some(embedder) = &mut self.embedder else {
            let expected = "none: this package has no graph that embeds tokens";
            return Err(Error::option("images", expected, "images"));
        };
        let embedded = embedder.embed_with(tokens, placeholder, features, cancel)?;
        Ok(embedded.to_vec())
    }

    /// Positions of `input`, which the graphs take.
    fn positions(&self, input: Input<'_>) -> Result<usize> {
        match (&self.embedder, input) {
            (Some(_), Input::Tokens(tokens)) => self.shape.ids(tokens),
            _ => self.shape.positions(input),
        }
    }

    /// Puts `count` positions of `input`, from position `first` on, where the next step reads them.
    fn place(
        &mut self,
        input: Input<'_>,
        first: usize,
        count: usize,
        cancel: &CancelToken,
    ) -> Result<()> {
        match (&mut self.embedder, input) {
            (Some(embedder), Input::Tokens(tokens)) => {
                let embedded = embedder.embed(&tokens[first..first + count], cancel)?;
                self.buffers.place(Input::Embeddings(embedded), 0, count);
            }
            _ => self.buffers.place(input, first, count),
        }
        Ok(())
    }

    /// Logits after the last position of `row`: `[vocabulary]`. Empty for a row that the last step did not have.
    pub fn logits(&self, row: usize) -> &[f32] {
        self.buffers.logits(row)
    }

    /// Continues row 0 in `rows` rows. The logits of row 0 stay where they are.
    ///
    /// # Errors
    /// [`Error::Shape`] for no rows, or more than planned; [`Error::Cancelled`], which leaves row 0 alone.
    pub fn fork(&mut self, rows: usize, cancel: &CancelToken) -> Result<()> {
        self.bound_rows = 0;
        self.kv.fork(rows, cancel)
    }

    /// Forgets all positions from `len` on, in every row.
    ///
    /// # Errors
    /// [`Error::Shape`] where fewer are cached.
    pub fn rewind(&mut self, len: usize) -> Result<()> {
        self.kv.rewind(len)
    }

    /// Gives up all rows but `kept`, ascending; `order[row]` is then the index that `row` had. The logits of the last step
    /// stay under the old indices.
    ///
    /// # Errors
    /// [`Error::Shape`] for no rows, rows out of order, or one past the last.
    pub fn keep_rows(&mut self, kept: &[usize], order: &mut Vec<usize>) -> Result<()> {
        self.kv.keep_rows(kept, order)?;
        self.bound_rows = 0;
        Ok(())
    }

    /// Gives the memory of rows that are not in use back to the system; see [`KvCache::release_dropped`].
    pub fn release_dropped(&mut self) -> u64 {
        self.kv.release_dropped()
    }

    /// Keeps row 0 alone.
    pub fn keep_first_row(&mut self) {
        self.kv.keep_first_row();
        self.bound_rows = 0;
    }

    /// Runs the graph on `count` new positions of every row, whose ids stand in the buffer.
    fn run(&mut self, count: usize, cancel: &CancelToken) -> Result<()> {
        let _attached = self.session.cancelled_by(cancel)?;
        let rows = self.kv.rows();
        let total = self.kv.len() + count;
        if self.names.position_ids.is_some() {
            let first = self.kv.len() as i64;
            let positions = self.buffers.position_ids.elements_mut::<i64>();
            for (i, slot) in positions[..rows * count].iter_mut().enumerate() {
                *slot = first + (i % count) as i64;
            }
        }
        self.buffers.set_past(!self.kv.is_empty());
        self.bind(rows, count, total)?;
        // SAFETY: everything bound lies in `self.buffers` and `self.kv`, which are alive and, with `&mut self`, ours alone;
        // a cache that answers the graph's attention is bound nowhere.
        let ran = unsafe {
            match self.kv.attention() {
                Some(attention) => self.session.run_with(&self.binding, attention),
                None => self.session.run(&self.binding),
            }
        };
        if let Err(error) = ran {
            // What the run has written is unknown; the cache keeps its length, so it is not read.
            self.bound_rows = 0;
            return Err(stopped(error, cancel));
        }
        self.kv.appended(count);
        self.buffers.written(rows, count);
        Ok(())
    }

    /// Binds what changed since the last step: the mask always, the rest when rows or their number of new positions did.
    fn bind(&mut self, rows: usize, count: usize, total: usize) -> Result<()> {
        // A prefill's shapes are met once; only steps of one token can follow each other unbound.
        let kept = count == 1 && self.bound_rows == rows && !self.bound_by_copy;
        let [rows_, count_, total_] = [rows, count, total].map(|n| n as i64);
        if let Some(name) = &self.names.attention_mask {
            // SAFETY: the slab outlives its binding: it is replaced only in `restart`, which unbinds first.
            unsafe {
                self.binding.input(
                    name,
                    memory(
                        &self.buffers.attention_mask,
                        ElementType::I64,
                        &[rows_, total_],
                    )?,
                )?;
            }
        }
        self.kv.check_room(count)?;
        if !kept || self.kv.plan().layout == KvLayout::Growing {
            for (layer, names) in self.names.kv.iter().enumerate() {
                for (kind, past_name, present_name) in [
                    (KvKind::Key, &names[0], &names[2]),
                    (KvKind::Value, &names[1], &names[3]),
                ] {
                    let Some((past, present)) = self.kv.tensors(layer, kind, count)? else {
                        continue;
                    };
                    let element = self.kv.dtype().into();
                    // SAFETY: the cache outlives its binding, as the buffers do.
                    unsafe {
                        self.binding.input(past_name, kv_memory(&past, element))?;
                        self.binding
                            .output(present_name, kv_memory(&present, element))?;
                    }
                }
            }
        }
        if kept {
            return Ok(());
        }
        self.bound_rows = 0;
        let given = self.shape.given(count) as i64;
        let logits = self.shape.logits_dtype.into();
        let vocabulary = self.shape.vocabulary as i64;
        let (element, hidden) = match self.shape.input {
            GraphInput::Ids => (ElementType::I64, None),
            GraphInput::Embeddings { hidden, dtype } => (dtype.into(), Some(hidden as i64)),
        };
        let shape = [rows_, count_, hidden.unwrap_or(1)];
        let shape = &shape[..if hidden.is_some() { 3 } else { 2 }];
        // SAFETY: as the mask.
        unsafe {
            self.binding.input(
                &self.names.input,
                memory(&self.buffers.input, element, shape)?,
            )?;
            if let Some(name) = &self.names.position_ids {
                self.binding.input(
                    name,
                    memory(
                        &self.buffers.position_ids,
                        ElementType::I64,
                        &[rows_, count_],
                    )?,
                )?;
            }
            if let Some(name) = &self.names.use_cache_branch {
                let past = memory(&self.buffers.past, ElementType::Bool, &[1])?;
                self.binding.input(name, past)?;
            }
            self.binding.output(
                &self.names.logits,
                memory(&self.buffers.logits, logits, &[rows_, given, vocabulary])?,
            )?;
        }
        self.bound_rows = if count == 1 { rows } else { 0 };
        Ok(())
    }
}

impl Names {
    /// Keeps what a graph that reads a shared prompt still has.
    fn keep(&mut self, shared: &SharedGraph) {
        self.kv.clear();
        if !shared.attention_mask {
            self.attention_mask = None;
        }
        if !shared.position_ids {
            self.position_ids = None;
        }
    }

    fn of(graph: &DecoderGraph) -> Result<Self> {
        let c = |name: &String| {
            CString::new(name.as_str()).map_err(|_| {
                Error::package(
                    &graph.file,
                    "a name in the graph",
                    "no NUL byte",
                    format!("{name:?}"),
                )
            })
        };
        Ok(Self {
            input: c(&graph.input_name)?,
            attention_mask: graph.attention_mask.as_ref().map(c).transpose()?,
            position_ids: graph.position_ids.as_ref().map(c).transpose()?,
            use_cache_branch: graph.use_cache_branch.as_ref().map(c).transpose()?,
            logits: c(&graph.logits)?,
            kv: graph
                .kv_names
                .iter()
                .map(|[a, b, d, e]| Ok([c(a)?, c(b)?, c(d)?, c(e)?]))
                .collect::<Result<_>>()?,
        })
    }
}

fn kv_memory(tensor: &KvTensor, element: ElementType) -> TensorMemory<'_> {
    TensorMemory {
        memory: tensor.memory,
        start: tensor.start,
        bytes: tensor.bytes,
        element,
        shape: &tensor.shape,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_that_fails_leaves_what_there_was() {
        let dir = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../models/recipes/reference/packages/tiny-llama-fp32"
        );
        let package = Package::open(dir.as_ref()).unwrap();
        let graph = package.graph();
        let plan = |rows| KvPlan::new(graph.geometry, graph.layout, rows, 24, None).unwrap();
        let Ok(mut decoder) = Decoder::open(&package, plan(1), &SessionOptions::default()) else {
            // Without the library; the tests that need it say so.
            return;
        };
        let cancel = CancelToken::new();
        decoder.prefill(&[1, 2, 3, 4], &cancel).unwrap();
        let before = decoder.logits(0).to_vec();
        // Logits for which no system has memory: keys and values are mapped, and then these are not.
        let known = decoder.shape.vocabulary;
        for unknown in [1 << 48, usize::MAX / 8] {
            decoder.shape.vocabulary = unknown;
            assert!(decoder.restart(plan(2), 4, None).is_err());
            decoder.shape.vocabulary = known;
            assert_eq!(decoder.kv.plan(), plan(1), "the old cache is kept");
            assert_eq!(decoder.kv.len(), 4);
        }
        // A second attempt is not taken for served.
        decoder.restart(plan(2), 3, None).unwrap();
        decoder.step(&[4], &cancel).unwrap();
        decoder.fork(2, &cancel).unwrap();
        let again = decoder.logits(0).to_vec();
        let difference = before.iter().zip(&again).map(|(a, b)| (a - b).abs());
        // One step in place of one prefill rounds otherwise: see `tolerance` in tests/kv.rs.
        assert!(difference.fold(0.0, f32::max) < 1e-4);
        decoder.step(&[5, 6], &cancel).unwrap();
    }
}
