//! `genai_config.json`: what the graph cannot say (token ids, context, names, search defaults).

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::files;

/// File that makes a folder an onnxruntime-genai package.
pub(super) const FILE: &str = "genai_config.json";

#[derive(Debug, Clone, Deserialize)]
pub(super) struct GenaiConfig {
    pub(super) model: Model,
    #[serde(default)]
    pub(super) search: Search,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Model {
    #[serde(rename = "type")]
    pub(super) model_type: String,
    #[serde(default)]
    pub(super) bos_token_id: Option<u32>,
    pub(super) eos_token_id: OneOrMany,
    pub(super) context_length: usize,
    pub(super) vocab_size: usize,
    pub(super) decoder: Decoder,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Decoder {
    pub(super) filename: String,
    pub(super) head_size: usize,
    pub(super) num_key_value_heads: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) inputs: Inputs,
    pub(super) outputs: Outputs,
    #[serde(default)]
    pub(super) sliding_window: Option<serde_json::Value>,
    #[serde(default)]
    pub(super) pipeline: Option<serde_json::Value>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Inputs {
    #[serde(default = "input_ids")]
    pub(super) input_ids: String,
    #[serde(default = "attention_mask")]
    pub(super) attention_mask: String,
    #[serde(default = "position_ids")]
    pub(super) position_ids: String,
    pub(super) past_key_names: String,
    pub(super) past_value_names: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Outputs {
    #[serde(default = "logits")]
    pub(super) logits: String,
    pub(super) present_key_names: String,
    pub(super) present_value_names: String,
}

fn input_ids() -> String {
    "input_ids".into()
}

fn attention_mask() -> String {
    "attention_mask".into()
}

fn position_ids() -> String {
    "position_ids".into()
}

fn logits() -> String {
    "logits".into()
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    pub(super) do_sample: bool,
    #[serde(default)]
    pub(super) temperature: Option<f32>,
    #[serde(default)]
    pub(super) top_k: Option<u32>,
    #[serde(default)]
    pub(super) top_p: Option<f32>,
    #[serde(default)]
    pub(super) repetition_penalty: Option<f32>,
    #[serde(default)]
    pub(super) past_present_share_buffer: bool,
}

/// `eos_token_id` is a number or a list of numbers.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

impl OneOrMany {
    pub(super) fn to_vec(&self) -> Vec<u32> {
        match self {
            OneOrMany::One(id) => vec![*id],
            OneOrMany::Many(ids) => ids.clone(),
        }
    }
}

impl GenaiConfig {
    /// Reads and checks the config of the package at `dir`.
    ///
    /// # Errors
    /// [`Error::Package`] or [`Error::Io`] where it is missing, is no JSON of this shape, or describes a model that
    /// this runtime does not run.
    pub(super) fn read(dir: &Path) -> Result<(Self, PathBuf)> {
        let file = dir.join(FILE);
        let text = files::read_text(
            &file,
            files::WRITTEN_BYTES,
            "not an onnxruntime-genai package folder: its genai_config.json cannot be read",
        )?;
        let config: GenaiConfig = serde_json::from_str(&text)
            .map_err(|e| Error::package(&file, "JSON", "an onnxruntime-genai config", e))?;
        let decoder = &config.model.decoder;
        for (field, present) in [
            ("model.decoder.pipeline", decoder.pipeline.is_some()),
            (
                "model.decoder.sliding_window",
                decoder.sliding_window.is_some(),
            ),
        ] {
            if present {
                return Err(Error::package(
                    &file,
                    field,
                    "none (one decoder graph over the whole context)",
                    "a value",
                ));
            }
        }
        for (field, pattern) in [
            ("past_key_names", &decoder.inputs.past_key_names),
            ("past_value_names", &decoder.inputs.past_value_names),
            ("present_key_names", &decoder.outputs.present_key_names),
            ("present_value_names", &decoder.outputs.present_value_names),
        ] {
            if pattern.matches("%d").count() != 1 {
                return Err(Error::package(
                    &file,
                    format!("model.decoder …{field}"),
                    "a pattern with one %d for the layer",
                    format!("{pattern:?}"),
                ));
            }
        }
        if config.model.context_length == 0 {
            return Err(Error::package(
                &file,
                "model.context_length",
                "at least 1",
                0,
            ));
        }
        Ok((config, file))
    }
}
