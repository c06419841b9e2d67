//! ONNX Runtime, fenced in: the only module that names `ort`, and no type of it leaves.

mod binding;
mod bound;
mod cancel;
mod library;
mod status;

use std::path::Path;
use std::sync::Arc;

use ort::AsPointer;
use ort::session::RunOptions;
use ort::session::builder::GraphOptimizationLevel;

pub(crate) use binding::{Binding, ElementType, TensorMemory};
pub use bound::{BoundGraph, TensorSpec};
pub use cancel::CancelToken;
pub use library::{LibraryInfo, library_info, load_library};

use crate::error::{Error, Result};

/// How ONNX Runtime runs a graph.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// Threads inside one operator. `None`: as many as the machine has cores available to this process.
    pub threads: Option<usize>,
}

/// One graph, loaded.
pub(crate) struct Session {
    inner: ort::session::Session,
    run_options: Arc<RunOptions>,
}

impl Session {
    /// Loads the graph in `file`.
    ///
    /// # Errors
    /// [`Error::Library`] without a usable library, [`Error::Session`] where it refuses the graph.
    pub(crate) fn open(file: &Path, options: &SessionOptions) -> Result<Self> {
        let environment = library::environment()?;
        let threads = match options.threads {
            Some(0) => return Err(Error::option("threads", "at least 1", 0)),
            Some(n) => n,
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let failed = |message: String| Error::Session {
            action: format!("loading {}", file.display()),
            message,
        };
        // Memory patterns are planned for each set of input shapes, and the mask's shape changes at every step: with
        // them, each step would plan anew and keep the plan.
        let inner = (|| -> ort::Result<_> {
            ort::session::Session::builder(environment)?
                .with_optimization_level(GraphOptimizationLevel::All)?
                .with_intra_threads(threads)?
                .with_memory_pattern(false)?
                .commit_from_file(file)
        })()
        .map_err(|e| failed(e.to_string()))?;
        let run_options = RunOptions::new().map_err(|e| failed(e.to_string()))?;
        Ok(Self {
            inner,
            run_options: Arc::new(run_options),
        })
    }

    /// A set of inputs and outputs for this graph.
    pub(crate) fn binding(&mut self) -> Result<Binding> {
        Binding::new(&mut self.inner)
    }

    /// Runs the graph on what is bound. ONNX Runtime stops early when the token that [`Self::cancelled_by`] attached is
    /// cancelled.
    ///
    /// # Errors
    /// [`Error::Session`] where the run fails or was stopped.
    ///
    /// # Safety
    /// All memory bound in `binding` must still be alive, and nobody else may read or write it during the call.
    pub(crate) unsafe fn run(&mut self, binding: &Binding) -> Result<()> {
        // SAFETY: session, options and binding are alive (borrowed); the memory is the caller's promise.
        let status = unsafe {
            (ort::api().RunWithBinding)(
                self.inner.ptr().cast_mut(),
                self.run_options.ptr(),
                binding.ptr(),
            )
        };
        status::check(status, "running the graph")
    }

    /// Lets `token` stop the runs of this session until the guard is dropped.
    pub(crate) fn cancelled_by(&self, token: &CancelToken) -> Result<cancel::Attached> {
        token.attach(&self.run_options)
    }
}
