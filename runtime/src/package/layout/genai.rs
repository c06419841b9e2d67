//! onnxruntime-genai: one `genai_config.json` for all graphs. Read as its own parser reads it (its `src/config.cpp`): names
//! have defaults, every number may be written with a point, a negative id is none, and no end token means the pad token.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::super::description::{
    DecoderNames, Description, EmbeddingNames, GraphFile, GraphRole, Stated, VisionNames, Window,
};
use super::super::prompt::SamplingDefaults;
use crate::error::{Error, Result};
use crate::files;

/// File that makes a folder an onnxruntime-genai package.
pub(super) const FILE: &str = "genai_config.json";

#[derive(Deserialize)]
struct Config {
    model: Model,
    #[serde(default)]
    search: Search,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    model_type: String,
    #[serde(default, deserialize_with = "whole")]
    bos_token_id: Option<i32>,
    #[serde(default, deserialize_with = "whole")]
    pad_token_id: Option<i32>,
    #[serde(default)]
    eos_token_id: Option<OneOrMany>,
    #[serde(default, deserialize_with = "whole")]
    context_length: Option<i32>,
    #[serde(default, deserialize_with = "whole")]
    vocab_size: Option<i32>,
    #[serde(default)]
    tokenizer_dir: String,
    #[serde(default, deserialize_with = "whole")]
    image_token_id: Option<i32>,
    decoder: Decoder,
    #[serde(default)]
    encoder: Part,
    #[serde(default)]
    embedding: Part<EmbeddingInputs, EmbeddingOutputs>,
    #[serde(default)]
    vision: Part<VisionInputs, VisionOutputs>,
    #[serde(default)]
    speech: Part,
}

#[derive(Deserialize)]
struct Decoder {
    filename: String,
    #[serde(default, deserialize_with = "whole")]
    head_size: Option<i32>,
    #[serde(default, deserialize_with = "whole")]
    num_key_value_heads: Option<i32>,
    #[serde(default, deserialize_with = "whole")]
    num_hidden_layers: Option<i32>,
    #[serde(default)]
    inputs: Inputs,
    #[serde(default)]
    outputs: Outputs,
    #[serde(default)]
    sliding_window: Option<SlidingWindow>,
    #[serde(default)]
    pipeline: Value,
}

/// A graph before the decoder.
#[derive(Default, Deserialize)]
struct Part<I: Default = IgnoredAny, O: Default = IgnoredAny> {
    #[serde(default)]
    filename: String,
    #[serde(default)]
    config_filename: Option<String>,
    #[serde(default)]
    inputs: I,
    #[serde(default)]
    outputs: O,
}

#[derive(Deserialize)]
#[serde(default)]
struct EmbeddingInputs {
    input_ids: String,
    image_features: String,
}

