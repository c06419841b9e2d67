//! `workload.toml`.

use std::path::Path;

use curt::PromptFile;
use serde::Deserialize;
use serde_json::Value;

use crate::scorer::Scorer;
use crate::{Error, Result};

/// The file's name.
pub const FILE: &str = "workload.toml";

/// `workload.toml`, read.
#[derive(Debug)]
pub struct Manifest {
    pub name: String,
    pub licence: Option<String>,
    pub seed: Option<u64>,
    pub recipe: Option<String>,
    pub scorer: Scorer,
    /// Absent where the file has no `[prompt]`.
    pub prompt: Option<PromptFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    licence: Option<String>,
    seed: Option<u64>,
    recipe: Option<String>,
    scorer: Option<Value>,
    prompt: Option<PromptFile>,
}

impl Manifest {
    /// # Errors
    /// [`Error::Layout`] where the text is no such table.
    pub fn parse(file: &Path, text: &str) -> Result<Self> {
        let layout = |got: String| Error::Layout {
            path: file.into(),
            expected: "name and [prompt]; optional: licence, seed, recipe, scorer".into(),
            got,
        };
        let table: Table =
            toml::from_str(text).map_err(|e| layout(e.to_string().trim_end().into()))?;
        let shown = [
            Some(&table.name),
            table.licence.as_ref(),
            table.recipe.as_ref(),
        ];
        if let Some(odd) = shown
            .into_iter()
            .flatten()
            .find(|text| text.chars().any(char::is_control))
        {
            return Err(layout(format!("a control character in {odd:?}")));
        }
        if table.name.trim().is_empty() {
            return Err(layout("an empty name".into()));
        }
        let scorer = match &table.scorer {
            None => Scorer::EXACT,
            Some(value) => {
                Scorer::from_value(value).map_err(|wrong| layout(format!("scorer: {wrong}")))?
            }
        };
        Ok(Self {
            name: table.name,
            licence: table.licence,
            seed: table.seed,
            recipe: table.recipe,
            scorer,
            prompt: table.prompt,
        })
    }
}
