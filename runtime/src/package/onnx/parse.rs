//! From fields to the types of this module, within a bound of memory and depth.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Attribute, Dim, Field, Graph, Model, Node, Tensor, Value, ValueInfo, Wire};
use crate::error::Result;

/// Most bytes of memory that the structure of one graph may take. That of a model of 100 blocks takes some 30 MB.
const MAX_KEPT_BYTES: usize = 256 << 20;

/// Longest name. Exporters join the names of nested modules, some hundred bytes.
const MAX_NAME_BYTES: u64 = 64 << 10;

/// Longest text of an attribute that is kept: those that say which of a few things is meant.
const MAX_TEXT_BYTES: u64 = 64;

/// Graphs within graphs: bodies of conditions and loops.
const MAX_DEPTH: usize = 16;

/// Reads the structure of the graph file `wire`.
///
/// # Errors
/// [`crate::Error::Package`] where it is no ONNX model or its structure is larger than any model's;
/// [`crate::Error::Io`].
pub(in crate::package) fn model(wire: &mut Wire) -> Result<Model> {
    let mut parser = Parser::default();
    let mut model = Model::default();
    let mut graphs = 0;
    wire.fields(wire.whole(), |wire, field| {
        match (field.number, field.value) {
            (7, Value::Bytes(range)) => {
                graphs += 1;
                parser.graph(wire, range, &mut model.graph, 0)
            }
            (8, Value::Bytes(range)) => {
                if let Some(version) = parser.opset(wire, range)? {
                    model.opset = version;
                }
                Ok(())
            }
            (25, Value::Bytes(range)) => {
                let name = parser.function(wire, range)?;
                model.functions.push(name);
                Ok(())
            }
            _ => Ok(()),
        }
    })?;
    if graphs == 0 {
        return Err(wire.refuse("a model without a graph"));
    }
    model.external = parser.external;
    Ok(model)
}

/// The tensor that lies at `range`.
///
/// # Errors
/// Those of [`model`].
pub(in crate::package) fn tensor(wire: &mut Wire, range: Range<u64>) -> Result<Tensor> {
    Parser::default().tensor(wire, range)
}

#[derive(Default)]
struct Parser {
    kept_bytes: usize,
    external: Vec<Tensor>,
}

impl Parser {
    /// Counts memory before it is taken.
    fn keep(&mut self, wire: &Wire, bytes: usize) -> Result<()> {
        self.kept_bytes = self.kept_bytes.saturating_add(bytes);
        if self.kept_bytes > MAX_KEPT_BYTES {
            return Err(wire.refuse(format!("a structure of more than {MAX_KEPT_BYTES} bytes")));
        }
        Ok(())
    }

    fn push<T>(&mut self, wire: &Wire, list: &mut Vec<T>, item: T) -> Result<()> {
        self.keep(wire, size_of::<T>())?;
        list.push(item);
        Ok(())
    }

    fn text(&mut self, wire: &mut Wire, range: Range<u64>) -> Result<String> {
        let length = range.end - range.start;
        if length > MAX_NAME_BYTES {
            return Err(wire.refuse(format!("a name of {length} bytes at {}", range.start)));
        }
        self.keep(wire, length as usize)?;
        let mut bytes = Vec::with_capacity(length as usize);
        let start = range.start;
        wire.stream(range, |piece| bytes.extend_from_slice(piece))?;
        String::from_utf8(bytes)
            .map_err(|_| wire.refuse(format!("a name at {start} that is no UTF-8")))
    }

    /// The version, where the set is that of ONNX itself.
    fn opset(&mut self, wire: &mut Wire, range: Range<u64>) -> Result<Option<i64>> {
        let (mut domain, mut version) = (String::new(), 0);
        wire.fields(range, |wire, field| {
            match (field.number, field.value) {
                (1, Value::Bytes(range)) => domain = self.text(wire, range)?,
                (2, Value::Varint(number)) => version = number.cast_signed(),
                _ => {}
            }
            Ok(())
        })?;
        Ok((domain.is_empty() || domain == "ai.onnx").then_some(version))
    }

