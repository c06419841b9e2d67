//! How a graph rotates its keys, from the table of cosines that its attention reads.

use std::collections::{BTreeMap, BTreeSet};

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use super::graph::DecoderGraph;
use super::onnx::{self, Node, Wire};
use super::weights::ExternalPlace;
use crate::error::Result;
use crate::kv::KvLayout;

/// A rotary position embedding of one base (arXiv 2104.09864, §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotary {
    /// Base of the angles.
    pub theta: f64,
    /// Leading elements of a head that are rotated; even.
    pub dims: usize,
    /// Whether neighbours form a pair, (0, 1), (2, 3); otherwise (0, dims/2), (1, dims/2 + 1).
    pub interleaved: bool,
}

/// Whether and how a graph rotates the keys that it caches.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyRotation {
    /// Keys are cached as they were projected.
    None,
    /// Every layer rotates by this embedding.
    Described(Rotary),
    /// They may be rotated, and [`Rotary`] does not describe how.
    Unknown {
        /// What was found, to stand in a sentence.
        why: String,
    },
}

/// How far, of its size, the base can be off that is read from one cosine: single precision (6e-8) taken to the power of
/// half the rotated elements (at most 128 in public models) gives 8e-6.
const BASE_TOLERANCE: f64 = 1e-4;

/// How far an entry of the table may be off: exporters compute angles of some thousands in single precision (5e-4), and
/// store them in half precision at worst (5e-4).
const TABLE_TOLERANCE: f64 = 5e-3;

/// The table of cosines that `node` rotates by, and whether neighbours form a pair. `None` where it does not rotate.
fn table(node: &Node) -> Option<(&str, bool)> {
    let set = |name: &str| node.number(name) == Some(1);
    if node.is_microsoft("GroupQueryAttention") {
        set("do_rotary").then(|| (node.input(7), set("rotary_interleaved")))
    } else if node.op_type == "RotaryEmbedding" {
        // ONNX Runtime's has positions before the table, that of the standard after it.
        let place = if node.domain == onnx::MICROSOFT { 2 } else { 1 };
        Some((node.input(place), set("interleaved")))
    } else {
        None
    }
}

/// Positions that the tables of `graph` reach: what it can rotate. `None` where it has no table that says.
pub(super) fn positions(graph: &onnx::Graph) -> Option<usize> {
    let names: BTreeSet<&str> = graph.nodes.iter().filter_map(table).map(|t| t.0).collect();
    graph
        .initializers
        .iter()
        .filter(|t| names.contains(t.name.as_str()))
        .filter_map(|t| usize::try_from(*t.dims.first()?).ok())
        .min()
}

/// What the operators of `graph` say of the rotation of its keys.
///
/// # Errors
/// [`crate::Error::Io`] where the table can no longer be read.
pub(super) fn key_rotation(graph: &DecoderGraph) -> Result<KeyRotation> {
    let unknown = |why: &str| Ok(KeyRotation::Unknown { why: why.into() });
    let of = &graph.model.graph;
    if !graph.model.functions.is_empty() {
        return unknown("its graph has operators of its own");
    }
    // Exported from the model's own code, angle by angle.
    if of
        .nodes
        .iter()
        .any(|n| ["Cos", "Sin"].contains(&n.op_type.as_str()))
    {
        return unknown("its graph computes its angles");
    }
    let mut tables: BTreeSet<(&str, bool)> = of.nodes.iter().filter_map(table).collect();
    let (name, interleaved) = match (tables.pop_first(), tables.pop_first()) {
        (Some(one), None) => one,
        (Some(_), Some(_)) => return unknown("its layers rotate by several tables"),
        (None, _) if graph.layout == KvLayout::Shared && graph.position_ids.is_none() => {
            return Ok(KeyRotation::None);
        }
        (None, _) => return unknown("its graph has no operator that says whether it rotates"),
    };
    let Some(tensor) = of.initializers.iter().find(|t| t.name == name) else {
        return unknown("its graph computes the table it rotates by");
    };
    let &[positions, half] = tensor.dims.as_slice() else {
        return unknown("the table it rotates by is not one of positions and pairs");
    };
    let (positions, half) = (positions.max(0) as usize, half.max(0) as usize);
    let cosines = numbers(graph, tensor)?;
    if positions < 2 || half < 2 || Some(cosines.len()) != positions.checked_mul(half) {
        return unknown(
            "the table it rotates by is not one of floating-point numbers, or of two positions at least",
        );
    }
    match base(&cosines, positions, half) {
        Some(theta) => Ok(KeyRotation::Described(Rotary {
            theta,
            dims: 2 * half,
            interleaved,
        })),
        None => unknown("one base does not describe the table it rotates by (a scaled embedding)"),
    }
}

