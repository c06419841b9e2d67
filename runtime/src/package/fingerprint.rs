//! A package's identity: its tensors, its graph and what gives its tokens meaning.
//!
//! Two builds of the same model have the same fingerprint: file names, tensor order, node names, comments and time
//! stamps do not count.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use sha2::{Digest, Sha256};

use super::graph::{DecoderGraph, ExternalPlace};
use super::onnx;
use crate::error::{Error, Result};

/// Hashes the package in `dir`.
///
/// `meaning` are the facts of the config and the texts (tokenizer, template) that change what a token does.
pub(super) fn fingerprint(
    dir: &Path,
    graph: &DecoderGraph,
    meaning: &[(&str, &[u8])],
) -> Result<String> {
    let mut hash = Sha256::new();
    for (name, bytes) in meaning {
        field(&mut hash, name, bytes);
    }
    for node in &graph.model.node {
        hash_node(&mut hash, node);
    }
    let tensors: BTreeMap<&str, &onnx::Tensor> = graph
        .model
        .initializer
        .iter()
        .map(|t| (t.name.as_str(), t))
        .collect();
    let mut maps: BTreeMap<PathBuf, Mmap> = BTreeMap::new();
    for (name, tensor) in tensors {
        field(&mut hash, "tensor", name.as_bytes());
        hash.update(tensor.data_type.to_le_bytes());
        for dim in &tensor.dims {
            hash.update(dim.to_le_bytes());
        }
        match ExternalPlace::of(dir, &graph.file, tensor)? {
            None => hash_inline(&mut hash, tensor),
            Some(place) => hash_external(&mut hash, &mut maps, &place)?,
        }
    }
    Ok(format!("{:x}", hash.finalize()))
}

/// Name, length and content, so that no two sequences of fields hash alike.
fn field(hash: &mut Sha256, name: &str, bytes: &[u8]) {
    hash.update((name.len() as u64).to_le_bytes());
    hash.update(name.as_bytes());
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

fn hash_node(hash: &mut Sha256, node: &onnx::Node) {
    field(hash, &node.domain, node.op_type.as_bytes());
    for (side, names) in [("in", &node.input), ("out", &node.output)] {
        for name in names {
            field(hash, side, name.as_bytes());
        }
    }
    let attributes: BTreeMap<&str, &onnx::Attribute> = node
        .attribute
        .iter()
        .map(|a| (a.name.as_str(), a))
        .collect();
    for (name, a) in attributes {
        for bytes in [&a.s, &a.t, &a.g].into_iter().chain(&a.strings) {
            field(hash, name, bytes);
        }
        hash.update(a.i.to_le_bytes());
        hash.update(a.f.to_le_bytes());
        for value in &a.ints {
            hash.update(value.to_le_bytes());
        }
        for value in &a.floats {
            hash.update(value.to_le_bytes());
        }
    }
}

fn hash_inline(hash: &mut Sha256, tensor: &onnx::Tensor) {
    hash.update(&tensor.raw_data);
    for value in &tensor.float_data {
        hash.update(value.to_le_bytes());
    }
    for value in &tensor.int32_data {
        hash.update(value.to_le_bytes());
    }
    for value in &tensor.int64_data {
        hash.update(value.to_le_bytes());
    }
    for value in &tensor.double_data {
        hash.update(value.to_le_bytes());
    }
    for value in &tensor.uint64_data {
        hash.update(value.to_le_bytes());
    }
}

fn hash_external(
    hash: &mut Sha256,
    maps: &mut BTreeMap<PathBuf, Mmap>,
    place: &ExternalPlace,
) -> Result<()> {
    if !maps.contains_key(&place.file) {
        maps.insert(place.file.clone(), super::map(&place.file)?);
    }
    let (start, end) = (
        place.offset as usize,
        (place.offset + place.length) as usize,
    );
    match maps[&place.file].get(start..end) {
        Some(bytes) => hash.update(bytes),
        None => {
            return Err(Error::package(
                &place.file,
                "length",
                format!("at least {end} bytes"),
                format!("{} bytes", maps[&place.file].len()),
            ));
        }
    }
    Ok(())
}
