//! A graph, loaded and run.

use std::ffi::CStr;
use std::path::Path;
use std::sync::Arc;

use ort::AsPointer;
use ort::session::RunOptions;

use crate::attention::{Attention, Slot};
use crate::call;
use crate::error::done;
use crate::load::{self, Loaded, Source};
use crate::placement::Placement;
use crate::{Attached, Binding, CancelToken, Error, Given, Output, Result, SessionOptions};

/// One graph, loaded.
pub struct Session {
    inner: ort::session::Session,
    run_options: Arc<RunOptions>,
    placement: Placement,
    /// Where the nodes of our own attention find who answers them, in a graph that may have such.
    slot: Option<Arc<Slot>>,
}

impl Session {
    /// Loads the graph in `file`.
    ///
    /// # Errors
    /// [`Error::Option`] for options outside their range; [`Error::Library`] and its like without a usable library;
    /// [`Error::Provider`] where one cannot be used that has to be; [`Error::Runtime`] where the library refuses the graph;
    /// [`Error::Cancelled`].
    pub fn open(file: &Path, options: &SessionOptions) -> Result<Self> {
        Self::load(Source::File(file), options)
    }

    /// Loads a graph that lies in memory and may call the operator [`crate::attention::OPERATOR`]; the files of its weights lie in
    /// `folder`. Its runs are those of [`Self::run_with`].
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn open_in_memory(graph: &[u8], folder: &Path, options: &SessionOptions) -> Result<Self> {
        Self::load(Source::Memory(graph, folder), options)
    }

    fn load(source: Source<'_>, options: &SessionOptions) -> Result<Self> {
        let Loaded {
            inner,
            placement,
            slot,
        } = load::load(source, options)?;
        let run_options =
            RunOptions::new().map_err(|e| Error::runtime("making options of runs", e))?;
        Ok(Self {
            inner,
            run_options: Arc::new(run_options),
            placement,
            slot,
        })
    }

    /// Where the graph's nodes run.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// A set of inputs and outputs for this graph.
    ///
    /// # Errors
    /// [`Error::Runtime`] where ONNX Runtime cannot make one.
    pub fn binding(&self) -> Result<Binding> {
        Binding::new(self.inner.inner())
    }

    /// Runs the graph on what is bound. ONNX Runtime stops early when the token that [`Self::cancelled_by`] attached is
    /// cancelled.
    ///
    /// # Errors
    /// [`Error::Runtime`] where the run fails or was stopped.
    ///
    /// # Safety
    /// All memory bound in `binding` must still be alive, and nobody else may read or write it during the call.
    pub unsafe fn run(&mut self, binding: &Binding) -> Result<()> {
        // SAFETY: session, options and binding are alive (borrowed); the memory is the caller's promise.
        let status = unsafe {
            (ort::api().RunWithBinding)(
                self.inner.ptr().cast_mut(),
                self.run_options.ptr(),
                binding.ptr(),
            )
        };
        done(status, "running the graph")
    }

    /// Runs the graph on `inputs` and gives its output `name`, in memory of ONNX Runtime's: for graphs of whose output nobody
    /// else knows the size. Can be stopped as [`Self::run`].
    ///
    /// # Errors
    /// [`Error::Memory`] for bytes that are too few for a shape or not aligned for its elements; [`Error::Runtime`] where the
    /// run fails, was stopped, or gives another kind of value than a tensor of numbers.
    pub fn call(&mut self, inputs: &[Given<'_>], name: &CStr) -> Result<Output> {
        call::call(&self.inner, &self.run_options, inputs, name)
    }

    /// As [`Self::run`], with `attention` to answer the nodes of [`crate::attention::OPERATOR`].
    ///
    /// # Errors
    /// [`Error::Runtime`] where the run fails or was stopped; what `attention` said is in its source.
    ///
    /// # Safety
    /// As [`Self::run`].
    pub unsafe fn run_with(
        &mut self,
        binding: &Binding,
        attention: &mut dyn Attention,
    ) -> Result<()> {
        let slot = self.slot.clone();
        let _lent = slot.as_ref().map(|slot| slot.lend(attention));
        // SAFETY: forwarded.
        unsafe { self.run(binding) }
    }

    /// Lets `token` stop the runs of this session until the guard is dropped.
    ///
    /// # Errors
    /// [`Error::Cancelled`] where it is cancelled already.
    pub fn cancelled_by(&self, token: &CancelToken) -> Result<Attached> {
        token.attach(Arc::clone(&self.run_options))
    }
}
