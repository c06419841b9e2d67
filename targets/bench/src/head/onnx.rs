//! The same pooling as an ONNX graph, written field by field (`onnx.proto3`, IR version 8, operator set 17).

use curt_kernels::Dtype;

use super::problem::{Pooling, Problem};

/// The model file: inputs `k`, `v` and `q` (`v` alone for means), output `out`. The processor's operators work in f32,
/// so that other dtypes are converted first.
pub fn model(problem: &Problem) -> Vec<u8> {
    let kv = kv_shape(problem);
    let mut graph = Message::default();
    let mut node = |op: &str, inputs: &[&str], output: &str, attributes: &[Message]| {
        graph.message(1, &self::node(op, inputs, output, attributes));
    };
    let mut as_f32 = |name, converted: &'static str| {
        if problem.dtype == Dtype::F32 {
            return name;
        }
        node("Cast", &[name], converted, &[integer("to", F32)]);
        converted
    };
    let values = as_f32("v", "v32");
    let keys = match problem.pooling {
        Pooling::Attend => Some(as_f32("k", "k32")),
        Pooling::Mean => None,
    };
    // The scales go to what is small: to the queries and to the result.
    let scaled = problem.dtype == Dtype::I8;
    let pooled = if scaled { "pooled" } else { "out" };
    match keys {
        None => {
            let axes = [integers("axes", &[3]), integer("keepdims", 0)];
            node("ReduceMean", &[values], pooled, &axes);
        }
        Some(keys) => {
            let mut queries = "q";
            if scaled {
                node("Mul", &[queries, "scale"], "scaled", &[]);
                queries = "scaled";
            }
            let order = integers("perm", &[0, 1, 2, 4, 3]);
            node("Transpose", &[keys], "transposed", &[order]);
            node("MatMul", &[queries, "transposed"], "logits", &[]);
            node("Softmax", &["logits"], "weights", &[integer("axis", -1)]);
            node("MatMul", &["weights", values], pooled, &[]);
        }
    }
    if scaled {
        node("Mul", &[pooled, "scale"], "out", &[]);
    }
    graph.text(2, "head");
    if scaled {
        let mut scale = Message::default();
        scale.number(2, F32);
        scale.text(8, "scale");
        scale.bytes(9, &problem.scale().to_le_bytes());
        graph.message(5, &scale);
    }
    let code = match problem.dtype {
        Dtype::F32 => F32,
        Dtype::F16 => 10,
        Dtype::Bf16 => 16,
        Dtype::I8 => 3,
    };
    graph.message(11, &tensor("v", code, &kv));
    if problem.pooling == Pooling::Attend {
        graph.message(11, &tensor("k", code, &kv));
        graph.message(11, &tensor("q", F32, &query_shape(problem)));
    }
    graph.message(12, &tensor("out", F32, &result_shape(problem)));
    let mut opset = Message::default();
    opset.number(2, 17);
    let mut model = Message::default();
    model.number(1, 8);
    model.message(7, &graph);
    model.message(8, &opset);
    model.0
}

/// `TensorProto.DataType.FLOAT`
const F32: i64 = 1;

/// `[layers, paths, kv_heads, window, head_dim]`
pub fn kv_shape(problem: &Problem) -> Vec<i64> {
    let s = &problem.shape;
    dimensions(&[s.layers, s.paths, s.kv_heads, s.window, s.head_dim])
}

/// `[layers, 1, kv_heads, queries, head_dim]`
pub fn query_shape(problem: &Problem) -> Vec<i64> {
    let s = &problem.shape;
    dimensions(&[s.layers, 1, s.kv_heads, s.queries, s.head_dim])
}

/// `[layers, paths, kv_heads, queries, head_dim]`; without queries for means.
pub fn result_shape(problem: &Problem) -> Vec<i64> {
    let s = &problem.shape;
    match problem.pooling {
        Pooling::Attend => dimensions(&[s.layers, s.paths, s.kv_heads, s.queries, s.head_dim]),
        Pooling::Mean => dimensions(&[s.layers, s.paths, s.kv_heads, s.head_dim]),
    }
}

fn dimensions(sizes: &[usize]) -> Vec<i64> {
    sizes.iter().map(|&n| n as i64).collect()
}

fn node(op: &str, inputs: &[&str], output: &str, attributes: &[Message]) -> Message {
    let mut node = Message::default();
    for input in inputs {
        node.text(1, input);
    }
    node.text(2, output);
    node.text(4, op);
    for attribute in attributes {
        node.message(5, attribute);
    }
    node
}

fn integer(name: &str, value: i64) -> Message {
    let mut attribute = Message::default();
    attribute.text(1, name);
    attribute.number(3, value);
    attribute.number(20, 2);
    attribute
}

fn integers(name: &str, values: &[i64]) -> Message {
    let mut attribute = Message::default();
    attribute.text(1, name);
    for &value in values {
        attribute.number(8, value);
    }
    attribute.number(20, 7);
    attribute
}

fn tensor(name: &str, code: i64, shape: &[i64]) -> Message {
    let mut dimensions = Message::default();
    for &size in shape {
        let mut dimension = Message::default();
        dimension.number(1, size);
        dimensions.message(1, &dimension);
    }
    let mut tensor = Message::default();
    tensor.number(1, code);
    tensor.message(2, &dimensions);
    let mut kind = Message::default();
    kind.message(1, &tensor);
    let mut value = Message::default();
    value.text(1, name);
    value.message(2, &kind);
    value
}

/// A protocol buffer message, encoded.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u64, value: i64) {
        self.varint(field << 3);
        self.varint(value as u64);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn message(&mut self, field: u64, message: &Message) {
        self.bytes(field, &message.0);
    }
}
