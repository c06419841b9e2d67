//! `--ep` and `--ep-only`

use std::time::Duration;

use curt::engine::{EngineOptions, ProviderProbe};
use curt::session::{Placement, ProbeReport, Provider, Providers, library_info};

use crate::locate;

/// Longest that one provider may take in a probe: several compile all that they run.
const PROBE_LIMIT: Duration = Duration::from_secs(120);

/// Which execution providers run the graphs, as a command line says it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ProviderArgs {
    /// Execution providers, the first choice first, the CPU for what they leave: cpu, coreml, cuda, nnapi, qnn, tensorrt,
    /// webgpu, xnnpack, or the path of a plugin's library. `auto` times those that are there, and a plugin named after it, and
    /// remembers which was fastest with the CPU's greedy ids. Says which ran, and why not the others.
    #[arg(long, value_name = "LIST|auto", value_delimiter = ',', value_parser = word)]
    ep: Vec<Word>,
    /// Refuse to run where one of --ep cannot be used, or leaves nodes that no other of them takes.
    #[arg(long, requires = "ep")]
    ep_only: bool,
}

/// One word of `--ep`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Auto,
    Named(Provider),
}

fn word(text: &str) -> Result<Word, String> {
    if text == "auto" {
        return Ok(Word::Auto);
    }
    let named = text.parse().map(Word::Named);
    named.map_err(|error: curt::session::Error| {
        // The flag's name stands before it.
        let said = error.to_string();
        said.split_once(": ")
            .map_or(said.clone(), |(_, rest)| rest.into())
    })
}

impl ProviderArgs {
    /// `options` with what they ask for.
    ///
    /// # Errors
    /// Where `auto` stands beside a provider that it would try anyway, or beside `--ep-only`; as [`locate::load_library`].
    pub fn apply(&self, options: EngineOptions) -> anyhow::Result<EngineOptions> {
        let named: Vec<Provider> = self
            .ep
            .iter()
            .filter_map(|word| match word {
                Word::Named(provider) => Some(provider.clone()),
                Word::Auto => None,
            })
            .collect();
        if !self.ep.contains(&Word::Auto) {
            let providers = match (named.is_empty(), self.ep_only) {
                (true, _) => options.providers,
                (false, false) => Providers::Prefer(named),
                (false, true) => Providers::Only(named),
            };
            return Ok(EngineOptions {
                providers,
                ..options
            });
        }
        let plugins = named.iter().all(|p| matches!(p, Provider::Plugin(_)));
        if self.ep_only || !plugins {
            anyhow::bail!(
                "--ep auto: expected alone or with plugins, which it does not know of, and without --ep-only"
            );
        }
        locate::load_library()?;
        let library = library_info()?;
        let there = Provider::compiled_in().filter(|p| library.providers.contains(&p.name()));
        let there = there.filter(|p| *p != Provider::Cpu);
        let candidates = there.chain(named).chain([Provider::Cpu]);
        Ok(EngineOptions {
            providers: Providers::Prefer(candidates.collect()),
            probe: Some(ProviderProbe {
                remember: locate::cache_dir().map(|dir| dir.join("probes")),
                limit: PROBE_LIMIT,
            }),
            ..options
        })
    }
}

/// What a probe found, a line for each provider.
pub fn probe_in_words(probe: &ProbeReport) -> Vec<String> {
    let ms = |name: &str, value: Option<f64>| value.map(|ms| format!("{name} {ms:.2} ms"));
    let mut lines: Vec<String> = probe
        .tried
        .iter()
        .map(|tried| {
            let times = [
                ms("load", tried.load_ms),
                ms("prefill", tried.prefill_ms),
                ms("step", tried.step_ms),
                ms("step of 8", tried.rows_step_ms),
            ];
            let mut said: Vec<String> = times.into_iter().flatten().collect();
            said.extend(tried.reason.clone());
            format!("{}: {}", tried.provider, said.join(", "))
        })
        .collect();
    lines.push(format!(
        "{} was fastest{}",
        probe.chosen,
        match (&probe.not_remembered, probe.remembered) {
            (Some(why), _) => format!("; not remembered: {why}"),
            (None, true) => ", as remembered from an earlier probe".into(),
            (None, false) => String::new(),
        }
    ));
    lines
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
