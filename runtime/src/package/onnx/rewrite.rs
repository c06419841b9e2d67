//! Another graph in memory, from a file that stays as it is: some nodes are replaced or left out, with inputs and outputs
//! that only they had. Everything else is copied byte for byte.

use std::collections::BTreeSet;

use super::{Attribute, Dim, Field, Value, ValueInfo, Wire};
use crate::error::Result;

/// What becomes of a graph.
#[derive(Debug, Default)]
pub(in crate::package) struct Rewriting<'a> {
    /// Of each node, in the order of the file.
    pub(in crate::package) nodes: Vec<NewNode<'a>>,
    /// Names of inputs, outputs and described values that are no more.
    pub(in crate::package) gone: BTreeSet<&'a str>,
    /// Outputs that are described anew.
    pub(in crate::package) outputs: Vec<ValueInfo>,
    /// An operator set that new nodes come from and the file does not name, and its version.
    pub(in crate::package) opset: Option<(&'a str, i64)>,
}

/// What becomes of a node.
#[derive(Debug)]
pub(in crate::package) enum NewNode<'a> {
    /// It stays.
    Kept,
    /// It stays, and at one place among its inputs reads what new nodes before it give.
    Reads {
        before: Vec<NewNode<'a>>,
        place: usize,
        name: &'a str,
    },
    /// It is left out.
    Gone,
    /// Another stands in its place.
    Replaced {
        op_type: &'a str,
        domain: &'a str,
        inputs: Vec<&'a str>,
        outputs: Vec<&'a str>,
        attributes: Vec<(&'a str, Attribute)>,
    },
}

impl Rewriting<'_> {
    /// The model in `wire`, rewritten.
    ///
    /// # Errors
    /// [`crate::Error::Package`] where it is no longer the model that was read, [`crate::Error::Io`].
    pub(in crate::package) fn write(&self, wire: &mut Wire) -> Result<Vec<u8>> {
        let mut model = Message::default();
        let mut nodes = self.nodes.iter();
        wire.fields(wire.whole(), |wire, field| match field.value {
            Value::Bytes(range) if field.number == 7 => {
                let mut graph = Message::default();
                wire.fields(range, |wire, field| {
                    self.graph_field(wire, field, &mut nodes, &mut graph)
                })?;
                model.bytes(7, &graph.0);
                Ok(())
            }
            _ => model.copy(wire, field),
        })?;
        if nodes.next().is_some() {
            return Err(wire.refuse("fewer nodes than there were when it was opened"));
        }
        if let Some((domain, version)) = self.opset {
            let mut opset = Message::default();
            opset.bytes(1, domain.as_bytes());
            opset.varint(2, version.cast_unsigned());
            model.bytes(8, &opset.0);
        }
        Ok(model.0)
    }

    fn graph_field<'n>(
        &'n self,
        wire: &mut Wire,
        field: Field,
        nodes: &mut impl Iterator<Item = &'n NewNode<'n>>,
        graph: &mut Message,
    ) -> Result<()> {
        match (field.number, &field.value) {
            (1, Value::Bytes(_)) => match nodes.next() {
                Some(NewNode::Kept) => graph.copy(wire, field),
                Some(NewNode::Reads {
                    before,
                    place,
                    name,
                }) => {
                    for new in before {
                        graph.bytes(1, &node(new).0);
                    }
                    let mut message = Message::default();
                    let (mut at, Value::Bytes(range)) = (0, field.value) else {
                        return Ok(());
                    };
                    wire.fields(range, |wire, field| {
                        let input = field.number == 1;
                        at += usize::from(input);
                        if input && at == place + 1 {
                            message.bytes(1, name.as_bytes());
                            return Ok(());
                        }
                        message.copy(wire, field)
                    })?;
                    graph.bytes(1, &message.0);
                    Ok(())
                }
                Some(NewNode::Gone) => Ok(()),
                Some(replaced) => {
                    graph.bytes(1, &node(replaced).0);
                    Ok(())
                }
                None => Err(wire.refuse("more nodes than there were when it was opened")),
            },
            (11..=13, Value::Bytes(range)) => {
                let mut name = Vec::new();
                wire.fields(range.clone(), |wire, field| match field.value {
                    Value::Bytes(range) if field.number == 1 => {
                        name.clear();
                        wire.stream(range, |piece| name.extend_from_slice(piece))
                    }
                    _ => Ok(()),
                })?;
                let name = str::from_utf8(&name).unwrap_or_default();
                let anew = self.outputs.iter().find(|output| output.name == name);
                match anew.filter(|_| field.number == 12) {
                    _ if self.gone.contains(name) => Ok(()),
                    Some(output) => {
                        graph.bytes(12, &value_info(output).0);
                        Ok(())
                    }
                    None => graph.copy(wire, field),
                }
            }
            _ => graph.copy(wire, field),
        }
    }
}

