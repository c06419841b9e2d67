//! The load report: what is really in a package.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::{
    Attention, AttentionReport, ImageProcessor, Package, Tiling, Wording, onnx, read_model,
};
use crate::error::Result;
use crate::files;

/// Weights stored with one number of bits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuantizedWeights {
    /// How they are stored: `f32`, `f16`, or `int4`/`int8` with the operator that reads them.
    pub stored_as: String,
    /// Weights, before packing.
    pub weights: u64,
}

/// What is in a package.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoadReport {
    /// The folder.
    pub dir: String,
    /// The architecture as the config names it.
    pub model_type: String,
    /// Files of the graph and its weights, with their bytes.
    pub files: Vec<(String, u64)>,
    /// Weights of all graphs by how they are stored, most first.
    pub quantized: Vec<QuantizedWeights>,
    /// Transformer blocks.
    pub layers: usize,
    /// Key/value heads of each block.
    pub kv_heads: usize,
    /// Elements of one key or value.
    pub head_dim: usize,
    /// Element type of keys and values.
    pub kv_dtype: &'static str,
    /// How keys and values are bound.
    pub kv_layout: &'static str,
    /// The attention that runs where nothing is asked for, and why.
    pub attention: AttentionReport,
    /// Bytes of one position of one row in the KV cache.
    pub kv_bytes_per_token: u64,
    /// Tokens in the vocabulary, as the graph has logits.
    pub vocabulary: usize,
    /// Logits of the last position alone, or of every position.
    pub logits: &'static str,
    /// Tokens the model can attend to.
    pub context_tokens: usize,
    /// Ids that end a path, with their texts.
    pub eos: Vec<(u32, String)>,
    /// Where the chat template stands. Without one, messages are their texts, one a line, and the tokenizer adds its own
    /// tokens (BOS).
    pub chat_template: Option<String>,
    /// What an image becomes, where the package takes images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<String>,
    /// The package brings a prompt of its own.
    pub prompt_file: bool,
    /// What the package says of its licence.
    pub licence: Option<String>,
    /// What the config says and curt does not follow, a sentence each.
    pub notes: Vec<String>,
    /// The package's identity.
    pub fingerprint: String,
}

pub(super) fn report(package: &Package) -> Result<LoadReport> {
    let graph = package.graph();
    let geometry = graph.geometry();
    Ok(LoadReport {
        dir: package.dir.display().to_string(),
        model_type: package.model_type().into(),
        files: files(package)?,
        quantized: quantized(package)?,
        layers: geometry.layers,
        kv_heads: geometry.kv_heads,
        head_dim: geometry.head_dim,
        kv_dtype: geometry.dtype.name(),
        kv_layout: graph.layout().name(),
        attention: graph.attention(Attention::default()).1,
        kv_bytes_per_token: geometry.bytes_per_token(),
        vocabulary: graph.vocabulary(),
        logits: if graph.last_logits_only {
            match graph.cut {
                Some(_) => "of the last position, cut from those of every position",
                None => "of the last position",
            }
        } else {
            "of every position"
        },
        context_tokens: package.context_tokens(),
        eos: package
            .eos_ids()
            .into_iter()
            .map(|id| (id, package.text.token(id).unwrap_or_default()))
            .collect(),
        chat_template: package.template.as_ref().map(|t| file_name(t.file())),
        images: package.image_processor().map(images),
        prompt_file: package.prompt.is_some(),
        licence: licence(&package.dir)?,
        notes: package.notes().to_vec(),
        fingerprint: package.fingerprint()?,
    })
}

