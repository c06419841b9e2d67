//! Prefill and decode: a session, its KV cache, and the buffers between them.

use std::ffi::CString;

use half::f16;

use crate::error::{Error, Result};
use crate::kv::{KvCache, KvKind, KvPlan, KvTensor, Slab};
use crate::package::{DecoderGraph, LogitsDtype, Package};
use crate::session::{Binding, CancelToken, ElementType, Session, SessionOptions, TensorMemory};

/// Tokens that one prefill step takes. Longer prompts go in several steps: most exports compute the logits of every
/// position, 100 MB a step at a vocabulary of 49,152.
const PREFILL_STEP_TOKENS: usize = 512;

/// How a decoder is set up.
#[derive(Debug, Clone, Default)]
pub struct DecoderOptions {
    /// How ONNX Runtime runs the graph.
    pub session: SessionOptions,
}

/// A loaded model and what it has cached.
///
/// Rows advance in lockstep: every row has the same number of positions, each step appends one token to each.
pub struct Decoder {
    // Dropped in this order: a binding before its session, and both before the memory they point to.
    binding: Binding,
    session: Session,
    kv: KvCache,
    names: Names,
    buffers: Buffers,
    /// Rows whose buffers and cache are bound; 0 after anything moved.
    bound_rows: usize,
    vocabulary: usize,
    logits_dtype: LogitsDtype,
    last_logits_only: bool,
    /// Where the logits of the last position of row 0 begin, and how far apart rows are, in elements.
    logits_place: (usize, usize),
    /// Rows that the last step had.
    logits_rows: usize,
}

/// Input and output names as the C API takes them.
struct Names {
    input_ids: CString,
    attention_mask: Option<CString>,
    position_ids: Option<CString>,
    logits: CString,
    /// Of each layer: past key, past value, present key, present value.
    kv: Vec<[CString; 4]>,
}

/// Inputs and outputs of a step, sized for the plan.
struct Buffers {
    /// `[rows, tokens]`
    input_ids: Slab,
    /// `[rows, positions]`, all ones: every row is as long as the others.
    attention_mask: Slab,
    /// `[rows, tokens]`
    position_ids: Slab,
    /// `[rows, tokens or 1, vocabulary]` as the graph writes them.
    logits: Slab,
    /// `[rows, vocabulary]` in f32, where the graph writes another type; else one unused page.
    logits_f32: Slab,
}

impl Decoder {
    /// Loads `package` with a cache of `plan`.
    ///
    /// # Errors
    /// [`Error::Library`], [`Error::Session`] or [`Error::Io`] where library, graph or memory are refused.
    pub fn open(package: &Package, plan: KvPlan, options: &DecoderOptions) -> Result<Self> {
        let graph = package.graph();
        let mut session = Session::open(&graph.file, &options.session)?;
        let binding = session.binding()?;
        Ok(Self {
            binding,
            session,
            kv: KvCache::new(graph.geometry, graph.layout, plan)?,
            names: Names::of(graph)?,
            buffers: Buffers::new(graph, plan)?,
            bound_rows: 0,
            vocabulary: graph.vocabulary,
            logits_dtype: graph.logits_dtype,
            last_logits_only: graph.last_logits_only,
            logits_place: (0, 0),
            logits_rows: 0,
        })
    }

    /// What is cached.
    pub fn kv(&self) -> &KvCache {
        &self.kv
    }

    /// Token ids the model knows.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Keeps the first `keep` positions of row 0 alone, and makes room for `plan`. A cache that has the room is kept,
    /// unless it is larger than `limit_bytes`.
    ///
    /// # Errors
    /// [`Error::Io`] where the memory is refused; [`Error::Shape`] where fewer positions are cached.
    pub fn restart(
        &mut self,
        package: &Package,
        plan: KvPlan,
        keep: usize,
        limit_bytes: Option<u64>,
    ) -> Result<()> {
        self.keep_first_row();
        let held = self.kv.plan();
        if held.covers(&plan) && limit_bytes.is_none_or(|limit| held.bytes <= limit) {
            return self.kv.rewind(keep);
        }
        self.binding.clear();
        self.kv = self.kv.regrown(plan, keep)?;
        self.buffers = Buffers::new(package.graph(), plan)?;
        Ok(())
    }

