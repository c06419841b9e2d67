//! The decoder graph as it is: inputs, outputs, KV geometry and layout.
//!
//! Names, types and dimensions come from here; what the package's config says is held against them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use curt_kernels::Dtype;

use super::description::{DecoderNames, Description, Stated};
use super::last_logits::Cut;
use super::onnx::{self, Dim, ValueInfo, Wire};
use super::{attention, weights};
use crate::error::{Error, Result};
use crate::kv::{KvGeometry, KvLayout};

/// Element type of logits and embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FloatDtype {
    F32,
    F16,
}

impl FloatDtype {
    /// Bytes per element.
    pub(crate) fn bytes(self) -> usize {
        match self {
            FloatDtype::F32 => 4,
            FloatDtype::F16 => 2,
        }
    }
}

impl From<FloatDtype> for curt_session::ElementType {
    fn from(dtype: FloatDtype) -> Self {
        match dtype {
            FloatDtype::F32 => Self::F32,
            FloatDtype::F16 => Self::F16,
        }
    }
}

/// What a decoder graph takes for each new position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GraphInput {
    /// A token id.
    Ids,
    /// An embedding: `hidden` numbers.
    Embeddings { hidden: usize, dtype: FloatDtype },
}

/// A decoder graph: what to bind, and what is in it.
#[derive(Debug)]
pub struct DecoderGraph {
    pub(crate) file: PathBuf,
    /// Name of the input that takes ids or embeddings.
    pub(crate) input_name: String,
    pub(crate) input: GraphInput,
    pub(crate) attention_mask: Option<String>,
    pub(crate) position_ids: Option<String>,
    /// Of graphs that are two in one: whether there is a past.
    pub(crate) use_cache_branch: Option<String>,
    /// Of each layer: past key, past value, present key, present value.
    pub(crate) kv_names: Vec<[String; 4]>,
    pub(crate) logits: String,
    pub(crate) logits_dtype: FloatDtype,
    /// The graph gives logits of the last position alone, or is made to.
    pub(crate) last_logits_only: bool,
    /// Where it is made to.
    pub(super) cut: Option<Cut>,
    pub(crate) vocabulary: usize,
    pub(crate) geometry: KvGeometry,
    pub(crate) layout: KvLayout,
    pub(super) model: onnx::Model,
    /// Files beside the graph's own that hold its weights, with their sizes in bytes.
    pub(super) weight_files: BTreeMap<PathBuf, u64>,
}

impl DecoderGraph {
    /// Reads the decoder graph of a package and holds it against what the package says.
    pub(super) fn read(file: &Path, description: &Description) -> Result<Self> {
        let (model, weight_files) = read_model(file)?;
        let names = &description.names;
        let sides = Sides {
            file,
            inputs: by_name(file, "input", &model.graph.inputs)?,
            outputs: by_name(file, "output", &model.graph.outputs)?,
            config_file: &description.file,
        };

        let (input_name, input) = graph_input(file, names, &sides)?;
        let optional = |name: &String| {
            sides
                .inputs
                .contains_key(name.as_str())
                .then(|| name.clone())
        };
        let attention_mask = optional(&names.attention_mask);
        let position_ids = optional(&names.position_ids);
        for name in [&attention_mask, &position_ids].into_iter().flatten() {
            expect_type(file, sides.input(name)?, &["int64"])?;
        }

        let use_cache_branch = optional(&names.use_cache_branch);
        if let Some(name) = &use_cache_branch {
            expect_type(file, sides.input(name)?, &["bool"])?;
        }

        let logits = sides.output(&names.logits)?;
        let logits_dtype = float(file, logits)?;
        require_rank(file, logits, 3)?;
        let vocabulary = fixed(file, logits, 2)?;
        agree(description, description.vocabulary, vocabulary)?;
        let cut = Cut::find(file, &model, &names.logits);
        let last_logits_only = logits.shape[1] == Dim::Fixed(1) || cut.is_some();

        let (kv_names, geometry) = kv(description, &model.graph, &sides)?;
        let layout = attention::layout(file, &model, &kv_names)?;
        if let Some(field) = description.one_buffer
            && layout == KvLayout::Growing
        {
            return Err(Error::package(
                &description.file,
                field,
                "false: this graph concatenates its past (no GroupQueryAttention reads it), so one buffer bound as past \
                 and present would give garbage",
                true,
            ));
        }
        let known: BTreeSet<&str> = kv_names
            .iter()
            .flat_map(|n| [n[0].as_str(), n[1].as_str()])
            .chain([input_name.as_str()])
            .chain(attention_mask.as_deref())
            .chain(position_ids.as_deref())
            .chain(use_cache_branch.as_deref())
            .collect();
        let unknown: Vec<&str> = sides
            .inputs
            .keys()
            .copied()
            .filter(|n| !known.contains(n))
            .collect();
        if !unknown.is_empty() {
            return Err(Error::package(
                file,
                "graph input",
                "ids, mask, positions, and keys and values of the config's layers",
                summary(&unknown),
            ));
        }

        Ok(Self {
            input_name,
            input,
            logits: names.logits.clone(),
            attention_mask,
            position_ids,
            use_cache_branch,
            kv_names,
            logits_dtype,
            last_logits_only,
            cut,
            vocabulary,
            geometry,
            layout,
            model,
            weight_files,
            file: file.into(),
        })
    }

