//! The decoder graph as it is: inputs, outputs, KV geometry and layout.
//!
//! Names, types and dimensions come from here; the config is held against them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use curt_kernels::Dtype;
use prost::Message;

use super::attention;
use super::config::GenaiConfig;
use super::onnx::{self, DimValue, ValueInfo};
use crate::error::{Error, Result};
use crate::files;
use crate::kv::{KvGeometry, KvLayout};

/// Element type of the logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogitsDtype {
    F32,
    F16,
}

/// A decoder graph: what to bind, and what is in it.
#[derive(Debug)]
pub struct DecoderGraph {
    pub(crate) file: PathBuf,
    pub(crate) input_ids: String,
    pub(crate) attention_mask: Option<String>,
    pub(crate) position_ids: Option<String>,
    /// Of each layer: past key, past value, present key, present value.
    pub(crate) kv_names: Vec<[String; 4]>,
    pub(crate) logits: String,
    pub(crate) logits_dtype: LogitsDtype,
    /// The graph gives logits of the last position alone.
    pub(crate) last_logits_only: bool,
    pub(crate) vocabulary: usize,
    pub(crate) geometry: KvGeometry,
    pub(crate) layout: KvLayout,
    pub(super) model: onnx::Graph,
}

impl DecoderGraph {
    /// Reads the graph named by `config` and holds the two against each other.
    pub(super) fn read(dir: &Path, config: &GenaiConfig, config_file: &Path) -> Result<Self> {
        let decoder = &config.model.decoder;
        let file = files::inside(dir, Path::new(&decoder.filename)).ok_or_else(|| {
            Error::package(
                config_file,
                "model.decoder.filename",
                "a file inside the package",
                format!("{:?}", decoder.filename),
            )
        })?;
        let model = read_model(&file)?;
        check_external_data(dir, &file, &model)?;

        let inputs: BTreeMap<&str, &ValueInfo> =
            model.input.iter().map(|v| (v.name.as_str(), v)).collect();
        let outputs: BTreeMap<&str, &ValueInfo> =
            model.output.iter().map(|v| (v.name.as_str(), v)).collect();
        let find = |side: &'static str, map: &BTreeMap<&str, &ValueInfo>, name: &str| {
            if map.contains_key(name) {
                return Ok(());
            }
            let have: Vec<&str> = map.keys().copied().collect();
            Err(Error::package(
                &file,
                format!("graph {side}"),
                format!("{name:?}, as {} names it", config_file.display()),
                summary(&have),
            ))
        };

        find("input", &inputs, &decoder.inputs.input_ids)?;
        expect_type(&file, inputs[decoder.inputs.input_ids.as_str()], &["int64"])?;
        let optional = |name: &String| inputs.contains_key(name.as_str()).then(|| name.clone());
        let attention_mask = optional(&decoder.inputs.attention_mask);
        let position_ids = optional(&decoder.inputs.position_ids);
        for name in [&attention_mask, &position_ids].into_iter().flatten() {
            expect_type(&file, inputs[name.as_str()], &["int64"])?;
        }

        find("output", &outputs, &decoder.outputs.logits)?;
        let logits = outputs[decoder.outputs.logits.as_str()];
        let logits_dtype = match expect_type(&file, logits, &["f32", "f16"])? {
            "f32" => LogitsDtype::F32,
            _ => LogitsDtype::F16,
        };
        let logits_dims = dims(&file, logits, 3)?;
        let vocabulary = fixed(&file, logits, &logits_dims, 2)?;
        if vocabulary != config.model.vocab_size {
            return Err(Error::package(
                config_file,
                "model.vocab_size",
                format!("{vocabulary}, as the graph's logits have"),
                config.model.vocab_size,
            ));
        }
        let last_logits_only = matches!(logits_dims[1], Some(DimValue::Fixed(1)));

        let (kv_names, geometry) = kv(&file, config, config_file, &model, &inputs, &outputs)?;
        let layout = attention::layout(&model, &kv_names);
        if config.search.past_present_share_buffer && layout == KvLayout::Growing {
            return Err(Error::package(
                config_file,
                "search.past_present_share_buffer",
                "false: this graph concatenates its past (no GroupQueryAttention reads it), so one buffer bound as past \
                 and present would give garbage",
                true,
            ));
        }
        let known: BTreeSet<&str> = kv_names
            .iter()
            .flat_map(|n| [n[0].as_str(), n[1].as_str()])
            .chain([decoder.inputs.input_ids.as_str()])
            .chain(attention_mask.as_deref())
            .chain(position_ids.as_deref())
            .collect();
        let unknown: Vec<&str> = inputs
            .keys()
            .copied()
            .filter(|n| !known.contains(n))
            .collect();
        if !unknown.is_empty() {
            return Err(Error::package(
                &file,
                "graph input",
                "ids, mask, positions, and keys and values of the config's layers",
                summary(&unknown),
            ));
        }