/// The base of a table `[positions, half]` of cos(position · base^(−pair / half)).
fn base(cosines: &[f32], positions: usize, half: usize) -> Option<f64> {
    let angle = f64::from(cosines[half + 1]).acos();
    let theta = roundest(angle.powf(-(half as f64)));
    if !theta.is_finite() {
        return None;
    }
    let fits = [1, positions / 2, positions - 1]
        .into_iter()
        .all(|position| {
            (0..half).all(|pair| {
                let angle = position as f64 * theta.powf(-(pair as f64) / half as f64);
                let there = f64::from(cosines[position * half + pair]);
                (there - angle.cos()).abs() < TABLE_TOLERANCE
            })
        });
    fits.then_some(theta)
}

/// The number with the fewest decimal digits that [`BASE_TOLERANCE`] allows for `theta`: people choose round bases.
fn roundest(theta: f64) -> f64 {
    let digits = theta.min(f64::MAX).log10().floor() as i32;
    (-digits..=0)
        .map(|places| {
            let unit = 10f64.powi(-places);
            (theta / unit).round() * unit
        })
        .find(|round| (round - theta).abs() < BASE_TOLERANCE * theta)
        .unwrap_or(theta)
}

/// Most bytes of a table: 131,072 positions of 128 pairs, four times.
const TABLE_BYTES: u64 = 256 << 20;

/// The numbers of a tensor; none where they are of another type, or too many.
fn numbers(graph: &DecoderGraph, tensor: &onnx::Tensor) -> Result<Vec<f32>> {
    let place = ExternalPlace::of(&graph.file, tensor)?;
    let inline = tensor.raw.as_ref().or(tensor.floats.as_ref());
    let length = match (&place, inline) {
        (Some(place), _) => place.length,
        (None, Some(range)) => range.end - range.start,
        (None, None) => 0,
    };
    if length > TABLE_BYTES {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::with_capacity(length as usize);
    let take = |piece: &[u8]| bytes.extend_from_slice(piece);
    match (place, inline) {
        (Some(place), _) => place.stream(&mut BTreeMap::new(), take)?,
        (None, Some(range)) => Wire::open(&graph.file)?.stream(range.clone(), take)?,
        (None, None) => {}
    }
    let (fours, _) = bytes.as_chunks::<4>();
    let (twos, _) = bytes.as_chunks::<2>();
    Ok(match onnx::element_type(tensor.data_type) {
        Some(("f32", _)) => fours.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        Some(("f16", _)) => twos
            .iter()
            .map(|&b| f16::from_le_bytes(b).to_f32())
            .collect(),
        Some(("bf16", _)) => twos
            .iter()
            .map(|&b| bf16::from_le_bytes(b).to_f32())
            .collect(),
        _ => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(theta: f64, positions: usize, half: usize) -> Vec<f32> {
        (0..positions * half)
            .map(|i| {
                let angle = (i / half) as f64 * theta.powf(-((i % half) as f64) / half as f64);
                angle.cos() as f32
            })
            .collect()
    }

    #[test]
    fn the_base_comes_out_of_its_table() {
        for theta in [1e4, 1e5, 5e5, 1e6] {
            for half in [16, 32, 64] {
                assert_eq!(
                    base(&table(theta, 512, half), 512, half),
                    Some(theta),
                    "{half}"
                );
            }
        }
    }

    #[test]
    fn a_table_that_does_not_turn_has_no_base() {
        assert_eq!(base(&[1.0; 512 * 16], 512, 16), None);
    }

    #[test]
    fn a_scaled_table_has_no_single_base() {
        let mut scaled = table(1e4, 512, 32);
        for (i, x) in scaled.iter_mut().enumerate().filter(|(i, _)| i % 32 > 16) {
            *x = ((i / 32) as f64 / 8.0 * 1e4f64.powf(-((i % 32) as f64) / 32.0)).cos() as f32;
        }
        assert_eq!(base(&scaled, 512, 32), None);
    }
}
