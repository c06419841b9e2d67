//! A package's identity: all that decides what its graphs compute and what their tokens mean.
//!
//! Two builds of one model have the same fingerprint: names of files, order of tensors, names of nodes, comments, time
//! stamps and whether weights lie in the graph file do not count. All else in a graph file does, known or not, since each
//! field is hashed that is not listed here as one of these.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::onnx::{self, Field, Value, Wire};
use super::weights::ExternalPlace;
use crate::error::{Error, Result};

/// Graphs within graphs, and what lies between them.
const MAX_DEPTH: usize = 64;

/// A hash of named parts.
#[derive(Default)]
pub(super) struct Fingerprint(Sha256);

impl Fingerprint {
    /// Adds a part: its name, its length and itself, so that no two lists of parts hash alike.
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) {
        for bytes in [name.as_bytes(), bytes] {
            self.0.update((bytes.len() as u64).to_le_bytes());
            self.0.update(bytes);
        }
    }

    /// Adds all that the graph in `file` computes. Reads every weight, through a small buffer.
    ///
    /// # Errors
    /// [`crate::Error::Io`] and [`crate::Error::Package`] where the file, or one of its weights, has changed since it was
    /// opened.
    pub(super) fn add_graph(&mut self, name: &str, file: &Path) -> Result<()> {
        let mut wire = Wire::open(file)?;
        let mut walk = Walk {
            file,
            open: BTreeMap::new(),
        };
        let whole = wire.whole();
        let digest = walk.digest(&mut wire, Kind::Model, whole, 0)?;
        self.add(name, &digest);
        Ok(())
    }

    /// The hash of all parts, in hexadecimal.
    pub(super) fn finish(self) -> String {
        format!("{:x}", self.0.finalize())
    }
}

/// Messages of `onnx.proto3` in which some fields are not hashed as they lie.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    ValueInfo,
    Function,
}

/// What is done with a field.
enum Part {
    /// Its bytes are hashed.
    Plain,
    /// It says nothing of what is computed.
    Skip,
    /// A message.
    Message(Kind),
    /// A tensor among others, each of its own name: their order does not count.
    Named,
}

impl Kind {
    fn part(self, field: u32) -> Part {
        use Part::{Message, Named, Plain, Skip};
        match (self, field) {
            // Version of the file format, producer and its version, domain, version and comment, metadata.
            (Kind::Model, 1..=6 | 14) => Skip,
            (Kind::Model, 7) => Message(Kind::Graph),
            (Kind::Model, 25) => Message(Kind::Function),
            // Name, comment, metadata.
            (Kind::Graph, 2 | 10 | 16) => Skip,
            (Kind::Graph, 1) => Message(Kind::Node),
            (Kind::Graph, 5) => Named,
            (Kind::Graph, 11..=13) => Message(Kind::ValueInfo),
            (Kind::Graph, 15) => Message(Kind::SparseTensor),
            // Name, comment, metadata.
            (Kind::Node, 3 | 6 | 9) => Skip,
            (Kind::Node, 5) => Message(Kind::Attribute),
            (Kind::Attribute, 13) => Skip,
            (Kind::Attribute, 5 | 10) => Message(Kind::Tensor),
            (Kind::Attribute, 6 | 11) => Message(Kind::Graph),
            (Kind::Attribute, 22 | 23) => Message(Kind::SparseTensor),
            // Comment, where its bytes lie, metadata; the bytes are hashed wherever they lie.
            (Kind::Tensor, 9 | 12..=14 | 16) => Skip,
            (Kind::SparseTensor, 1 | 2) => Message(Kind::Tensor),
            (Kind::ValueInfo, 3 | 4) => Skip,
            (Kind::Function, 8 | 14) => Skip,
            (Kind::Function, 7) => Message(Kind::Node),
            (Kind::Function, 11) => Message(Kind::Attribute),
            (Kind::Function, 12) => Message(Kind::ValueInfo),
            _ => Plain,
        }
    }
}

struct Walk<'a> {
    file: &'a Path,
    /// Files of weights, kept open.
    open: BTreeMap<PathBuf, Wire>,
}

impl Walk<'_> {
    fn digest(
        &mut self,
        wire: &mut Wire,
        kind: Kind,
        range: Range<u64>,
        depth: usize,
    ) -> Result<[u8; 32]> {
        if depth > MAX_DEPTH {
            return Err(wire.refuse(format!("messages more than {MAX_DEPTH} deep")));
        }
        let mut hash = Sha256::new();
        if kind == Kind::Tensor {
            self.contents(wire, range.clone(), &mut hash)?;
        }
        let mut named: BTreeMap<String, [u8; 32]> = BTreeMap::new();
        wire.fields(range, |wire, Field { number, value }| {
            match (kind.part(number), value) {
                (Part::Skip, _) => {}
                (Part::Message(kind), Value::Bytes(range)) => {
                    let digest = self.digest(wire, kind, range, depth + 1)?;
                    label(&mut hash, number, b'm', 32);
                    hash.update(digest);
                }
                (Part::Named, Value::Bytes(range)) => {
                    let name = onnx::tensor(wire, range.clone())?.name;
                    let digest = self.digest(wire, Kind::Tensor, range, depth + 1)?;
                    if named.insert(name.clone(), digest).is_some() {
                        let expected = format!("one tensor named {name:?}");
                        return Err(Error::package(self.file, "graph", expected, "several"));
                    }
                }
                (_, Value::Bytes(range)) => {
                    label(&mut hash, number, b'b', range.end - range.start);
                    wire.stream(range, |piece| hash.update(piece))?;
                }
                (_, Value::Varint(n) | Value::Fixed64(n)) => label(&mut hash, number, b'n', n),
                (_, Value::Fixed32(n)) => label(&mut hash, number, b'n', n.into()),
            }
            Ok(())
        })?;
        label(&mut hash, 0, b's', named.len() as u64);
        named.values().for_each(|digest| hash.update(digest));
        Ok(hash.finalize().into())
    }

    /// The bytes of a tensor, from wherever ONNX Runtime takes them.
    fn contents(&mut self, wire: &mut Wire, range: Range<u64>, hash: &mut Sha256) -> Result<()> {
        let tensor = onnx::tensor(wire, range)?;
        let take = |hash: &mut Sha256, length: u64| label(hash, 9, b'b', length);
        match (ExternalPlace::of(self.file, &tensor)?, tensor.raw) {
            (Some(place), _) => {
                take(hash, place.length);
                place.stream(&mut self.open, |piece| hash.update(piece))
            }
            (None, Some(raw)) => {
                take(hash, raw.end - raw.start);
                wire.stream(raw, |piece| hash.update(piece))
            }
            (None, None) => Ok(()),
        }
    }
}

/// What comes next: of which field, of which shape, and its length or value.
fn label(hash: &mut Sha256, field: u32, shape: u8, length: u64) {
    hash.update(field.to_le_bytes());
    hash.update([shape]);
    hash.update(length.to_le_bytes());
}
