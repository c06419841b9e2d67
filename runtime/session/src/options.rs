//! How a graph is to be run.

use serde::Serialize;

use crate::{CancelToken, Error, LibraryOptions, Result};

/// Most threads that a session is given. Each has a stack of its own and spins while it waits: far more than a machine
/// has cores can take it down.
pub const MAX_THREADS: usize = 256;

/// A backend of ONNX Runtime that runs nodes of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Provider {
    /// The processor. Always there; takes every node that no provider before it takes.
    Cpu,
}

impl Provider {
    /// The name that ONNX Runtime gives it.
    pub fn name(self) -> &'static str {
        match self {
            Provider::Cpu => "CPUExecutionProvider",
        }
    }
}

/// How ONNX Runtime loads and runs a graph.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Threads inside one operator, 1 to [`MAX_THREADS`]. `None`: as many as the machine has cores available to this
    /// process.
    pub threads: Option<usize>,
    /// Who runs the graph: each takes the nodes that it can run of those that the ones before it left.
    pub providers: Vec<Provider>,
    /// Which library, where none is loaded yet.
    pub library: LibraryOptions,
    /// Stops the loading.
    pub cancel: CancelToken,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            threads: None,
            providers: vec![Provider::Cpu],
            library: LibraryOptions::default(),
            cancel: CancelToken::new(),
        }
    }
}

impl SessionOptions {
    /// # Errors
    /// [`Error::Option`] for threads out of range, and providers that do not end in the CPU or come twice.
    pub(crate) fn validate(&self) -> Result<()> {
        if let Some(threads) = self.threads
            && !(1..=MAX_THREADS).contains(&threads)
        {
            return Err(Error::Option {
                field: "threads",
                expected: format!("1 to {MAX_THREADS}"),
                got: threads.to_string(),
            });
        }
        // ONNX Runtime itself adds the CPU last: a list that does not say so would not be what runs.
        let cpus = self.providers.iter().filter(|&&p| p == Provider::Cpu);
        if cpus.count() != 1 || self.providers.last() != Some(&Provider::Cpu) {
            return Err(Error::Option {
                field: "providers",
                expected: "each once, the CPU last".into(),
                got: format!("{:?}", self.providers),
            });
        }
        Ok(())
    }
}
