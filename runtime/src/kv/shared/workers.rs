//! What the tasks of a step work in: made once, so that no step allocates.

use std::sync::{Mutex, PoisonError};

use curt_kernels::SplitAttention;

/// Queries of a block in a long prefill: enough to share the reading of a chunk, few enough for the nearest cache.
pub(super) const BLOCK_QUERIES: usize = 96;

/// Memory of a step.
pub(super) struct Workers {
    /// Those at rest: a task under way has one.
    pub(super) resting: Mutex<Vec<Worker>>,
    /// Queries and states of a step.
    pub(super) step: Vec<f32>,
}

/// What one task works in.
pub(super) struct Worker {
    pub(super) scratch: Vec<f32>,
    /// States of a chunk, before they are merged.
    pub(super) states: Vec<f32>,
}

impl Worker {
    fn new(head_dim: usize) -> Self {
        Self {
            scratch: vec![0.0; SplitAttention::scratch_len(head_dim)],
            states: vec![0.0; BLOCK_QUERIES * SplitAttention::state_len(head_dim)],
        }
    }

    /// Scratch, and room for the states of `queries`.
    pub(super) fn room(&mut self, queries: usize, head_dim: usize) -> (&mut [f32], &mut [f32]) {
        let len = queries * SplitAttention::state_len(head_dim);
        if self.states.len() < len {
            self.states.resize(len, 0.0);
        }
        (&mut self.scratch, &mut self.states[..len])
    }
}

impl Workers {
    pub(super) fn new(head_dim: usize) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            resting: Mutex::new((0..threads).map(|_| Worker::new(head_dim)).collect()),
            step: Vec::new(),
        }
    }

    /// Lends a worker to `task`. More tasks at once than there are workers get new ones.
    pub(super) fn lend(
        resting: &Mutex<Vec<Worker>>,
        head_dim: usize,
        task: impl FnOnce(&mut Worker),
    ) {
        let lock = || resting.lock().unwrap_or_else(PoisonError::into_inner);
        let worker = lock().pop();
        let mut worker = worker.unwrap_or_else(|| Worker::new(head_dim));
        task(&mut worker);
        lock().push(worker);
    }
}
