//! A graph on its caller's memory: for measurements of ONNX Runtime beside our own kernels.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::path::Path;
use std::ptr::NonNull;

use curt_kernels::Dtype;

use super::{Binding, Session, SessionOptions, TensorMemory};
use crate::error::Result;

/// Name, element type and dimensions of an input or output.
#[derive(Debug, Clone, Copy)]
pub struct TensorSpec<'a> {
    /// The name that the graph gives it.
    pub name: &'a CStr,
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions, outermost first.
    pub shape: &'a [i64],
}

/// A loaded graph whose inputs and output are bound to borrowed bytes.
pub struct BoundGraph<'a> {
    // Dropped before the session.
    binding: Binding,
    session: Session,
    memory: PhantomData<&'a mut [u8]>,
}

impl<'a> BoundGraph<'a> {
    /// Loads the graph in `file` and binds its inputs and its output.
    ///
    /// # Errors
    /// [`crate::Error::Library`] without a usable library; [`crate::Error::Session`] where ONNX Runtime refuses the
    /// graph, a name, or bytes too few for a shape.
    pub fn open(
        file: &Path,
        options: &SessionOptions,
        inputs: &[(TensorSpec<'_>, &'a [u8])],
        (output, into): (TensorSpec<'_>, &'a mut [u8]),
    ) -> Result<Self> {
        let mut session = Session::open(file, options)?;
        let mut binding = session.binding()?;
        for (spec, bytes) in inputs {
            let memory = TensorMemory {
                start: NonNull::from(*bytes).cast(),
                bytes: bytes.len(),
                element: spec.dtype.into(),
                shape: spec.shape,
            };
            // SAFETY: the bytes are borrowed for the life of this value, and graphs do not write to their inputs.
            unsafe { binding.input(spec.name, memory)? };
        }
        let memory = TensorMemory {
            bytes: into.len(),
            start: NonNull::from(into).cast(),
            element: output.dtype.into(),
            shape: output.shape,
        };
        // SAFETY: the bytes are borrowed for the life of this value, and to nobody else.
        unsafe { binding.output(output.name, memory)? };
        Ok(Self {
            binding,
            session,
            memory: PhantomData,
        })
    }

    /// Runs the graph once.
    ///
    /// # Errors
    /// [`crate::Error::Session`] where the run fails.
    pub fn run(&mut self) -> Result<()> {
        // SAFETY: what is bound is borrowed for the life of this value.
        unsafe { self.session.run(&self.binding) }
    }
}
