//! Whether a graph's attention can read a shared prompt, and the graph that does.

use std::collections::BTreeSet;

use curt_kernels::{Dtype, SplitAttention};
use curt_session::attention::{OPERATOR, attribute};
use serde::{Deserialize, Serialize};

use super::graph::DecoderGraph;
use super::onnx::{Attribute, NewNode, Node, Rewriting, Wire};
use crate::error::Result;
use crate::kv::KvLayout;

/// Whether rows share one copy of their prompt's keys and values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attention {
    /// Shared where the graph allows it: nothing changes but the order of additions, which logits of f32 show in their last
    /// digits, and rounding to int8 between layers in a token now and then, no better and no worse.
    #[default]
    Shared,
    /// As [`Self::Shared`], and keys and values are kept in f16: half the memory, and half of it read at each step.
    #[serde(rename = "shared_f16")]
    SharedF16,
    /// A whole cache for each row, read by the graph's own operators: to the bit what ONNX Runtime gives.
    Dense,
}

/// Which attention runs, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttentionReport {
    /// What was asked for.
    pub asked: Attention,
    /// Whether rows share one copy of their prompt's keys and values.
    pub shared: bool,
    /// Element type in which they are kept, by its name.
    pub kv_dtype: &'static str,
    /// Why they do not, where they could have been asked to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl AttentionReport {
    /// What ran, as reports name it: `shared`, `shared-f16` or `dense`.
    pub fn name(&self) -> &'static str {
        match (self.shared, self.kv_dtype) {
            (true, "f16") => "shared-f16",
            (true, _) => "shared",
            (false, _) => "dense",
        }
    }

    /// What ran, and why not the other where that was or could have been asked for.
    pub fn in_words(&self) -> String {
        match &self.why {
            Some(why) => format!("{}: {why}", self.name()),
            None => self.name().into(),
        }
    }
}

/// The operator that is replaced, and its inputs and outputs.
const ATTENTION: &str = "GroupQueryAttention";
const QKV: [usize; 3] = [0, 1, 2];
const TABLES: [usize; 2] = [7, 8];
const POSITION_IDS: usize = 9;
const PRESENTS: [usize; 2] = [1, 2];

/// Largest graph file that is rewritten in memory. Weights lie in files of their own as a rule.
const MAX_GRAPH_BYTES: u64 = 256 << 20;

/// A graph that reads a shared prompt.
pub(crate) struct SharedGraph {
    pub(crate) model: Vec<u8>,
    /// Inputs that it still has.
    pub(crate) attention_mask: bool,
    pub(crate) position_ids: bool,
}

impl DecoderGraph {
    /// How its keys and values are kept where `attention` is asked for.
    pub fn attention(&self, asked: Attention) -> (KvLayout, AttentionReport) {
        let why = match asked {
            Attention::Dense => None,
            Attention::Shared | Attention::SharedF16 => self.unshareable(),
        };
        let shared = asked != Attention::Dense && why.is_none();
        let dtype = match asked {
            Attention::SharedF16 if shared => Dtype::F16,
            _ => self.geometry.dtype,
        };
        let layout = if shared {
            KvLayout::SharedPrompt(dtype)
        } else {
            self.layout
        };
        let report = AttentionReport {
            asked,
            shared,
            kv_dtype: dtype.name(),
            why,
        };
        (layout, report)
    }