    /// The graph with its logits cut; `None` where the file serves as it is.
    ///
    /// # Errors
    /// [`Error::Package`] where the file has changed, [`Error::Io`].
    pub(crate) fn with_last_logits(&self) -> Result<Option<Vec<u8>>> {
        let cut = self.cut.as_ref();
        cut.map(|cut| cut.write(&self.file, &self.model.graph))
            .transpose()
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

/// The structure of a graph file in which every name stands for one thing, and the files of its weights.
pub(super) fn read_model(file: &Path) -> Result<(onnx::Model, BTreeMap<PathBuf, u64>)> {
    let mut wire = Wire::open(file)?;
    let model = onnx::model(&mut wire)?;
    let graph = &model.graph;
    let mut names = BTreeSet::new();
    let initializers = graph.initializers.iter().map(|t| t.name.as_str());
    let sparse = graph.sparse.iter().map(String::as_str);
    let given = graph.nodes.iter().flat_map(|n| &n.outputs);
    let given = given.map(String::as_str).filter(|name| !name.is_empty());
    for name in initializers.chain(sparse).chain(given) {
        if !names.insert(name) {
            // ONNX Runtime takes the last of two initializers, and its optimisers the first.
            let expected = format!("one tensor named {name:?}");
            return Err(Error::package(file, "graph", expected, "several"));
        }
    }
    let weight_files = weights::files(file, &model.external)?;
    Ok((model, weight_files))
}

/// The graph's inputs and outputs, and who named them.
struct Sides<'a> {
    file: &'a Path,
    inputs: BTreeMap<&'a str, &'a ValueInfo>,
    outputs: BTreeMap<&'a str, &'a ValueInfo>,
    config_file: &'a Path,
}

impl<'a> Sides<'a> {
    fn input(&self, name: &str) -> Result<&'a ValueInfo> {
        self.find("graph input", &self.inputs, name)
    }

    fn output(&self, name: &str) -> Result<&'a ValueInfo> {
        self.find("graph output", &self.outputs, name)
    }

    fn find(
        &self,
        side: &str,
        map: &BTreeMap<&'a str, &'a ValueInfo>,
        name: &str,
    ) -> Result<&'a ValueInfo> {
        map.get(name).copied().ok_or_else(|| {
            let have: Vec<&str> = map.keys().copied().collect();
            let expected = format!("{name:?}, as {} names it", self.config_file.display());
            Error::package(self.file, side, expected, summary(&have))
        })
    }
}

pub(super) fn by_name<'a>(
    file: &Path,
    side: &str,
    infos: &'a [ValueInfo],
) -> Result<BTreeMap<&'a str, &'a ValueInfo>> {
    let mut map = BTreeMap::new();
    for info in infos {
        if map.insert(info.name.as_str(), info).is_some() {
            let expected = format!("one {side} named {:?}", info.name);
            return Err(Error::package(file, "graph", expected, "several"));
        }
    }
    Ok(map)
}

/// What the package says, where it says it, must be what the graph has.
fn agree(description: &Description, stated: Option<Stated>, in_graph: usize) -> Result<()> {
    match stated {
        Some(stated) if stated.number != in_graph => Err(Error::package(
            &description.file,
            stated.field,
            format!("{in_graph}, as the graph has"),
            stated.number,
        )),
        _ => Ok(()),
    }
}

pub(super) fn float(file: &Path, info: &ValueInfo) -> Result<FloatDtype> {
    Ok(match expect_type(file, info, &["f32", "f16"])? {
        "f32" => FloatDtype::F32,
        _ => FloatDtype::F16,
    })
}

