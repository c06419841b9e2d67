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

use curt::vision::Image;
use curt::{AskOptions, Engine};
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

/// What the paths of each question continue.
pub struct Prompts {
    /// Its tokens.
    pub tokens: Vec<Vec<u32>>,
    /// The same as a question: those tokens, about the item's image.
    pub questions: Vec<curt::Question>,
}

/// The prompt of each question: as it was recorded when paths were collected, or made again from the workload where an older
/// folder does not have it.
///
/// # Errors
/// [`Error::Data`] for an item that the workload does not have, and what the runtime says.
pub fn prompts(engine: &Engine, workload: &Workload, data: &Data) -> Result<Prompts> {
    let part = data.settings.workload_part().ok_or_else(|| {
        let file = data.dir.join(SETTINGS_FILE);
        Error::data(&file, "part", "a part of a workload", &data.settings.part)
    })?;
    let items: HashMap<&str, &Item> = workload
        .part(part)
        .iter()
        .map(|item| (item.id.as_str(), item))
        .collect();
    let options = AskOptions {
        prompt: Some(workload.prompt().clone()),
        ..AskOptions::default()
    };
    let mut prompts = Prompts {
        tokens: Vec::with_capacity(data.questions.len()),
        questions: Vec::with_capacity(data.questions.len()),
    };
    for q in &data.questions {
        let item = items.get(q.item.as_str()).ok_or_else(|| {
            Error::data(
                &data.dir.join(PATHS_FILE),
                "item",
                format!("one of the items of workload {}", workload.name()),
                &q.item,
            )
        })?;
        let tokens = match q.paths.first().and_then(|path| path.prompt.clone()) {
            Some(tokens) => tokens,
            None => engine.tokens(&question(item), &options)?,
        };
        let asked = curt::Question::Tokens(tokens.clone());
        prompts.questions.push(asked.about(images(item)));
        prompts.tokens.push(tokens);
    }
    Ok(prompts)
}

/// What is asked for `item`.
pub(crate) fn question(item: &Item) -> curt::Question {
    let text = curt::Question::Text(item.asked().into_owned());
    text.about(images(item))
}

/// What `item` shows.
pub(crate) fn images(item: &Item) -> Option<Image> {
    item.image.clone().map(Image::File)
}