    /// Why its attention cannot read a shared prompt.
    fn unshareable(&self) -> Option<String> {
        let graph = &self.model.graph;
        let geometry = self.geometry;
        if self.layout != KvLayout::Shared {
            return Some("its attention is made of plain operators".into());
        }
        if geometry.dtype != Dtype::F32 {
            return Some(format!("its keys and values are {}", geometry.dtype.name()));
        }
        if !SplitAttention::takes(geometry.head_dim) {
            return Some(format!("its heads have {} elements", geometry.head_dim));
        }
        if !self.model.functions.is_empty() {
            return Some("its graph has operators of its own".into());
        }
        if self.use_cache_branch.is_some() {
            return Some("its graph has a branch without a cache".into());
        }
        if graph.nodes.iter().any(Node::has_body) {
            return Some("its graph has conditions or loops".into());
        }
        if graph.nodes.iter().any(|node| node.domain == OPERATOR.0) {
            return Some(format!("its graph uses the operators of {}", OPERATOR.0));
        }
        let bytes = std::fs::metadata(&self.file).map_or(u64::MAX, |file| file.len());
        if bytes > MAX_GRAPH_BYTES {
            return Some(format!(
                "its graph file has {bytes} bytes, more than the {MAX_GRAPH_BYTES} that are rewritten in memory"
            ));
        }
        let presents: BTreeSet<&str> = self
            .kv_names
            .iter()
            .flat_map(|names| [names[2].as_str(), names[3].as_str()])
            .collect();
        let reads = |node: &Node| node.inputs.iter().any(|i| presents.contains(i.as_str()));
        if graph.nodes.iter().any(reads) {
            return Some("other operators read its cache".into());
        }
        let attentions = graph.nodes.iter().filter(|n| n.is_microsoft(ATTENTION));
        attentions
            .clone()
            .find_map(|node| self.unread(node))
            .or_else(|| {
                let got = attentions.count();
                let expected = geometry.layers;
                (got != expected)
                    .then(|| format!("{got} attention operators for {expected} layers"))
            })
    }

    /// What `node` asks for that a shared prompt does not give.
    fn unread(&self, node: &Node) -> Option<String> {
        let geometry = self.geometry;
        for (name, value) in &node.attributes {
            let known = match (name.as_str(), value) {
                ("num_heads", &Attribute::Number(heads)) => usize::try_from(heads)
                    .is_ok_and(|n| n > 0 && n.is_multiple_of(geometry.kv_heads)),
                ("kv_num_heads", &Attribute::Number(heads)) => {
                    usize::try_from(heads) == Ok(geometry.kv_heads)
                }
                ("scale", &Attribute::Float(scale)) => scale.is_finite(),
                ("do_rotary" | "rotary_interleaved", &Attribute::Number(flag)) => {
                    flag == 0 || flag == 1
                }
                ("local_window_size", &Attribute::Number(window)) => window == -1,
                ("softcap", &Attribute::Float(cap)) => cap == 0.0,
                ("smooth_softmax" | "qk_output" | "kv_cache_bit_width", &Attribute::Number(n)) => {
                    n == 0
                }
                ("k_quant_type" | "v_quant_type", Attribute::Text(kind)) => kind == "NONE",
                _ => false,
            };
            if !known {
                return Some(format!("its attention has {name} {}", said(value)));
            }
        }
        for name in ["num_heads", "kv_num_heads"] {
            if node.number(name).is_none() {
                return Some(format!("its attention has no {name}"));
            }
        }
        let [_, keys, values] = QKV.map(|at| node.input(at).is_empty());
        if keys != values {
            return Some("its attention has keys or values alone".into());
        }
        let rotary = node.number("do_rotary") == Some(1);
        if rotary && TABLES.iter().any(|&at| node.input(at).is_empty()) {
            return Some("its attention rotates without tables".into());
        }
        let positions = node.input(POSITION_IDS);
        if !positions.is_empty() && Some(positions) != self.position_ids.as_deref() {
            return Some("its attention computes its positions".into());
        }
        let more = node.inputs.iter().skip(POSITION_IDS + 1);
        if more.clone().any(|name| !name.is_empty()) {
            return Some("its attention has a bias, sinks, norms or scales".into());
        }
        let outputs = node.outputs.iter().skip(PRESENTS[1] + 1);
        if outputs.clone().any(|name| !name.is_empty()) {
            return Some("its attention gives its products out".into());
        }
        self.layer(node)
            .is_none()
            .then(|| "a layer without names".into())
    }

    /// Which layer's past `node` reads.
    fn layer(&self, node: &Node) -> Option<usize> {
        let presents = PRESENTS.map(|at| node.output(at));
        let of_layer = |names: &[String; 4]| [names[2].as_str(), names[3].as_str()] == presents;
        self.kv_names.iter().position(of_layer)
    }

