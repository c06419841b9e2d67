//! A graph on its caller's memory: for measurements of ONNX Runtime beside our own kernels.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::path::Path;
use std::ptr::NonNull;

use curt_kernels::Dtype;

use crate::{Binding, Error, Memory, Result, Session, SessionOptions, TensorMemory};

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

impl TensorSpec<'_> {
    fn lies_in(&self, bytes: NonNull<[u8]>) -> Result<TensorMemory<'_>> {
        let size = self.dtype.bytes();
        let refused = |expected: String, got: String| Error::Memory {
            name: self.name.to_string_lossy().into_owned(),
            expected,
            got,
        };
        let start: NonNull<u8> = bytes.cast();
        // Every element type is aligned to its own size.
        if !start.addr().get().is_multiple_of(size) {
            let expected = format!("bytes that begin at a multiple of {size}");
            return Err(refused(expected, format!("{start:?}")));
        }
        let needed = self.shape.iter().try_fold(size, |bytes, &dim| {
            bytes.checked_mul(usize::try_from(dim).ok()?)
        });
        if needed.is_none_or(|needed| needed > bytes.len()) {
            let expected = format!("bytes for {:?} elements of {size} bytes", self.shape);
            return Err(refused(expected, format!("{} bytes", bytes.len())));
        }
        Ok(TensorMemory {
            memory: Memory::Host,
            start,
            bytes: bytes.len(),
            element: self.dtype.into(),
            shape: self.shape,
        })
    }
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
    /// Those of [`Session::open`]; [`Error::Memory`] for bytes that are too few for a shape or not aligned for its
    /// elements; [`Error::Runtime`] where ONNX Runtime refuses a name.
    pub fn open(
        file: &Path,
        options: &SessionOptions,
        inputs: &[(TensorSpec<'_>, &'a [u8])],
        (output, into): (TensorSpec<'_>, &'a mut [u8]),
    ) -> Result<Self> {
        let session = Session::open(file, options)?;
        let mut binding = session.binding()?;
        for (spec, bytes) in inputs {
            let memory = spec.lies_in(NonNull::from(*bytes))?;
            // SAFETY: the bytes are borrowed for the life of this value, and graphs do not write to their inputs.
            unsafe { binding.input(spec.name, memory)? };
        }
        let memory = output.lies_in(NonNull::from(into))?;
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
    /// [`Error::Runtime`] where the run fails.
    pub fn run(&mut self) -> Result<()> {
        // SAFETY: what is bound is borrowed for the life of this value.
        unsafe { self.session.run(&self.binding) }
    }
}
