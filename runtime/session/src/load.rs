//! Loading a graph with the providers that it can have, and saying why it has no others.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use crate::attention::{self, Slot};
use crate::placement::{self, Placement, ProviderPlacement, copies_said};
use crate::provider;
use crate::{Error, Provider, Providers, Result, SessionOptions, library};

/// The folder of the weights that a graph in memory names.
const WEIGHTS_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// Where a graph is read from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    File(&'a Path),
    /// The graph, and the folder of the weights that it names.
    Memory(&'a [u8], &'a Path),
}

/// A graph that was loaded.
pub(crate) struct Loaded {
    pub(crate) inner: Session,
    pub(crate) placement: Placement,
    /// Where the nodes of our own attention find who answers them, in a graph that may have such.
    pub(crate) slot: Option<Arc<Slot>>,
}

/// Loads the graph with those of its options' providers that can be used.
///
/// # Errors
/// Those of [`crate::Session::open`].
pub(crate) fn load(source: Source<'_>, options: &SessionOptions) -> Result<Loaded> {
    options.validate()?;
    let environment = library::environment(&options.library)?;
    let loader = Loader {
        source,
        options,
        environment,
        threads: options
            .threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
    };
    loader.load()
}

struct Loader<'a> {
    source: Source<'a>,
    options: &'a SessionOptions,
    environment: &'static Environment,
    threads: usize,
}

/// Why an attempt has failed.
enum Failure {
    /// This provider cannot be registered, for the reason given.
    Register(usize, String),
    /// The graph cannot be loaded with those that were.
    Load(Error),
}

