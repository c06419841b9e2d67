//! What a person sees: tables and the page.

mod bars;
mod page;
mod scatter;
mod scores;
mod svg;
mod table;
mod worst;

pub use page::page;
pub use scatter::plot;
pub use table::{Column, Table, columns, number};

use crate::summary::Summary;

/// How an arm is drawn: the two that the verdict is about stand out, and what nothing can reach stands apart.
fn class_of(summary: &Summary, arm: &str) -> &'static str {
    let oracle = |name: &str| {
        summary
            .run
            .arms
            .iter()
            .any(|a| a.name == name && a.is_oracle())
    };
    match arm {
        arm if arm == summary.run.candidate => "candidate",
        arm if arm == summary.run.baseline => "baseline",
        arm if oracle(arm) => "oracle",
        _ => "other",
    }
}