impl Default for EmbeddingInputs {
    fn default() -> Self {
        Self {
            input_ids: "input_ids".into(),
            image_features: "image_features".into(),
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct EmbeddingOutputs {
    inputs_embeds: String,
}

impl Default for EmbeddingOutputs {
    fn default() -> Self {
        Self {
            inputs_embeds: "inputs_embeds".into(),
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct VisionInputs {
    pixel_values: String,
    attention_mask: String,
}

impl Default for VisionInputs {
    fn default() -> Self {
        Self {
            pixel_values: "pixel_values".into(),
            attention_mask: "pixel_attention_mask".into(),
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct VisionOutputs {
    image_features: String,
}

impl Default for VisionOutputs {
    fn default() -> Self {
        Self {
            image_features: "image_features".into(),
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct Inputs {
    input_ids: String,
    inputs_embeds: String,
    attention_mask: String,
    position_ids: String,
    past_key_names: String,
    past_value_names: String,
}

impl Default for Inputs {
    fn default() -> Self {
        Self {
            input_ids: "input_ids".into(),
            inputs_embeds: "inputs_embeds".into(),
            attention_mask: "attention_mask".into(),
            position_ids: "position_ids".into(),
            past_key_names: "past_key_values.%d.key".into(),
            past_value_names: "past_key_values.%d.value".into(),
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct Outputs {
    logits: String,
    present_key_names: String,
    present_value_names: String,
}

impl Default for Outputs {
    fn default() -> Self {
        Self {
            logits: "logits".into(),
            present_key_names: "present.%d.key".into(),
            present_value_names: "present.%d.value".into(),
        }
    }
}

#[derive(Deserialize)]
struct SlidingWindow {
    #[serde(default, deserialize_with = "whole")]
    window_size: Option<i32>,
    #[serde(default)]
    slide_key_value_cache: Option<bool>,
    #[serde(default)]
    slide_inputs: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Search {
    do_sample: bool,
    temperature: Option<f32>,
    #[serde(deserialize_with = "whole")]
    top_k: Option<i32>,
    top_p: Option<f32>,
    repetition_penalty: Option<f32>,
    #[serde(deserialize_with = "whole")]
    no_repeat_ngram_size: Option<i32>,
    #[serde(deserialize_with = "whole")]
    min_length: Option<i32>,
    #[serde(deserialize_with = "whole")]
    max_length: Option<i32>,
    #[serde(deserialize_with = "whole")]
    num_beams: Option<i32>,
    #[serde(deserialize_with = "whole")]
    num_return_sequences: Option<i32>,
    #[serde(deserialize_with = "whole")]
    random_seed: Option<i32>,
    diversity_penalty: Option<f64>,
    length_penalty: Option<f64>,
    past_present_share_buffer: bool,
    /// What is not read. Some of it changes no answer of single paths.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// Settings of a search that say how it runs, or what beams do.
const WITHOUT_EFFECT: [&str; 3] = ["batch_size", "chunk_size", "early_stopping"];

/// An id or a list of ids.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(f64),
    Many(Vec<f64>),
}

/// Takes out what is null, which says as little as what is absent.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// A whole number, with or without a point.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<i32>, D::Error> {
    let number = Option::<f64>::deserialize(deserializer)?;
    number
        .map(to_whole)
        .transpose()
        .map_err(serde::de::Error::custom)
}

fn to_whole(number: f64) -> std::result::Result<i32, String> {
    let whole = number as i32;
    if f64::from(whole) == number {
        Ok(whole)
    } else {
        Err(format!(
            "invalid value: {number}, expected a whole number of 32 bits"
        ))
    }
}

/// An id, where it is one.
fn id(number: Option<i32>) -> Option<u32> {
    u32::try_from(number?).ok()
}

/// A size, where one is given: 0 is what stands where nothing does.
fn size(number: Option<i32>) -> Option<usize> {
    usize::try_from(number?).ok().filter(|&size| size > 0)
}

/// Reads what the package at `dir` says.
///
/// # Errors
/// [`Error::Package`] or [`Error::Io`] where its config cannot be read, is no JSON of this shape, or describes a model
/// that this runtime does not run.
pub(super) fn read(dir: &Path) -> Result<Description> {
    let file = dir.join(FILE);
    let text = files::read_text(
        &file,
        files::WRITTEN_BYTES,
        "the package's config cannot be read",
    )?;
    let refused = |e| Error::package(&file, "JSON", "an onnxruntime-genai config", e);
    let mut config: Value = serde_json::from_str(&text).map_err(refused)?;
    without_nulls(&mut config);
    let config: Config = serde_json::from_value(config).map_err(refused)?;
    let Config { model, search } = config;
    let decoder = &model.decoder;
    let stages = match &decoder.pipeline {
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    };
    if stages > 0 {
        return Err(Error::package(
            &file,
            "model.decoder.pipeline",
            "none: one decoder graph over the whole context",
            format!("{stages} stages"),
        ));
    }
    let context = size(model.context_length).ok_or_else(|| {
        let got = model
            .context_length
            .map_or("nothing".into(), |n| n.to_string());
        Error::package(&file, "model.context_length", "at least 1", got)
    })?;
    let stated = |field, number| size(number).map(|number| Stated { field, number });
    let mut notes = Vec::new();
    let eos_ids = eos_ids(&model, &file, &mut notes)?;
    notes.extend(not_followed(&search, context));
    Ok(Description {
        decoder: inside(dir, &file, "model.decoder.filename", &decoder.filename)?,
        others: others(dir, &file, &model)?,
        names: names(&file, decoder)?,
        embedding_names: EmbeddingNames {
            input_ids: model.embedding.inputs.input_ids.clone(),
            image_features: model.embedding.inputs.image_features.clone(),
            inputs_embeds: model.embedding.outputs.inputs_embeds.clone(),
        },
        vision_names: VisionNames {
            pixel_values: model.vision.inputs.pixel_values.clone(),
            attention_mask: model.vision.inputs.attention_mask.clone(),
            image_features: model.vision.outputs.image_features.clone(),
        },
        image_token_id: id(model.image_token_id),
        layers: stated("model.decoder.num_hidden_layers", decoder.num_hidden_layers),
        kv_heads: stated(
            "model.decoder.num_key_value_heads",
            decoder.num_key_value_heads,
        ),
        head_dim: stated("model.decoder.head_size", decoder.head_size),
        vocabulary: stated("model.vocab_size", model.vocab_size),
        one_buffer: search
            .past_present_share_buffer
            .then_some("search.past_present_share_buffer"),
        window: decoder.sliding_window.as_ref().map(window),
        context: Stated {
            field: "model.context_length",
            number: context,
        },
        bos_id: id(model.bos_token_id),
        eos_ids,
        eos_field: "model.eos_token_id",
        texts: match model.tokenizer_dir.as_str() {
            "" => dir.into(),
            name => inside(dir, &file, "model.tokenizer_dir", name)?,
        },
        processors: processors(dir, &file, &model)?,
        sampling: sampling(&file, &search)?,
        notes,
        model_type: model.model_type,
        file,
    })
}

/// The file or folder that `field` names, inside `dir`.
fn inside(dir: &Path, config_file: &Path, field: &str, name: &str) -> Result<PathBuf> {
    files::inside(dir, Path::new(name)).ok_or_else(|| {
        let expected = "a name inside the package";
        Error::package(config_file, field, expected, format!("{name:?}"))
    })
}

fn others(dir: &Path, file: &Path, model: &Model) -> Result<Vec<GraphFile>> {
    let parts = [
        (
            GraphRole::Encoder,
            "model.encoder.filename",
            &model.encoder.filename,
        ),
        (
            GraphRole::Embedding,
            "model.embedding.filename",
            &model.embedding.filename,
        ),
        (
            GraphRole::Vision,
            "model.vision.filename",
            &model.vision.filename,
        ),
        (
            GraphRole::Speech,
            "model.speech.filename",
            &model.speech.filename,
        ),
    ];
    parts
        .into_iter()
        .filter(|(_, _, name)| !name.is_empty())
        .map(|(role, field, name)| {
            let file = inside(dir, file, field, name)?;
            Ok(GraphFile { role, file })
        })
        .collect()
}

/// Of the graphs that have one; its name has a default, under which there need be nothing.
fn processors(dir: &Path, file: &Path, model: &Model) -> Result<Vec<PathBuf>> {
    let parts = [
        (
            &model.vision.filename,
            &model.vision.config_filename,
            "model.vision.config_filename",
            "processor_config.json",
        ),
        (
            &model.speech.filename,
            &model.speech.config_filename,
            "model.speech.config_filename",
            "audio_processor_config.json",
        ),
    ];
    let mut found = Vec::new();
    for (graph, given, field, default) in parts {
        if graph.is_empty() {
            continue;
        }
        let name = given.as_deref().unwrap_or(default);
        let processor = inside(dir, file, field, name)?;
        if given.is_some() || files::is_there(&processor) {
            found.push(processor);
        }
    }
    // How many tokens an image is stands beside how it becomes a tensor, where both are Hugging Face's.
    let beside = dir.join("processor_config.json");
    if !model.vision.filename.is_empty() && !found.contains(&beside) && files::is_there(&beside) {
        found.push(beside);
    }
    Ok(found)
}

fn names(file: &Path, decoder: &Decoder) -> Result<DecoderNames> {
    let (inputs, outputs) = (&decoder.inputs, &decoder.outputs);
    let kv = [
        ("inputs.past_key_names", &inputs.past_key_names),
        ("inputs.past_value_names", &inputs.past_value_names),
        ("outputs.present_key_names", &outputs.present_key_names),
        ("outputs.present_value_names", &outputs.present_value_names),
    ];
    for (field, pattern) in kv {
        if pattern.matches("%d").count() != 1 {
            return Err(Error::package(
                file,
                format!("model.decoder.{field}"),
                "a pattern with one %d for the layer",
                format!("{pattern:?}"),
            ));
        }
    }
    Ok(DecoderNames {
        input_ids: inputs.input_ids.clone(),
        inputs_embeds: inputs.inputs_embeds.clone(),
        attention_mask: inputs.attention_mask.clone(),
        position_ids: inputs.position_ids.clone(),
        use_cache_branch: "use_cache_branch".into(),
        logits: outputs.logits.clone(),
        kv: kv.map(|(_, pattern)| pattern.clone()),
    })
}

fn window(window: &SlidingWindow) -> Window {
    Window {
        field: "model.decoder.sliding_window",
        positions: size(window.window_size).unwrap_or(0),
        slides: match (window.slide_key_value_cache, window.slide_inputs) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
        remedy: "build it with onnxruntime-genai's builder and --extra_options windowed_kv_cache=false",
    }
}

fn eos_ids(model: &Model, file: &Path, notes: &mut Vec<String>) -> Result<Vec<u32>> {
    let given = match &model.eos_token_id {
        None => Vec::new(),
        Some(OneOrMany::One(id)) => vec![*id],
        Some(OneOrMany::Many(ids)) => ids.clone(),
    };
    let mut ids = given
        .into_iter()
        .map(to_whole)
        .collect::<std::result::Result<Vec<i32>, String>>()
        .map_err(|e| Error::package(file, "model.eos_token_id", "ids", e))?;
    if ids.is_empty() {
        let pad = model.pad_token_id.unwrap_or(0);
        if pad >= 0 {
            notes.push(format!(
                "model.eos_token_id names no token: the pad token {pad} ends a path, as in onnxruntime-genai"
            ));
        }
        ids.push(pad);
    }
    let ids: Vec<u32> = ids.into_iter().filter_map(|n| id(Some(n))).collect();
    if ids.is_empty() {
        notes.push("no token ends a path: each goes on to --max-tokens".into());
    }
    Ok(ids)
}

/// What holds of drawing a token: temperature, top-k and top-p where the config samples, the penalty always.
fn sampling(file: &Path, search: &Search) -> Result<SamplingDefaults> {
    for (field, number, least) in [
        ("temperature", search.temperature, 0.0),
        (
            "repetition_penalty",
            search.repetition_penalty,
            f32::MIN_POSITIVE,
        ),
    ] {
        if let Some(number) = number
            && !(number >= least && number.is_finite())
        {
            let expected = if least > 0.0 {
                "a number above 0"
            } else {
                "a number from 0 up"
            };
            return Err(Error::package(
                file,
                format!("search.{field}"),
                expected,
                number,
            ));
        }
    }
    let penalty = SamplingDefaults {
        repetition_penalty: search.repetition_penalty,
        no_repeat_ngram_size: size(search.no_repeat_ngram_size)
            .map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
        min_length: size(search.min_length),
        ..SamplingDefaults::default()
    };
    if !search.do_sample {
        return Ok(penalty);
    }
    Ok(SamplingDefaults {
        temperature: search.temperature,
        top_k: search.top_k.map(|k| u32::try_from(k).unwrap_or(0)),
        // Outside of these, onnxruntime-genai does not cut.
        top_p: search
            .top_p
            .map(|p| if p > 0.0 && p < 1.0 { p } else { 1.0 }),
        ..penalty
    })
}

/// Search settings that would change an answer and are not followed.
fn not_followed(search: &Search, context: usize) -> Vec<String> {
    let mut notes = Vec::new();
    for (field, number) in [
        ("num_beams", search.num_beams),
        ("num_return_sequences", search.num_return_sequences),
    ] {
        if let Some(number) = number.filter(|&n| n > 1) {
            notes.push(format!(
                "search.{field} is {number}: curt draws single paths (`paths`)"
            ));
        }
    }
    // Both change scores of beams; what a path without beams would do with them is not said.
    for (field, number, none) in [
        ("diversity_penalty", search.diversity_penalty, 0.0),
        ("length_penalty", search.length_penalty, 1.0),
    ] {
        if let Some(number) = number.filter(|&n| n != none) {
            notes.push(format!(
                "search.{field} is {number}: not followed, curt draws single paths (`paths`)"
            ));
        }
    }
    for field in search.others.keys() {
        if !WITHOUT_EFFECT.contains(&field.as_str()) {
            notes.push(format!("search.{field} is not known: it is not followed"));
        }
    }
    if let Some(length) = size(search.max_length).filter(|&length| length < context) {
        notes.push(format!(
            "search.max_length is {length}: not followed, the answer ends at `max_tokens` or at the context's end"
        ));
    }
    if let Some(seed) = search.random_seed.filter(|&seed| seed >= 0) {
        notes.push(format!(
            "search.random_seed is {seed}: not followed, paths are drawn by `seed`"
        ));
    }
    notes
}
