//! Connections: so many at a time, each with its time for a head, and none that reads its answer too slowly.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Sleep, sleep};

use crate::counts::Counts;
use crate::options::Limits;

/// Bytes of a request's head.
const HEAD_BYTES: usize = 64 << 10;

/// Fields of a request's head.
const HEADERS: usize = 100;

/// How long accepting rests where the system has no descriptor left.
const REST: Duration = Duration::from_millis(100);

/// Accepts connections and serves them, until it is dropped.
pub(crate) async fn accept(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    counts: Arc<Counts>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                log::warn!("a connection could not be accepted: {error}");
                sleep(REST).await;
                continue;
            }
        };
        let (router, counts) = (router.clone(), Arc::clone(&counts));
        tokio::spawn(async move {
            let _place = place;
            counts.connections.fetch_add(1, Ordering::Relaxed);
            // A client that breaks off, or is too slow, is its own affair.
            if let Err(error) = serve(stream, from, router, limits).await {
                log::debug!("{from}: {error}");
            }
            counts.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn serve(
    stream: TcpStream,
    from: SocketAddr,
    router: Router,
    limits: Limits,
) -> hyper::Result<()> {
    // Pieces of an answer are sent when they are there.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(Patient {
        stream,
        time: limits.write_time,
        late: None,
    });
    let service = TowerToHyperService::new(router.layer(axum::Extension(from)));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(io, service)
        .await
}

/// A stream whose reader may let so much time go by before it takes more.
struct Patient {
    stream: TcpStream,
    time: Duration,
    late: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    /// `written`, or an error where it has been pending for too long.
    fn in_time<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.late = None;
            return written;
        }
        let time = self.time;
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(time)));
        match late.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.in_time(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.in_time(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