    fn graph(
        &mut self,
        wire: &mut Wire,
        range: Range<u64>,
        graph: &mut Graph,
        depth: usize,
    ) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(wire.refuse(format!("graphs within graphs, more than {MAX_DEPTH} deep")));
        }
        wire.fields(range, |wire, Field { number, value }| {
            let Value::Bytes(range) = value else {
                return Ok(());
            };
            match number {
                1 => {
                    let node = self.node(wire, range, depth)?;
                    self.push(wire, &mut graph.nodes, node)
                }
                5 => {
                    let tensor = self.tensor(wire, range)?;
                    self.push(wire, &mut graph.initializers, tensor)
                }
                11 | 12 => {
                    let info = self.value_info(wire, range)?;
                    let list = if number == 11 {
                        &mut graph.inputs
                    } else {
                        &mut graph.outputs
                    };
                    self.push(wire, list, info)
                }
                15 => {
                    let name = self.sparse_tensor(wire, range)?;
                    self.push(wire, &mut graph.sparse, name)
                }
                _ => Ok(()),
            }
        })
    }

    fn node(&mut self, wire: &mut Wire, range: Range<u64>, depth: usize) -> Result<Node> {
        let mut node = Node::default();
        let mut names = BTreeSet::new();
        wire.fields(range, |wire, Field { number, value }| {
            let Value::Bytes(range) = value else {
                return Ok(());
            };
            match number {
                1 | 2 => {
                    let name = self.text(wire, range)?;
                    let list = if number == 1 {
                        &mut node.inputs
                    } else {
                        &mut node.outputs
                    };
                    self.push(wire, list, name)
                }
                4 => self.text(wire, range).map(|text| node.op_type = text),
                5 => {
                    let (name, attribute) = self.attribute(wire, range, depth)?;
                    self.push(wire, &mut node.attributes, (name.clone(), attribute))?;
                    if names.contains(&name) {
                        return Err(
                            wire.refuse(format!("a node with the attribute {name:?} twice"))
                        );
                    }
                    names.insert(name);
                    Ok(())
                }
                7 => self.text(wire, range).map(|text| node.domain = text),
                _ => Ok(()),
            }
        })?;
        Ok(node)
    }

    /// The attribute's name and value.
    fn attribute(
        &mut self,
        wire: &mut Wire,
        range: Range<u64>,
        depth: usize,
    ) -> Result<(String, Attribute)> {
        let mut name = String::new();
        let mut attribute = Attribute::Other;
        wire.fields(range, |wire, Field { number, value }| {
            match (number, value) {
                (1, Value::Bytes(range)) => self.text(wire, range).map(|text| name = text),
                (2, Value::Fixed32(bits)) => {
                    attribute = Attribute::Float(f32::from_bits(bits));
                    Ok(())
                }
                (3, Value::Varint(i)) => {
                    attribute = Attribute::Number(i.cast_signed());
                    Ok(())
                }
                (4, Value::Bytes(range)) if range.end - range.start <= MAX_TEXT_BYTES => {
                    attribute = match self.text(wire, range) {
                        Ok(text) => Attribute::Text(text),
                        // Bytes that are no text are allowed there.
                        Err(_) => Attribute::Other,
                    };
                    Ok(())
                }
                (5 | 10, Value::Bytes(range)) => self.tensor(wire, range).map(drop),
                (6 | 11, Value::Bytes(range)) => {
                    attribute = Attribute::Body;
                    self.graph(wire, range, &mut Graph::default(), depth + 1)
                }
                (22 | 23, Value::Bytes(range)) => self.sparse_tensor(wire, range).map(drop),
                _ => Ok(()),
            }
        })?;
        Ok((name, attribute))
    }

    fn tensor(&mut self, wire: &mut Wire, range: Range<u64>) -> Result<Tensor> {
        let mut tensor = Tensor::default();
        wire.fields(range, |wire, Field { number, value }| {
            match (number, value) {
                (1, Value::Varint(dim)) => {
                    self.push(wire, &mut tensor.dims, dim.cast_signed())?;
                }
                (1, Value::Bytes(range)) => {
                    let (start, bytes) = (range.start, range.end - range.start);
                    // A number takes at least one byte.
                    self.keep(wire, size_of::<i64>().saturating_mul(bytes as usize))?;
                    wire.varints(start..start + bytes, |dim| {
                        tensor.dims.push(dim.cast_signed());
                        Ok(())
                    })?;
                }
                (2, Value::Varint(kind)) => tensor.data_type = kind as i32,
                (4, Value::Bytes(range)) => tensor.floats = Some(range),
                (8, Value::Bytes(range)) => tensor.name = self.text(wire, range)?,
                (9, Value::Bytes(range)) => tensor.raw = Some(range),
                (13, Value::Bytes(range)) => {
                    let entry = self.entry(wire, range)?;
                    self.push(wire, &mut tensor.entries, entry)?;
                }
                (14, Value::Varint(place)) => tensor.is_external = place == 1,
                _ => {}
            }
            Ok(())
        })?;
        if tensor.is_external {
            let copied = tensor.name.len()
                + tensor.dims.len() * size_of::<i64>()
                + tensor
                    .entries
                    .iter()
                    .map(|(k, v)| k.len() + v.len())
                    .sum::<usize>();
            self.keep(wire, size_of::<Tensor>() + copied)?;
            self.external.push(tensor.clone());
        }
        Ok(tensor)
    }

    fn entry(&mut self, wire: &mut Wire, range: Range<u64>) -> Result<(String, String)> {
        let mut entry = (String::new(), String::new());
        wire.fields(range, |wire, Field { number, value }| {
            match (number, value) {
                (1, Value::Bytes(range)) => self.text(wire, range).map(|text| entry.0 = text),
                (2, Value::Bytes(range)) => self.text(wire, range).map(|text| entry.1 = text),
                _ => Ok(()),
            }
        })?;
        Ok(entry)
    }

    /// The name of a sparse tensor: that of its values.
    fn sparse_tensor(&mut self, wire: &mut Wire, range: Range<u64>) -> Result<String> {
        let mut name = String::new();
        wire.fields(range, |wire, Field { number, value }| {
            match (number, value) {
                (1, Value::Bytes(range)) => {
                    self.tensor(wire, range).map(|values| name = values.name)
                }
                (2, Value::Bytes(range)) => self.tensor(wire, range).map(drop),
                _ => Ok(()),
            }
        })?;
        Ok(name)
    }

    fn value_info(&mut self, wire: &mut Wire, range: Range<u64>) -> Result<ValueInfo> {
        let mut info = ValueInfo::default();
        wire.fields(range, |wire, Field { number, value }| {
            match (number, value) {
                (1, Value::Bytes(range)) => self.text(wire, range).map(|text| info.name = text),
                (2, Value::Bytes(range)) => wire.fields(range, |wire, field| match field.value {
                    Value::Bytes(range) if field.number == 1 => {
                        self.tensor_type(wire, range, &mut info)
                    }
                    _ => Ok(()),
                }),
                _ => Ok(()),
            }
        })?;
        Ok(info)
    }

    fn tensor_type(
        &mut self,
        wire: &mut Wire,
        range: Range<u64>,
        info: &mut ValueInfo,
    ) -> Result<()> {
        wire.fields(range, |wire, Field { number, value }| {
            match (number, value) {
                (1, Value::Varint(element)) => {
                    info.element = element as i32;
                    Ok(())
                }
                (2, Value::Bytes(range)) => wire.fields(range, |wire, field| match field.value {
                    Value::Bytes(range) if field.number == 1 => {
                        let dim = self.dim(wire, range)?;
                        self.push(wire, &mut info.shape, dim)
                    }
                    _ => Ok(()),
                }),
                _ => Ok(()),
            }
        })
    }

    fn dim(&mut self, wire: &mut Wire, range: Range<u64>) -> Result<Dim> {
        let mut dim = Dim::default();
        wire.fields(range, |wire, Field { number, value }| {
            match (number, value) {
                (1, Value::Varint(size)) => dim = Dim::Fixed(size.cast_signed()),
                (2, Value::Bytes(range)) => dim = Dim::Named(self.text(wire, range)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(dim)
    }

    /// The name of a function, after its body has been looked through for tensors.
    fn function(&mut self, wire: &mut Wire, range: Range<u64>) -> Result<String> {
        let mut name = String::new();
        wire.fields(range, |wire, Field { number, value }| {
            match (number, value) {
                (1, Value::Bytes(range)) => self.text(wire, range).map(|text| name = text),
                (7, Value::Bytes(range)) => self.node(wire, range, 1).map(drop),
                (11, Value::Bytes(range)) => self.attribute(wire, range, 1).map(drop),
                _ => Ok(()),
            }
        })?;
        self.keep(wire, size_of::<String>())?;
        Ok(name)
    }
}
