//! A graph, loaded and run.

use std::ffi::CStr;
use std::path::Path;
use std::sync::Arc;

use ort::AsPointer;
use ort::session::RunOptions;
use ort::session::builder::GraphOptimizationLevel;

use crate::attention::{self, Attention, Slot};
use crate::error::done;
use crate::placement::{self, Placement};
use crate::{Attached, Binding, CancelToken, Error, Given, Output, Result, SessionOptions};
use crate::{call, library};

/// The folder of the weights that a graph in memory names.
const WEIGHTS_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// One graph, loaded.
pub struct Session {
    inner: ort::session::Session,
    run_options: Arc<RunOptions>,
    placement: Placement,
    /// Where the nodes of our own attention find who answers them, in a graph that may have such.
    slot: Option<Arc<Slot>>,
}

/// Where a graph is read from.
#[derive(Clone, Copy)]
enum Source<'a> {
    File(&'a Path),
    /// The graph, and the folder of the weights that it names.
    Memory(&'a [u8], &'a Path),
}

impl Session {
    /// Loads the graph in `file`.
    ///
    /// # Errors
    /// [`Error::Option`] for options outside their range; [`Error::Library`] and its like without a usable library;
    /// [`Error::Runtime`] where it refuses the graph; [`Error::Cancelled`].
    pub fn open(file: &Path, options: &SessionOptions) -> Result<Self> {
        Self::load(Source::File(file), options)
    }

    /// Loads a graph that lies in memory and may call the operator [`attention::OPERATOR`]; the files of its weights lie in
    /// `folder`. Its runs are those of [`Self::run_with`].
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn open_in_memory(graph: &[u8], folder: &Path, options: &SessionOptions) -> Result<Self> {
        Self::load(Source::Memory(graph, folder), options)
    }

    fn load(source: Source<'_>, options: &SessionOptions) -> Result<Self> {
        options.validate()?;
        let (Source::File(named) | Source::Memory(_, named)) = source;
        let environment = library::environment(&options.library)?;
        let threads = options
            .threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let loading = || format!("loading {}", named.display());
        let failed = |source: ort::Error| {
            if options.cancel.is_cancelled() {
                return Error::Cancelled;
            }
            Error::runtime(loading(), source)
        };
        let slot = match source {
            Source::File(_) => None,
            Source::Memory(..) => Some(Arc::new(Slot::default())),
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
        if let (Source::Memory(_, folder), Some(slot)) = (source, &slot) {
            let folder = folder
                .to_str()
                .ok_or_else(|| Error::runtime(loading(), "the folder's name is no UTF-8"))?;
            builder = (|| -> ort::Result<_> {
                let domain = attention::domain(Arc::clone(slot))?;
                Ok(builder
                    .with_operators(domain)?
                    .with_config_entry(WEIGHTS_FOLDER, folder)?)
            })()
            .map_err(failed)?;
        }
        let cancellable = options.cancel.attach(builder.canceler())?;
        let inner = match source {
            Source::File(file) => builder.commit_from_file(file),
            Source::Memory(graph, _) => builder.commit_from_memory(graph),
        }
        .map_err(failed)?;
        drop(cancellable);
        let run_options = RunOptions::new().map_err(failed)?;
        Ok(Self {
            placement: Placement::of(&inner, &options.providers)?,
            inner,
            run_options: Arc::new(run_options),
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

    /// As [`Self::run`], with `attention` to answer the nodes of [`attention::OPERATOR`].
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
