//! What the vision graph gave for images that were seen before.
//!
//! Keyed by what was seen: SHA-256 over the decoded pixels, the processor's settings and the package's graphs. An image's
//! place in a prompt, its file and its placeholders say nothing of what it shows, and are no part of the key.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::Decoded;
use crate::generate::CacheKey;
use crate::package::ImageProcessor;

/// What an image is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of an image's pixels, as `processor` of the package with the identity `package` sees them.
    pub fn of(decoded: &Decoded, processor: &ImageProcessor, package: &str) -> Self {
        let mut hash = Sha256::new();
        for text in [package, &format!("{processor:?}")] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        for edge in [decoded.height, decoded.width] {
            hash.update((edge as u64).to_le_bytes());
        }
        hash.update(&decoded.rgb);
        Self(hash.finalize().into())
    }

    /// What stands where the image's feature `index` does.
    pub fn key(&self, index: usize) -> CacheKey {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update((index as u64).to_le_bytes());
        CacheKey::Content(hash.finalize().into())
    }
}

/// Image features and what they are of.
#[derive(Debug, PartialEq)]
pub struct Features {
    /// `[features, hidden]`
    pub values: Vec<f32>,
    /// Numbers of one feature.
    pub hidden: usize,
    /// Tiles that were seen, the whole image last.
    pub tiles: usize,
    /// Rows and columns of tiles beside the whole; 0 where it was not cut.
    pub rows: usize,
    /// As `rows`.
    pub columns: usize,
}

impl Features {
    /// Their number.
    pub fn count(&self) -> usize {
        self.values.len() / self.hidden
    }

    fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }
}

/// Features of the images seen last.
#[derive(Debug)]
pub struct EncoderCache {
    /// The one seen last at the end.
    entries: Vec<(Digest, Arc<Features>)>,
    most_bytes: usize,
}

impl EncoderCache {
    /// A cache of features of at most `most_bytes` together.
    pub fn new(most_bytes: usize) -> Self {
        Self {
            entries: Vec::new(),
            most_bytes,
        }
    }

    /// The features of an image that was seen before.
    pub fn get(&mut self, digest: &Digest) -> Option<Arc<Features>> {
        let place = self.entries.iter().position(|(key, _)| key == digest)?;
        let entry = self.entries.remove(place);
        let features = Arc::clone(&entry.1);
        self.entries.push(entry);
        Some(features)
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Keeps what was seen, and lets go of what was seen longest ago where it is too much.
    pub fn keep(&mut self, digest: Digest, features: &Arc<Features>) {
        self.entries.retain(|(key, _)| *key != digest);
        self.entries.push((digest, Arc::clone(features)));
        let mut bytes: usize = self.entries.iter().map(|(_, f)| f.bytes()).sum();
        while bytes > self.most_bytes && !self.entries.is_empty() {
            bytes -= self.entries.remove(0).1.bytes();
        }
    }
}
