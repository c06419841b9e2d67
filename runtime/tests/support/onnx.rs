//! Editing an ONNX file field by field: a message is a list of fields, and what is not touched stays as it is.

use std::fs;
use std::path::Path;

/// What a field holds, as it is written.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Number(u64),
    Fixed(Vec<u8>),
    Bytes(Vec<u8>),
}

/// A protobuf message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message(pub Vec<(u32, Value)>);

// Of `onnx.proto3`.
pub const MODEL_GRAPH: u32 = 7;
pub const MODEL_OPSETS: u32 = 8;
pub const MODEL_FUNCTIONS: u32 = 25;
pub const GRAPH_NODES: u32 = 1;
pub const GRAPH_INITIALIZERS: u32 = 5;
pub const NODE_ATTRIBUTES: u32 = 5;
pub const TENSOR_NAME: u32 = 8;
pub const TENSOR_RAW: u32 = 9;
pub const TENSOR_ENTRIES: u32 = 13;
pub const TENSOR_LOCATION: u32 = 14;

impl Message {
    pub fn parse(mut bytes: &[u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = number(&mut bytes);
            let value = match key & 7 {
                0 => Value::Number(number(&mut bytes)),
                1 => Value::Fixed(take(&mut bytes, 8)),
                5 => Value::Fixed(take(&mut bytes, 4)),
                2 => {
                    let length = number(&mut bytes) as usize;
                    Value::Bytes(take(&mut bytes, length))
                }
                other => panic!("wire type {other}"),
            };
            fields.push(((key >> 3) as u32, value));
        }
        Self(fields)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (field, value) in &self.0 {
            let field = u64::from(*field) << 3;
            match value {
                Value::Number(n) => {
                    write(&mut bytes, field);
                    write(&mut bytes, *n);
                }
                Value::Fixed(fixed) => {
                    write(&mut bytes, field | if fixed.len() == 8 { 1 } else { 5 });
                    bytes.extend(fixed);
                }
                Value::Bytes(content) => {
                    write(&mut bytes, field | 2);
                    write(&mut bytes, content.len() as u64);
                    bytes.extend(content);
                }
            }
        }
        bytes
    }

    pub fn with(mut self, field: u32, content: impl Into<Vec<u8>>) -> Self {
        self.0.push((field, Value::Bytes(content.into())));
        self
    }

    /// The content of the first of `field`.
    pub fn bytes(&self, field: u32) -> &[u8] {
        let found = self.0.iter().find(|(number, _)| *number == field);
        match found {
            Some((_, Value::Bytes(bytes))) => bytes,
            other => panic!("field {field} is {other:?}"),
        }
    }

    pub fn text(&self, field: u32) -> String {
        String::from_utf8(self.bytes(field).to_vec()).unwrap()
    }

    pub fn remove(&mut self, field: u32) {
        self.0.retain(|(number, _)| *number != field);
    }

    /// Every message that stands as `field`.
    pub fn messages(&self, field: u32) -> Vec<Message> {
        let of = self.0.iter().filter(|(number, _)| *number == field);
        of.map(|(_, value)| match value {
            Value::Bytes(bytes) => Message::parse(bytes),
            other => panic!("field {field} is {other:?}"),
        })
        .collect()
    }

    /// Changes every message that stands as `field`.
    pub fn each(&mut self, field: u32, mut change: impl FnMut(&mut Message)) {
        for (number, value) in &mut self.0 {
            if let Value::Bytes(bytes) = value
                && *number == field
            {
                let mut message = Message::parse(bytes);
                change(&mut message);
                *bytes = message.to_bytes();
            }
        }
    }
}

/// Changes the model in `file`.
pub fn edit_model(file: &Path, change: impl FnOnce(&mut Message)) {
    let mut model = Message::parse(&fs::read(file).unwrap());
    change(&mut model);
    fs::write(file, model.to_bytes()).unwrap();
}

/// Changes the graph of the model in `file`.
pub fn edit_graph(file: &Path, change: impl FnMut(&mut Message)) {
    edit_model(file, |model| model.each(MODEL_GRAPH, change));
}

/// An entry of a tensor's external data.
pub fn entry(key: &str, value: &str) -> Message {
    Message::default().with(1, key).with(2, value)
}

fn take(bytes: &mut &[u8], length: usize) -> Vec<u8> {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken.to_vec()
}

fn number(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

fn write(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
