//! `--attention`

use clap::ValueEnum;
use curt::Attention;

/// Whether paths share one copy of their prompt's keys and values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum AttentionName {
    /// Shared where the graph allows it; else as the graph has it
    #[default]
    Shared,
    /// As `shared`, and keys and values are kept in f16: half the memory, and half of it read at each step
    SharedF16,
    /// A cache for each path, read by the graph's own operators: token for token what ONNX Runtime gives
    Dense,
}

impl From<AttentionName> for Attention {
    fn from(name: AttentionName) -> Self {
        match name {
            AttentionName::Shared => Attention::Shared,
            AttentionName::SharedF16 => Attention::SharedF16,
            AttentionName::Dense => Attention::Dense,
        }
    }
}
