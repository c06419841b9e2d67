//! The graphs that stand before the decoder: from token ids to embeddings, from pixels to image features.

use std::path::{Path, PathBuf};

use super::description::{Description, GraphRole};
use super::graph::{by_name, expect_type, fixed, float, read_model, require_rank, summary};
use super::onnx::{Dim, ValueInfo};
use super::{DecoderGraph, FloatDtype, GraphInput};
use crate::error::{Error, Result};

/// A graph that gives an embedding for each token id.
#[derive(Debug)]
pub(crate) struct EmbeddingGraph {
    pub(crate) file: PathBuf,
    /// Name of the input `[batch, tokens]`.
    pub(crate) input_ids: String,
    /// Name and element type of the input `[positions, hidden]` of graphs that put image features in place themselves.
    pub(crate) image_features: Option<(String, FloatDtype)>,
    /// Name of the output `[batch, tokens, hidden]`.
    pub(crate) output: String,
    pub(crate) dtype: FloatDtype,
    /// Numbers of one embedding.
    pub(crate) hidden: usize,
}

/// A graph that gives image features for the pixels of an image's tiles.
#[derive(Debug, Clone)]
pub(crate) struct VisionGraph {
    pub(crate) file: PathBuf,
    /// Name of the input `[tiles, 3, height, width]`, or `[1, tiles, 3, height, width]` where `nested`.
    pub(crate) pixel_values: String,
    pub(crate) dtype: FloatDtype,
    pub(crate) nested: bool,
    /// Pixels of a tile's edges, height and width, where the graph says.
    pub(crate) size: [Option<usize>; 2],
    /// Name of the input that says which pixels are the picture's, as `pixel_values` without colours, and its element type.
    pub(crate) mask: Option<(String, MaskDtype)>,
    /// Name of the output, whose last axis is one feature.
    pub(crate) output: String,
    /// Numbers of one feature.
    pub(crate) hidden: usize,
}

/// Element type of a mask of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MaskDtype {
    Bool,
    I64,
}

/// The graphs before a decoder that takes embeddings.
#[derive(Debug, Default)]
pub(super) struct GraphsBefore {
    pub(super) embedding: Option<EmbeddingGraph>,
    pub(super) vision: Option<VisionGraph>,
}

impl GraphsBefore {
    /// Reads those that `description` names and holds them against the decoder.
    ///
    /// # Errors
    /// [`Error::Package`] where a graph is cut short, lacks what is named, or gives vectors of another size than the decoder
    /// takes; [`Error::Io`].
    pub(super) fn read(description: &Description, decoder: &DecoderGraph) -> Result<Self> {
        let GraphInput::Embeddings { hidden, .. } = decoder.input else {
            return Ok(Self::default());
        };
        let mut before = Self::default();
        for graph in &description.others {
            match graph.role {
                GraphRole::Embedding => {
                    let read = EmbeddingGraph::read(graph.file.clone(), description)?;
                    same_size(&read.file, &read.output, read.hidden, hidden)?;
                    before.embedding = Some(read);
                }
                GraphRole::Vision => {
                    let read = VisionGraph::read(graph.file.clone(), description, hidden)?;
                    before.vision = Some(read);
                }
                GraphRole::Encoder | GraphRole::Speech => {}
            }
        }
        Ok(before)
    }
}

