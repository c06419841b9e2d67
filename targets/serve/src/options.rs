//! Where a server listens, whom it answers and what it bears.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};

/// How a server is opened.
#[derive(Clone)]
pub struct ServeOptions {
    /// Where it listens. Port 0: one that is free.
    pub address: SocketAddr,
    /// What every request for an answer must bring as `Authorization: Bearer KEY`. Needed where `address` is not loopback.
    pub key: Option<String>,
    /// Names, beside `localhost` and plain addresses, under which it may be asked.
    pub hosts: Vec<String>,
    /// What the model is called; `None`: as the package's folder.
    pub model: Option<String>,
    /// Calibrations of the cascade that a request may name, beside the package's own.
    pub calibrations: Vec<(String, PathBuf)>,
    /// Stop heads that a request may name, beside the package's own.
    pub heads: Vec<(String, PathBuf)>,
    /// Files that it hands out beside the interface.
    pub assets: &'static [Asset],
    /// What it bears.
    pub limits: Limits,
}

/// A file that is part of the program.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Where it is found: `/style.css`.
    pub path: &'static str,
    /// `text/css; charset=utf-8`.
    pub content_type: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
}

/// What a server bears. Everything that a client decides has a bound here.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time; more wait to be accepted.
    pub connections: usize,
    /// Requests that wait for the engine, beside the one it answers; more get 429.
    pub queue: usize,
    /// Of these, requests of one address.
    pub queue_of_one: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Bytes of one image, decoded from base64.
    pub image_bytes: usize,
    /// Pixels of one image.
    pub image_pixels: usize,
    /// Images of a request.
    pub images: usize,
    /// Paths of a request.
    pub paths: usize,
    /// Time in which a request's head must be there; also how long an idle connection is kept.
    pub head_time: Duration,
    /// Time in which its body must be there.
    pub body_time: Duration,
    /// Time in which it must be answered, the queue included.
    pub answer_time: Duration,
    /// Time that a client may leave what it is sent unread.
    pub write_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            queue: 64,
            queue_of_one: 32,
            body_bytes: 24 << 20,
            image_bytes: 12 << 20,
            // A camera's 24 megapixels; decoding takes up to 16 bytes for each.
            image_pixels: 24 << 20,
            images: 8,
            paths: 64,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(20),
            answer_time: Duration::from_secs(120),
            write_time: Duration::from_secs(20),
        }
    }
}

impl ServeOptions {
    /// On loopback, port 8080.
    pub fn loopback() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            key: None,
            hosts: Vec::new(),
            model: None,
            calibrations: Vec::new(),
            heads: Vec::new(),
            assets: &[],
            limits: Limits::default(),
        }
    }

    /// # Errors
    /// [`Error::Option`] for an address that everybody could ask, and for a key that none could be sent as.
    pub(crate) fn validate(&self) -> Result<()> {
        match &self.key {
            None if !self.address.ip().is_loopback() => Err(Error::option(
                "key",
                "a key, since others can reach this address",
                self.address,
            )),
            Some(key) if key.len() < SHORTEST_KEY || !key.bytes().all(|b| b.is_ascii_graphic()) => {
                let expected =
                    format!("at least {SHORTEST_KEY} printable characters of ASCII without spaces");
                Err(Error::option("key", expected, "something else"))
            }
            _ => Ok(()),
        }
    }
}

/// What is shorter is guessed.
const SHORTEST_KEY: usize = 16;
