//! An attention operator of our own: where a graph calls it, whoever runs the graph answers.
//!
//! The operator `SharedAttention` of the domain `curt` has the inputs of GroupQueryAttention that a step brings (queries, or
//! queries, keys and values side by side; keys; values; tables of cosines and of sines) and none of its cache: that belongs
//! to the program, which lends it for a run ([`crate::Session::run_with`]). Loops run on ONNX Runtime's own threads.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ort::AsPointer;
use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
    ShapeInferenceContext,
};
use ort::value::{TensorElementType, ValueType};

use crate::error::done;
use crate::{Error, Result};

/// Name and domain of the operator, as a graph writes them.
pub const OPERATOR: (&str, &str) = ("curt", "SharedAttention");

/// Attributes of a node, all whole numbers but the last.
pub mod attribute {
    /// Which layer of the cache the node reads and writes.
    pub const LAYER: &str = "layer";
    /// Heads of queries.
    pub const HEADS: &str = "num_heads";
    /// Heads of keys and values.
    pub const KV_HEADS: &str = "kv_num_heads";
    /// Elements of a head.
    pub const HEAD_DIM: &str = "head_dim";
    /// 1 where neighbours are rotated as a pair.
    pub const INTERLEAVED: &str = "rotary_interleaved";
    /// Factor of a product of query and key.
    pub const SCALE: &str = "scale";
}

/// What answers the nodes of a run.
pub trait Attention: Send {
    /// Appends the keys and values of `step` to its layer, and writes what its queries attend to.
    ///
    /// # Errors
    /// In words, which become the source of the run's error.
    fn attend(
        &mut self,
        step: AttentionStep<'_>,
        threads: &Threads<'_>,
    ) -> std::result::Result<(), String>;
}

/// What a node says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionNode {
    /// Which layer of the cache it reads and writes.
    pub layer: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Whether neighbours are rotated as a pair, (0, 1); otherwise the halves of what is rotated.
    pub interleaved: bool,
    /// Factor of a product of query and key.
    pub scale: f32,
}

/// One call of a node: new positions of every row.
#[derive(Debug)]
pub struct AttentionStep<'a> {
    /// The node.
    pub node: AttentionNode,
    /// Rows, and new positions of each.
    pub shape: [usize; 2],
    /// `[rows, positions, heads * head_dim]`: the first elements of each position, `stride` apart.
    pub queries: Strided<'a>,
    /// `[rows, positions, kv_heads * head_dim]`, not rotated.
    pub keys: Strided<'a>,
    /// As the keys.
    pub values: Strided<'a>,
    /// Where queries and keys are rotated: the tables, each `[their positions, pairs]`.
    pub rotation: Option<RotationTables<'a>>,
    /// `[rows, positions, heads * head_dim]`
    pub out: &'a mut [f32],
}

/// Vectors that begin `stride` elements apart.
#[derive(Debug, Clone, Copy)]
pub struct Strided<'a> {
    /// From the first element of the first on.
    pub elements: &'a [f32],
    /// Elements from one to the next.
    pub stride: usize,
}

/// Cosines and sines of a rotary embedding.
#[derive(Debug, Clone, Copy)]
pub struct RotationTables<'a> {
    /// `[positions, pairs]`
    pub cosines: &'a [f32],
    /// `[positions, pairs]`
    pub sines: &'a [f32],
    /// Pairs of elements that are rotated.
    pub pairs: usize,
}

/// ONNX Runtime's own threads, during a call.
pub struct Threads<'a> {
    context: &'a ComputeContext,
}

