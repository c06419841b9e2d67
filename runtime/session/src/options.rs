//! How a graph is to be run.

use crate::{CancelToken, Error, LibraryOptions, Provider, Result};

/// Most threads that a session is given. Each has a stack of its own and spins while it waits: far more than a machine
/// has cores can take it down.
pub const MAX_THREADS: usize = 256;

/// Which execution providers run a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Providers {
    /// These, the first choice first: each takes the nodes that it can run of those that the ones before it left. The CPU
    /// takes the rest, and all of it where none of them can be used; [`crate::Placement`] says why.
    Prefer(Vec<Provider>),
    /// These and no other: where one of them cannot be used, or leaves nodes to the CPU, which is not among them, the graph
    /// is not loaded.
    Only(Vec<Provider>),
}

impl Providers {
    /// Those asked for, in their order.
    pub fn list(&self) -> &[Provider] {
        let (Providers::Prefer(list) | Providers::Only(list)) = self;
        list
    }

    /// Whether one but the CPU is asked for.
    pub fn any_beside_cpu(&self) -> bool {
        self.list()
            .iter()
            .any(|provider| *provider != Provider::Cpu)
    }

    fn validate(&self) -> Result<()> {
        let list = self.list();
        let refused = |expected: &str| {
            let got: Vec<_> = list.iter().map(Provider::to_string).collect();
            Err(Error::Option {
                field: "providers",
                expected: expected.into(),
                got: match &got[..] {
                    [] => "none".into(),
                    some => some.join(","),
                },
            })
        };
        let twice = (1..list.len()).any(|i| list[..i].contains(&list[i]));
        if list.is_empty() || twice {
            return refused("at least one, each once");
        }
        // The CPU takes whatever it is given: one after it would never have a node.
        if list[..list.len() - 1].contains(&Provider::Cpu) {
            return refused("the CPU last, since it leaves nothing to those behind it");
        }
        Ok(())
    }
}

impl Default for Providers {
    fn default() -> Self {
        Providers::Prefer(vec![Provider::Cpu])
    }
}

/// How ONNX Runtime loads and runs a graph.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Threads inside one operator, 1 to [`MAX_THREADS`]. `None`: as many as the machine has cores available to this
    /// process.
    pub threads: Option<usize>,
    /// Who runs the graph.
    pub providers: Providers,
    /// Which library, where none is loaded yet.
    pub library: LibraryOptions,
    /// Stops the loading.
    pub cancel: CancelToken,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            threads: None,
            providers: Providers::default(),
            library: LibraryOptions::default(),
            cancel: CancelToken::new(),
        }
    }
}

impl SessionOptions {
    /// # Errors
    /// [`Error::Option`] for threads out of range, and for no providers, one twice, or one behind the CPU.
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
        self.providers.validate()
    }
}
