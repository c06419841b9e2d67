//! Inputs and outputs of a graph, bound to memory that curt owns.
//!
//! `ort`'s own binding allocates at each call, deadlocks on borrowed CPU tensors (2.0.0-rc.15: `IoBinding::bind_input`
//! clones them through a session that takes the same lock) and takes only its own tensors as outputs, so this goes to
//! the C API. Nothing here allocates in Rust.

use std::ffi::CStr;
use std::ptr::NonNull;
use std::sync::Arc;

use ort::AsPointer;
use ort::session::SharedSessionInner;
use ort::sys;

use crate::error::done;
use crate::{Error, Result};

/// Where memory lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Memory {
    /// The processor's own, which any code of the process can read.
    Host,
}

/// Element types that decoders take and give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// Signed 8-bit integer.
    I8,
    /// Signed 64-bit integer.
    I64,
    /// A byte that is 0 or 1.
    Bool,
}

impl ElementType {
    /// Bytes of one.
    pub fn bytes(self) -> usize {
        match self {
            ElementType::F32 => 4,
            ElementType::F16 | ElementType::Bf16 => 2,
            ElementType::I8 | ElementType::Bool => 1,
            ElementType::I64 => 8,
        }
    }

    pub(crate) fn code(self) -> sys::ONNXTensorElementDataType {
        use sys::ONNXTensorElementDataType as T;
        match self {
            ElementType::F32 => T::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
            ElementType::F16 => T::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
            ElementType::Bf16 => T::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
            ElementType::I8 => T::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
            ElementType::I64 => T::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
            ElementType::Bool => T::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
        }
    }
}

impl From<curt_kernels::Dtype> for ElementType {
    fn from(dtype: curt_kernels::Dtype) -> Self {
        match dtype {
            curt_kernels::Dtype::F32 => ElementType::F32,
            curt_kernels::Dtype::F16 => ElementType::F16,
            curt_kernels::Dtype::Bf16 => ElementType::Bf16,
            curt_kernels::Dtype::I8 => ElementType::I8,
        }
    }
}

/// Memory that a graph reads or writes as a tensor.
#[derive(Debug, Clone, Copy)]
pub struct TensorMemory<'a> {
    /// Where it lies.
    pub memory: Memory,
    /// Its first byte.
    pub start: NonNull<u8>,
    /// How many there are; at least those of the shape.
    pub bytes: usize,
    /// Element type.
    pub element: ElementType,
    /// Dimensions, outermost first.
    pub shape: &'a [i64],
}

/// What a run reads and writes.
pub struct Binding {
    binding: NonNull<sys::OrtIoBinding>,
    host: NonNull<sys::OrtMemoryInfo>,
    /// Keeps the session alive that the binding refers to; dropped last.
    _session: Arc<SharedSessionInner>,
}

// SAFETY: both pointers are owned by this value alone and used through `&mut` or during a run, and ONNX Runtime ties
// neither to a thread.
unsafe impl Send for Binding {}

impl Binding {
    pub(crate) fn new(session: Arc<SharedSessionInner>) -> Result<Self> {
        let mut binding = std::ptr::null_mut();
        let mut host = std::ptr::null_mut();
        // SAFETY: the session is alive (a reference is held, and kept in the binding) and both out-pointers are valid.
        unsafe {
            done(
                (ort::api().CreateCpuMemoryInfo)(
                    sys::OrtAllocatorType::OrtDeviceAllocator,
                    sys::OrtMemType::OrtMemTypeDefault,
                    &mut host,
                ),
                "describing the host's memory",
            )?;
            done(
                (ort::api().CreateIoBinding)(session.ptr().cast_mut(), &mut binding),
                "creating a binding",
            )?;
        }
        match (NonNull::new(binding), NonNull::new(host)) {
            (Some(binding), Some(host)) => Ok(Self {
                binding,
                host,
                _session: session,
            }),
            _ => Err(Error::runtime(
                "creating a binding",
                "success, but no binding",
            )),
        }
    }

    /// Lets go of everything bound.
    pub fn clear(&mut self) {
        // SAFETY: the binding is alive.
        unsafe {
            (ort::api().ClearBoundInputs)(self.binding.as_ptr());
            (ort::api().ClearBoundOutputs)(self.binding.as_ptr());
        }
    }

    pub(crate) fn ptr(&self) -> *const sys::OrtIoBinding {
        self.binding.as_ptr()
    }

    /// Makes the input `name` read `memory`. What was bound to it before is let go.
    ///
    /// # Errors
    /// [`Error::Runtime`] for a name the graph does not have, or memory too small for the shape.
    ///
    /// # Safety
    /// `memory` must be valid for its bytes until the name is bound anew or the binding is dropped.
    pub unsafe fn input(&mut self, name: &CStr, memory: TensorMemory<'_>) -> Result<()> {
        // SAFETY: forwarded.
        unsafe { self.bind(ort::api().BindInput, name, memory, "binding an input") }
    }

    /// Makes the output `name` be written to `memory`.
    ///
    /// # Errors
    /// As [`Self::input`].
    ///
    /// # Safety
    /// As [`Self::input`].
    pub unsafe fn output(&mut self, name: &CStr, memory: TensorMemory<'_>) -> Result<()> {
        // SAFETY: forwarded.
        unsafe { self.bind(ort::api().BindOutput, name, memory, "binding an output") }
    }

    unsafe fn bind(
        &mut self,
        call: unsafe extern "system" fn(
            *mut sys::OrtIoBinding,
            *const std::ffi::c_char,
            *const sys::OrtValue,
        ) -> sys::OrtStatusPtr,
        name: &CStr,
        memory: TensorMemory<'_>,
        action: &'static str,
    ) -> Result<()> {
        let place = match memory.memory {
            Memory::Host => self.host,
        };
        let mut value = std::ptr::null_mut();
        // SAFETY: memory info, shape and name are alive; the memory is the caller's promise. The binding keeps its own
        // reference to the value, so ours is released at once.
        unsafe {
            done(
                (ort::api().CreateTensorWithDataAsOrtValue)(
                    place.as_ptr(),
                    memory.start.as_ptr().cast(),
                    memory.bytes,
                    memory.shape.as_ptr(),
                    memory.shape.len(),
                    memory.element.code(),
                    &mut value,
                ),
                action,
            )?;
            let status = call(self.binding.as_ptr(), name.as_ptr(), value);
            (ort::api().ReleaseValue)(value);
            done(status, action)
        }
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        // SAFETY: both pointers were created in `new` and are released once.
        unsafe {
            (ort::api().ReleaseIoBinding)(self.binding.as_ptr());
            (ort::api().ReleaseMemoryInfo)(self.host.as_ptr());
        }
    }
}
