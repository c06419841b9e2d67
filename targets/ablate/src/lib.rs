//! Ablation: what pruning does to a workload of one's own.

pub mod stats;
