//! transformers.js: the configs of Hugging Face transformers, and `onnx/` with a file for each graph and element type:
//! `onnx/<graph><suffix>.onnx`. Names of inputs and outputs are the same in all of them; sizes are read from the graphs.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::description::{
    DecoderNames, Description, EmbeddingNames, GraphFile, GraphRole, Stated, VisionNames,
};
use super::super::prompt::SamplingDefaults;
use crate::error::{Error, Result};
use crate::files;

/// Folder of the graphs.
pub(super) const GRAPHS: &str = "onnx";

const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";

/// Files that say how an image becomes a tensor, and how many tokens it is.
const PROCESSORS: [&str; 2] = ["preprocessor_config.json", "processor_config.json"];

/// Graphs that decode, the first that is there: behind embeddings, and from token ids.
const DECODERS: [&str; 2] = ["decoder_model_merged", "model"];

/// Element types by the names that transformers.js gives them, with their files' suffixes. Where nobody says which, the
/// first that is there: those that a processor computes fastest, then the exact one, then those made for other devices.
const DTYPES: [(&str, &str); 8] = [
    ("q4", "_q4"),
    ("q8", "_quantized"),
    ("int8", "_int8"),
    ("uint8", "_uint8"),
    ("fp32", ""),
    ("fp16", "_fp16"),
    ("q4f16", "_q4f16"),
    ("bnb4", "_bnb4"),
];

/// An id or a list of ids.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

/// The part of a config that says how tokens are drawn.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Generation {
    bos_token_id: Option<u32>,
    eos_token_id: Option<OneOrMany>,
    do_sample: bool,
    temperature: Option<f32>,
    top_k: Option<u32>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    no_repeat_ngram_size: Option<u32>,
    min_length: Option<usize>,
    max_new_tokens: Option<usize>,
}

/// A config and the file that it stands in.
struct Config {
    file: PathBuf,
    all: Map<String, Value>,
}

impl Config {
    /// The field of the language model's part, or else of the whole.
    fn text(&self, field: &str) -> Option<&Value> {
        let parts = ["text_config", "llm_config", "language_config"];
        let own = parts
            .iter()
            .find_map(|part| self.all.get(*part)?.get(field));
        own.or_else(|| self.all.get(field))
    }

    fn id(&self, fields: &[&str]) -> Option<u32> {
        let value = fields.iter().find_map(|field| self.text(field))?;
        u32::try_from(value.as_u64()?).ok()
    }
}