        Ok(Self {
            input_ids: decoder.inputs.input_ids.clone(),
            logits: decoder.outputs.logits.clone(),
            attention_mask,
            position_ids,
            kv_names,
            logits_dtype,
            last_logits_only,
            vocabulary,
            geometry,
            layout,
            model,
            file,
        })
    }

    /// How the graph takes and gives back keys and values.
    pub fn layout(&self) -> KvLayout {
        self.layout
    }

    /// Sizes of its KV cache.
    pub fn geometry(&self) -> KvGeometry {
        self.geometry
    }

    /// Token ids it knows, and logits it gives.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }
}

/// Maps and parses the file; tensor contents stay in the map.
fn read_model(file: &Path) -> Result<onnx::Graph> {
    let map = super::map(file)?;
    let length = map.len();
    let model = onnx::Model::decode(Bytes::from_owner(map)).map_err(|e| {
        Error::package(
            file,
            "ONNX protobuf",
            "a whole ONNX model",
            format!("{length} bytes that do not parse: {e}"),
        )
    })?;
    model
        .graph
        .ok_or_else(|| Error::package(file, "ONNX protobuf", "a model with a graph", "none"))
}

/// Every tensor kept outside the graph file must lie wholly inside the file that holds it.
fn check_external_data(dir: &Path, graph_file: &Path, model: &onnx::Graph) -> Result<()> {
    let mut sizes: BTreeMap<PathBuf, u64> = BTreeMap::new();
    for tensor in &model.initializer {
        let Some(place) = ExternalPlace::of(dir, graph_file, tensor)? else {
            continue;
        };
        let size = match sizes.get(&place.file) {
            Some(size) => *size,
            None => {
                let action = "the weights that the graph names cannot be read";
                let size = files::open(&place.file, action)?.bytes;
                sizes.insert(place.file.clone(), size);
                size
            }
        };
        let end = place.offset.saturating_add(place.length);
        if end > size {
            return Err(Error::package(
                &place.file,
                format!("tensor {:?}", tensor.name),
                format!("at least {end} bytes (is the file cut short?)"),
                format!("{size} bytes"),
            ));
        }
    }
    Ok(())
}

