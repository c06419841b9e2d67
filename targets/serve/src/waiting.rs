//! A client that waits for its answer: while it is there, its question is worked on; when it goes, that ends.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use curt::CancelToken;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Sleep, sleep};

use crate::queue::{NoPlace, Queue};
use crate::refusal::Refusal;
use crate::request::Request;
use crate::worker::{Heard, Job, Told};

/// What a waiting client hears next.
pub(crate) enum Next {
    /// This.
    Told(Told),
    /// That its time is over.
    Late,
    /// That the engine is gone.
    Gone,
}

/// A question on its way. Dropped, it is cancelled or taken out of the queue.
pub(crate) struct Waiting {
    heard: UnboundedReceiver<Told>,
    late: Pin<Box<Sleep>>,
    number: u64,
    cancel: CancelToken,
    queue: Arc<Queue<Job>>,
}

impl Waiting {
    /// Lines up what `request` asks.
    pub(crate) fn of(
        request: Request,
        from: IpAddr,
        queue: &Arc<Queue<Job>>,
        time: Duration,
    ) -> Result<Self, Refusal> {
        let (tell, heard) = unbounded_channel();
        let cancel = request.options.cancel.clone();
        let job = Job {
            heard: match &request.reply {
                reply if !reply.stream => Heard::Answer,
                reply if reply.events => Heard::Everything,
                _ => Heard::Text,
            },
            question: request.question,
            options: request.options,
            asked: Instant::now(),
            tell,
        };
        let number = queue.push(from, job).map_err(|no| match no {
            NoPlace::Full(waiting) => Refusal::busy(waiting),
            NoPlace::Closed => Refusal::ending(),
        })?;
        Ok(Self {
            heard,
            late: Box::pin(sleep(time)),
            number,
            cancel,
            queue: Arc::clone(queue),
        })
    }

    /// What is heard next.
    pub(crate) async fn next(&mut self) -> Next {
        poll_fn(|context| self.poll(context)).await
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        match self.heard.poll_recv(context) {
            Poll::Ready(Some(told)) => Poll::Ready(Next::Told(told)),
            Poll::Ready(None) => Poll::Ready(Next::Gone),
            Poll::Pending => self.late.as_mut().poll(context).map(|()| Next::Late),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.queue.remove(self.number).is_none() {
            self.cancel.cancel();
        }
    }
}