/// The input for new positions, by name: ids, or where the graph takes none embeddings.
fn graph_input(
    file: &Path,
    names: &DecoderNames,
    sides: &Sides<'_>,
) -> Result<(String, GraphInput)> {
    let embeds = names.inputs_embeds.as_str();
    let Some(info) = sides.inputs.get(embeds) else {
        expect_type(file, sides.input(&names.input_ids)?, &["int64"])?;
        return Ok((names.input_ids.clone(), GraphInput::Ids));
    };
    let dtype = float(file, info)?;
    require_rank(file, info, 3)?;
    let hidden = fixed(file, info, 2)?;
    Ok((embeds.into(), GraphInput::Embeddings { hidden, dtype }))
}

type KvNames = Vec<[String; 4]>;

/// Names and sizes of keys and values.
fn kv(
    description: &Description,
    graph: &onnx::Graph,
    sides: &Sides<'_>,
) -> Result<(KvNames, KvGeometry)> {
    let file = sides.file;
    let patterns = &description.names.kv;
    let at = |pattern: &str, layer: usize| pattern.replacen("%d", &layer.to_string(), 1);
    let layers = (0..)
        .take_while(|&l| sides.inputs.contains_key(at(&patterns[0], l).as_str()))
        .count();
    // Exports that can quantize their cache leave its last axis unnamed, since packing changes it.
    let unnamed_head_dim =
        attention::head_dim(graph).or(description.head_dim.map(|stated| stated.number));
    let mut names = Vec::with_capacity(layers);
    let mut geometry = None;
    for layer in 0..layers {
        let layer_names = patterns.each_ref().map(|pattern| at(pattern, layer));
        for (i, name) in layer_names.iter().enumerate() {
            let info = if i < 2 {
                sides.input(name)?
            } else {
                sides.output(name)?
            };
            let dtype = match expect_type(file, info, &["f32", "f16", "bf16", "int8"])? {
                "f32" => Dtype::F32,
                "f16" => Dtype::F16,
                "bf16" => Dtype::Bf16,
                _ => Dtype::I8,
            };
            require_rank(file, info, 4)?;
            let this = KvGeometry {
                layers,
                kv_heads: fixed(file, info, 1)?,
                head_dim: match (&info.shape[3], unnamed_head_dim) {
                    (Dim::Named(_) | Dim::Unknown, Some(head_dim)) => head_dim,
                    _ => fixed(file, info, 3)?,
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
    let Some(geometry) = geometry else {
        let have: Vec<&str> = sides.inputs.keys().copied().collect();
        return Err(Error::package(
            file,
            "graph input",
            format!("keys named {:?}", patterns[0]),
            summary(&have),
        ));
    };
    agree(description, description.layers, geometry.layers)?;
    agree(description, description.kv_heads, geometry.kv_heads)?;
    agree(description, description.head_dim, geometry.head_dim)?;
    Ok((names, geometry))
}

pub(super) fn expect_type(file: &Path, info: &ValueInfo, allowed: &[&str]) -> Result<&'static str> {
    match onnx::element_type(info.element) {
        Some((name, _)) if allowed.contains(&name) => Ok(name),
        other => Err(Error::package(
            file,
            format!("element type of {:?}", info.name),
            allowed.join(" or "),
            other.map_or_else(
                || format!("ONNX type {}", info.element),
                |(name, _)| name.to_string(),
            ),
        )),
    }
}

pub(super) fn require_rank(file: &Path, info: &ValueInfo, rank: usize) -> Result<()> {
    if info.shape.len() == rank {
        return Ok(());
    }
    let field = format!("rank of {:?}", info.name);
    Err(Error::package(file, field, rank, info.shape.len()))
}

/// The size of an axis that the shape has.
pub(super) fn fixed(file: &Path, info: &ValueInfo, axis: usize) -> Result<usize> {
    let got = match &info.shape[axis] {
        Dim::Fixed(n) => match usize::try_from(*n) {
            Ok(size) if size > 0 => return Ok(size),
            _ => n.to_string(),
        },
        Dim::Named(name) => format!("{name:?}"),
        Dim::Unknown => "nothing".into(),
    };
    let field = format!("axis {axis} of {:?}", info.name);
    Err(Error::package(file, field, "a fixed positive size", got))
}

/// The first few names, and how many more there are.
pub(super) fn summary(names: &[&str]) -> String {
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