fn file_name(file: &Path) -> String {
    file.file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Every graph's file and those of its weights, with their sizes in bytes.
fn files(package: &Package) -> Result<Vec<(String, u64)>> {
    let decoder = package.graph();
    let mut paths = vec![decoder.file.clone()];
    paths.extend(decoder.weight_files.keys().cloned());
    for graph in &package.description.others {
        paths.push(graph.file.clone());
        paths.extend(read_model(&graph.file)?.1.into_keys());
    }
    paths
        .into_iter()
        .map(|file| {
            let bytes = files::open(&file, "a file of the package has gone")?.bytes;
            Ok((file_name(&file), bytes))
        })
        .collect()
}

/// What an image becomes.
fn images(processor: &ImageProcessor) -> String {
    let tokens = match processor.wording {
        Wording::Plain => String::new(),
        Wording::Tiles { tokens } => format!(", {tokens} tokens each"),
    };
    match processor.tiling {
        Tiling::Split(edge) => format!("squares of {edge} pixels, and the whole in one{tokens}"),
        Tiling::Square(edge) => format!("one square of {edge} pixels{tokens}"),
        Tiling::One { .. } => "one tile".into(),
    }
}

/// Weights of every graph by how they are stored.
fn quantized(package: &Package) -> Result<Vec<QuantizedWeights>> {
    let mut histogram: BTreeMap<String, u64> = BTreeMap::new();
    let mut add = |graph: &onnx::Graph| {
        for (stored_as, weights) in stored(graph) {
            let sum = histogram.entry(stored_as).or_default();
            *sum = sum.saturating_add(weights);
        }
    };
    add(&package.graph().model.graph);
    for graph in &package.description.others {
        add(&read_model(&graph.file)?.0.graph);
    }
    let mut list: Vec<QuantizedWeights> = histogram
        .into_iter()
        .map(|(stored_as, weights)| QuantizedWeights { stored_as, weights })
        .collect();
    list.sort_by_key(|w| std::cmp::Reverse(w.weights));
    Ok(list)
}

/// How each tensor of weights is stored and how many it holds, from the operators that read it.
fn stored(graph: &onnx::Graph) -> Vec<(String, u64)> {
    let tensors: BTreeMap<&str, &onnx::Tensor> = graph
        .initializers
        .iter()
        .map(|t| (t.name.as_str(), t))
        .collect();
    let mut counted: BTreeMap<&str, (String, u64)> = BTreeMap::new();
    for node in &graph.nodes {
        let attribute = |name: &str| node.number(name);
        match node.op_type.as_str() {
            "MatMulNBits" => {
                if let (Some(weight), Some(k), Some(n)) =
                    (node.inputs.get(1), attribute("K"), attribute("N"))
                {
                    let bits = attribute("bits").unwrap_or(4);
                    let count = k.unsigned_abs().saturating_mul(n.unsigned_abs());
                    counted.insert(weight, (format!("int{bits} (MatMulNBits)"), count));
                }
            }
            "GatherBlockQuantized" => {
                if let Some(tensor) = node.inputs.first().and_then(|n| tensors.get(n.as_str())) {
                    let bits = attribute("bits").unwrap_or(4).unsigned_abs().max(1);
                    let stored = onnx::element_type(tensor.data_type).map_or(8, |(_, b)| b);
                    let count = elements(tensor).saturating_mul((stored / bits).max(1));
                    counted
                        .entry(tensor.name.as_str())
                        .or_insert((format!("int{bits} (GatherBlockQuantized)"), count));
                }
            }
            "MatMul" | "Gather" | "Gemm" | "MatMulInteger" | "DynamicQuantizeMatMul" => {
                for tensor in node.inputs.iter().filter_map(|n| tensors.get(n.as_str())) {
                    if tensor.dims.len() < 2 {
                        continue;
                    }
                    if let Some((name, _)) = onnx::element_type(tensor.data_type) {
                        counted
                            .entry(tensor.name.as_str())
                            .or_insert((format!("{name} ({})", node.op_type), elements(tensor)));
                    }
                }
            }
            _ => {}
        }
    }
    counted.into_values().collect()
}

fn elements(tensor: &onnx::Tensor) -> u64 {
    tensor.dims.iter().fold(1, |product: u64, dim| {
        product.saturating_mul(dim.unsigned_abs())
    })
}

/// `license:` in the front matter of README.md, or the first line of a LICENSE file.
fn licence(dir: &Path) -> Result<Option<String>> {
    let read = |name: &str| {
        let file = dir.join(name);
        files::read_text_if_there(
            &file,
            files::WRITTEN_BYTES,
            "the package's card cannot be read",
        )
    };
    if let Some(card) = read("README.md")? {
        let mut lines = card.lines();
        if lines.next().map(str::trim) == Some("---") {
            for line in lines.take_while(|l| l.trim() != "---") {
                if let Some(licence) = line.strip_prefix("license:") {
                    return Ok(Some(licence.trim().trim_matches('"').to_string()));
                }
            }
        }
    }
    let text = read("LICENSE")?.unwrap_or_default();
    let first = text.lines().map(str::trim).find(|l| !l.is_empty());
    Ok(first.map(str::to_string))
}
