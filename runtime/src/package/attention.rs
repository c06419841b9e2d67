//! What the attention operators of a graph say of its keys and values.

use std::path::Path;

use super::onnx::{Graph, Model, Node};
use crate::error::{Error, Result};
use crate::kv::KvLayout;

/// The operator that appends to its past in place.
const ATTENTION: &str = "GroupQueryAttention";

/// Past key, past value among its inputs; present key, present value among its outputs.
const PASTS: [usize; 2] = [3, 4];
const PRESENTS: [usize; 2] = [1, 2];

/// Its attention operators.
fn attentions(graph: &Graph) -> impl Iterator<Item = &Node> {
    graph.nodes.iter().filter(|n| n.is_microsoft(ATTENTION))
}

/// Shared where for each layer one GroupQueryAttention, and nothing else, reads the past and writes the present.
///
/// # Errors
/// [`Error::Package`] where the names of a layer lead to other places of that operator than theirs, or where the file
/// brings an operator of its own under that name.
pub(super) fn layout(file: &Path, model: &Model, names: &[[String; 4]]) -> Result<KvLayout> {
    if model.functions.iter().any(|name| name == ATTENTION) {
        return Err(Error::package(
            file,
            "functions",
            format!("{ATTENTION} as ONNX Runtime has it"),
            "one that the file brings",
        ));
    }
    let mut shared = true;
    for [key, value, present_key, present_value] in names {
        let of_layer = [key, value];
        let mut readers = model
            .graph
            .nodes
            .iter()
            .filter(|n| n.inputs.iter().any(|name| of_layer.contains(&name)));
        let (reader, another) = (readers.next(), readers.next());
        let Some(node) = reader.filter(|n| n.is_microsoft(ATTENTION)) else {
            shared = false;
            continue;
        };
        for (place, name, there) in [
            (PASTS[0], key, node.input(PASTS[0])),
            (PASTS[1], value, node.input(PASTS[1])),
            (PRESENTS[0], present_key, node.output(PRESENTS[0])),
            (PRESENTS[1], present_value, node.output(PRESENTS[1])),
        ] {
            if name != there {
                return Err(Error::package(
                    file,
                    format!("{ATTENTION} of {key:?}, place {place}"),
                    format!("{name:?}, as the package's config names it"),
                    format!("{there:?}"),
                ));
            }
        }
        shared &= another.is_none();
    }
    Ok(if shared {
        KvLayout::Shared
    } else {
        KvLayout::Growing
    })
}

/// Positions that its attention looks back on, in the layers that do not see all: the most of them. `None` where all do.
pub(super) fn window(graph: &Graph) -> Option<usize> {
    attentions(graph)
        .filter_map(|n| usize::try_from(n.number("local_window_size")?).ok())
        .filter(|&positions| positions > 0)
        .max()
}

/// Elements of one key, from the width of the projection that the first attention operator reads.
pub(super) fn head_dim(graph: &Graph) -> Option<usize> {
    /// Bias, norm and reshapes at most lie between projection and attention.
    const HOPS: usize = 8;
    let attention = attentions(graph).next()?;
    let number = |node: &Node, name: &str| usize::try_from(node.number(name)?).ok();
    let heads = number(attention, "num_heads")?;
    let kv_heads = number(attention, "kv_num_heads")?;
    let mut packed = attention.input(1).is_empty();
    let mut tensor = attention.input(0);
    for _ in 0..HOPS {
        let node = graph
            .nodes
            .iter()
            .find(|n| n.outputs.iter().any(|name| name == tensor))?;
        let width = match node.op_type.as_str() {
            "MatMulNBits" => number(node, "N"),
            "MatMul" => {
                let weight = node.input(1);
                let weight = graph.initializers.iter().find(|t| t.name == weight)?;
                weight.dims.last().and_then(|&d| usize::try_from(d).ok())
            }
            // One projection for queries, keys and values, taken apart for a norm of each.
            "Split" => {
                packed = true;
                None
            }
            _ => None,
        };
        if let Some(width) = width {
            let all = kv_heads.checked_mul(2)?.checked_add(heads)?;
            return width.checked_div(if packed { all } else { heads });
        }
        tensor = node.input(0);
    }
    None
}