    /// Appends `tokens` to row 0, the only row, and computes the logits that follow the last of them.
    ///
    /// # Errors
    /// [`Error::Shape`] for no tokens, several rows or too little room; [`Error::Cancelled`]; [`Error::Session`].
    pub fn prefill(&mut self, tokens: &[u32], cancel: &CancelToken) -> Result<()> {
        if self.kv.rows() != 1 || tokens.is_empty() {
            return Err(refused(
                "rows, and tokens at least",
                1,
                self.kv.rows().min(tokens.len()),
            ));
        }
        for step in tokens.chunks(PREFILL_STEP_TOKENS) {
            for (slot, &token) in self
                .buffers
                .input_ids
                .elements_mut::<i64>()
                .iter_mut()
                .zip(step)
            {
                *slot = i64::from(token);
            }
            self.run(step.len(), cancel)?;
        }
        Ok(())
    }

    /// Appends one token to each row, `tokens[row]`, and computes the logits that follow.
    ///
    /// # Errors
    /// [`Error::Shape`] where the number of tokens is not that of rows, or the cache is full; [`Error::Cancelled`];
    /// [`Error::Session`].
    pub fn step(&mut self, tokens: &[u32], cancel: &CancelToken) -> Result<()> {
        if tokens.len() != self.kv.rows() {
            return Err(refused("tokens, one a row", self.kv.rows(), tokens.len()));
        }
        for (slot, &token) in self
            .buffers
            .input_ids
            .elements_mut::<i64>()
            .iter_mut()
            .zip(tokens)
        {
            *slot = i64::from(token);
        }
        self.run(1, cancel)
    }

    /// Logits after the last position of `row`: `[vocabulary]`. Empty for a row that the last step did not have.
    pub fn logits(&self, row: usize) -> &[f32] {
        if row >= self.logits_rows {
            return &[];
        }
        let (first, stride) = self.logits_place;
        let (slab, start) = match self.logits_dtype {
            LogitsDtype::F32 => (&self.buffers.logits, first + row * stride),
            LogitsDtype::F16 => (&self.buffers.logits_f32, row * self.vocabulary),
        };
        slab.elements::<f32>()
            .get(start..start + self.vocabulary)
            .unwrap_or(&[])
    }

    /// Continues row 0 in `rows` rows. The logits of row 0 stay where they are.
    ///
    /// # Errors
    /// [`Error::Shape`] for no rows, or more than planned.
    pub fn fork(&mut self, rows: usize) -> Result<()> {
        self.kv.fork(rows)?;
        self.bound_rows = 0;
        Ok(())
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
        self.bind(rows, count, total)?;
        if self.names.position_ids.is_some() {
            let first = self.kv.len() as i64;
            let positions = self.buffers.position_ids.elements_mut::<i64>();
            for (i, slot) in positions[..rows * count].iter_mut().enumerate() {
                *slot = first + (i % count) as i64;
            }
        }
        // SAFETY: everything bound lies in `self.buffers` and `self.kv`, which are alive and, with `&mut self`, ours alone.
        let ran = unsafe { self.session.run(&self.binding) };
        if let Err(error) = ran {
            // What the run has written is unknown; the cache keeps its length, so it is not read.
            self.bound_rows = 0;
            return Err(if cancel.is_cancelled() {
                Error::Cancelled { tokens: 0 }
            } else {
                error
            });
        }
        self.kv.appended(count);
        let given = if self.last_logits_only { 1 } else { count };
        self.logits_rows = rows;
        self.logits_place = ((given - 1) * self.vocabulary, given * self.vocabulary);
        if self.logits_dtype == LogitsDtype::F16 {
            self.widen_logits(rows);
        }
        Ok(())
    }

