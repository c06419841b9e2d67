//! Features: what a head reads, made once from rebuilt caches and kept on disk, then gathered into tables.

mod means;
mod ngrams;
mod store;
mod table;
mod windows;

pub use means::{MeansPool, SPANS, means};
pub use ngrams::{Vocabulary, choose, count_ngrams};
pub use store::Store;
pub use table::{Group, Inputs, KvColumns, Table};
pub use windows::{Windows, windows};

use std::collections::HashMap;

use curt::Engine;
use curt_workload::{Item, Workload};

use crate::dataset::{Data, PATHS_FILE, SETTINGS_FILE};
use crate::error::{Error, Result};

/// How far a pass over the questions is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// Questions done, those of earlier runs included.
    pub done: usize,
    /// Questions in all.
    pub of: usize,
}

/// The prompt's tokens of each question, made again from the workload as they were made when paths were collected.
///
/// # Errors
/// [`Error::Data`] for an item that the workload does not have, and what the runtime says.
pub fn prompts(engine: &Engine, workload: &Workload, data: &Data) -> Result<Vec<Vec<u32>>> {
    let part = data.settings.workload_part().ok_or_else(|| {
        let file = data.dir.join(SETTINGS_FILE);
        Error::data(&file, "part", "a part of a workload", &data.settings.part)
    })?;
    let items: HashMap<&str, &Item> = workload
        .part(part)
        .iter()
        .map(|item| (item.id.as_str(), item))
        .collect();
    let options = curt::AskOptions {
        prompt: Some(workload.prompt().clone()),
        ..curt::AskOptions::default()
    };
    data.questions
        .iter()
        .map(|q| {
            let item = items.get(q.item.as_str()).ok_or_else(|| {
                Error::data(
                    &data.dir.join(PATHS_FILE),
                    "item",
                    format!("one of the items of workload {}", workload.name()),
                    &q.item,
                )
            })?;
            let question = curt::Question::Text(item.asked().into_owned());
            Ok(engine.tokens(&question, &options)?)
        })
        .collect()
}