impl Threads<'_> {
    /// Calls `work` with each number below `total`, on several threads at once; returns when all are done.
    ///
    /// # Errors
    /// In words, where a call panicked or the threads cannot be had.
    pub fn for_each<F: Fn(usize) + Sync>(
        &self,
        total: usize,
        work: F,
    ) -> std::result::Result<(), String> {
        let task = Task {
            work,
            panicked: AtomicBool::new(false),
        };
        if total <= 1 {
            // Waking nobody.
            (0..total).for_each(|i| task.call(i));
        } else {
            // SAFETY: the context is that of the call under way; `task` outlives the loop, which is over when this returns,
            // and may be called from several threads (`F: Sync`).
            let status = unsafe {
                (ort::api().KernelContext_ParallelFor)(
                    self.context.ptr(),
                    call::<F>,
                    total,
                    0,
                    std::ptr::from_ref(&task).cast_mut().cast(),
                )
            };
            done(status, "running on several threads").map_err(|e| e.to_string())?;
        }
        if task.panicked.load(Ordering::Relaxed) {
            return Err("attention panicked".into());
        }
        Ok(())
    }
}

struct Task<F> {
    work: F,
    panicked: AtomicBool,
}

impl<F: Fn(usize)> Task<F> {
    /// A panic must not cross the library's frames.
    fn call(&self, i: usize) {
        if catch_unwind(AssertUnwindSafe(|| (self.work)(i))).is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
    }
}

unsafe extern "C" fn call<F: Fn(usize) + Sync>(task: *mut std::ffi::c_void, i: usize) {
    // SAFETY: `for_each` passes its task, which it keeps alive.
    unsafe { &*task.cast::<Task<F>>() }.call(i);
}

/// Where a run finds who answers its nodes.
#[derive(Default)]
pub(crate) struct Slot(Mutex<Option<Lent>>);

#[derive(Clone, Copy)]
struct Lent(NonNull<dyn Attention>);

// SAFETY: what is lent is `Send`, and reached under the slot's lock alone.
unsafe impl Send for Lent {}

/// While it lives, the slot holds what was lent.
pub(crate) struct Loan<'a> {
    slot: &'a Slot,
}

impl Slot {
    pub(crate) fn lend<'a>(&'a self, attention: &'a mut (dyn Attention + 'a)) -> Loan<'a> {
        // SAFETY: only the lifetime changes. The loan borrows `attention` for as long as the slot holds it.
        let lent: NonNull<dyn Attention> = unsafe {
            std::mem::transmute::<NonNull<dyn Attention + 'a>, NonNull<dyn Attention + 'static>>(
                NonNull::from(attention),
            )
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Lent(lent));
        Loan { slot: self }
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        *self.slot.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The operator's domain for one session, whose nodes answer from `slot`.
pub(crate) fn domain(slot: Arc<Slot>) -> ort::Result<OperatorDomain> {
    OperatorDomain::new(OPERATOR.0)?.add(SharedAttention { slot })
}

/// Whether the library knows the domain.
static KNOWN: Mutex<bool> = Mutex::new(false);

/// While a graph is loaded that is the first with the domain, nobody else loads one: the library keeps the domains of the
/// process in a table that it looks at and adds to without a lock. Set it once the graph is there. `None` from then on.
pub(crate) fn first_load() -> Option<MutexGuard<'static, bool>> {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    (!*known).then_some(known)
}

struct SharedAttention {
    slot: Arc<Slot>,
}

/// Inputs of a node.
const QUERIES: usize = 0;
const KEYS: usize = 1;
const VALUES: usize = 2;
const COSINES: usize = 3;
const SINES: usize = 4;

impl Operator for SharedAttention {
    type Kernel<'a> = Node;

