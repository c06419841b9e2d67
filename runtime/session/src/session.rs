//! A graph, loaded and run.

use std::ffi::CStr;
use std::path::Path;
use std::sync::Arc;

use ort::AsPointer;
use ort::session::RunOptions;
use ort::session::builder::GraphOptimizationLevel;

use crate::error::done;
use crate::placement::{self, Placement};
use crate::{Attached, Binding, CancelToken, Error, Given, Output, Result, SessionOptions};
use crate::{call, library};

/// One graph, loaded.
pub struct Session {
    inner: ort::session::Session,
    run_options: Arc<RunOptions>,
    placement: Placement,
}

impl Session {
    /// Loads the graph in `file`.
    ///
    /// # Errors
    /// [`Error::Option`] for options outside their range; [`Error::Library`] and its like without a usable library;
    /// [`Error::Runtime`] where it refuses the graph; [`Error::Cancelled`].
    pub fn open(file: &Path, options: &SessionOptions) -> Result<Self> {
        options.validate()?;
        let environment = library::environment(&options.library)?;
        let threads = options
            .threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let failed = |source: ort::Error| {
            if options.cancel.is_cancelled() {
                return Error::Cancelled;
            }
            Error::runtime(format!("loading {}", file.display()), source)
        };
        // Memory patterns are planned for each set of input shapes, and the mask's shape changes at every step: with
        // them, each step would plan anew and keep the plan.
        let mut builder = (|| -> ort::Result<_> {
            Ok(ort::session::Session::builder(environment)?
                .with_optimization_level(GraphOptimizationLevel::All)?
                .with_intra_threads(threads)?
                .with_memory_pattern(false)?
                .with_config_entry(placement::RECORD.0, placement::RECORD.1)?)
        })()
        .map_err(failed)?;
        let loading = options.cancel.attach(builder.canceler())?;
        let inner = builder.commit_from_file(file).map_err(failed)?;
        drop(loading);
        let run_options = RunOptions::new().map_err(failed)?;
        Ok(Self {
            placement: Placement::of(&inner, &options.providers)?,
            inner,
            run_options: Arc::new(run_options),
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

    /// Lets `token` stop the runs of this session until the guard is dropped.
    ///
    /// # Errors
    /// [`Error::Cancelled`] where it is cancelled already.
    pub fn cancelled_by(&self, token: &CancelToken) -> Result<Attached> {
        token.attach(Arc::clone(&self.run_options))
    }
}