/// Reads what the package at `dir` says, with files of `dtype`.
///
/// # Errors
/// [`Error::Package`] or [`Error::Io`] where its configs cannot be read, are no JSON of this shape, or graphs are missing;
/// [`Error::Option`] for an element type that is none or not there.
pub(super) fn read(dir: &Path, dtype: Option<&str>) -> Result<Description> {
    let config = Config {
        all: object(&dir.join(CONFIG))?,
        file: dir.join(CONFIG),
    };
    let generation_file = dir.join(GENERATION);
    let generation: Generation = match files::is_there(&generation_file) {
        true => serde_json::from_value(Value::Object(object(&generation_file)?))
            .map_err(|e| Error::package(&generation_file, "JSON", "a generation config", e))?,
        false => Generation::default(),
    };
    let mut notes = Vec::new();
    let choice = Choice {
        dir,
        asked: dtype,
        stated: config.all.get("transformers.js_config"),
    };
    let decoder = DECODERS
        .iter()
        .find_map(|name| choice.file(name).transpose());
    let (decoder, name) = decoder.transpose()?.ok_or_else(|| {
        let expected = format!("{}.onnx or {}.onnx", DECODERS[0], DECODERS[1]);
        Error::package(dir.join(GRAPHS), "graphs", expected, "neither")
    })?;
    notes.extend(name);
    let mut others = Vec::new();
    for (role, graph) in [
        (GraphRole::Embedding, "embed_tokens"),
        (GraphRole::Vision, "vision_encoder"),
        (GraphRole::Speech, "audio_encoder"),
    ] {
        if let Some((file, note)) = choice.file(graph)? {
            others.push(GraphFile { role, file });
            notes.extend(note);
        }
    }
    let (eos_ids, eos_field) = eos_ids(&config, &generation);
    if eos_ids.is_empty() {
        notes.push("no token ends a path: each goes on to `max_tokens`".into());
    }
    let processors = PROCESSORS.iter().map(|name| dir.join(name));
    Ok(Description {
        model_type: config
            .all
            .get("model_type")
            .and_then(Value::as_str)
            .unwrap_or("unknown")
            .into(),
        decoder,
        processors: match others.iter().any(|graph| graph.role == GraphRole::Vision) {
            true => processors.filter(|file| files::is_there(file)).collect(),
            false => Vec::new(),
        },
        others,
        names: names(),
        embedding_names: EmbeddingNames {
            input_ids: "input_ids".into(),
            image_features: "image_features".into(),
            inputs_embeds: "inputs_embeds".into(),
        },
        vision_names: VisionNames {
            pixel_values: "pixel_values".into(),
            attention_mask: "pixel_attention_mask".into(),
            image_features: "image_features".into(),
        },
        image_token_id: config.id(&["image_token_id", "image_token_index"]),
        // Their own exporter does not look at these: what the graphs have is what counts.
        layers: None,
        kv_heads: None,
        head_dim: None,
        vocabulary: None,
        one_buffer: None,
        window: None,
        context: context(&config)?,
        bos_id: generation
            .bos_token_id
            .or_else(|| config.id(&["bos_token_id"])),
        eos_ids,
        eos_field,
        texts: dir.into(),
        sampling: sampling(&generation_file, &generation)?,
        notes,
        file: config.file,
    })
}

fn object(file: &Path) -> Result<Map<String, Value>> {
    let action = "the package's config cannot be read";
    let text = files::read_text(file, files::WRITTEN_BYTES, action)?;
    serde_json::from_str(&text).map_err(|e| Error::package(file, "JSON", "a config", e))
}

/// Which of a graph's files are taken.
struct Choice<'a> {
    dir: &'a Path,
    /// By the caller.
    asked: Option<&'a str>,
    /// What the config has for transformers.js.
    stated: Option<&'a Value>,
}

impl Choice<'_> {
    /// The file of `graph`, where it has one, and a note on the choice where there was any.
    fn file(&self, graph: &str) -> Result<Option<(PathBuf, Option<String>)>> {
        let there: Vec<(&str, PathBuf)> = DTYPES
            .iter()
            .filter_map(|(dtype, suffix)| {
                let file = self.dir.join(GRAPHS).join(format!("{graph}{suffix}.onnx"));
                files::is_there(&file).then_some((*dtype, file))
            })
            .collect();
        let Some((first, _)) = there.first() else {
            return Ok(None);
        };
        let names: Vec<&str> = there.iter().map(|(dtype, _)| *dtype).collect();
        let (dtype, said) = match (self.asked(graph)?, self.stated(graph)) {
            (Some(dtype), _) => (dtype, "as asked"),
            (None, Some(dtype)) if names.contains(&dtype) => (dtype, "as config.json says"),
            _ => (*first, "the first of the order that curt prefers"),
        };
        let found = there.iter().find(|(name, _)| *name == dtype);
        let (_, file) = found.ok_or_else(|| {
            let expected = format!("one that {graph} has: {}", names.join(", "));
            Error::option("dtype", expected, dtype)
        })?;
        let note = (there.len() > 1).then(|| {
            format!(
                "{graph} has files in {}: {dtype} is taken, {said} (`dtype`)",
                names.join(", ")
            )
        });
        Ok(Some((file.clone(), note)))
    }

    /// What the caller asks for: one for all, or `graph=dtype` parted by commas.
    fn asked(&self, graph: &str) -> Result<Option<&str>> {
        let Some(asked) = self.asked else {
            return Ok(None);
        };
        let mut for_all = None;
        let mut for_graph = None;
        for part in asked.split(',').map(str::trim) {
            let dtype = match part.split_once('=') {
                None => {
                    for_all = Some(part);
                    part
                }
                Some((name, dtype)) => {
                    if name.trim() == graph {
                        for_graph = Some(dtype.trim());
                    }
                    dtype.trim()
                }
            };
            if !DTYPES.iter().any(|(name, _)| *name == dtype) {
                let known = DTYPES.map(|(name, _)| name).join(", ");
                let expected = format!("{known}, or graph=type parted by commas");
                return Err(Error::option("dtype", expected, part));
            }
        }
        Ok(for_graph.or(for_all))
    }

    /// What the config says, as one text or as one for each graph.
    fn stated(&self, graph: &str) -> Option<&str> {
        let dtype = self.stated?.get("dtype")?;
        dtype.as_str().or_else(|| dtype.get(graph)?.as_str())
    }
}

