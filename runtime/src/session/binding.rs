//! Inputs and outputs of a graph, bound to memory that curt owns.
//!
//! `ort`'s own binding allocates at each call, deadlocks on borrowed CPU tensors (2.0.0-rc.15: `IoBinding::bind_input`
//! clones them through a session that takes the same lock) and takes only its own tensors as outputs, so this goes to
//! the C API. Nothing here allocates in Rust.

use std::ffi::CStr;
use std::ptr::NonNull;

use ort::AsPointer;
use ort::sys;

use super::status::check;
use crate::error::Result;

/// Element types that decoders take and give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ElementType {
    F32,
    F16,
    Bf16,
    I8,
    I64,
}

impl ElementType {
    fn code(self) -> sys::ONNXTensorElementDataType {
        use sys::ONNXTensorElementDataType as T;
        match self {
            ElementType::F32 => T::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
            ElementType::F16 => T::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
            ElementType::Bf16 => T::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
            ElementType::I8 => T::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
            ElementType::I64 => T::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
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
pub(crate) struct TensorMemory<'a> {
    pub(crate) start: NonNull<u8>,
    pub(crate) bytes: usize,
    pub(crate) element: ElementType,
    pub(crate) shape: &'a [i64],
}

/// What a run reads and writes.
pub(crate) struct Binding {
    binding: NonNull<sys::OrtIoBinding>,
    cpu: NonNull<sys::OrtMemoryInfo>,
}

// SAFETY: both pointers are owned by this value alone, and ONNX Runtime ties neither to a thread.
unsafe impl Send for Binding {}

impl Binding {
    pub(super) fn new(session: &mut ort::session::Session) -> Result<Self> {
        let mut binding = std::ptr::null_mut();
        let mut cpu = std::ptr::null_mut();
        // SAFETY: the session is alive and both out-pointers are valid. The binding outlives neither: `Decoder` owns
        // session and binding and drops the binding first.
        unsafe {
            check(
                (ort::api().CreateCpuMemoryInfo)(
                    sys::OrtAllocatorType::OrtDeviceAllocator,
                    sys::OrtMemType::OrtMemTypeDefault,
                    &mut cpu,
                ),
                "describing CPU memory",
            )?;
            check(
                (ort::api().CreateIoBinding)(session.ptr().cast_mut(), &mut binding),
                "creating a binding",
            )?;
        }
        match (NonNull::new(binding), NonNull::new(cpu)) {
            (Some(binding), Some(cpu)) => Ok(Self { binding, cpu }),
            _ => Err(crate::Error::Session {
                action: "creating a binding".into(),
                message: "success, but no binding".into(),
            }),
        }
    }

    /// Lets go of everything bound.
    pub(crate) fn clear(&mut self) {
        // SAFETY: the binding is alive.
        unsafe {
            (ort::api().ClearBoundInputs)(self.binding.as_ptr());
            (ort::api().ClearBoundOutputs)(self.binding.as_ptr());
        }
    }

    pub(super) fn ptr(&self) -> *const sys::OrtIoBinding {
        self.binding.as_ptr()
    }

    /// Makes the input `name` read `memory`. What was bound to it before is let go.
    ///
    /// # Errors
    /// [`crate::Error::Session`] for a name the graph does not have, or memory too small for the shape.
    ///
    /// # Safety
    /// `memory` must be valid for its bytes until the name is bound anew or the binding is dropped.
    pub(crate) unsafe fn input(&mut self, name: &CStr, memory: TensorMemory<'_>) -> Result<()> {
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
    pub(crate) unsafe fn output(&mut self, name: &CStr, memory: TensorMemory<'_>) -> Result<()> {
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
        let mut value = std::ptr::null_mut();
        // SAFETY: memory info, shape and name are alive; the memory is the caller's promise. The binding keeps its own
        // reference to the value, so ours is released at once.
        unsafe {
            check(
                (ort::api().CreateTensorWithDataAsOrtValue)(
                    self.cpu.as_ptr(),
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
            check(status, action)
        }
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        // SAFETY: both pointers were created in `new` and are released once.
        unsafe {
            (ort::api().ReleaseIoBinding)(self.binding.as_ptr());
            (ort::api().ReleaseMemoryInfo)(self.cpu.as_ptr());
        }
    }
}
