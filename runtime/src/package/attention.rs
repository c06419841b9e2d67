//! What the attention operators of a graph say of its keys and values.

use super::onnx;
use crate::kv::KvLayout;

/// Shared where GroupQueryAttention itself reads every past and writes every present.
pub(super) fn layout(model: &onnx::Graph, names: &[[String; 4]]) -> KvLayout {
    let by_one_node = |past: &String, present: &String| {
        model.node.iter().any(|node| {
            node.op_type == "GroupQueryAttention"
                && node.input.contains(past)
                && node.output.contains(present)
        })
    };
    let all = names
        .iter()
        .all(|[key, value, present_key, present_value]| {
            by_one_node(key, present_key) && by_one_node(value, present_value)
        });
    if all {
        KvLayout::Shared
    } else {
        KvLayout::Growing
    }
}

/// Elements of one key, from the width of the projection that the first GroupQueryAttention reads.
pub(super) fn head_dim(model: &onnx::Graph) -> Option<usize> {
    /// Bias, norm and reshapes at most lie between projection and attention.
    const HOPS: usize = 8;
    let attention = model
        .node
        .iter()
        .find(|n| n.op_type == "GroupQueryAttention")?;
    let number = |node: &onnx::Node, name: &str| {
        node.attribute
            .iter()
            .find(|a| a.name == name)
            .and_then(|a| usize::try_from(a.i).ok())
    };
    let heads = number(attention, "num_heads")?;
    let kv_heads = number(attention, "kv_num_heads")?;
    let mut packed = attention.input.get(1).is_none_or(String::is_empty);
    let mut tensor = attention.input.first()?;
    for _ in 0..HOPS {
        let node = model.node.iter().find(|n| n.output.contains(tensor))?;
        let width = match node.op_type.as_str() {
            "MatMulNBits" => number(node, "N"),
            "MatMul" => {
                let weight = node.input.get(1)?;
                let weight = model.initializer.iter().find(|t| t.name == *weight)?;
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
            return width.checked_div(if packed { heads + 2 * kv_heads } else { heads });
        }
        tensor = node.input.first()?;
    }
    None
}
