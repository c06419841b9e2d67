//! The part of the ONNX file format that curt reads: names, types, shapes and where tensor bytes lie.
//!
//! Field numbers are those of `onnx.proto3` (IR version 10); unknown fields are skipped. A field that stands twice is
//! taken as protobuf takes it: the last number or text counts, and messages and lists go on.

mod parse;
mod rewrite;
mod wire;

use std::ops::Range;

pub(super) use parse::{model, tensor};
pub(super) use rewrite::{NewNode, Rewriting};
pub(super) use wire::{Field, Value, Wire};

/// The domain of ONNX Runtime's own operators.
pub(super) const MICROSOFT: &str = "com.microsoft";

/// A graph file.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) graph: Graph,
    /// Version of ONNX's own operators; 0 where it uses none.
    pub(super) opset: i64,
    /// Names of the functions that it brings: operators of their own, or in place of the runtime's.
    pub(super) functions: Vec<String>,
    /// Tensors whose bytes lie in another file, in whatever graph, attribute or function they stand.
    pub(super) external: Vec<Tensor>,
}

#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) initializers: Vec<Tensor>,
    /// Names of its sparse initializers.
    pub(super) sparse: Vec<String>,
    pub(super) inputs: Vec<ValueInfo>,
    pub(super) outputs: Vec<ValueInfo>,
}

#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    pub(super) op_type: String,
    pub(super) domain: String,
    pub(super) attributes: Vec<(String, Attribute)>,
}

/// What an attribute holds, as far as anybody asks.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Attribute {
    Number(i64),
    /// As new nodes have them: nobody asks for those of a file.
    Numbers(Vec<i64>),
    Float(f32),
    /// A short one.
    Text(String),
    /// A graph within the graph, which may name what stands outside of it.
    Body,
    Other,
}

impl Node {
    /// The attribute `name`, where it is a whole number.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        let found = self.attributes.iter().find(|(n, _)| n == name);
        found.and_then(|(_, attribute)| match attribute {
            Attribute::Number(number) => Some(*number),
            _ => None,
        })
    }

    /// Whether there is a graph within it.
    pub(super) fn has_body(&self) -> bool {
        self.attributes.iter().any(|(_, a)| *a == Attribute::Body)
    }

    /// Whether it is ONNX Runtime's operator of that name.
    pub(super) fn is_microsoft(&self, op_type: &str) -> bool {
        self.domain == MICROSOFT && self.op_type == op_type
    }

    /// The name at `place` among its inputs, empty where that is left out.
    pub(super) fn input(&self, place: usize) -> &str {
        self.inputs.get(place).map_or("", String::as_str)
    }

    /// The name at `place` among its outputs, empty where that is left out.
    pub(super) fn output(&self, place: usize) -> &str {
        self.outputs.get(place).map_or("", String::as_str)
    }
}

#[derive(Debug, Default, Clone)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) dims: Vec<i64>,
    pub(super) data_type: i32,
    /// Where its bytes lie in the graph file.
    pub(super) raw: Option<Range<u64>>,
    /// Where its f32 numbers lie in the graph file, where they are written as a list.
    pub(super) floats: Option<Range<u64>>,
    /// Its bytes lie in another file, and `entries` say where.
    pub(super) is_external: bool,
    pub(super) entries: Vec<(String, String)>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct ValueInfo {
    pub(super) name: String,
    /// `TensorProto.DataType`; 0 where it is no tensor.
    pub(super) element: i32,
    pub(super) shape: Vec<Dim>,
}

/// A dimension is a number, a name, or unknown.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) enum Dim {
    #[default]
    Unknown,
    Fixed(i64),
    Named(String),
}

/// `TensorProto.DataType`: name and bits per element, for the types of fixed size.
pub(super) fn element_type(code: i32) -> Option<(&'static str, u64)> {
    Some(match code {
        1 => ("f32", 32),
        2 => ("uint8", 8),
        3 => ("int8", 8),
        4 => ("uint16", 16),
        5 => ("int16", 16),
        6 => ("int32", 32),
        7 => ("int64", 64),
        9 => ("bool", 8),
        10 => ("f16", 16),
        11 => ("f64", 64),
        12 => ("uint32", 32),
        13 => ("uint64", 64),
        14 => ("complex64", 64),
        15 => ("complex128", 128),
        16 => ("bf16", 16),
        17 | 18 => ("f8e4m3", 8),
        19 | 20 => ("f8e5m2", 8),
        21 => ("uint4", 4),
        22 => ("int4", 4),
        23 => ("f4e2m1", 4),
        24 => ("f8e8m0", 8),
        25 => ("uint2", 2),
        26 => ("int2", 2),
        _ => return None,
    })
}