    /// The graph whose attention reads a shared prompt, where [`Self::attention`] says that it can: it binds no keys and
    /// values, and has no node or input left that only they needed. Its logits are cut where they can be.
    ///
    /// # Errors
    /// [`crate::Error::Package`] where the file has changed, [`crate::Error::Io`].
    pub(crate) fn shared(&self) -> Result<SharedGraph> {
        let graph = &self.model.graph;
        let bound = self.kv_names.iter().flatten().map(String::as_str);
        let mut gone: BTreeSet<&str> = bound.collect();
        let outputs = graph.outputs.iter().map(|info| info.name.as_str());
        let mut live: BTreeSet<&str> = outputs.filter(|name| !gone.contains(name)).collect();
        // Nodes stand in the order in which they run.
        let mut nodes: Vec<NewNode<'_>> = Vec::with_capacity(graph.nodes.len());
        for (at, node) in graph.nodes.iter().enumerate().rev() {
            let used = node.outputs.iter().any(|name| live.contains(name.as_str()));
            let new = if !used {
                NewNode::Gone
            } else if node.is_microsoft(ATTENTION) {
                self.replaced(node)
            } else {
                let cut = self.cut.as_ref().and_then(|cut| cut.node(at, node));
                cut.unwrap_or(NewNode::Kept)
            };
            match &new {
                NewNode::Gone => {}
                NewNode::Kept | NewNode::Reads { .. } => {
                    live.extend(node.inputs.iter().map(String::as_str))
                }
                NewNode::Replaced { inputs, .. } => live.extend(inputs),
            }
            // What is left out has no name.
            live.remove("");
            nodes.push(new);
        }
        nodes.reverse();
        let inputs = graph.inputs.iter().map(|info| info.name.as_str());
        let weights: BTreeSet<&str> = graph.initializers.iter().map(|t| t.name.as_str()).collect();
        gone.extend(inputs.filter(|name| !live.contains(name) && !weights.contains(name)));
        let bound = |name: &Option<String>| name.as_deref().is_some_and(|n| live.contains(n));
        let (attention_mask, position_ids) =
            (bound(&self.attention_mask), bound(&self.position_ids));
        gone.extend(self.cut.iter().flat_map(|cut| cut.moved()));
        let rewriting = Rewriting {
            nodes,
            gone,
            outputs: self
                .cut
                .iter()
                .filter_map(|cut| cut.output(graph))
                .collect(),
            opset: Some((OPERATOR.0, 1)),
        };
        Ok(SharedGraph {
            model: rewriting.write(&mut Wire::open(&self.file)?)?,
            attention_mask,
            position_ids,
        })
    }

    /// Our operator in place of `node`.
    fn replaced<'n>(&self, node: &'n Node) -> NewNode<'n> {
        let geometry = self.geometry;
        let rotary = node.number("do_rotary") == Some(1);
        let mut inputs = QKV.map(|at| node.input(at)).to_vec();
        inputs.extend(TABLES.map(|at| if rotary { node.input(at) } else { "" }));
        let float = |name: &str| {
            node.attributes.iter().find_map(|(n, value)| match value {
                Attribute::Float(x) if n == name => Some(*x),
                _ => None,
            })
        };
        // 0 stands for what attention has by default.
        let scale = float("scale").filter(|&scale| scale != 0.0);
        let scale = scale.unwrap_or(1.0 / (geometry.head_dim as f32).sqrt());
        let number = |n: usize| Attribute::Number(n as i64);
        let flag = |name: &str| Attribute::Number(node.number(name).unwrap_or(0));
        NewNode::Replaced {
            domain: OPERATOR.0,
            op_type: OPERATOR.1,
            inputs,
            outputs: vec![node.output(0)],
            attributes: vec![
                (
                    attribute::LAYER,
                    number(self.layer(node).unwrap_or(usize::MAX >> 1)),
                ),
                (attribute::HEADS, flag("num_heads")),
                (attribute::KV_HEADS, number(geometry.kv_heads)),
                (attribute::HEAD_DIM, number(geometry.head_dim)),
                (attribute::INTERLEAVED, flag("rotary_interleaved")),
                (attribute::SCALE, Attribute::Float(scale)),
            ],
        }
    }
}

/// An attribute's value, in words.
fn said(value: &Attribute) -> String {
    match value {
        Attribute::Number(n) => n.to_string(),
        Attribute::Float(x) => x.to_string(),
        Attribute::Text(text) => format!("{text:?}"),
        Attribute::Numbers(_) | Attribute::Body | Attribute::Other => "of another kind".into(),
    }
}