    fn name(&self) -> &str {
        OPERATOR.1
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let optional = OperatorInput::optional;
        [
            OperatorInput::required(TensorElementType::Float32),
            optional(TensorElementType::Float32),
            optional(TensorElementType::Float32),
            optional(TensorElementType::Float32),
            optional(TensorElementType::Float32),
        ]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    /// Rows and positions are those of the queries: with the shape known, the library still fuses what follows.
    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> ort::Result<()> {
        let heads: i64 = context.attr(attribute::HEADS)?;
        let head_dim: i64 = context.attr(attribute::HEAD_DIM)?;
        let queries = context.inputs().into_iter().next();
        if let Some(ValueType::Tensor {
            ty,
            mut shape,
            dimension_symbols,
        }) = queries
            && shape.len() == 3
        {
            shape[2] = heads * head_dim;
            let out = ValueType::Tensor {
                ty,
                shape,
                dimension_symbols,
            };
            context.set_output(0, &out)?;
        }
        Ok(())
    }

    fn create_kernel<'a>(&self, context: &KernelContext<'a>) -> ort::Result<Node> {
        let number = |name: &str| {
            let number = context.get::<i64>(name).and_then(|n| n.try_into().ok());
            number.ok_or_else(|| ort::Error::new(format!("attribute {name} is missing")))
        };
        let scale = context.get::<f32>(attribute::SCALE);
        let node = AttentionNode {
            layer: number(attribute::LAYER)?,
            heads: number(attribute::HEADS)?,
            kv_heads: number(attribute::KV_HEADS)?,
            head_dim: number(attribute::HEAD_DIM)?,
            interleaved: number(attribute::INTERLEAVED)? == 1,
            scale: scale.ok_or_else(|| ort::Error::new("attribute scale is missing"))?,
        };
        Ok(Node {
            node,
            slot: Arc::clone(&self.slot),
        })
    }
}

/// A node of a loaded graph.
struct Node {
    node: AttentionNode,
    slot: Arc<Slot>,
}

impl Kernel for Node {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let caught = catch_unwind(AssertUnwindSafe(|| self.answer(context)));
        let answered = caught.unwrap_or_else(|panic: Box<dyn Any + Send>| {
            drop(panic);
            Err("attention panicked".into())
        });
        answered.map_err(ort::Error::new)
    }
}

impl Node {
    fn answer(&self, context: &ComputeContext) -> std::result::Result<(), String> {
        let node = self.node;
        let words = |error: Error| error.to_string();
        let queries = Input::of(context, QUERIES).map_err(words)?;
        let queries = queries.ok_or("no queries")?;
        let &[rows, positions, width] = queries.shape() else {
            return Err(format!(
                "queries of 3 axes, got {:?}",
                queries.shape().len()
            ));
        };
        let product = |a: usize, b: usize| a.checked_mul(b).ok_or("sizes beyond an address");
        let (own, kv) = (
            product(node.heads, node.head_dim)?,
            product(node.kv_heads, node.head_dim)?,
        );
        let [keys, values] = [KEYS, VALUES].map(|at| Input::of(context, at).map_err(words));
        let strided = |elements, stride| Strided { elements, stride };
        let (keys, values) = (keys?, values?);
        let (keys, values) = match (&keys, &values) {
            (Some(keys), Some(values)) => {
                for (name, input, expected) in [
                    ("queries", &queries, own),
                    ("keys", keys, kv),
                    ("values", values, kv),
                ] {
                    if input.shape() != [rows, positions, expected] {
                        return Err(format!(
                            "{name} of [{rows}, {positions}, {expected}], got {:?}",
                            input.shape()
                        ));
                    }
                }
                (strided(keys.elements, kv), strided(values.elements, kv))
            }
            (None, None) => {
                if width != own + 2 * kv {
                    return Err(format!("{} elements a position, got {width}", own + 2 * kv));
                }
                let from = |at: usize| strided(queries.elements.get(at..).unwrap_or(&[]), width);
                (from(own), from(own + kv))
            }
            _ => return Err("keys and values, or neither".into()),
        };
        let cosines = Input::of(context, COSINES).map_err(words)?;
        let sines = Input::of(context, SINES).map_err(words)?;
        let rotation = match (&cosines, &sines) {
            (Some(cosines), Some(sines)) => {
                let &[_, pairs] = cosines.shape() else {
                    return Err("a table of cosines of 2 axes".into());
                };
                if sines.shape() != cosines.shape() || 2 * pairs > node.head_dim {
                    return Err(format!(
                        "tables of up to {} pairs, got {:?} and {:?}",
                        node.head_dim / 2,
                        cosines.shape(),
                        sines.shape()
                    ));
                }
                Some(RotationTables {
                    cosines: cosines.elements,
                    sines: sines.elements,
                    pairs,
                })
            }
            (None, None) => None,
            _ => return Err("tables of cosines and of sines, or neither".into()),
        };
        let mut out = output(context, [rows, positions, own]).map_err(words)?;
        let step = AttentionStep {
            node,
            shape: [rows, positions],
            queries: strided(queries.elements, width),
            keys,
            values,
            rotation,
            // SAFETY: just made, for this call alone, and all of it has been written.
            out: unsafe { out.as_mut() },
        };
        // Held during the call: nobody else reaches what is lent.
        let lent = self.slot.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lent = lent.ok_or("the graph was run without its attention")?;
        // SAFETY: the loan borrows it mutably while the slot holds it, and the lock is held.
        unsafe { lent.0.as_mut() }.attend(step, &Threads { context })
    }
}

