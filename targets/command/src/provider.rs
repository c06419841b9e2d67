//! `--ep` and `--ep-only`

use curt::session::{Placement, Provider, Providers};

/// Which execution providers run the graphs, as a command line says it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ProviderArgs {
    /// Execution providers, the first choice first, the CPU for what they leave: cpu, coreml, cuda, nnapi, qnn, tensorrt,
    /// webgpu, xnnpack, or the path of a plugin's library. Says which ran, and why not the others.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        value_parser = provider
    )]
    ep: Vec<Provider>,
    /// Refuse to run where one of --ep cannot be used, or leaves nodes that no other of them takes.
    #[arg(long, requires = "ep")]
    ep_only: bool,
}

fn provider(text: &str) -> Result<Provider, String> {
    text.parse().map_err(|error: curt::session::Error| {
        // The flag's name stands before it.
        let said = error.to_string();
        said.split_once(": ")
            .map_or(said.clone(), |(_, rest)| rest.into())
    })
}

impl ProviderArgs {
    /// What they ask for.
    pub fn providers(&self) -> Providers {
        match (self.ep.is_empty(), self.ep_only) {
            (true, _) => Providers::default(),
            (false, false) => Providers::Prefer(self.ep.clone()),
            (false, true) => Providers::Only(self.ep.clone()),
        }
    }
}

/// Which provider runs how much, in a line; `None` where the CPU alone was asked for and runs all.
pub fn in_words(placement: &Placement) -> Option<String> {
    let cpu = Provider::Cpu.name();
    if placement.providers.iter().all(|row| row.name == cpu) {
        return None;
    }
    let rows: Vec<String> = placement
        .providers
        .iter()
        .map(|row| match (row.nodes, &row.device) {
            (0, _) => format!("{} none", row.name),
            (nodes, None) => format!("{} {nodes} in {}", row.name, parts(row.partitions)),
            (nodes, Some(device)) => format!(
                "{} on {device} {nodes} in {}",
                row.name,
                parts(row.partitions)
            ),
        })
        .collect();
    Some(format!(
        "nodes: {}; {} between devices in each run, built in {:.2} s",
        rows.join(", "),
        match placement.copies {
            1 => "1 copy".into(),
            n => format!("{n} copies"),
        },
        placement.build_seconds
    ))
}

fn parts(count: usize) -> String {
    format!("{count} part{}", if count == 1 { "" } else { "s" })
}
