//! How much memory a question takes, before any of it is touched.

use serde::Serialize;

use super::buffers::{PREFILL_STEP_TOKENS, StepShape};
use crate::error::{Error, Result};
use crate::kv::{KvLayout, KvPlan};
use crate::package::Package;

/// What a question needs room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Rows: one for each path.
    pub rows: usize,
    /// Positions with which every row begins: a shared prompt is held once.
    pub prompt_tokens: usize,
    /// Positions that are prefilled at once, in row 0.
    pub prefill_tokens: usize,
    /// Positions in each row: prompt and generated tokens together.
    pub capacity_tokens: usize,
}

/// What a plan may need at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Bytes of keys and values.
    pub kv_bytes: Option<u64>,
    /// Bytes of all: what the system says is available, and what it gets back for the plan.
    pub bytes: Option<u64>,
}

/// Memory of a decoder beside its weights, as planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DecoderPlan {
    /// Keys and values.
    pub kv: KvPlan,
    /// Bytes of logits of the largest step: most exports give those of every position of a prompt, which are given back
    /// before paths are launched.
    pub logits_bytes: u64,
    /// Most bytes that are in use at once.
    pub peak_bytes: u64,
}

impl DecoderPlan {
    /// Plans `room` for `package`, whose attention may need more positions than are asked for, in the layout that
    /// [`crate::package::DecoderGraph::attention`] gives.
    ///
    /// # Errors
    /// [`Error::Shape`] for no rows or no positions; [`Error::Capacity`] where it takes more than `limits`.
    pub fn new(
        package: &Package,
        layout: KvLayout,
        room: Room,
        limits: MemoryLimits,
    ) -> Result<Self> {
        let graph = package.graph();
        let kv = KvPlan::with_prompt(
            graph.geometry,
            layout,
            (room.rows, room.prompt_tokens),
            room.capacity_tokens.max(package.min_capacity_tokens()),
            limits.kv_bytes,
        )?;
        let shape = StepShape::of(graph);
        let step = room.prefill_tokens.clamp(1, PREFILL_STEP_TOKENS);
        let prefill = shape.resident_logits_bytes(1, step);
        let decode = shape.resident_logits_bytes(room.rows, 1);
        // Prefill fills one row, up to the prompt's end, and leaves its last logits; then all rows are forked from it.
        let row = match layout {
            KvLayout::SharedPrompt(_) => kv.bytes_per_token.saturating_mul(kv.shared_tokens as u64),
            KvLayout::Shared | KvLayout::Growing => kv.bytes / (room.rows as u64),
        };
        let peak_bytes = row
            .saturating_add(prefill)
            .max(kv.bytes.saturating_add(decode));
        let plan = Self {
            kv,
            logits_bytes: prefill.max(decode),
            peak_bytes,
        };
        match limits.bytes {
            Some(limit_bytes) if peak_bytes > limit_bytes => Err(Error::Capacity {
                needed_bytes: peak_bytes,
                limit_bytes,
                rows: kv.rows,
                capacity_tokens: kv.capacity_tokens,
                shared_tokens: kv.shared_tokens,
                bytes_per_token: kv.bytes_per_token,
                copies: kv.copies,
                logits_bytes: plan.logits_bytes,
            }),
            _ => Ok(plan),
        }
    }
}
