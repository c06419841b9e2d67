//! Whether a graph's logits can be had of the last position alone, which is all that a prefill needs of them: the product with
//! the vocabulary is a fifth of a small model's work, and its result the largest tensor of a step.

use std::path::Path;

use super::onnx::{
    Attribute, Dim, Graph, MICROSOFT, Model, NewNode, Node, Rewriting, ValueInfo, Wire,
};
use crate::error::Result;

/// Products with the vocabulary that take each position for itself, and where their operands stand.
const PRODUCTS: [(&str, &str); 2] = [("", "MatMul"), (MICROSOFT, "MatMulNBits")];
const HIDDEN: usize = 0;
const WEIGHTS: usize = 1;

/// What may stand between the product and the logits: each element for itself.
const ELEMENTWISE: [&str; 7] = ["Add", "Cast", "Div", "Identity", "Mul", "Sub", "Tanh"];

/// Most of these: a cap takes three, a bias and a cast one each.
const MOST_ELEMENTWISE: usize = 8;

/// Largest graph file that is rewritten in memory. Weights lie in files of their own as a rule.
const MAX_GRAPH_BYTES: u64 = 64 << 20;

/// Names of what the new nodes give.
const LAST_POSITION: &str = "curt.last_position";
const LAST_HIDDEN: &str = "curt.last_hidden";

/// The version of ONNX's operators from which on a constant may be a list, and an index count from the end.
const OPSET: i64 = 13;

/// Where the logits of a graph are cut to those of the last position.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cut {
    /// Which node is the product.
    product: usize,
    /// What it and the nodes behind it give: the logits first.
    values: Vec<String>,
}

impl Cut {
    /// Where the logits of that name can be cut; `None` where they are of one position already, or where it cannot be seen
    /// that no position's depend on another's.
    pub(super) fn find(file: &Path, model: &Model, logits: &str) -> Option<Self> {
        let graph = &model.graph;
        let bytes = std::fs::metadata(file).map_or(u64::MAX, |file| file.len());
        let output = graph.outputs.iter().find(|info| info.name == logits)?;
        let taken = |name: &String| name == LAST_POSITION || name == LAST_HIDDEN;
        if bytes > MAX_GRAPH_BYTES
            || model.opset < OPSET
            || !model.functions.is_empty()
            || output.shape.get(1) == Some(&Dim::Fixed(1))
            || graph.nodes.iter().any(Node::has_body)
            || graph.nodes.iter().flat_map(|node| &node.outputs).any(taken)
        {
            return None;
        }
        let mut values = vec![logits.to_owned()];
        for _ in 0..=MOST_ELEMENTWISE {
            let value = values.last()?;
            let at = graph
                .nodes
                .iter()
                .position(|node| node.outputs.contains(value))?;
            let node = &graph.nodes[at];
            if PRODUCTS.contains(&(node.domain.as_str(), &node.op_type)) {
                let cut = Self {
                    product: at,
                    values,
                };
                return (is_weight(graph, node.input(WEIGHTS)) && !cut.is_read_elsewhere(graph))
                    .then_some(cut);
            }
            let mut varying = node.inputs.iter().filter(|name| !is_vector(graph, name));
            let (input, another) = (varying.next()?, varying.next());
            if another.is_some()
                || !node.domain.is_empty()
                || !ELEMENTWISE.contains(&node.op_type.as_str())
            {
                return None;
            }
            values.push(input.clone());
        }
        None
    }

    /// Whether anything but the logits comes of what is cut.
    fn is_read_elsewhere(&self, graph: &Graph) -> bool {
        let cut = |name: &String| self.values.contains(name);
        let readers = graph
            .nodes
            .iter()
            .filter(|node| node.inputs.iter().any(cut));
        let outputs = graph.outputs.iter().filter(|info| cut(&info.name));
        readers.clone().any(|node| !node.outputs.iter().all(cut))
            || readers.count() + 1 != self.values.len()
            || outputs.count() != 1
    }

    /// What becomes of node `at`, where it is the product.
    pub(super) fn node<'n>(&self, at: usize, node: &'n Node) -> Option<NewNode<'n>> {
        (at == self.product).then(|| NewNode::Reads {
            before: vec![
                NewNode::Replaced {
                    op_type: "Constant",
                    domain: "",
                    inputs: Vec::new(),
                    outputs: vec![LAST_POSITION],
                    attributes: vec![("value_ints", Attribute::Numbers(vec![-1]))],
                },
                NewNode::Replaced {
                    op_type: "Gather",
                    domain: "",
                    inputs: vec![node.input(HIDDEN), LAST_POSITION],
                    outputs: vec![LAST_HIDDEN],
                    attributes: vec![("axis", Attribute::Number(1))],
                },
            ],
            place: HIDDEN,
            name: LAST_HIDDEN,
        })
    }

    /// Values of which the file describes shapes that they no longer have.
    pub(super) fn moved(&self) -> impl Iterator<Item = &str> {
        self.values[1..].iter().map(String::as_str)
    }

    /// The logits, described anew.
    pub(super) fn output(&self, graph: &Graph) -> Option<ValueInfo> {
        let mut output = graph
            .outputs
            .iter()
            .find(|info| info.name == self.values[0])?
            .clone();
        *output.shape.get_mut(1)? = Dim::Fixed(1);
        Some(output)
    }
}

impl Cut {
    /// The model in `file`, its logits cut and all else as it is.
    ///
    /// # Errors
    /// [`crate::Error::Package`] where the file has changed, [`crate::Error::Io`].
    pub(super) fn write(&self, file: &Path, graph: &Graph) -> Result<Vec<u8>> {
        let nodes = graph.nodes.iter().enumerate();
        let rewriting = Rewriting {
            nodes: nodes
                .map(|(at, node)| self.node(at, node).unwrap_or(NewNode::Kept))
                .collect(),
            gone: self.moved().collect(),
            outputs: self.output(graph).into_iter().collect(),
            opset: None,
        };
        rewriting.write(&mut Wire::open(file)?)
    }
}

/// Whether `name` is a number, or one for each token.
fn is_vector(graph: &Graph, name: &str) -> bool {
    graph
        .initializers
        .iter()
        .any(|tensor| tensor.name == name && tensor.dims.len() <= 1)
}

/// Whether `name` is a weight, or made of nothing but weights: transposed, or widened.
fn is_weight(graph: &Graph, name: &str) -> bool {
    let initializer = |name: &str| graph.initializers.iter().any(|tensor| tensor.name == name);
    let made = || {
        graph
            .nodes
            .iter()
            .find(|node| node.outputs.iter().any(|output| output == name))
    };
    initializer(name)
        || made().is_some_and(|node| {
            !node.inputs.is_empty() && node.inputs.iter().all(|name| initializer(name))
        })
}