    /// Binds what changed since the last step: the mask always, the rest when rows or their number of new positions did.
    fn bind(&mut self, rows: usize, count: usize, total: usize) -> Result<()> {
        // A prefill's shapes are met once; only steps of one token can follow each other unbound.
        let kept = count == 1 && self.bound_rows == rows;
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
        let growing = self.kv.tensors(0, KvKind::Key, count)?.0.shape[2]
            != self.kv.plan().capacity_tokens as i64;
        if !kept || growing {
            for (layer, names) in self.names.kv.iter().enumerate() {
                for (kind, past_name, present_name) in [
                    (KvKind::Key, &names[0], &names[2]),
                    (KvKind::Value, &names[1], &names[3]),
                ] {
                    let (past, present) = self.kv.tensors(layer, kind, count)?;
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
        let given = if self.last_logits_only { 1 } else { count_ };
        let logits = match self.logits_dtype {
            LogitsDtype::F32 => ElementType::F32,
            LogitsDtype::F16 => ElementType::F16,
        };
        let vocabulary = self.vocabulary as i64;
        // SAFETY: as the mask.
        unsafe {
            self.binding.input(
                &self.names.input_ids,
                memory(&self.buffers.input_ids, ElementType::I64, &[rows_, count_])?,
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
            self.binding.output(
                &self.names.logits,
                memory(&self.buffers.logits, logits, &[rows_, given, vocabulary])?,
            )?;
        }
        self.bound_rows = if count == 1 { rows } else { 0 };
        Ok(())
    }

    fn widen_logits(&mut self, rows: usize) {
        let (first, stride) = self.logits_place;
        let narrow = self.buffers.logits.elements::<u16>();
        let wide = self.buffers.logits_f32.elements_mut::<f32>();
        for row in 0..rows {
            let from = &narrow[first + row * stride..][..self.vocabulary];
            let to = &mut wide[row * self.vocabulary..][..self.vocabulary];
            for (to, &from) in to.iter_mut().zip(from) {
                *to = f16::from_bits(from).to_f32();
            }
        }
    }
}

impl Names {
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
            input_ids: c(&graph.input_ids)?,
            attention_mask: graph.attention_mask.as_ref().map(c).transpose()?,
            position_ids: graph.position_ids.as_ref().map(c).transpose()?,
            logits: c(&graph.logits)?,
            kv: graph
                .kv_names
                .iter()
                .map(|[a, b, d, e]| Ok([c(a)?, c(b)?, c(d)?, c(e)?]))
                .collect::<Result<_>>()?,
        })
    }
}

impl Buffers {
    fn new(graph: &DecoderGraph, plan: KvPlan) -> Result<Self> {
        let tokens = plan.rows.max(PREFILL_STEP_TOKENS.min(plan.capacity_tokens));
        let positions = plan.rows * plan.capacity_tokens;
        let given = if graph.last_logits_only {
            plan.rows
        } else {
            tokens
        };
        let (element, widened) = match graph.logits_dtype {
            LogitsDtype::F32 => (4, 0),
            LogitsDtype::F16 => (2, plan.rows * graph.vocabulary * 4),
        };
        let mut attention_mask = Slab::new(positions * size_of::<i64>())?;
        attention_mask.elements_mut::<i64>().fill(1);
        Ok(Self {
            input_ids: Slab::new(tokens * size_of::<i64>())?,
            attention_mask,
            position_ids: Slab::new(tokens * size_of::<i64>())?,
            logits: Slab::new(given * graph.vocabulary * element)?,
            logits_f32: Slab::new(widened)?,
        })
    }
}

fn memory<'a>(slab: &Slab, element: ElementType, shape: &'a [i64]) -> Result<TensorMemory<'a>> {
    let bytes = slab.bytes().len();
    let start = slab
        .at(0)
        .ok_or_else(|| refused("bytes of a buffer (at least)", 1, 0))?;
    Ok(TensorMemory {
        start,
        bytes,
        element,
        shape,
    })
}

fn kv_memory(tensor: &KvTensor, element: ElementType) -> TensorMemory<'_> {
    TensorMemory {
        start: tensor.start,
        bytes: tensor.bytes,
        element,
        shape: &tensor.shape,
    }
}

fn refused(what: &'static str, expected: usize, got: usize) -> Error {
    curt_kernels::ShapeError {
        op: "Decoder",
        what,
        expected,
        got,
    }
    .into()
}
