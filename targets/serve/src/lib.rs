//! An OpenAI-compatible server on curt: one engine, a bounded queue before it, and bounds on everything that a client
//! decides.
//!
//! [`Server::open`] loads nothing but takes an engine, listens, and answers until its [`CancelToken`] is cancelled. The
//! README lists what it takes and gives.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod connection;
mod counts;
mod error;
mod facts;
mod fields;
mod gate;
mod options;
mod queue;
mod refusal;
mod reply;
mod request;
mod routes;
mod waiting;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Duration;

use curt::{CancelToken, Engine};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

pub use error::{Error, Result};
pub use facts::name_and_file;
pub use options::{Asset, Limits, ServeOptions};

use counts::Counts;
use facts::Facts;
use gate::Gate;
use queue::Queue;
use reply::Tokens;
use routes::{Shared, router};
use worker::{Done, work};

/// How often it is looked whether the server is to end.
const LOOK: Duration = Duration::from_millis(50);

/// How long those who are being answered have when the server ends.
const LAST: Duration = Duration::from_millis(300);

/// A server that listens.
pub struct Server {
    runtime: Runtime,
    listener: TcpListener,
    address: SocketAddr,
    engine: Engine,
    shared: Arc<Shared>,
}

impl Server {
    /// Listens where `options` say, to answer with `engine`. Nobody is answered before [`Self::run`].
    ///
    /// # Errors
    /// [`Error::Option`] for options that would let everybody ask, or calibrations and heads of another package;
    /// [`Error::Listen`], [`Error::System`], [`Error::Engine`].
    pub fn open(engine: Engine, options: &ServeOptions) -> Result<Self> {
        options.validate()?;
        let facts = Facts::of(&engine, options)?;
        let mut builder = Builder::new_current_thread();
        let runtime = builder
            .enable_all()
            .build()
            .map_err(|source| Error::System { source })?;
        let listener = runtime.block_on(TcpListener::bind(options.address));
        let address = options.address;
        let listener = listener.map_err(|source| Error::Listen { address, source })?;
        let address = listener
            .local_addr()
            .map_err(|source| Error::Listen { address, source })?;
        let limits = options.limits;
        let shared = Shared {
            tokens: Arc::new(Tokens::of(engine.package().text())),
            facts,
            gate: Gate::new(&options.hosts, options.key.as_deref()),
            limits,
            assets: options.assets,
            queue: Arc::new(Queue::new(limits.queue, limits.queue_of_one)),
            counts: Arc::new(Counts::default()),
            done: Arc::new(Done::default()),
            number: AtomicU64::new(0),
        };
        Ok(Self {
            runtime,
            listener,
            address,
            engine,
            shared: Arc::new(shared),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `end` is cancelled.
    ///
    /// # Errors
    /// [`Error::System`] where the system has no thread for the engine.
    pub fn run(self, end: &CancelToken) -> Result<()> {
        let Self {
            runtime,
            listener,
            mut engine,
            shared,
            ..
        } = self;
        let (queue, done) = (Arc::clone(&shared.queue), Arc::clone(&shared.done));
        let worker = thread::Builder::new()
            .name("engine".into())
            .spawn(move || work(&mut engine, &queue, &done))
            .map_err(|source| Error::System { source })?;
        let queue = Arc::clone(&shared.queue);
        runtime.block_on(async {
            let (limits, counts) = (shared.limits, Arc::clone(&shared.counts));
            let accepting =
                tokio::spawn(connection::accept(listener, router(shared), limits, counts));
            while !end.is_cancelled() && !queue.is_closed() {
                sleep(LOOK).await;
            }
            accepting.abort();
            queue.close();
            sleep(LAST).await;
        });
        // Connections that are still open go with it, and with them what they had asked.
        runtime.shutdown_timeout(LAST);
        // The engine's thread ends with the question it has; one that fell over has closed the queue.
        let _ = worker.join();
        Ok(())
    }
}
