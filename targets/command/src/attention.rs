//! `--attention`

use clap::ValueEnum;
use curt::Attention;

/// Whether paths share one copy of their prompt's keys and values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum AttentionName {
    /// Shared where the graph allows it and computes in f32; else as the graph has it
    #[default]
    Auto,
    /// Shared where the graph allows it, also where rounding to int8 makes the order of additions show
    Shared,
    /// As `shared`, and keys and values are kept in f16: half the memory, and half of it read at each step
    SharedF16,
    /// A cache for each path, read by the graph's own operators
    Dense,
}

impl From<AttentionName> for Attention {
    fn from(name: AttentionName) -> Self {
        match name {
            AttentionName::Auto => Attention::Auto,
            AttentionName::Shared => Attention::Shared,
            AttentionName::SharedF16 => Attention::SharedF16,
            AttentionName::Dense => Attention::Dense,
        }
    }
}