/// The message of a tensor's description.
fn value_info(info: &ValueInfo) -> Message {
    let mut shape = Message::default();
    for dim in &info.shape {
        let mut message = Message::default();
        match dim {
            Dim::Unknown => {}
            Dim::Fixed(size) => message.varint(1, size.cast_unsigned()),
            Dim::Named(name) => message.bytes(2, name.as_bytes()),
        }
        shape.bytes(1, &message.0);
    }
    let (mut tensor, mut kind, mut message) =
        (Message::default(), Message::default(), Message::default());
    tensor.varint(1, u64::from(info.element.cast_unsigned()));
    tensor.bytes(2, &shape.0);
    kind.bytes(1, &tensor.0);
    message.bytes(1, info.name.as_bytes());
    message.bytes(2, &kind.0);
    message
}

/// The message of a new node.
fn node(new: &NewNode<'_>) -> Message {
    let mut message = Message::default();
    let NewNode::Replaced {
        op_type,
        domain,
        inputs,
        outputs,
        attributes,
    } = new
    else {
        return message;
    };
    for name in inputs {
        message.bytes(1, name.as_bytes());
    }
    for name in outputs {
        message.bytes(2, name.as_bytes());
    }
    message.bytes(4, op_type.as_bytes());
    for (name, value) in attributes {
        // `AttributeProto.AttributeType`, which the library asks for.
        const FLOAT: u64 = 1;
        const INT: u64 = 2;
        const INTS: u64 = 7;
        let mut attribute = Message::default();
        attribute.bytes(1, name.as_bytes());
        match value {
            Attribute::Number(number) => {
                attribute.varint(3, number.cast_unsigned());
                attribute.varint(20, INT);
            }
            Attribute::Float(number) => {
                attribute.fixed32(2, number.to_bits());
                attribute.varint(20, FLOAT);
            }
            Attribute::Numbers(numbers) => {
                for number in numbers {
                    attribute.varint(8, number.cast_unsigned());
                }
                attribute.varint(20, INTS);
            }
            Attribute::Text(_) | Attribute::Body | Attribute::Other => continue,
        }
        message.bytes(5, &attribute.0);
    }
    message.bytes(7, domain.as_bytes());
    message
}

/// A protobuf message in the making.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, number: u32, wire_type: u64) {
        self.number(u64::from(number) << 3 | wire_type);
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn varint(&mut self, field: u32, number: u64) {
        self.key(field, 0);
        self.number(number);
    }

    fn fixed32(&mut self, field: u32, bits: u32) {
        self.key(field, 5);
        self.0.extend(bits.to_le_bytes());
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.key(field, 2);
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A field as it stands in the file.
    fn copy(&mut self, wire: &mut Wire, field: Field) -> Result<()> {
        match field.value {
            Value::Varint(number) => self.varint(field.number, number),
            Value::Fixed32(bits) => self.fixed32(field.number, bits),
            Value::Fixed64(bits) => {
                self.key(field.number, 1);
                self.0.extend(bits.to_le_bytes());
            }
            Value::Bytes(range) => {
                self.key(field.number, 2);
                self.number(range.end - range.start);
                wire.stream(range, |piece| self.0.extend_from_slice(piece))?;
            }
        }
        Ok(())
    }
}