/// Where a tensor's bytes lie outside the graph file.
pub(super) struct ExternalPlace {
    pub(super) file: PathBuf,
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl ExternalPlace {
    pub(super) fn of(dir: &Path, graph_file: &Path, tensor: &onnx::Tensor) -> Result<Option<Self>> {
        let get = |key: &str| {
            tensor
                .external_data
                .iter()
                .find(|e| e.key == key)
                .map(|e| e.value.as_str())
        };
        let Some(location) = get("location") else {
            return Ok(None);
        };
        let field = || format!("external data of {:?}", tensor.name);
        let file = files::inside(dir, Path::new(location)).ok_or_else(|| {
            Error::package(
                graph_file,
                field(),
                "a file inside the package",
                format!("{location:?}"),
            )
        })?;
        let number = |key: &str| match get(key) {
            None => Ok(0),
            Some(text) => text.parse::<u64>().map_err(|_| {
                Error::package(graph_file, field(), format!("a number as {key}"), text)
            }),
        };
        Ok(Some(Self {
            file,
            offset: number("offset")?,
            // Absent: to the end of what the tensor's own size says.
            length: match get("length") {
                Some(_) => number("length")?,
                None => stored_bytes(tensor),
            },
        }))
    }
}

/// Bytes of a tensor's elements, from its dimensions and type.
fn stored_bytes(tensor: &onnx::Tensor) -> u64 {
    let bits = onnx::element_type(tensor.data_type).map_or(8, |(_, bits)| bits);
    tensor
        .dims
        .iter()
        .fold(bits, |product, dim| {
            product.saturating_mul(dim.unsigned_abs())
        })
        .div_ceil(8)
}

type KvNames = Vec<[String; 4]>;

/// Names and sizes of keys and values, the graph held against the config.
fn kv(
    file: &Path,
    config: &GenaiConfig,
    config_file: &Path,
    model: &onnx::Graph,
    inputs: &BTreeMap<&str, &ValueInfo>,
    outputs: &BTreeMap<&str, &ValueInfo>,
) -> Result<(KvNames, KvGeometry)> {
    let decoder = &config.model.decoder;
    let at = |pattern: &str, layer: usize| pattern.replacen("%d", &layer.to_string(), 1);
    let layers = (0..)
        .take_while(|&l| inputs.contains_key(at(&decoder.inputs.past_key_names, l).as_str()))
        .count();
    if layers == 0 {
        let have: Vec<&str> = inputs.keys().copied().collect();
        return Err(Error::package(
            file,
            "graph input",
            format!("keys named {:?}", decoder.inputs.past_key_names),
            summary(&have),
        ));
    }
    // Exports that can quantise their cache leave its last axis unnamed, since packing changes it.
    let unnamed_head_dim = attention::head_dim(model).unwrap_or(decoder.head_size);
    let mut names = Vec::with_capacity(layers);
    let mut geometry = None;
    for layer in 0..layers {
        let layer_names = [
            at(&decoder.inputs.past_key_names, layer),
            at(&decoder.inputs.past_value_names, layer),
            at(&decoder.outputs.present_key_names, layer),
            at(&decoder.outputs.present_value_names, layer),
        ];
        for (i, name) in layer_names.iter().enumerate() {
            let (side, map) = if i < 2 {
                ("input", inputs)
            } else {
                ("output", outputs)
            };
            let Some(info) = map.get(name.as_str()) else {
                let have: Vec<&str> = map.keys().copied().collect();
                return Err(Error::package(
                    file,
                    format!("graph {side}"),
                    format!("{name:?}"),
                    summary(&have),
                ));
            };
            let dtype = match expect_type(file, info, &["f32", "f16", "bf16", "int8"])? {
                "f32" => Dtype::F32,
                "f16" => Dtype::F16,
                "bf16" => Dtype::Bf16,
                _ => Dtype::I8,
            };
            let shape = dims(file, info, 4)?;
            let this = KvGeometry {
                layers,
                kv_heads: fixed(file, info, &shape, 1)?,
                head_dim: match &shape[3] {
                    Some(DimValue::Named(_)) | None => unnamed_head_dim,
                    Some(DimValue::Fixed(_)) => fixed(file, info, &shape, 3)?,
                },
                dtype,
            };
            let first = *geometry.get_or_insert(this);
            if this != first {
                return Err(Error::package(
                    file,
                    format!("shape of {name:?}"),
                    format!("{first:?}, as the first layer"),
                    format!("{this:?}"),
                ));
            }
        }
        names.push(layer_names);
    }
    // `layers` is at least 1, so the loop has set it.
    let Some(geometry) = geometry else {
        return Err(Error::package(
            file,
            "graph input",
            "keys and values",
            "none",
        ));
    };
    for (field, in_config, in_graph) in [
        (
            "model.decoder.num_hidden_layers",
            decoder.num_hidden_layers,
            geometry.layers,
        ),
        (
            "model.decoder.num_key_value_heads",
            decoder.num_key_value_heads,
            geometry.kv_heads,
        ),
        (
            "model.decoder.head_size",
            decoder.head_size,
            geometry.head_dim,
        ),
    ] {
        if in_config != in_graph {
            return Err(Error::package(
                config_file,
                field,
                format!("{in_graph}, as the graph has"),
                in_config,
            ));
        }
    }
    Ok((names, geometry))
}

fn expect_type(file: &Path, info: &ValueInfo, allowed: &[&str]) -> Result<&'static str> {
    let code = info
        .r#type
        .as_ref()
        .and_then(|t| t.tensor_type.as_ref())
        .map_or(0, |t| t.elem_type);
    match onnx::element_type(code) {
        Some((name, _)) if allowed.contains(&name) => Ok(name),
        other => Err(Error::package(
            file,
            format!("element type of {:?}", info.name),
            allowed.join(" or "),
            other.map_or_else(|| format!("ONNX type {code}"), |(name, _)| name.to_string()),
        )),
    }
}

fn dims(file: &Path, info: &ValueInfo, rank: usize) -> Result<Vec<Option<DimValue>>> {
    let shape: Vec<Option<DimValue>> = info
        .r#type
        .as_ref()
        .and_then(|t| t.tensor_type.as_ref())
        .and_then(|t| t.shape.as_ref())
        .map(|s| s.dim.iter().map(|d| d.value.clone()).collect())
        .unwrap_or_default();
    if shape.len() != rank {
        return Err(Error::package(
            file,
            format!("rank of {:?}", info.name),
            rank,
            shape.len(),
        ));
    }
    Ok(shape)
}

fn fixed(file: &Path, info: &ValueInfo, dims: &[Option<DimValue>], axis: usize) -> Result<usize> {
    match &dims[axis] {
        Some(DimValue::Fixed(n)) if *n > 0 => Ok(*n as usize),
        other => Err(Error::package(
            file,
            format!("axis {axis} of {:?}", info.name),
            "a fixed positive size",
            match other {
                Some(DimValue::Fixed(n)) => n.to_string(),
                Some(DimValue::Named(name)) => format!("{name:?}"),
                None => "nothing".into(),
            },
        )),
    }
}

/// The first few names, and how many more there are.
fn summary(names: &[&str]) -> String {
    const SHOWN: usize = 6;
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(|n| format!("{n:?}"))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    if text.is_empty() {
        text.push_str("none");
    }
    text
}