impl EmbeddingGraph {
    fn read(file: PathBuf, description: &Description) -> Result<Self> {
        let names = &description.embedding_names;
        let (model, _) = read_model(&file)?;
        let inputs = by_name(&file, "input", &model.graph.inputs)?;
        let outputs = by_name(&file, "output", &model.graph.outputs)?;
        let find = |side, map: &_, name: &str| find(&file, side, map, name);
        expect_type(
            &file,
            find("graph input", &inputs, &names.input_ids)?,
            &["int64"],
        )?;
        let output = find("graph output", &outputs, &names.inputs_embeds)?;
        require_rank(&file, output, 3)?;
        let image_features = match inputs.get(names.image_features.as_str()) {
            None => None,
            Some(info) => {
                require_rank(&file, info, 2)?;
                Some((names.image_features.clone(), float(&file, info)?))
            }
        };
        let known = [&names.input_ids, &names.image_features];
        only(&file, &inputs, &known)?;
        Ok(Self {
            input_ids: names.input_ids.clone(),
            image_features,
            output: names.inputs_embeds.clone(),
            dtype: float(&file, output)?,
            hidden: fixed(&file, output, 2)?,
            file,
        })
    }
}

impl VisionGraph {
    fn read(file: PathBuf, description: &Description, hidden: usize) -> Result<Self> {
        let names = &description.vision_names;
        let (model, _) = read_model(&file)?;
        let inputs = by_name(&file, "input", &model.graph.inputs)?;
        let outputs = by_name(&file, "output", &model.graph.outputs)?;
        let find = |side, map: &_, name: &str| find(&file, side, map, name);
        let pixels = find("graph input", &inputs, &names.pixel_values)?;
        let rank = pixels.shape.len();
        if rank != 4 && rank != 5 {
            let field = format!("rank of {:?}", pixels.name);
            return Err(Error::package(&file, field, "4 or 5", rank));
        }
        let size = [rank - 2, rank - 1].map(|axis| match pixels.shape[axis] {
            Dim::Fixed(size) => usize::try_from(size).ok(),
            _ => None,
        });
        let mask = match inputs.get(names.attention_mask.as_str()) {
            None => None,
            Some(info) => {
                require_rank(&file, info, rank - 1)?;
                let dtype = match expect_type(&file, info, &["bool", "int64"])? {
                    "bool" => MaskDtype::Bool,
                    _ => MaskDtype::I64,
                };
                Some((names.attention_mask.clone(), dtype))
            }
        };
        only(
            &file,
            &inputs,
            &[&names.pixel_values, &names.attention_mask],
        )?;
        let output = find("graph output", &outputs, &names.image_features)?;
        expect_type(&file, output, &["f32", "f16"])?;
        // What an export does not say is seen when it runs.
        if let Some(Dim::Fixed(_)) = output.shape.last() {
            let own = fixed(&file, output, output.shape.len() - 1)?;
            same_size(&file, &names.image_features, own, hidden)?;
        }
        Ok(Self {
            pixel_values: names.pixel_values.clone(),
            dtype: float(&file, pixels)?,
            nested: rank == 5,
            size,
            mask,
            output: names.image_features.clone(),
            hidden,
            file,
        })
    }
}

type Infos<'a> = std::collections::BTreeMap<&'a str, &'a ValueInfo>;

fn find<'a>(file: &Path, side: &str, map: &Infos<'a>, name: &str) -> Result<&'a ValueInfo> {
    map.get(name).copied().ok_or_else(|| {
        let have: Vec<&str> = map.keys().copied().collect();
        Error::package(file, side, format!("{name:?}"), summary(&have))
    })
}

/// Refuses inputs that nothing would be bound to.
fn only(file: &Path, inputs: &Infos<'_>, known: &[&String]) -> Result<()> {
    let unknown = |name: &&str| !known.iter().any(|known| known.as_str() == *name);
    let unknown: Vec<&str> = inputs.keys().copied().filter(unknown).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let known: Vec<&str> = known.iter().map(|name| name.as_str()).collect();
    Err(Error::package(
        file,
        "graph input",
        summary(&known),
        summary(&unknown),
    ))
}

fn same_size(file: &Path, name: &str, own: usize, of_decoder: usize) -> Result<()> {
    if own == of_decoder {
        return Ok(());
    }
    let expected = format!("{of_decoder} numbers, as the decoder takes them");
    Err(Error::package(
        file,
        format!("last axis of {name:?}"),
        expected,
        own,
    ))
}