/// Most axes of what the operator takes.
const AXES: usize = 3;

/// An input tensor of f32.
struct Input<'a> {
    elements: &'a [f32],
    /// The first `axes` are its shape.
    dims: [usize; AXES],
    axes: usize,
}

impl<'a> Input<'a> {
    /// The input at `index`; `None` where the node has none there.
    fn of(context: &'a ComputeContext, index: usize) -> Result<Option<Self>> {
        let action = "reading an operator's input";
        let api = ort::api();
        let mut value = std::ptr::null();
        let mut count = 0;
        // SAFETY: the context is that of the call under way, in which its inputs live; every out-pointer is valid. The
        // library has checked that they are tensors of f32, as the operator says of its inputs.
        unsafe {
            done(
                (api.KernelContext_GetInputCount)(context.ptr(), &mut count),
                action,
            )?;
            if index >= count {
                return Ok(None);
            }
            done(
                (api.KernelContext_GetInput)(context.ptr(), index, &mut value),
                action,
            )?;
            if value.is_null() {
                return Ok(None);
            }
            let mut info = std::ptr::null_mut();
            done((api.GetTensorTypeAndShape)(value, &mut info), action)?;
            let mut axes = 0;
            let mut dims = [0i64; AXES];
            let counted = done((api.GetDimensionsCount)(info, &mut axes), action);
            let read = done(
                (api.GetDimensions)(info, dims.as_mut_ptr(), axes.min(AXES)),
                action,
            );
            (api.ReleaseTensorTypeAndShapeInfo)(info);
            counted.and(read)?;
            let dims = dims.map(|n| usize::try_from(n).unwrap_or(0));
            let mut data = std::ptr::null_mut();
            done(
                (api.GetTensorMutableData)(value.cast_mut(), &mut data),
                action,
            )?;
            let shape = dims.get(..axes);
            let elements =
                shape.and_then(|shape| shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)));
            let Some(elements) = elements.filter(|_| !data.is_null()) else {
                return Err(Error::runtime(
                    action,
                    format!("{axes} axes, at most {}", AXES),
                ));
            };
            Ok(Some(Self {
                elements: std::slice::from_raw_parts(data.cast(), elements),
                dims,
                axes,
            }))
        }
    }

    fn shape(&self) -> &[usize] {
        &self.dims[..self.axes]
    }
}

/// The node's output, of that shape: where its elements lie, all zeros.
fn output(context: &ComputeContext, shape: [usize; 3]) -> Result<NonNull<[f32]>> {
    let action = "making an operator's output";
    let dims = shape.map(|n| n as i64);
    let (mut value, mut data) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: as in `Input::of`; the library makes a tensor of f32 of this shape, which nothing else refers to yet. What it
    // holds the library does not say.
    unsafe {
        let made = (ort::api().KernelContext_GetOutput)(
            context.ptr().cast_mut(),
            0,
            dims.as_ptr(),
            dims.len(),
            &mut value,
        );
        done(made, action)?;
        done((ort::api().GetTensorMutableData)(value, &mut data), action)?;
        let start = NonNull::new(data.cast::<f32>());
        let elements = if start.is_some() {
            shape.iter().product()
        } else {
            0
        };
        let start = start.unwrap_or(NonNull::dangling());
        start.write_bytes(0, elements);
        Ok(NonNull::slice_from_raw_parts(start, elements))
    }
}