impl Loader<'_> {
    fn load(&self) -> Result<Loaded> {
        let asked = self.options.providers.list();
        let mut left: Vec<&Provider> = asked.iter().filter(|p| **p != Provider::Cpu).collect();
        let mut refused: Vec<(&Provider, String)> = Vec::new();
        loop {
            let failure = match self.attempt(&left) {
                Ok(mut loaded) => {
                    self.report(&mut loaded.placement, refused);
                    return Ok(loaded);
                }
                Err(Failure::Load(Error::Cancelled)) => return Err(Error::Cancelled),
                Err(failure) => failure,
            };
            match failure {
                Failure::Register(place, why) => refused.push((left.remove(place), why)),
                // Without another provider it is the graph's own fault, or the machine's.
                Failure::Load(error) if left.is_empty() => return Err(error),
                Failure::Load(error) => refused.extend(self.at_fault(&mut left, &error)?),
            }
            if let (Providers::Only(_), Some((provider, reason))) =
                (&self.options.providers, refused.last())
            {
                return Err(Error::Provider {
                    provider: provider.to_string(),
                    reason: reason.clone(),
                });
            }
        }
    }

    /// Takes out of `providers`, with which the graph cannot be loaded because of `error`, those with which it cannot be
    /// loaded alone either; where there are none, the last.
    fn at_fault<'p>(
        &self,
        providers: &mut Vec<&'p Provider>,
        error: &Error,
    ) -> Result<Vec<(&'p Provider, String)>> {
        let mut refused = Vec::new();
        if providers.len() > 1 {
            let mut fine = Vec::new();
            for &provider in &*providers {
                match self.attempt(&[provider]) {
                    Ok(_) => fine.push(provider),
                    Err(Failure::Load(Error::Cancelled)) => return Err(Error::Cancelled),
                    Err(Failure::Load(error)) => refused.push((provider, reason(&error))),
                    Err(Failure::Register(_, why)) => refused.push((provider, why)),
                }
            }
            *providers = fine;
        }
        if refused.is_empty()
            && let Some(last) = providers.pop()
        {
            refused.push((last, reason(error)));
        }
        Ok(refused)
    }

    /// Puts what was asked for into `placement`, in its order.
    fn report(&self, placement: &mut Placement, refused: Vec<(&Provider, String)>) {
        let asked = self.options.providers.list();
        for (provider, why) in refused {
            log::debug!("{provider}: {why}");
            let at = asked.iter().position(|p| p == provider).unwrap_or(0);
            let row = ProviderPlacement::refused(provider.name(), why);
            let at = at.min(placement.providers.len());
            placement.providers.insert(at, row);
        }
        let cpu = Provider::Cpu.name();
        for row in &mut placement.providers {
            if row.name == cpu {
                row.requested = asked.contains(&Provider::Cpu);
            }
        }
    }

    /// Loads the graph with all of `providers` and, unless that is ruled out, the CPU.
    fn attempt(&self, providers: &[&Provider]) -> std::result::Result<Loaded, Failure> {
        let clock = Instant::now();
        let failed = |source: ort::Error| Failure::Load(self.failed(source));
        let slot = match self.source {
            Source::File(_) => None,
            Source::Memory(..) => Some(Arc::new(Slot::default())),
        };
        let mut builder = self.builder(slot.as_ref()).map_err(Failure::Load)?;
        let mut requested = Vec::new();
        for (place, provider) in providers.iter().enumerate() {
            let (with, registered) =
                provider::register(provider, self.environment, builder, self.threads)
                    .map_err(|why| Failure::Register(place, why))?;
            builder = with;
            requested.push(ProviderPlacement {
                device: registered.device,
                ..ProviderPlacement::registered(registered.name)
            });
        }
        let copies = Arc::new(AtomicUsize::new(0));
        if !providers.is_empty() {
            builder = watched(builder, &copies).map_err(failed)?;
            let only = matches!(self.options.providers, Providers::Only(_));
            if only && !self.options.providers.list().contains(&Provider::Cpu) {
                let without_cpu = builder.with_disable_cpu_fallback();
                builder = without_cpu.map_err(|e| failed(e.into()))?;
            }
        }
        requested.push(ProviderPlacement::registered(Provider::Cpu.name()));
        let cancellable = self
            .options
            .cancel
            .attach(builder.canceler())
            .map_err(Failure::Load)?;
        let mut first = slot.as_ref().and_then(|_| attention::first_load());
        let inner = match self.source {
            Source::File(file) => builder.commit_from_file(file),
            Source::Memory(graph, _) => builder.commit_from_memory(graph),
        }
        .map_err(failed)?;
        if let Some(known) = &mut first {
            **known = true;
        }
        drop((first, cancellable));
        let mut placement = Placement::of(&inner, requested).map_err(Failure::Load)?;
        placement.copies = copies.load(Ordering::Relaxed);
        placement.build_seconds = clock.elapsed().as_secs_f64();
        Ok(Loaded {
            inner,
            placement,
            slot,
        })
    }

    /// What every attempt has in common.
    fn builder(&self, slot: Option<&Arc<Slot>>) -> Result<SessionBuilder> {
        // Memory patterns are planned for each set of input shapes, and the mask's shape changes at every step: with
        // them, each step would plan anew and keep the plan.
        let builder = (|| -> ort::Result<_> {
            Ok(Session::builder(self.environment)?
                .with_optimization_level(GraphOptimizationLevel::All)?
                .with_intra_threads(self.threads)?
                .with_memory_pattern(false)?
                .with_config_entry(placement::RECORD.0, placement::RECORD.1)?)
        })()
        .map_err(|e| self.failed(e))?;
        let (Source::Memory(_, folder), Some(slot)) = (self.source, slot) else {
            return Ok(builder);
        };
        let folder = folder
            .to_str()
            .ok_or_else(|| Error::runtime(self.loading(), "the folder's name is no UTF-8"))?;
        (|| -> ort::Result<_> {
            let domain = attention::domain(Arc::clone(slot))?;
            Ok(builder
                .with_operators(domain)?
                .with_config_entry(WEIGHTS_FOLDER, folder)?)
        })()
        .map_err(|e| self.failed(e))
    }

    fn loading(&self) -> String {
        let (Source::File(named) | Source::Memory(_, named)) = self.source;
        format!("loading {}", named.display())
    }

    fn failed(&self, source: ort::Error) -> Error {
        if self.options.cancel.is_cancelled() {
            return Error::Cancelled;
        }
        Error::runtime(self.loading(), source)
    }
}

/// Counts in `copies` what the library says of copies between devices; what it says at all goes to the program's log.
fn watched(builder: SessionBuilder, copies: &Arc<AtomicUsize>) -> ort::Result<SessionBuilder> {
    let copies = Arc::clone(copies);
    let logger = move |level: LogLevel, _: &str, _: &str, _: &str, line: &str| {
        copies.fetch_add(copies_said(line), Ordering::Relaxed);
        match level {
            LogLevel::Error | LogLevel::Fatal => log::error!("ONNX Runtime: {line}"),
            _ => log::debug!("ONNX Runtime: {line}"),
        }
    };
    // Copies are worth a warning to it, and are told to no one at the environment's own level.
    Ok(builder
        .with_logger(Arc::new(logger))?
        .with_log_level(LogLevel::Warning)?)
}

/// An error's own words and those of its causes.
fn reason(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
