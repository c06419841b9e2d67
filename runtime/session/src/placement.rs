//! Which execution provider runs which part of a graph.

use std::ffi::CStr;

use ort::AsPointer;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::done;

/// Asks ONNX Runtime to remember where it placed each node.
pub(crate) const RECORD: (&str, &str) = ("session.record_ep_graph_assignment_info", "1");

/// What the library says when it has added nodes that copy between devices; their number stands before it.
const COPIES_ADDED: &str = " Memcpy nodes are added to the graph ";

/// Where the nodes of a loaded graph run: *requested*, *registered* and *placed* are three different things.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// The providers asked for, in their order, and the CPU.
    pub providers: Vec<ProviderPlacement>,
    /// Copies of a tensor from one device to another in each run of the graph, as the library counts them. What is bound on
    /// another device than it is used on is copied beside these.
    pub copies: usize,
    /// Loading the graph, with all that its providers compile, in seconds: of the attempt that succeeded.
    pub build_seconds: f64,
}

/// What became of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderPlacement {
    /// The provider, as ONNX Runtime names it; a plugin that was not loaded, by its file.
    pub name: String,
    /// Whether the options asked for it.
    pub requested: bool,
    /// Whether the library took it.
    pub registered: bool,
    /// Why it runs nothing of the graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it runs on, where the library says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Parts of the graph that were given to it.
    pub partitions: usize,
    /// Nodes in them.
    pub nodes: usize,
}

impl ProviderPlacement {
    /// One that the options asked for and the library took.
    pub(crate) fn registered(name: String) -> Self {
        Self {
            name,
            requested: true,
            registered: true,
            reason: None,
            device: None,
            partitions: 0,
            nodes: 0,
        }
    }

    /// One that cannot be used.
    pub(crate) fn refused(name: String, reason: String) -> Self {
        Self {
            registered: false,
            reason: Some(reason),
            ..Self::registered(name)
        }
    }
}

impl Placement {
    /// Whether nodes run on another provider than the CPU.
    pub fn beside_cpu(&self) -> bool {
        let mut providers = self.providers.iter();
        providers.any(|p| p.nodes > 0 && p.name != crate::Provider::Cpu.name())
    }

    /// Reads where the nodes of `session` were placed. `copies` and `build_seconds` are 0.
    pub(crate) fn of(
        session: &ort::session::Session,
        requested: Vec<ProviderPlacement>,
    ) -> Result<Self> {
        let mut placement = Self {
            providers: requested,
            copies: 0,
            build_seconds: 0.0,
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
        for provider in &mut placement.providers {
            if provider.registered && provider.nodes == 0 && provider.reason.is_none() {
                provider.reason = Some("it takes no node of this graph".into());
            }
        }
        Ok(placement)
    }

    fn add(&mut self, name: &str, nodes: usize) {
        let known = self
            .providers
            .iter()
            .position(|p| p.name == name && p.registered);
        let place = known.unwrap_or_else(|| {
            self.providers.push(ProviderPlacement {
                requested: false,
                ..ProviderPlacement::registered(name.into())
            });
            self.providers.len() - 1
        });
        self.providers[place].partitions += 1;
        self.providers[place].nodes += nodes;
    }
}

/// The number of copies that a line of the library's log says were added; 0 of any other line.
pub(crate) fn copies_said(line: &str) -> usize {
    let before = line.split_once(COPIES_ADDED).map(|(before, _)| before);
    let number = before.and_then(|before| before.rsplit(|c: char| !c.is_ascii_digit()).next());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_nobody_asked_for_is_told_apart() {
        let mut placement = Placement {
            providers: vec![ProviderPlacement::refused("X".into(), "no".into())],
            copies: 0,
            build_seconds: 0.0,
        };
        placement.add("CPUExecutionProvider", 3);
        placement.add("CPUExecutionProvider", 4);
        let [refused, cpu] = &placement.providers[..] else {
            panic!("{placement:?}");
        };
        assert_eq!((cpu.partitions, cpu.nodes, cpu.requested), (2, 7, false));
        assert_eq!((refused.nodes, refused.registered), (0, false));
        assert!(!placement.beside_cpu());
        placement.add("X", 1);
        assert!(placement.beside_cpu());
    }

    #[test]
    fn copies_are_read_from_the_line_that_counts_them() {
        let line = "12 Memcpy nodes are added to the graph main_graph for CUDAExecutionProvider. It might have ...";
        assert_eq!(copies_said(line), 12);
        for other in [
            "",
            "Memcpy nodes are added to the graph",
            "5 nodes were removed",
        ] {
            assert_eq!(copies_said(other), 0);
        }
    }
}