fn names() -> DecoderNames {
    DecoderNames {
        input_ids: "input_ids".into(),
        inputs_embeds: "inputs_embeds".into(),
        attention_mask: "attention_mask".into(),
        position_ids: "position_ids".into(),
        use_cache_branch: "use_cache_branch".into(),
        logits: "logits".into(),
        kv: [
            "past_key_values.%d.key".into(),
            "past_key_values.%d.value".into(),
            "present.%d.key".into(),
            "present.%d.value".into(),
        ],
    }
}

fn context(config: &Config) -> Result<Stated> {
    let field = "max_position_embeddings";
    let stated = config.text(field).and_then(Value::as_u64);
    match stated.and_then(|n| usize::try_from(n).ok()) {
        Some(number) if number > 0 => Ok(Stated { field, number }),
        _ => {
            let got = config
                .text(field)
                .map_or("nothing".into(), Value::to_string);
            Err(Error::package(&config.file, field, "at least 1", got))
        }
    }
}

/// Ids that end a path, and where they stand: what is said of drawing comes before what is said of the model.
fn eos_ids(config: &Config, generation: &Generation) -> (Vec<u32>, &'static str) {
    let field = "eos_token_id";
    let many = |ids: &OneOrMany| match ids {
        OneOrMany::One(id) => vec![*id],
        OneOrMany::Many(ids) => ids.clone(),
    };
    if let Some(ids) = &generation.eos_token_id {
        return (many(ids), field);
    }
    let stated = config.text(field).cloned();
    let ids = stated.and_then(|ids| serde_json::from_value::<OneOrMany>(ids).ok());
    (ids.as_ref().map(many).unwrap_or_default(), field)
}

/// Temperature and cuts where the config samples, penalties always.
fn sampling(file: &Path, generation: &Generation) -> Result<SamplingDefaults> {
    for (field, number) in [
        ("temperature", generation.temperature),
        ("repetition_penalty", generation.repetition_penalty),
    ] {
        if let Some(number) = number
            && !(number > 0.0 && number.is_finite())
        {
            return Err(Error::package(file, field, "a number above 0", number));
        }
    }
    let always = SamplingDefaults {
        repetition_penalty: generation.repetition_penalty,
        no_repeat_ngram_size: generation.no_repeat_ngram_size.filter(|&n| n > 0),
        min_length: generation.min_length.filter(|&n| n > 0),
        max_tokens: generation.max_new_tokens.filter(|&n| n > 0),
        ..SamplingDefaults::default()
    };
    if !generation.do_sample {
        return Ok(always);
    }
    Ok(SamplingDefaults {
        temperature: generation.temperature,
        top_k: generation.top_k,
        top_p: generation.top_p,
        min_p: generation.min_p,
        ..always
    })
}
