//! Opening the decoder on the providers that it can have.

use super::EngineOptions;
use crate::error::Result;
use crate::generate::Decoder;
use crate::kv::{KvLayout, KvPlan};
use crate::package::{Attention, AttentionReport, Package};
use crate::session::{Placement, Providers, SessionOptions};

/// A decoder, and what it came to.
pub(super) struct Opened {
    pub(super) decoder: Decoder,
    pub(super) layout: KvLayout,
    pub(super) attention: AttentionReport,
    pub(super) placement: Placement,
}

/// Why rows share no prompt where another provider computes.
const ELSEWHERE: &str = "another execution provider than the CPU runs the graph, and the attention that shares a prompt runs on the CPU";

/// Loads the decoder of `package`.
///
/// # Errors
/// Those of [`Decoder::open`].
pub(super) fn open(package: &Package, options: &EngineOptions) -> Result<Opened> {
    let session = options.session();
    let (layout, attention) = package.graph().attention(options.attention);
    if !session.providers.any_beside_cpu() {
        return open_with(package, layout, attention, &session);
    }
    // One buffer as past and present is one only on the host: on a device, past and present would be two copies of it, of
    // which the graph would take neither for what it is.
    let shared = AttentionReport {
        shared: false,
        why: (options.attention != Attention::Dense).then(|| ELSEWHERE.into()),
        ..attention.clone()
    };
    let elsewhere = open_with(package, KvLayout::Growing, shared, &session)?;
    if elsewhere.placement.beside_cpu() {
        return Ok(elsewhere);
    }
    // All of it runs on the CPU after all: as it would have without the others, whose reasons stay.
    let said = elsewhere.placement;
    drop(elsewhere.decoder);
    let on_cpu = SessionOptions {
        providers: Providers::default(),
        ..session
    };
    let mut opened = open_with(package, layout, attention, &on_cpu)?;
    let cpu = std::mem::replace(&mut opened.placement.providers, said.providers);
    for row in cpu {
        let rows = &mut opened.placement.providers;
        match rows.iter_mut().find(|known| known.name == row.name) {
            Some(known) => (known.nodes, known.partitions) = (row.nodes, row.partitions),
            None => rows.push(row),
        }
    }
    Ok(opened)
}

fn open_with(
    package: &Package,
    layout: KvLayout,
    attention: AttentionReport,
    session: &SessionOptions,
) -> Result<Opened> {
    // A cache for the first question is planned with it; until then one position.
    let plan = KvPlan::new(package.graph().geometry(), layout, 1, 1, None)?;
    let decoder = Decoder::open(package, plan, session)?;
    Ok(Opened {
        placement: decoder.placement().clone(),
        decoder,
        layout,
        attention,
    })
}
