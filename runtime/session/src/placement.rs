//! Which execution provider runs which part of a graph.

use std::ffi::CStr;

use ort::AsPointer;
use serde::Serialize;

use crate::error::done;
use crate::{Provider, Result};

/// Asks ONNX Runtime to remember where it placed each node.
pub(crate) const RECORD: (&str, &str) = ("session.record_ep_graph_assignment_info", "1");

/// Where the nodes of a loaded graph run: *requested*, *registered* and *placed* are three different things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// The providers asked for, in their order.
    pub providers: Vec<ProviderPlacement>,
}

/// What became of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderPlacement {
    /// The provider, as ONNX Runtime names it.
    pub name: String,
    /// Whether the options asked for it.
    pub requested: bool,
    /// Whether the library took it.
    pub registered: bool,
    /// Parts of the graph that were given to it.
    pub partitions: usize,
    /// Nodes in them.
    pub nodes: usize,
}

impl Placement {
    /// Reads where the nodes of `session` were placed.
    pub(crate) fn of(session: &ort::session::Session, requested: &[Provider]) -> Result<Self> {
        let mut placement = Self {
            providers: requested
                .iter()
                .map(|provider| ProviderPlacement {
                    name: provider.name().into(),
                    requested: true,
                    registered: true,
                    partitions: 0,
                    nodes: 0,
                })
                .collect(),
        };
        let mut parts = std::ptr::null();
        let mut count = 0;
        // SAFETY: the session is alive (borrowed) and was loaded with `RECORD`; the list it gives out lives as long as it.
        unsafe {
            done(
                (ort::api().Session_GetEpGraphAssignmentInfo)(
                    session.ptr(),
                    &mut parts,
                    &mut count,
                ),
                "asking where nodes were placed",
            )?;
            for part in 0..count {
                let part = *parts.add(part);
                let (mut name, mut nodes, mut node_count) = (std::ptr::null(), std::ptr::null(), 0);
                done(
                    (ort::api().EpAssignedSubgraph_GetEpName)(part, &mut name),
                    "asking for a provider's name",
                )?;
                done(
                    (ort::api().EpAssignedSubgraph_GetNodes)(part, &mut nodes, &mut node_count),
                    "asking for a provider's nodes",
                )?;
                let name = CStr::from_ptr(name).to_string_lossy();
                placement.add(&name, node_count);
            }
        }
        Ok(placement)
    }

    fn add(&mut self, name: &str, nodes: usize) {
        let known = self.providers.iter().position(|p| p.name == name);
        let place = known.unwrap_or_else(|| {
            self.providers.push(ProviderPlacement {
                name: name.into(),
                requested: false,
                registered: true,
                partitions: 0,
                nodes: 0,
            });
            self.providers.len() - 1
        });
        self.providers[place].partitions += 1;
        self.providers[place].nodes += nodes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_nobody_asked_for_is_told_apart() {
        let mut placement = Placement {
            providers: Vec::new(),
        };
        placement.add("CPUExecutionProvider", 3);
        placement.add("CPUExecutionProvider", 4);
        let [cpu] = &placement.providers[..] else {
            panic!("{placement:?}");
        };
        assert_eq!((cpu.partitions, cpu.nodes, cpu.requested), (2, 7, false));
    }
}
